//! Text that clients and functions chose, in a line of ours: nothing in it ends the line, or is a
//! command to the terminal that shows it.

use serde::Serialize;

/// Appends `text`; commands in it are escaped.
pub(super) fn push_printable(line: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        return line.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        if is_command(c) {
            line.extend(c.escape_default().map(|c| c as u8));
        } else {
            push_char(line, c);
        }
    }
}

/// Appends an object of strings and numbers.
pub(super) fn push_json(line: &mut Vec<u8>, object: &impl Serialize) {
    // Strings and numbers have no JSON form that could fail. It lets some commands pass, all of
    // them in strings and of four digits.
    let text = serde_json::to_string(object).unwrap_or_default();
    if is_plain(&text) {
        return line.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        if is_command(c) {
            line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
        } else {
            push_char(line, c);
        }
    }
}

/// Whether nothing in it needs a second look.
fn is_plain(text: &str) -> bool {
    // All of it is looked at, so that many bytes are at once.
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

/// What a terminal or a reader of lines would take for a command.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn push_char(line: &mut Vec<u8>, c: char) {
    line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_in_a_line_can_steer_a_terminal_or_end_it() {
        let mut line = Vec::new();
        push_printable(&mut line, "/caf\u{e9}\u{9b}31m\u{1b}[2J\r\nGET\u{2028}\u{7f}\t");
        let expected = r"/caf\u{e9}\u{9b}31m\u{1b}[2J\r\nGET\u{2028}\u{7f}\t";
        assert_eq!(String::from_utf8(line).unwrap(), expected.replace(r"\u{e9}", "\u{e9}"));
    }

    proptest! {
        #[test]
        fn printable_text_is_left_as_it_is(text in "\\PC{0,24}") {
            prop_assume!(!text.contains(['\u{2028}', '\u{2029}']));
            let mut line = Vec::new();
            push_printable(&mut line, &text);
            prop_assert_eq!(line, text.into_bytes());
        }
    }
}
