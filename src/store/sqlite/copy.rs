//! A copy of the file as it is at one moment, made beside reads and writes.
//!
//! SQLite's own backup copies pages. Where each step is a read of its own it begins anew whenever somebody writes between
//! two; so all steps are done in *one* read transaction, which no write disturbs and which the writer does not notice: it
//! only keeps the log from beginning anew meanwhile. Measured on a file of 770 MB beside a writer that committed flat
//! out: 6.5 s and 30 MB of log, where `VACUUM INTO` took 10.1 s and as much log, with half as much processor time again;
//! one step for all took no less than many, and cannot be stopped or followed.
//!
//! A copy is in `journal_mode=delete`: it has no log, so that none is missing, and a log that lies beside it is another
//! file's, which the start can tell. It grows under `FILE.part`, mode 0600, is checked whole (`integrity_check`), hashed,
//! synced, and then named; its manifest is named last. One that dies on the way leaves the part, which the next one takes.
//!
//! **Invariant:** under the name that was asked for there is a whole, checked copy, or what was there before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use crate::domain::Timestamp;
use crate::store::sqlite::examine::{FILES, with_suffix};
use crate::store::sqlite::file::{APPLICATION_ID, open_reader, pragma};
use crate::store::{CopyError, Follow, Manifest};

mod part;

use part::Part;
pub(in crate::store) use part::remove_unfinished;

/// Pages of one step, 4 MB: how soon a stop is heard.
const STEP_PAGES: i32 = 1_024;
/// Steps of SQLite's machine between two looks at whether to stop.
const STEPS_A_LOOK: i32 = 10_000;
/// How long the copy waits for a lock of another program on the part.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Room beside the copy itself: the manifest, and what others write meanwhile.
const SPARE_BYTES: u64 = 16 * 1024 * 1024;
/// What the manifest says it is.
const FORMAT: &str = "agent-memory backup";
/// Octets of a manifest that are read at most.
const MOST_MANIFEST_BYTES: u64 = 64 * 1024;
/// What is counted in a copy, by its name in the manifest.
const COUNTED: [(&str, &str); 9] = [
    ("artifacts", "artifact"),
    ("decisions", "decision"),
    ("events", "event"),
    ("handoffs", "handoff"),
    ("notes", "note"),
    ("principles", "principle"),
    ("projects", "project"),
    ("reflections", "reflection"),
    ("sessions", "session"),
];

/// What was found in a file that is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) schema: i64,
    pub(super) counts: BTreeMap<String, u64>,
}

/// Copies the file at `source` to `target`. `log_is_long` says that the log has grown too much to go on.
pub(super) fn make(
    source: &Path,
    target: &Path,
    replace: bool,
    now: Timestamp,
    follow: Follow<'_>,
    log_is_long: impl Fn() -> bool,
) -> Result<Manifest, CopyError> {
    let target = &destination(target)?;
    refuse_own_files(source, target)?;
    if !replace && target.exists() {
        return Err(taken(target));
    }
    let part = Part::begin(target)?;
    let connection =
        open_reader(source).map_err(|error| CopyError::of("cannot read", source, error))?;
    copy_pages(&connection, source, &part, follow, log_is_long)?;
    drop(connection);
    let content = settle(&part.path, follow)?;
    let (bytes, sha256) =
        hash(&part.path, follow).map_err(CopyError::io("cannot read", &part.path))?;
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: 1,
        file: target
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default(),
        created_at: now.to_string(),
        agent_memory: env!("CARGO_PKG_VERSION").to_owned(),
        schema: content.schema,
        bytes,
        sha256,
        counts: content.counts,
    };
    part.publish(target, replace, &manifest)?;
    Ok(manifest)
}

fn taken(target: &Path) -> CopyError {
    CopyError::InTheWay(format!(
        "{} is there already: choose another name, or say --force to replace it",
        target.display()
    ))
}

/// The file that a name leads to. What is no file is never replaced: a device, a pipe.
fn destination(target: &Path) -> Result<PathBuf, CopyError> {
    let refused = |said: String| Err(CopyError::Refused(said));
    let shown = target.display();
    let path = if target.is_symlink() {
        match target.canonicalize() {
            Ok(path) => path,
            Err(_) => return refused(format!("{shown} is a link that leads to nothing")),
        }
    } else {
        target.to_owned()
    };
    if path.is_dir() {
        return refused(format!("{shown} is a directory: name a file in it"));
    }
    if path.exists() && !path.is_file() {
        return refused(format!("{shown} is no file: a copy needs one of its own"));
    }
    Ok(path)
}

