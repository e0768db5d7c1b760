//! Content of any length that a receiver can check without being told it: the byte at an offset
//! is a function of the offset.

/// After this many bytes it repeats. A multiple of every block that is written.
pub const PERIOD: usize = 64 * 1024;

/// One period.
#[must_use]
pub fn block() -> Vec<u8> {
    (0..PERIOD).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

/// What a response body has to be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// These bytes.
    Exact(Vec<u8>),
    /// So many bytes of the pattern.
    Pattern(u64),
    /// So many zero bytes.
    Zeros(u64),
    /// Anything, as long as it is complete.
    Anything,
}

/// Compares a body with what it has to be while it arrives.
#[derive(Debug)]
pub struct Check {
    expected: Expected,
    block: Vec<u8>,
    seen: u64,
    wrong_at: Option<u64>,
}

impl Check {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        let block = match &expected {
            Expected::Exact(_) | Expected::Anything => Vec::new(),
            Expected::Pattern(_) => block(),
            Expected::Zeros(_) => vec![0; PERIOD],
        };
        Self { expected, block, seen: 0, wrong_at: None }
    }

    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let start = self.seen;
        self.seen += bytes.len() as u64;
        if self.wrong_at.is_some() {
            return;
        }
        let holds = match &self.expected {
            Expected::Anything => true,
            Expected::Exact(whole) => {
                whole.get(start as usize..).is_some_and(|rest| rest.starts_with(bytes))
            }
            Expected::Pattern(_) | Expected::Zeros(_) => self.follows(start, bytes),
        };
        if !holds {
            self.wrong_at = Some(start);
        }
    }

    fn follows(&self, start: u64, mut bytes: &[u8]) -> bool {
        let mut at = (start % PERIOD as u64) as usize;
        while !bytes.is_empty() {
            let piece = bytes.len().min(PERIOD - at);
            if bytes[..piece] != self.block[at..at + piece] {
                return false;
            }
            bytes = &bytes[piece..];
            at = 0;
        }
        true
    }

    /// Whether everything was there and right.
    pub fn finish(&self) -> Result<(), String> {
        if let Some(at) = self.wrong_at {
            return Err(format!("the body is wrong in the piece that begins at byte {at}"));
        }
        let length = match &self.expected {
            Expected::Anything => self.seen,
            Expected::Exact(whole) => whole.len() as u64,
            Expected::Pattern(length) | Expected::Zeros(length) => *length,
        };
        if self.seen == length {
            return Ok(());
        }
        Err(format!("the body has {} bytes instead of {length}", self.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_body_in_any_pieces_passes() {
        let whole: Vec<u8> = block().into_iter().cycle().take(200_000).collect();
        for piece in [1, 7, 65_535, 65_537, 200_000] {
            let mut check = Check::new(Expected::Pattern(200_000));
            whole.chunks(piece).for_each(|bytes| check.feed(bytes));
            check.finish().unwrap();
        }
    }

    #[test]
    fn a_wrong_byte_and_a_wrong_length_are_told_apart() {
        let mut whole = block();
        whole[60_000] ^= 1;
        let mut check = Check::new(Expected::Pattern(PERIOD as u64));
        whole.chunks(1000).for_each(|bytes| check.feed(bytes));
        assert!(check.finish().unwrap_err().contains("60000"));
        let mut check = Check::new(Expected::Exact(b"abc".to_vec()));
        check.feed(b"ab");
        assert!(check.finish().unwrap_err().contains("2 bytes instead of 3"));
    }
}
