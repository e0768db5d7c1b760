//! Numbers in decimal, without the general formatting machinery: it would be a fifth of what a
//! proxied call costs.

use std::{net::IpAddr, time::Duration};

/// Appends `number`.
pub fn push(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends `duration` in seconds with `digits` decimals, at most nine, rounded to the nearest.
pub fn push_seconds(out: &mut Vec<u8>, duration: Duration, digits: u32) {
    let unit = 10_u64.pow(digits.min(9));
    let per_unit = 1_000_000_000 / unit;
    let fraction = (u64::from(duration.subsec_nanos()) + per_unit / 2) / per_unit;
    push(out, duration.as_secs() + fraction / unit);
    // The leading one keeps the zeros behind it, and gives its place to the point.
    let start = out.len();
    push(out, unit + fraction % unit);
    out[start] = b'.';
}

/// Appends an address as its `Display` has it.
pub fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let [first, rest @ ..] = address.octets();
            push(out, first.into());
            for octet in rest {
                out.push(b'.');
                push(out, octet.into());
            }
        }
        IpAddr::V6(address) => out.extend_from_slice(address.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn seconds_are_rounded_and_padded() {
        for (nanos, digits, expected) in [
            (0, 6, "0.000000"),
            (1_499, 6, "0.000001"),
            (1_500, 6, "0.000002"),
            (1_600_000, 4, "0.0016"),
            (999_999_999, 4, "1.0000"),
            (61_000_000_001, 9, "61.000000001"),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(text(|out| push_seconds(out, duration, digits)), expected);
        }
    }

    proptest! {
        #[test]
        fn addresses_read_as_usual(v4: u32, v6: u128) {
            for address in [IpAddr::V4(Ipv4Addr::from(v4)), IpAddr::V6(Ipv6Addr::from(v6))] {
                prop_assert_eq!(text(|out| push_address(out, address)), address.to_string());
            }
        }
    }
}
