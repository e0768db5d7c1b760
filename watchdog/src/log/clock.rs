//! The time as lines show it, in UTC: formatted once a second and thread, not once a line.

use std::{
    cell::RefCell,
    fmt::Write as _,
    time::{Duration, Instant, UNIX_EPOCH},
};

use time::OffsetDateTime;

use crate::epoch::since_1970;

thread_local! {
    static TEXT: RefCell<Second> = const { RefCell::new(Second::new()) };
    static JSON: RefCell<Second> = const { RefCell::new(Second::new()) };
}

/// A second since 1970 and how it reads.
struct Second {
    number: Option<u64>,
    text: String,
}

/// `2006/01/02 15:04:05`, the form that both predecessors log with.
pub(super) fn text(line: &mut Vec<u8>, at: Instant) {
    let second = since_1970(at).as_secs();
    TEXT.with_borrow_mut(|cached| {
        line.extend_from_slice(cached.read(second, ['/', ' ']).as_bytes());
    });
}

/// RFC 3339 with milliseconds.
pub(super) fn json(at: Instant) -> String {
    let since = since_1970(at);
    let millisecond = since.subsec_millis();
    JSON.with_borrow_mut(|cached| {
        format!("{}.{millisecond:03}Z", cached.read(since.as_secs(), ['-', 'T']))
    })
}

impl Second {
    const fn new() -> Self {
        Self { number: None, text: String::new() }
    }

    /// How `second` reads, with these between the parts of the date, and date and time.
    fn read(&mut self, second: u64, [date, then]: [char; 2]) -> &str {
        if self.number != Some(second) {
            let moment = OffsetDateTime::from(UNIX_EPOCH + Duration::from_secs(second));
            let (year, month, day) = moment.to_calendar_date();
            let (hour, minute, secs) = moment.to_hms();
            let month = u8::from(month);
            self.text.clear();
            // Writing to a string cannot fail.
            let _ = write!(
                self.text,
                "{year}{date}{month:02}{date}{day:02}{then}{hour:02}:{minute:02}:{secs:02}"
            );
            self.number = Some(second);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_read_as_dates() {
        let mut second = Second::new();
        assert_eq!(second.read(1_136_214_245, ['/', ' ']), "2006/01/02 15:04:05");
        assert_eq!(second.read(1_136_214_246, ['/', ' ']), "2006/01/02 15:04:06");
        assert_eq!(Second::new().read(0, ['-', 'T']), "1970-01-01T00:00:00");
        let json = json(Instant::now());
        assert_eq!((json.len(), json.ends_with('Z')), (24, true), "{json}");
    }
}
