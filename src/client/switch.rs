//! Hooks switched off for a while: a file beside the memory, which holds when that ends.
//!
//! **Invariant:** a file that cannot be read means off: whoever switched off must not be recorded.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::Timestamp;

fn file(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(".paused");
    name.into()
}

/// Switches hooks off until a time, or until they are switched on.
///
/// # Errors
/// The file cannot be written.
pub fn pause(db: &Path, until: Option<Timestamp>) -> io::Result<()> {
    if let Some(parent) = db.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let until = until.map(|until| until.to_string());
    std::fs::write(file(db), until.unwrap_or_default())
}

/// Switches hooks on. Answers whether they were off.
///
/// # Errors
/// The file cannot be removed.
pub fn resume(db: &Path) -> io::Result<bool> {
    match std::fs::remove_file(file(db)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether hooks are off: `Some` with the time at which that ends, if it does.
pub fn paused(db: &Path, now: Timestamp) -> Option<Option<Timestamp>> {
    let text = match std::fs::read_to_string(file(db)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => return Some(None),
    };
    match Timestamp::parse("until", text.trim()) {
        Ok(until) if until <= now => None,
        Ok(until) => Some(Some(until)),
        Err(_) => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_itself_or_by_hand() {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("new/m.db");
        let at = Timestamp::from_millis;
        assert_eq!(paused(&db, at(0)), None);
        pause(&db, Some(at(100))).unwrap();
        assert_eq!(paused(&db, at(99)), Some(Some(at(100))));
        assert_eq!(paused(&db, at(100)), None);
        pause(&db, None).unwrap();
        assert_eq!(paused(&db, at(1_000)), Some(None));
        assert!(resume(&db).unwrap() && !resume(&db).unwrap());
        assert_eq!(paused(&db, at(0)), None);
    }
}
