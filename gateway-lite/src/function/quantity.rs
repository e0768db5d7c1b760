//! Quantities as Kubernetes writes them: `64Mi`, `0.5`, `200m`, `1e3`, `100000n`.

use crate::error::{Error, Result};

/// An amount in billionths, the finest that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u128);

/// One, in billionths.
const ONE: u128 = 1_000_000_000;

/// Every suffix and what it multiplies by, in billionths.
const SUFFIXES: [(&str, u128); 16] = [
    ("", ONE),
    ("Ki", ONE << 10),
    ("Mi", ONE << 20),
    ("Gi", ONE << 30),
    ("Ti", ONE << 40),
    ("Pi", ONE << 50),
    ("Ei", ONE << 60),
    ("n", 1),
    ("u", 1000),
    ("m", 1_000_000),
    ("k", ONE * 1000),
    ("M", ONE * 1_000_000),
    ("G", ONE * 1_000_000_000),
    ("T", ONE * 1_000_000_000_000),
    ("P", ONE * 1_000_000_000_000_000),
    ("E", ONE * 1_000_000_000_000_000_000),
];

impl Quantity {
    /// Reads one: digits with or without a fraction, and a suffix or a decimal exponent. Fractions of
    /// a billionth are rounded up, as Kubernetes does.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let length = text.bytes().take_while(|c| c.is_ascii_digit() || *c == b'.').count();
        let (number, suffix) = text.split_at(length);
        let (unit, divisor) = match SUFFIXES.iter().find(|(name, _)| *name == suffix) {
            Some((_, unit)) => (*unit, 1),
            None => exponent(suffix.strip_prefix(['e', 'E'])?)?,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let fraction = fraction.trim_end_matches('0');
        if number.is_empty() || number == "." || fraction.contains('.') {
            return None;
        }
        let digits = format!("0{whole}{fraction}").parse::<u128>().ok()?;
        let parts = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let amount = digits.checked_mul(unit)?.div_ceil(parts.checked_mul(divisor)?);
        Some(Self(amount))
    }

    /// In whole units, rounded up: bytes, say.
    #[must_use]
    pub fn units(self) -> u128 {
        self.0.div_ceil(ONE)
    }

    /// In thousandths, rounded up: milli-CPUs, say.
    #[must_use]
    pub fn thousandths(self) -> u128 {
        self.0.div_ceil(ONE / 1000)
    }
}

/// What `3` or `-3` behind an `e` multiplies by, in billionths, and divides by.
fn exponent(text: &str) -> Option<(u128, u128)> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let power = 10_u128.checked_pow(digits.parse().ok()?)?;
    if is_negative { Some((ONE, power)) } else { Some((ONE.checked_mul(power)?, 1)) }
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
            ("5.", 5),
            ("1n", 1),
            ("1500000u", 2),
            ("64e+6", 64_000_000),
            ("64000000e-3", 64_000),
            ("1.000000000000000000000000000000000000000000Mi", 1 << 20),
            ("0064", 64),
            (".5k", 500),
        ];
        for (text, bytes) in rows {
            assert_eq!(memory_bytes(text), Ok(bytes), "{text}");
        }
        let cpus: Vec<_> = ["200m", "0.5", "2", "1n", "100000000n", "250000u", "5e-1", "0.0001"]
            .map(|text| cpus(text).unwrap())
            .to_vec();
        assert_eq!(cpus, [200, 500, 2000, 1, 100, 250, 500, 1]);
    }

    #[test]
    fn nothing_else_is() {
        for text in [
            "", ".", "x", "-1", "1.2.3", "1MB", "1e", "e3", "1e99", "0", "１", "1 Gi", "Mi",
            "1e--3", "1e+-3", "1e3.0", "1..", "n", "1mi", "1K",
        ] {
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
