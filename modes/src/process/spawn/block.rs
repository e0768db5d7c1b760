//! Strings in the form execve(2) takes them.

use std::{
    ffi::{CStr, c_char},
    marker::PhantomData,
    ptr,
};

/// Pointers to strings, and a null pointer behind the last. It cannot outlive the strings.
pub(in crate::process) struct Block<'a> {
    pointers: Vec<*const c_char>,
    strings: PhantomData<&'a CStr>,
}

impl Block<'_> {
    /// What execve(2) takes.
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

impl<'a> FromIterator<&'a CStr> for Block<'a> {
    fn from_iter<I: IntoIterator<Item = &'a CStr>>(strings: I) -> Self {
        let strings = strings.into_iter();
        let mut pointers = Vec::with_capacity(strings.size_hint().0 + 1);
        pointers.extend(strings.map(CStr::as_ptr));
        pointers.push(ptr::null());
        Self { pointers, strings: PhantomData }
    }
}