/// A copy over the memory itself, or over what belongs to it, would be the end of both; and so would be its part or its
/// manifest.
fn refuse_own_files(source: &Path, target: &Path) -> Result<(), CopyError> {
    let place = |path: &Path| {
        let dir = parent(path).canonicalize().ok()?;
        Some(dir.join(path.file_name()?))
    };
    let own: Vec<_> = FILES
        .iter()
        .filter_map(|suffix| place(&with_suffix(source, suffix)))
        .collect();
    let manifest = manifest_path(target);
    let written = [
        target.to_owned(),
        with_suffix(target, ".part"),
        with_suffix(&manifest, ".part"),
        manifest,
    ];
    match written
        .iter()
        .find(|path| place(path).is_some_and(|wanted| own.contains(&wanted)))
    {
        Some(path) => {
            let said = format!("{} belongs to the memory itself", path.display());
            Err(CopyError::Refused(said))
        }
        None => Ok(()),
    }
}

/// The directory a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Whether there is room for so many bytes beside `path`.
pub(super) fn check_room(path: &Path, bytes: u64) -> Result<(), CopyError> {
    let dir = parent(path);
    let room = rustix::fs::statvfs(dir)
        .map_err(|error| CopyError::of("cannot look for room in", dir, error))?;
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let needed = bytes.saturating_add(SPARE_BYTES);
    if free < needed {
        return Err(CopyError::NoRoom {
            dir: dir.to_owned(),
            free,
            needed,
        });
    }
    Ok(())
}

fn copy_pages(
    source: &Connection,
    path: &Path,
    part: &Part,
    follow: Follow<'_>,
    log_is_long: impl Fn() -> bool,
) -> Result<(), CopyError> {
    let cannot_read = |error| CopyError::of("cannot read", path, error);
    let cannot_write = |error| CopyError::of("cannot write", &part.path, error);
    source.execute_batch("begin").map_err(cannot_read)?;
    // The first read is what makes it a snapshot.
    let pages: u64 = source
        .query_row("select count(*) from sqlite_schema", [], |_| Ok(()))
        .and_then(|()| pragma::<i64>(source, "page_count"))
        .map(|pages| u64::try_from(pages).unwrap_or(0))
        .map_err(cannot_read)?;
    let page_bytes: i64 = pragma(source, "page_size").map_err(cannot_read)?;
    check_room(
        &part.path,
        pages.saturating_mul(u64::try_from(page_bytes).unwrap_or(0)),
    )?;
    let mut copy = write_only(&part.path).map_err(cannot_write)?;
    let backup = Backup::new(source, &mut copy).map_err(cannot_write)?;
    let mut waits = Instant::now() + LOCK_WAIT;
    loop {
        if (follow.stop)() {
            return Err(CopyError::Stopped);
        }
        if log_is_long() {
            let said = "there is too much being written: the log has come near --max-log while the copy was made, and \
                        writes come first; try again when there is less";
            return Err(CopyError::Refused(said.to_owned()));
        }
        match backup.step(STEP_PAGES).map_err(cannot_write)? {
            StepResult::Done => break,
            StepResult::More => waits = Instant::now() + LOCK_WAIT,
            _ if Instant::now() < waits => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let said = format!("another program has {} locked", part.path.display());
                return Err(CopyError::Refused(said));
            }
        }
        let left = u64::try_from(backup.progress().remaining).unwrap_or(0);
        (follow.told)(pages.saturating_sub(left), pages);
    }
    drop(backup);
    copy.close().map_err(|(_, error)| cannot_write(error))?;
    source.execute_batch("rollback").map_err(cannot_read)
}

/// A connection to a new file that needs no journal: what fails is thrown away, and the whole is synced at the end.
#[expect(clippy::disallowed_methods, reason = "a file that is not the store's")]
fn write_only(part: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(part, flags)?;
    connection.execute_batch("pragma journal_mode = off; pragma synchronous = off;")?;
    Ok(connection)
}

