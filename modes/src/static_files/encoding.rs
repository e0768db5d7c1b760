//! Which of the precompressed siblings of a file a client gets (RFC 9110 section 12.5.3).

use http::{HeaderMap, header::ACCEPT_ENCODING};

/// A content coding that a sibling can have. In the order of preference among those that the
/// client likes as much: smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstandard,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// What the sibling's name has behind that of the file.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Its name in Content-Encoding.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn is_named(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.token())
            // RFC 9110 section 8.4.1.3.
            || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"))
    }
}

/// The coding to send out of those `available`; `None` is the file as it is.
///
/// The highest weight wins. Among equal weights a coding wins over none; a client that names a
/// coding but neither `identity` nor `*` likes the coding better, however low its weight. A client
/// that refuses everything that is there gets the file as it is: section 12.4.1 leaves that or
/// 406, and the file is of more use. Elements that break the syntax count as absent.
pub(super) fn choose(headers: &HeaderMap, available: &[Coding]) -> Option<Coding> {
    let weights = Weights::parse(headers);
    let identity = weights.of(|name| name.eq_ignore_ascii_case("identity")).unwrap_or(0);
    let mut best = None;
    for &coding in available {
        let weight = weights.of(|name| coding.is_named(name)).unwrap_or(0);
        if weight > 0 && weight >= identity && best.is_none_or(|(_, highest)| weight > highest) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// Names and weights in thousandths.
struct Weights<'a>(Vec<(&'a str, u16)>);

impl<'a> Weights<'a> {
    fn parse(headers: &'a HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT_ENCODING).into_iter();
        let elements = values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        Self(elements.filter_map(element).collect())
    }

    /// The weight of the first name that fits, else that of `*`.
    fn of(&self, fits: impl Fn(&str) -> bool) -> Option<u16> {
        let first = |fits: &dyn Fn(&str) -> bool| {
            self.0.iter().find(|(name, _)| fits(name)).map(|&(_, weight)| weight)
        };
        first(&fits).or_else(|| first(&|name| name == "*"))
    }
}

fn element(text: &str) -> Option<(&str, u16)> {
    let (name, weight) = match text.split_once(';') {
        None => (text, 1000),
        Some((name, parameter)) => {
            let (q, value) = parameter.trim_matches([' ', '\t']).split_once('=')?;
            (name, q.eq_ignore_ascii_case("q").then(|| thousandths(value))??)
        }
    };
    Some((name.trim_matches([' ', '\t']), weight))
}

/// A `qvalue` (RFC 9110 section 12.4.2): 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = format!("{decimals:0<3}").parse().ok()?;
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn choice(lines: &[&str], available: &[Coding]) -> &'static str {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        choose(&headers, available).map_or("identity", Coding::token)
    }

    #[test]
    fn the_client_chooses_among_all_codings() {
        for (lines, expected) in [
            (&[][..], "identity"),
            (&[""], "identity"),
            (&["gzip"], "gzip"),
            (&["x-gzip"], "gzip"),
            (&["GZip"], "gzip"),
            (&["deflate"], "identity"),
            (&["gzip, deflate, br, zstd"], "br"),
            (&["gzip, deflate, zstd"], "zstd"),
            (&["gzip", "br"], "br"),
            (&["gzip;q=1.0, br;q=0.9"], "gzip"),
            (&["gzip;q=0.5, br;q=0.501"], "br"),
            (&["gzip;q=0.5"], "gzip"),
            (&["gzip;q=0.001"], "gzip"),
            (&["gzip;q=0"], "identity"),
            (&["gzip;q=0.000"], "identity"),
            (&["gzip;q=0.5, identity"], "identity"),
            (&["gzip;q=0.5, identity;q=0.5"], "gzip"),
            (&["identity"], "identity"),
            (&["*"], "br"),
            (&["*;q=0.5"], "br"),
            (&["*, br;q=0"], "zstd"),
            (&["gzip;q=0.4, *;q=0.5"], "br"),
            (&["gzip;q=0.4, br;q=0, zstd;q=0, *;q=0.5"], "identity"),
            (&["*;q=0"], "identity"),
            (&["*;q=0, gzip"], "gzip"),
            (&["identity;q=0"], "identity"),
            (&["identity;q=0, gzip;q=0.1"], "gzip"),
            (&["identity;q=0, *"], "br"),
            (&["gzip ; Q=0.5\t,\tbr ;q=0.4"], "gzip"),
            (&[",, gzip,"], "gzip"),
            // Not the syntax of a weight.
            (&["br;q=2, gzip"], "gzip"),
            (&["br;q=1.001, gzip"], "gzip"),
            (&["br;q=0.1234, gzip"], "gzip"),
            (&["br;q=-1, gzip"], "gzip"),
            (&["br;q=, gzip"], "gzip"),
            (&["br;q, gzip"], "gzip"),
            (&["br;level=1, gzip"], "gzip"),
            (&["br;q=1;x=1, gzip"], "gzip"),
            (&["br;q=+0.5, gzip"], "gzip"),
        ] {
            assert_eq!(choice(lines, &Coding::ALL), expected, "{lines:?}");
        }
    }

    #[test]
    fn only_what_is_there_is_chosen() {
        assert_eq!(choice(&["br, gzip;q=0.1"], &[Coding::Gzip]), "gzip");
        assert_eq!(choice(&["br"], &[Coding::Gzip]), "identity");
        assert_eq!(choice(&["br, identity;q=0"], &[]), "identity");
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_choice(line in prop_oneof![
            "[ -~]{0,40}",
            "((gzip|br|zstd|identity|\\*)(;q=[01](\\.[0-9]{0,3})?)?,? ?){0,6}",
        ]) {
            choice(&[&line], &Coding::ALL);
        }

        #[test]
        fn weights_are_thousandths(weight in 0u16..=1000) {
            let text = format!("{}.{:03}", weight / 1000, weight % 1000);
            prop_assert_eq!(thousandths(&text), Some(weight));
        }
    }
}
