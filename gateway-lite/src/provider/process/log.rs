//! What an instance wrote: the file that its watchdog appends to, in lines of JSON or of text.

mod entry;
mod reader;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::FallocateFlags;
use time::OffsetDateTime;

use crate::error::{Error, Result};

use self::entry::Entry;
pub(super) use self::reader::follow;

/// What a log may take of the disk, and what is kept when it takes more; in bytes.
const MOST: u64 = 16 << 20;
const KEPT: u64 = 8 << 20;

/// Gives back the room of lines that are old.
pub(super) fn bound(path: &Path) -> Result<()> {
    /// Of `st_blocks` (stat(2)).
    const UNIT: u64 = 512;

    if fs::metadata(path).is_ok_and(|log| log.blocks() * UNIT > MOST) {
        return shorten(path, KEPT)
            .map_err(|error| Error::Failed(format!("cannot shorten {}: {error}", path.display())));
    }
    Ok(())
}

/// Keeps the last bytes. A hole takes the place of the others, so that no line is lost which is
/// being written, and places in the file stay what they are.
fn shorten(path: &Path, kept: u64) -> io::Result<()> {
    /// Holes are made of whole blocks.
    const BLOCK: u64 = 64 * 1024;

    let mut log = OpenOptions::new().read(true).write(true).open(path)?;
    let old = log.metadata()?.len().saturating_sub(kept) / BLOCK * BLOCK;
    if old == 0 {
        return Ok(());
    }
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(&log, hole, 0, old).is_ok() {
        return Ok(());
    }
    // Few file systems have no holes. There a line that is written just now may be lost.
    log.seek(SeekFrom::Start(old))?;
    let mut recent = Vec::new();
    Read::by_ref(&mut log).take(2 * kept).read_to_end(&mut recent)?;
    let begin = recent.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    log.set_len(0)?;
    OpenOptions::new().append(true).open(path)?.write_all(&recent[begin..])
}

/// What the process said last that began to write at `from`, as far as it says why it ended.
pub(super) fn last_words(path: &Path, from: u64) -> String {
    /// Bytes that are looked at, lines that are told, and characters of them.
    const TAIL: u64 = 8 * 1024;
    const LINES: usize = 3;
    const LONGEST: usize = 400;

    let read = || {
        let mut log = File::open(path)?;
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(TAIL).max(from.min(length))))?;
        let mut bytes = Vec::new();
        log.take(TAIL).read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let entries: Vec<_> =
        text.lines().map(|line| Entry::parse(line, OffsetDateTime::UNIX_EPOCH)).collect();
    let telling = entries.iter().filter(|entry| !entry.is_routine && !entry.text.is_empty());
    let mut last: Vec<_> = telling.rev().take(LINES).map(|entry| entry.text.as_str()).collect();
    last.reverse();
    let words = last.join("; ");
    match words.char_indices().rev().nth(LONGEST) {
        None => words,
        Some((at, _)) => format!("…{}", &words[at..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_lines_go_and_recent_ones_stay_where_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let text: String = (0..100_000).map(|n| (900_000 + n).to_string() + "\n").collect();
        fs::write(&path, &text).unwrap();
        let before = fs::metadata(&path).unwrap().blocks();
        shorten(&path, 300_000).unwrap();
        let after = fs::read(&path).unwrap();
        assert!(after.ends_with(&text.as_bytes()[text.len() - 300_000..]));
        assert!(fs::metadata(&path).unwrap().blocks() < before);
        bound(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), after, "it is short enough");
    }

    #[test]
    fn last_words_leave_out_what_is_always_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let old =
            "{\"line\":\"of another\",\"stream\":\"stderr\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
        let log = format!(
            "{old}{{\"level\":\"info\",\"message\":\"Version\"}}\nTraceback\n\
             {{\"level\":\"error\",\"message\":\"the function exited\"}}\n"
        );
        fs::write(&path, log).unwrap();
        let words = last_words(&path, old.len() as u64);
        assert_eq!(words, "Traceback; the function exited");
        fs::write(&path, "é".repeat(9000)).unwrap();
        assert!(last_words(&path, 0).chars().count() <= 402);
        assert_eq!(last_words(&directory.path().join("none"), 0), "");
    }
}