/// Takes the log out of a copy's header, and checks it whole.
#[expect(clippy::disallowed_methods, reason = "a file that is not the store's")]
fn settle(part: &Path, follow: Follow<'_>) -> Result<Content, CopyError> {
    let failed = |error| CopyError::of("cannot finish", part, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(part, flags).map_err(failed)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))
        .map_err(failed)?;
    if mode != "delete" {
        let said = format!("{} stays in journal mode {mode}", part.display());
        return Err(CopyError::Refused(said));
    }
    let content = check(&connection, part, follow)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(CopyError::io("cannot sync", part))?;
    Ok(content)
}

/// Whether a file is one of ours and sound, and what is in it.
pub(super) fn check(
    connection: &Connection,
    path: &Path,
    follow: Follow<'_>,
) -> Result<Content, CopyError> {
    let failed = |error: rusqlite::Error| {
        if (follow.stop)() {
            CopyError::Stopped
        } else {
            CopyError::of("cannot check", path, error)
        }
    };
    let stop = follow.stop;
    let outcome = with_stop(connection, stop, || {
        let id: i32 = pragma(connection, "application_id")?;
        let schema: i64 = pragma(connection, "user_version")?;
        let found: String =
            connection.query_row("pragma integrity_check(1)", [], |row| row.get(0))?;
        let mut counts = BTreeMap::new();
        if found == "ok" && id == APPLICATION_ID {
            for (name, table) in COUNTED {
                let there = "select 1 from sqlite_schema where type = 'table' and name = ?1";
                if connection.prepare(there)?.exists([table])? {
                    let sql = format!("select count(*) from {table}");
                    let count: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
                    counts.insert(name.to_owned(), u64::try_from(count).unwrap_or(0));
                }
            }
        }
        Ok((id, found, Content { schema, counts }))
    });
    let (id, found, content) = outcome.map_err(failed)?;
    if id != APPLICATION_ID {
        let said = format!("{} is no memory of agent-memory", path.display());
        return Err(CopyError::Refused(said));
    }
    if found != "ok" {
        let said = format!(
            "{} is damaged ({}): run `agent-memory doctor`",
            path.display(),
            found.replace('\n', " ")
        );
        return Err(CopyError::Refused(said));
    }
    Ok(content)
}

/// Does something on a connection that ends when it is time to stop. SQLite wants a handler that lives as long as the
/// connection, so the question is asked from another thread.
fn with_stop<T>(
    connection: &Connection,
    stop: &(dyn Fn() -> bool + Sync),
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let (stopped, done) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    connection.progress_handler(STEPS_A_LOOK, Some(move || seen.load(Ordering::Relaxed)))?;
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                stopped.store(stop(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        let outcome = work();
        done.store(true, Ordering::Release);
        outcome
    });
    connection.progress_handler(0, None::<fn() -> bool>)?;
    outcome
}

/// Length and SHA-256 of a file.
pub(super) fn hash(path: &Path, follow: Follow<'_>) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let (mut buffer, mut bytes) = (vec![0; 1024 * 1024], 0);
    loop {
        if (follow.stop)() {
            return Err(io::Error::other("it was stopped before it was done"));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex(&digest.finalize())));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        bytes += u64::try_from(read).unwrap_or(0);
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the manifest of a copy is.
pub(super) fn manifest_path(copy: &Path) -> PathBuf {
    with_suffix(copy, ".manifest.json")
}

/// The manifest beside a copy, if there is one.
pub(super) fn read_manifest(copy: &Path) -> Result<Option<Manifest>, CopyError> {
    let path = manifest_path(copy);
    let cannot = |error: &dyn std::fmt::Display| {
        CopyError::Refused(format!(
            "{} cannot be read ({error}): if the copy is to be used without it, move it away",
            path.display()
        ))
    };
    let mut text = String::new();
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(&error)),
        Ok(file) => file
            .take(MOST_MANIFEST_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| cannot(&error))?,
    };
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| cannot(&error))?;
    if manifest.format != FORMAT {
        return Err(cannot(&"it is none of ours"));
    }
    Ok(Some(manifest))
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Syncs a file or a directory.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Lets nobody but the owner read a file.
#[cfg(unix)]
pub(super) fn only_ours(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
pub(super) fn only_ours(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
