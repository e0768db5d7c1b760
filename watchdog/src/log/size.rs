//! Sizes as people read them: decimal units and four significant digits, as Go's `units.HumanSize`
//! prints them: `285B`, `2.159kB`, `5MB`.

use modes::decimal;

/// Appends `bytes`.
pub(super) fn push(line: &mut Vec<u8>, bytes: u64) {
    if bytes < 1000 {
        decimal::push(line, bytes);
        line.push(b'B');
    } else if let Some(thousandths) = kilobytes(bytes) {
        decimal::push(line, thousandths / 1000);
        let point = line.len();
        // The leading one keeps the zeros behind it, and gives its place to the point.
        decimal::push(line, 1000 + thousandths % 1000);
        line[point] = b'.';
        while line.last() == Some(&b'0') {
            line.pop();
        }
        if line.len() == point + 1 {
            line.pop();
        }
        line.extend_from_slice(b"kB");
    } else {
        push_any(line, bytes);
    }
}

/// The size in thousandths of a kB, rounded to four digits. Without floating point, whose digits
/// cost a thousand instructions, a twentieth of a small call. `None` for other units, and where
/// only the binary fraction tells which way to round.
fn kilobytes(bytes: u64) -> Option<u64> {
    let step = match bytes {
        1_000..10_000 => 1,
        10_000..100_000 => 10,
        100_000..1_000_000 => 100,
        _ => return None,
    };
    let is_between = step > 1 && bytes % step == step / 2;
    (!is_between).then(|| (bytes + step / 2) / step * step)
}

#[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
fn push_any(line: &mut Vec<u8>, bytes: u64) {
    let (mut size, mut unit) = (bytes as f64, 0);
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    while size >= 1000.0 && unit < units.len() - 1 {
        size /= 1000.0;
        unit += 1;
    }
    let decimals = if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    let digits = format!("{size:.decimals$}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    for part in [digits, units[unit]] {
        line.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = b"before ".to_vec();
        write(&mut line);
        String::from_utf8(line).unwrap().split_off("before ".len())
    }

    #[test]
    fn sizes_read_as_before() {
        for (bytes, expected) in [
            (0, "0B"),
            (285, "285B"),
            (1000, "1kB"),
            (2159, "2.159kB"),
            (21_590, "21.59kB"),
            (215_900, "215.9kB"),
            (999_999, "1000kB"),
            (5_000_000, "5MB"),
            (20_971_520, "20.97MB"),
        ] {
            assert_eq!(text(|line| push(line, bytes)), expected);
        }
    }

    proptest! {
        #[test]
        fn kilobytes_read_as_floating_point_has_them(bytes in 1_000_u64..1_000_000) {
            prop_assert_eq!(text(|line| push(line, bytes)), text(|line| push_any(line, bytes)));
        }
    }
}
