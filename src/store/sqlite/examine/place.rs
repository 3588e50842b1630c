//! What lies beside the file: who may read it, who keeps its locks, what was left behind.
//!
//! A lock of ours is the kernel's (`flock`), so that of a process that ended is gone with it and no file has to be removed.
//! What can be stale is a process: one that was stopped, or hangs, while it has the turn to write.
//!
//! **Invariant:** takes no lock for longer than it takes to see that it can.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::Finding;
use crate::store::sqlite::examine::with_suffix;
#[cfg(unix)]
use crate::store::sqlite::file::open_reader;
use crate::store::sqlite::turn::{beside, lock_until};

/// The files of a store, by what is behind its name.
pub(in crate::store::sqlite) const FILES: [&str; 9] = [
    "",
    "-wal",
    "-shm",
    ".lock",
    ".gate",
    ".turn",
    ".consolidation",
    ".keys",
    ".spool",
];
/// How long the turn may be another's: writers keep it for milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whoever the system does not name.
const SOMEBODY: &str = "another process";

pub(super) fn look(path: &Path) -> Vec<Finding> {
    let mut findings = vec![locks(path), left_behind(path), log(path)];
    findings.extend(permissions(path));
    findings
}

fn locks(path: &Path) -> Finding {
    let mut wrong = Vec::new();
    for name in ["gate", "turn"] {
        let lock = beside(path, name);
        match is_free(&lock) {
            Ok(true) => {}
            Ok(false) => wrong.push(format!(
                "{} was held for over {} s by {}: nobody else can write; if that process hangs or is stopped, end it",
                lock.display(),
                PATIENCE.as_secs(),
                holder(&lock)
            )),
            Err(error) => wrong.push(format!("{} cannot be locked: {error}", lock.display())),
        }
    }
    if let Some(process) = stubborn_writer(path) {
        wrong.push(format!(
            "SQLite's write lock was held for over {} s by {process}: nobody else can write; another program has a transaction open \
             (`sqlite3`, for instance): end it",
            PATIENCE.as_secs()
        ));
    }
    Finding {
        check: "locks",
        ok: wrong.is_empty(),
        detail: if wrong.is_empty() {
            "nobody keeps others from writing".to_owned()
        } else {
            wrong.join("; ")
        },
    }
}

fn is_free(lock: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).write(true).open(lock) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    lock_until(Instant::now() + PATIENCE, || match file.try_lock() {
        Ok(()) => file.unlock().map(|()| true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    })
}

/// Who holds a lock of ours, as far as the system tells. Format: proc(5), `/proc/locks`.
#[cfg(unix)]
fn holder(lock: &Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    /// The system hands the list out a page at a time, about forty locks, and what comes and goes meanwhile moves the others:
    /// while a machine was busy locking, one reading of eighty lacked a lock that was held all the time.
    const READINGS: usize = 5;
    let number = std::fs::metadata(lock).map(|about| format!(":{}", about.ino()));
    let held_by = |number: &str| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        locks.lines().find_map(|line| {
            let mut fields = line.split_whitespace().skip(4);
            let process = fields.next()?.to_owned();
            fields.next()?.ends_with(number).then_some(process)
        })
    };
    number
        .ok()
        .and_then(|number| (0..READINGS).find_map(|_| held_by(&number)))
        .map_or_else(|| SOMEBODY.to_owned(), |process| named(&process))
}

#[cfg(not(unix))]
fn holder(_lock: &Path) -> String {
    SOMEBODY.to_owned()
}

/// The process that had SQLite's write lock each time it was looked at, for as long as is borne, and committed nothing in
/// that time. A server that writes flat out has it nearly always too, but commits.
#[cfg(unix)]
fn stubborn_writer(path: &Path) -> Option<String> {
    // Never closed: the system lets go of all that SQLite has locked in a file when a process closes any handle of it. So a
    // handle of few bytes stays until the end of `doctor`.
    let shared = std::mem::ManuallyDrop::new(File::open(with_suffix(path, "-shm")).ok()?);
    let holder = writer(&shared)?;
    let reader = open_reader(path).ok()?;
    // Another number after each commit of another connection; none of a file that cannot be read.
    let commits = || -> Option<i64> {
        let version = reader.pragma_query_value(None, "data_version", |row| row.get(0));
        version.ok()
    };
    let before = commits();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
        let committed = before
            .zip(commits())
            .is_some_and(|(before, now)| before != now);
        if committed || writer(&shared)? != holder {
            return None;
        }
    }
    Some(if holder == 0 {
        SOMEBODY.to_owned()
    } else {
        named(&holder.to_string())
    })
}

