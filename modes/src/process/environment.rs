//! The variables of a process, in the form execve(2) takes them.

use std::{
    cmp::Ordering,
    ffi::{CStr, OsString},
    io,
    ops::Range,
    os::unix::ffi::OsStrExt as _,
};

/// Variables in order; a later one replaces an earlier one of the same name. All of them are in one
/// piece of memory.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `NAME=value` and a NUL byte, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Of the variable within the bytes, its NUL byte included.
    place: Range<usize>,
    /// The length of its name.
    name: usize,
}

impl Environment {
    /// No variables.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more variable.
    pub fn push(&mut self, name: impl IntoIterator<Item = u8>, value: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend(name);
        let name = self.bytes.len() - start;
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
        self.entries.push(Entry { place: start..self.bytes.len(), name });
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|entry| {
            let variable = &self.bytes[entry.place.start..entry.place.end - 1];
            (&variable[..entry.name], &variable[entry.name + 1..])
        })
    }

    /// Each name once, in alphabetical order.
    pub(super) fn settled(mut self) -> Self {
        let bytes = &self.bytes;
        // Later ones first, because the first of a name stays.
        self.entries.reverse();
        self.entries.sort_by(|left, right| left.name(bytes).cmp(right.name(bytes)));
        self.entries.dedup_by(|next, first| next.name(bytes) == first.name(bytes));
        self
    }

    /// Both together, where `over` replaces variables of the same name. Both must be settled.
    ///
    /// # Errors
    /// A name or a value with a NUL byte, which no process can be given.
    pub(super) fn with<'a>(&'a self, over: &'a Self) -> io::Result<Vec<&'a CStr>> {
        let mut strings = Vec::with_capacity(self.entries.len() + over.entries.len());
        let (mut base, mut more) = (self.entries.iter().peekable(), over.entries.iter().peekable());
        loop {
            let order = match (base.peek(), more.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(ours), Some(theirs)) => ours.name(&self.bytes).cmp(theirs.name(&over.bytes)),
            };
            let taken = match order {
                Ordering::Less => (base.next(), &self.bytes),
                Ordering::Greater => (more.next(), &over.bytes),
                Ordering::Equal => {
                    base.next();
                    (more.next(), &over.bytes)
                }
            };
            if let (Some(entry), bytes) = taken {
                strings.push(entry.string(bytes)?);
            }
        }
        Ok(strings)
    }
}

impl Entry {
    fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.place.start..self.place.start + self.name]
    }

    fn string<'a>(&self, bytes: &'a [u8]) -> io::Result<&'a CStr> {
        CStr::from_bytes_with_nul(&bytes[self.place.clone()]).map_err(|_| nul())
    }
}

/// What the standard library says of strings that are none for the kernel.
pub(super) fn nul() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "nul byte found in provided data")
}

impl<'a> FromIterator<&'a (OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = &'a (OsString, OsString)>>(pairs: I) -> Self {
        let mut environment = Self::new();
        for (name, value) in pairs {
            environment.push(name.as_bytes().iter().copied(), value.as_bytes());
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn environment(pairs: &[(Vec<u8>, Vec<u8>)]) -> Environment {
        let mut environment = Environment::new();
        for (name, value) in pairs {
            environment.push(name.iter().copied(), value);
        }
        environment
    }

    fn pairs(name: &'static str) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        let bytes = prop::collection::vec(1..=255_u8, 0..20);
        let name = name.prop_map(String::into_bytes);
        prop::collection::vec((name, bytes), 0..30)
    }

    proptest! {
        /// Few different names, so that most are given more than once.
        #[test]
        fn later_variables_replace_earlier_ones_and_calls_replace_the_base(
            base in pairs("[A-C]{0,2}"),
            over in pairs("[A-C]{0,2}"),
        ) {
            let expected: BTreeMap<_, _> = base.iter().chain(&over).cloned().collect();
            let expected: Vec<Vec<u8>> = expected
                .into_iter()
                .map(|(name, value)| [name, value].join(&b'='))
                .collect();
            let (base, over) = (environment(&base).settled(), environment(&over).settled());
            let strings = base.with(&over).unwrap();
            let got: Vec<Vec<u8>> = strings.iter().map(|text| text.to_bytes().to_vec()).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn names_and_values_come_back_as_they_were(all in pairs("[A-Za-z_]{1,8}")) {
            let environment = environment(&all);
            let got: Vec<_> = environment.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(got, all);
        }

        #[test]
        fn nul_bytes_are_refused(
            mut all in pairs("[A-C]{1,2}"),
            at in any::<prop::sample::Index>(),
        ) {
            prop_assume!(!all.is_empty());
            let (_, value) = all.last_mut().unwrap();
            value.insert(at.index(value.len() + 1), 0);
            let error = Environment::new().with(&environment(&all).settled()).err().unwrap();
            prop_assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
