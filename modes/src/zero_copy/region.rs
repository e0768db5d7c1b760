//! Addresses that stand for bytes which are not in memory.
//!
//! One stretch of the address space is reserved and made inaccessible. It costs no memory. The
//! distance of a slice's first address from its start is a number; slices may overlap, because
//! nobody ever reads them.

#![expect(unsafe_code, reason = "reserves addresses and makes slices of them")]

use std::{ptr, slice, sync::OnceLock};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Numbers there are.
pub(super) const NUMBERS: usize = 1 << 16;

/// The longest slice, in bytes.
pub(super) const LONGEST: usize = 1 << 20;

/// The address of the region, or `None` where the host has no addresses to spare (`ulimit -v`).
static START: OnceLock<Option<usize>> = OnceLock::new();

/// Whether the region can be had.
pub(super) fn is_there() -> bool {
    START.get_or_init(reserve).is_some()
}

fn reserve() -> Option<usize> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let mapped =
        unsafe { mmap_anonymous(ptr::null_mut(), NUMBERS + LONGEST, ProtFlags::empty(), flags) };
    mapped.ok().map(<*mut _>::expose_provenance)
}

/// The slice of `length` bytes that stands for `number`. Reading it ends the program with a fault.
///
/// # Panics
/// When one of them is out of its range, or there is no region.
pub(super) fn stand_in(number: usize, length: usize) -> &'static [u8] {
    let start = START.get().copied().flatten();
    let start = start.filter(|_| number < NUMBERS && length <= LONGEST);
    let Some(start) = start else { panic!("no slice stands for {length} bytes of {number}") };
    // SAFETY: `number + length` lies within the mapping, which is never changed or removed. It
    // belongs to nobody, so nothing is written there, and reads fault instead of reaching memory.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(start + number), length) }
}

/// The number that `slice` stands for, if it stands for one.
pub(super) fn number(slice: &[u8]) -> Option<usize> {
    let start = START.get().copied().flatten()?;
    let number = slice.as_ptr().addr().checked_sub(start)?;
    (number < NUMBERS + LONGEST && !slice.is_empty()).then_some(number)
}

/// Whether `slice` stands for bytes that are elsewhere, so that it must not be read.
#[must_use]
pub fn is_reserved(slice: &[u8]) -> bool {
    number(slice).is_some()
}
