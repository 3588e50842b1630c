//! Whose log lies beside the file.
//!
//! A log that a crashed process left is read back into the file by whoever opens it next. SQLite cannot know whose it
//! is; what can be told is told here, by the page size and by the first page of a database, which names its program.
//! The log of *another memory* looks like ours.
//!
//! **Invariant:** believes no more of the log than SQLite would: what a checksum does not vouch for was never written.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::store::OpenError;
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::file::{APPLICATION_ID, refuse};

/// Bytes of the log's header and of each frame's, and where the checksum stands in them. From SQLite's file format.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The header begins with this, or with one more if its checksums read words big-endian.
const MAGIC: u32 = 0x377f_0682;

/// Refuses a log that is another program's. Nobody else may have the file open.
pub(super) fn refuse_foreign_log(path: &Path, page_bytes: usize) -> Result<(), OpenError> {
    let log = with_suffix(path, "-wal");
    let foreign = match File::open(&log) {
        Ok(file) => is_foreign(BufReader::new(file), page_bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
    };
    match foreign {
        Ok(false) => Ok(()),
        Ok(true) => Err(refuse(
            path,
            format!(
                "{} is the log of another program's file; move it away",
                log.display()
            ),
        )),
        Err(error) => Err(refuse(
            path,
            format!("its log {} cannot be read: {error}", log.display()),
        )),
    }
}

fn is_foreign(mut log: impl Read, page_bytes: usize) -> io::Result<bool> {
    let mut header = [0; HEADER];
    let mut sum = Checksum::default();
    if !fill(&mut log, &mut header)? || word(&header, 0) & !1 != MAGIC {
        return Ok(false);
    }
    sum.big_endian = word(&header, 0) & 1 == 1;
    sum.add(&header, 0, HEADER - 8);
    if !sum.is_at(&header, HEADER - 8) {
        return Ok(false);
    }
    if usize::try_from(word(&header, 8)).ok() != Some(page_bytes) {
        return Ok(true);
    }
    let mut frame = vec![0; FRAME_HEADER + page_bytes];
    while fill(&mut log, &mut frame)? && frame.get(8..16) == header.get(16..24) {
        sum.add(&frame, 0, 8);
        sum.add(&frame, FRAME_HEADER, page_bytes);
        if !sum.is_at(&frame, 16) {
            break;
        }
        if word(&frame, 0) == 1 {
            return Ok(word(&frame, FRAME_HEADER + 68) != APPLICATION_ID.cast_unsigned());
        }
    }
    Ok(false)
}

/// SQLite's checksum of a log, which goes on from frame to frame.
#[derive(Debug, Default)]
struct Checksum {
    big_endian: bool,
    one: u32,
    two: u32,
}

impl Checksum {
    /// Adds `count` bytes from `at` on.
    fn add(&mut self, bytes: &[u8], at: usize, count: usize) {
        for pair in (at..at + count).step_by(8) {
            let words = (word(bytes, pair), word(bytes, pair + 4));
            let (first, second) = if self.big_endian {
                words
            } else {
                (words.0.swap_bytes(), words.1.swap_bytes())
            };
            self.one = self.one.wrapping_add(first).wrapping_add(self.two);
            self.two = self.two.wrapping_add(second).wrapping_add(self.one);
        }
    }

    /// Whether it is the one that stands at `at`.
    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        (self.one, self.two) == (word(bytes, at), word(bytes, at + 4))
    }
}

/// Whether there were enough bytes.
fn fill(log: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// A big-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    u32::from_be_bytes(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log as SQLite writes it, of a program with this id.
    fn log_of(id: i32) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.db");
        #[expect(clippy::disallowed_methods, reason = "a foreign file")]
        let connection = rusqlite::Connection::open(&path).unwrap();
        let sql =
            format!("pragma application_id = {id}; pragma journal_mode = wal; create table t (x);");
        connection.execute_batch(&sql).unwrap();
        std::fs::read(with_suffix(&path, "-wal")).unwrap()
    }

    #[test]
    fn a_log_is_known_by_its_first_page_if_that_is_whole() {
        let foreign = |log: &[u8], page_bytes| is_foreign(log, page_bytes).unwrap();
        let (ours, other) = (log_of(APPLICATION_ID), log_of(7));
        assert!(!foreign(&ours, 4096));
        assert!(foreign(&ours, 8192));
        assert!(foreign(&other, 4096));
        for torn in [20, HEADER + 17, HEADER + FRAME_HEADER + 100] {
            let mut log = other.clone();
            log[torn] ^= 1;
            assert!(!foreign(&log, 4096), "byte {torn}");
        }
        assert!(!foreign(&other[..HEADER + 1000], 4096));
        assert!(!foreign(&[], 4096));
    }
}
