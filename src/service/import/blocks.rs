//! Bytes as they come, cut into blocks of whole lines.
//!
//! **Invariant:** holds at most one block and one line beyond what was pushed last.

/// Most lines of a block, and so rows of a unit of work. From the contract.
const BLOCK_LINES: usize = 200;
/// Octets after which a block ends with the line that is in it. From the contract.
const BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// Longest line, in bytes. From the contract.
pub(super) const MAX_LINE_BYTES: usize = 32 * 1024 * 1024;

/// The bytes that are not in a block yet.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    waiting: Vec<u8>,
    scanned: usize,
    ended: usize,
    lines: usize,
}

impl Blocks {
    /// Takes what has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// A block, if there is a full one. A line that is too long is given away before it has ended.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        while let Some(rest) = self
            .waiting
            .get(self.scanned..)
            .filter(|rest| !rest.is_empty())
        {
            let Some(at) = rest.iter().position(|byte| *byte == b'\n') else {
                self.scanned = self.waiting.len();
                break;
            };
            self.scanned += at + 1;
            self.ended = self.scanned;
            self.lines += 1;
            if self.lines >= BLOCK_LINES || self.ended >= BLOCK_BYTES {
                return Some(self.cut(self.ended));
            }
        }
        if self.waiting.len() - self.ended > MAX_LINE_BYTES {
            return Some(self.cut(self.waiting.len()));
        }
        None
    }

    /// What is left when no more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.cut(self.waiting.len())
    }

    fn cut(&mut self, at: usize) -> Vec<u8> {
        let waiting = self.waiting.split_off(at.min(self.waiting.len()));
        let block = std::mem::replace(&mut self.waiting, waiting);
        (self.scanned, self.ended, self.lines) = (0, 0, 0);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_lines_however_the_bytes_come() {
        let text: String = (0..450).map(|number| format!("line {number}\n")).collect();
        for size in [1, 7, 100_000] {
            let (mut blocks, mut found) = (Blocks::default(), Vec::new());
            for part in text.as_bytes().chunks(size) {
                blocks.push(part);
                found.extend(std::iter::from_fn(|| blocks.take()));
            }
            found.push(blocks.rest());
            let sizes: Vec<_> = found
                .iter()
                .map(|block| block.iter().filter(|byte| **byte == b'\n').count())
                .collect();
            assert_eq!(sizes, [200, 200, 50]);
            assert_eq!(found.concat(), text.as_bytes());
        }
    }

    #[test]
    fn a_long_line_ends_a_block_and_an_endless_one_is_given_away() {
        let mut blocks = Blocks::default();
        blocks.push(&vec![b'x'; BLOCK_BYTES]);
        assert_eq!(blocks.take(), None);
        blocks.push(b"\nnext");
        assert_eq!(blocks.take().unwrap().len(), BLOCK_BYTES + 1);
        blocks.push(&vec![b'x'; MAX_LINE_BYTES]);
        assert_eq!(blocks.take().unwrap().len(), MAX_LINE_BYTES + 4);
        assert!(blocks.rest().is_empty());
    }
}
