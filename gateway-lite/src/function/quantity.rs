//! Quantities as Kubernetes writes them: `64Mi`, `0.5`, `200m`, `1e3`.

use crate::error::{Error, Result};

/// An amount in thousandths, so that `200m` is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// Every suffix and what it multiplies by, in thousandths.
const SUFFIXES: [(&str, u128); 13] = [
    ("Ki", 1000 << 10),
    ("Mi", 1000 << 20),
    ("Gi", 1000 << 30),
    ("Ti", 1000 << 40),
    ("Pi", 1000 << 50),
    ("Ei", 1000 << 60),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
];

impl Quantity {
    /// Reads one. Fractions of a thousandth are rounded up, as Kubernetes does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let digits = text.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let (number, suffix) = text.split_at(digits);
        let unit = if suffix.is_empty() {
            1000
        } else if let Some((_, unit)) = SUFFIXES.iter().find(|(name, _)| *name == suffix) {
            *unit
        } else {
            let exponent: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(exponent)?.checked_mul(1000)?
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let digits = |text: &str| match text {
            "" => Some(0),
            _ if text.contains('.') => None,
            _ => text.parse::<u128>().ok(),
        };
        let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let amount = digits(whole)?.checked_mul(unit)?;
        let rest = digits(fraction)?.checked_mul(unit)?.div_ceil(parts);
        amount.checked_add(rest).map(Self)
    }

    /// In whole units, rounded up: bytes, say.
    #[must_use]
    pub fn units(self) -> u128 {
        self.0.div_ceil(1000)
    }

    /// In thousandths: milli-CPUs, say.
    #[must_use]
    pub fn thousandths(self) -> u128 {
        self.0
    }
}

/// A limit or request of memory, in bytes.
///
/// # Errors
/// [`Error::Invalid`] for what is no quantity, nothing, or more than 64 bits hold.
pub fn memory_bytes(text: &str) -> Result<u64> {
    let bytes = Quantity::parse(text).map(Quantity::units);
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0).ok_or_else(|| {
        Error::Invalid(format!("{text:?} is no amount of memory: write it as 64Mi, 1Gi or 128M"))
    })
}

/// A limit or request of processor time, in thousandths of a CPU.
///
/// # Errors
/// [`Error::Invalid`] for what is no quantity, nothing, or absurd.
pub fn cpus(text: &str) -> Result<u64> {
    let milli = Quantity::parse(text).map(Quantity::thousandths);
    milli
        .and_then(|milli| u64::try_from(milli).ok())
        .filter(|milli| (1..=1_000_000_000).contains(milli))
        .ok_or_else(|| {
            Error::Invalid(format!("{text:?} is no amount of CPU: write it as 0.5, 2 or 200m"))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read() {
        let rows = [
            ("64Mi", 64 << 20),
            ("1Gi", 1 << 30),
            ("1.5Ki", 1536),
            ("128M", 128_000_000),
            ("1e3", 1000),
            ("2E3", 2000),
            // A unit that people confuse with `M`: thousandths.
            ("128m", 1),
            ("+5", 5),
            (".5k", 500),
        ];
        for (text, bytes) in rows {
            assert_eq!(memory_bytes(text), Ok(bytes), "{text}");
        }
        assert_eq!((cpus("200m"), cpus("0.5"), cpus("2")), (Ok(200), Ok(500), Ok(2000)));
    }

    #[test]
    fn nothing_else_is() {
        for text in
            ["", ".", "x", "-1", "1.2.3", "1MB", "1e", "e3", "1e99", "0", "１", "1 Gi", "Mi"]
        {
            assert!(memory_bytes(text).is_err(), "{text:?}");
        }
        assert!(cpus("1Ei").is_err() && cpus("0").is_err());
        assert!(memory_bytes("99999999999999999999999999999999999999Ei").is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn whole_numbers_are_themselves(number: u64) {
            prop_assert_eq!(Quantity::parse(&number.to_string()).unwrap().units(), u128::from(number));
        }
    }
}