#[cfg(not(unix))]
fn stubborn_writer(_path: &Path) -> Option<String> {
    None
}

/// The process that has SQLite's write lock just now; 0 if it is none that can be seen from here.
#[cfg(unix)]
fn writer(shared: &File) -> Option<i32> {
    use rustix::process::{Flock, FlockOffsetType, FlockType, Pid, fcntl_getlk};
    /// The byte of the `-shm` file that stands for the right to write: `WAL_WRITE_LOCK`, SQLite's "WAL-mode File Format".
    const WRITES: u64 = 120;
    let wanted = Flock {
        start: WRITES,
        length: 1,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    let held = fcntl_getlk(shared, &wanted).ok()??;
    Some(Pid::as_raw(held.pid))
}

fn named(process: &str) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!("process {process} ({})", name.trim())
}

/// What a restore, a repair or an upgrade that was killed left beside the file. Nobody is at it: the file is ours to open.
pub(in crate::store::sqlite) fn parts(path: &Path) -> Vec<PathBuf> {
    names(path, |rest| {
        rest.starts_with("restore.part")
            || (rest.starts_with('v') && rest.contains(".bak.part"))
            || (rest.starts_with("before-repair-") && rest.contains(".part"))
    })
}

/// Files beside the store whose names go on after a point as asked.
fn names(path: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    let prefix = format!("{}.", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .and_then(|name| name.strip_prefix(&prefix))
                .is_some_and(&wanted)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn left_behind(path: &Path) -> Finding {
    let parts = parts(path);
    let copies = names(path, |rest| {
        (rest.starts_with("before-") && !rest.contains(".part"))
            || (rest.starts_with('v') && rest.ends_with(".bak"))
    });
    let listed = |files: &[PathBuf]| -> String {
        let names: Vec<_> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        names.join(", ")
    };
    let detail = match (parts.is_empty(), copies.is_empty()) {
        (false, _) => format!(
            "{} was left by something that was killed: `agent-memory doctor --repair` removes it",
            listed(&parts)
        ),
        (true, false) => format!(
            "older files beside it keep what is forgotten later; remove them when they are not needed any more: {}",
            listed(&copies)
        ),
        (true, true) => "nothing was left behind".to_owned(),
    };
    Finding {
        check: "left behind",
        ok: parts.is_empty(),
        detail,
    }
}

fn log(path: &Path) -> Finding {
    /// Where the writer cuts it, twice over.
    const LONG: u64 = 128 * 1024 * 1024;
    let bytes = std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |log| log.len());
    Finding {
        check: "log",
        ok: bytes <= LONG,
        detail: if bytes <= LONG {
            format!(
                "it has {bytes} bytes; `agent-memory backup` copies what is in it, `cp` does not"
            )
        } else {
            format!(
                "it has {bytes} bytes: somebody has been reading for long, or the log cannot be moved into the file; look for \
                 programs that have the file open"
            )
        },
    }
}

#[cfg(unix)]
fn permissions(path: &Path) -> Vec<Finding> {
    let open: Vec<String> = open_files(path)
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let detail = if open.is_empty() {
        "only the owner can read the files".to_owned()
    } else {
        format!(
            "others can read {}: chmod 600, or `agent-memory doctor --repair`",
            open.join(", ")
        )
    };
    vec![Finding {
        check: "permissions",
        ok: open.is_empty(),
        detail,
    }]
}

#[cfg(not(unix))]
fn permissions(_path: &Path) -> Vec<Finding> {
    Vec::new()
}

/// Files of the store that others than the owner may read or write.
#[cfg(unix)]
fn open_files(path: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    FILES
        .iter()
        .map(|suffix| with_suffix(path, suffix))
        .filter(|file| {
            std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        })
        .collect()
}

/// Lets nobody but the owner read the files; answers which ones others could.
#[cfg(unix)]
pub(in crate::store::sqlite) fn close_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let open = open_files(path);
    for file in &open {
        crate::store::sqlite::copy::only_ours(&File::open(file)?)?;
    }
    Ok(open)
}

#[cfg(not(unix))]
pub(in crate::store::sqlite) fn close_files(_path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(Vec::new())
}
