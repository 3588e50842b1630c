//! The file and what it knows about itself: identity, page layout, schema, owner, locks.
//!
//! A new file gets `application_id`, page size and incremental vacuum *before* WAL, since SQLite ignores them in
//! silence afterwards; the start reads them back. Every process holds `FILE.lock` shared for as long as it has the
//! file open; creating and migrating take it exclusively.
//!
//! **Invariant:** a file that is not ours, that is newer than we are, or that lies on a network is refused and not
//! touched.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::domain::Timestamp;
use crate::store::sqlite::busy::{Patience, wait_for_locks};
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::log::refuse_foreign_log;
use crate::store::sqlite::mount::refuse_network;
use crate::store::sqlite::schema::{back_up, complete, migrate, schema_version};
use crate::store::sqlite::traced::trace;
use crate::store::sqlite::turn::{lock_file, lock_until};
use crate::store::{Durability, OpenError, Options, Role};

/// `AGMM`, in the header of every file of ours.
pub(super) const APPLICATION_ID: i32 = 0x4147_4d4d;
/// SQLite's own default, stated because the layout of a file lasts.
pub(super) const PAGE_BYTES: i64 = 4096;
/// Incremental, so that what was forgotten can be given back to the disk in slices.
const AUTO_VACUUM: i64 = 2;
/// Earlier versions can lose the log when it is reset while another process reads.
const LEAST_SQLITE: i32 = 3_051_003;
/// How long to wait for other processes to let go of the file before creating or migrating it.
const EXCLUSIVE_WAIT: Duration = Duration::from_secs(5);
/// The net below the write turn, for locks that other programs hold.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements kept prepared, a connection. From the design; there are fewer than this.
pub(super) const CACHED_STATEMENTS: usize = 128;

/// An open file: its read-write connection, and the lock that tells others somebody is here.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) connection: Connection,
    pub(super) presence: File,
    /// Whether there was a log that nobody was using: of a process that did not end in order.
    pub(super) dirty: bool,
}

/// Opens the file for `options.role`, creating it if it is missing.
pub(super) fn open(options: &Options, now: Timestamp) -> Result<OpenFile, OpenError> {
    let path = &options.path;
    let unusable = |reason: &str, source: io::Error| OpenError::Unusable {
        path: path.clone(),
        reason: format!("{reason}: {source}"),
        source: None,
    };
    if rusqlite::version_number() < LEAST_SQLITE {
        return Err(refuse(path, "this build's SQLite is older than 3.51.3"));
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        create_dir(parent).map_err(|error| unusable("its directory cannot be created", error))?;
    }
    refuse_network(path)?;
    let found = look(path)?;
    if found == Found::Copy {
        refuse_log_of_another(path)?;
    }
    let presence = lock_file(path, "lock")
        .map_err(|error| unusable("its lock file cannot be opened", error))?;
    let exclusive = found == Found::Nothing;
    let mut dirty = false;
    if exclusive {
        lock_exclusive(path, &presence)?;
        create_file(path).map_err(|error| unusable("it cannot be created", error))?;
    } else {
        // Alone with it: a log that is here was left by a crash. Others would have looked at it.
        if let Ok(()) = presence.try_lock() {
            refuse_foreign_log(path, usize::try_from(PAGE_BYTES).unwrap_or(0))?;
            dirty = std::fs::metadata(with_suffix(path, "-wal")).is_ok_and(|log| log.len() > 0);
        }
        lock_shared(path, &presence)?;
    }
    let mut connection = connect(path, options)?;
    prepare(&mut connection, options, now, &presence)?;
    if exclusive {
        lock_shared(path, &presence)?;
    }
    Ok(OpenFile {
        connection,
        presence,
        dirty,
    })
}

/// A read-only connection's flags.
pub(super) fn read_only_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// How much of the file readers see through the system's own cache, in bytes. A search reads hundreds of pages all over
/// the file: at 100,000 events it takes a third less processor time than by copying them. The price is that a disk that
/// fails under a mapped page ends the process, by a signal and not by an error; what was acknowledged is on the disk all
/// the same.
const READER_MAP_BYTES: i64 = 1024 * 1024 * 1024;

/// Settings of every read-only connection. 2 MB of cache each: the operating system caches the file anyway.
pub(super) fn configure_reader(connection: &mut Connection) -> rusqlite::Result<()> {
    keep_statements(connection)?;
    wait_for_locks(connection, Patience::Long)?;
    connection.execute_batch(&format!(
        "pragma query_only = 1; pragma cache_size = -2048; pragma mmap_size = {READER_MAP_BYTES}; pragma temp_store = memory;"
    ))
}

/// A read-only connection of its caller's own and none of the pool's, which reads a failing disk as an error and not by a
/// signal.
#[expect(
    clippy::disallowed_methods,
    reason = "read-only, and none of the pool's"
)]
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(path, read_only_flags())?;
    configure_reader(&mut connection)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

/// Keeps statements prepared, and their plans as they are. Without the second, this build of SQLite (`STAT4`) plans a
/// statement anew whenever other values are bound to it, which is each time.
fn keep_statements(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    trace(connection);
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Ours,
    /// Ours, and without a log: as `backup` makes it.
    Copy,
}

/// A copy has no log, so one that lies beside it is another file's, and SQLite would read it back into this one.
pub(super) fn refuse_log_of_another(path: &Path) -> Result<(), OpenError> {
    let log = with_suffix(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(refuse(
            path,
            format!(
                "it is a copy, and {} is the log of the file that was here before; move that away, and put copies back with \
                 `agent-memory restore`",
                log.display()
            ),
        ));
    }
    Ok(())
}

/// A file that cannot be used, and why.
pub(super) fn refuse(path: &Path, reason: impl Into<String>) -> OpenError {
    OpenError::Unusable {
        path: path.to_owned(),
        reason: reason.into(),
        source: None,
    }
}

/// What stands at `path`, by its header alone, so that a foreign file is never opened for writing.
pub(super) fn look(path: &Path) -> Result<Found, OpenError> {
    let mut header = Vec::new();
    match File::open(path) {
        Ok(file) => {
            file.take(100)
                .read_to_end(&mut header)
                .map_err(|error| refuse(path, format!("it cannot be read: {error}")))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(refuse(path, format!("it cannot be opened: {error}"))),
    }
    if header.is_empty() {
        return Ok(Found::Nothing);
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(refuse(
            path,
            "it is not an SQLite file; name another one with --db",
        ));
    }
    match header.get(68..72) {
        // From SQLite's file format: 1 is a rollback journal, 2 a write-ahead log.
        Some(id) if id == APPLICATION_ID.to_be_bytes() => match header.get(18) {
            Some(1) => Ok(Found::Copy),
            _ => Ok(Found::Ours),
        },
        _ => Err(refuse(
            path,
            "it is the SQLite file of another program; name another one with --db",
        )),
    }
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// An empty file that its owner alone may read.
pub(super) fn create_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    Ok(())
}

pub(super) fn lock_exclusive(path: &Path, presence: &File) -> Result<(), OpenError> {
    let taken = lock_until(Instant::now() + EXCLUSIVE_WAIT, || {
        match presence.try_lock() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    });
    match taken {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Busy {
            path: path.to_owned(),
            reason: "other processes use it; stop them first",
        }),
        Err(error) => Err(refuse(
            path,
            format!("its lock file cannot be locked: {error}"),
        )),
    }
}

fn lock_shared(path: &Path, presence: &File) -> Result<(), OpenError> {
    let taken = lock_until(Instant::now() + EXCLUSIVE_WAIT, || {
        match presence.try_lock_shared() {
            Ok(()) => Ok(true),
            Err(std::fs::TryLockError::WouldBlock) => Ok(false),
            Err(std::fs::TryLockError::Error(error)) => Err(error),
        }
    });
    match taken {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Busy {
            path: path.to_owned(),
            reason: "another process is creating, migrating, restoring or repairing it; try again when it is done",
        }),
        Err(error) => Err(refuse(
            path,
            format!("its lock file cannot be locked: {error}"),
        )),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that opens a read-write connection"
)]
pub(super) fn connect(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        keep_statements(&connection)?;
        wait_for_locks(&connection, Patience::of(options.write_wait))?;
        let synchronous = match options.durability {
            Durability::Full => "full",
            Durability::Normal => "normal",
        };
        connection.execute_batch(&format!(
            "pragma synchronous = {synchronous}; pragma fullfsync = on; \
             pragma secure_delete = on; pragma wal_autocheckpoint = 0; pragma cache_size = -16384; \
             pragma temp_store = memory; pragma trusted_schema = off;"
        ))?;
        Ok(connection)
    };
    open().map_err(|error| sqlite_refusal(path, &error))
}

/// What SQLite says against a file.
pub(super) fn sqlite_refusal(path: &Path, error: &rusqlite::Error) -> OpenError {
    refuse(path, format!("SQLite cannot use it: {error}"))
}

/// Brings the file to this version's layout and schema, or says why not.
fn prepare(
    connection: &mut Connection,
    options: &Options,
    now: Timestamp,
    presence: &File,
) -> Result<(), OpenError> {
    let path = &options.path;
    let failed = |error: rusqlite::Error| sqlite_refusal(path, &error);
    let found: i64 = pragma(connection, "user_version").map_err(failed)?;
    let wanted = schema_version();
    if found == wanted {
        adopt(connection, options, presence)?;
        if let Err(error) = complete(connection, now) {
            // Then the self-check will fail as well, and `doctor` has to be able to look.
            tracing::warn!(%error, "what the file knows about itself could not be read");
        }
        return check_layout(connection, path);
    }
    if found > wanted {
        return Err(refuse(
            path,
            format!(
                "it has schema {found}, newer than this version's {wanted}; use a newer agent-memory"
            ),
        ));
    }
    if found > 0 && options.role == Role::Command {
        return Err(OpenError::NeedsMigration {
            path: path.clone(),
            found,
            wanted,
        });
    }
    lock_exclusive(path, presence)?;
    // Another process may have been faster.
    let found: i64 = pragma(connection, "user_version").map_err(failed)?;
    if found == 0 {
        lay_out(connection).map_err(failed)?;
    } else if found < wanted {
        back_up(connection, options, found)?;
        keep_log(connection).map_err(failed)?;
    }
    if found < wanted {
        migrate(connection, now).map_err(|error| {
            refuse(
                path,
                format!("its migration failed and changed nothing: {error}"),
            )
        })?;
    }
    lock_shared(path, presence)?;
    check_layout(connection, path)
}

/// Gives a copy that was put here by hand the log that it lacks. A command that only looks must not change a copy.
fn adopt(connection: &Connection, options: &Options, presence: &File) -> Result<(), OpenError> {
    let path = &options.path;
    let failed = |error: rusqlite::Error| sqlite_refusal(path, &error);
    let journal: String = pragma(connection, "journal_mode").map_err(failed)?;
    if journal == "wal" {
        return Ok(());
    }
    if options.role == Role::Command {
        return Err(refuse(
            path,
            "it is a copy: look at it with `agent-memory backup --check`, put it in a memory's place with `agent-memory restore`, \
             or make a memory of it with `serve` or `migrate`",
        ));
    }
    lock_exclusive(path, presence)?;
    keep_log(connection).map_err(failed)?;
    lock_shared(path, presence)
}

pub(super) fn pragma<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

/// In one transaction: each by itself would be one, of four syncs, and a file that is laid out but not named as ours yet
/// would be refused as another program's.
fn lay_out(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "pragma page_size = {PAGE_BYTES};
         begin; pragma auto_vacuum = {AUTO_VACUUM}; pragma application_id = {APPLICATION_ID}; commit;"
    ))?;
    keep_log(connection)
}

/// Gives a file a write-ahead log, which its header remembers.
pub(super) fn keep_log(connection: &Connection) -> rusqlite::Result<()> {
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    Ok(())
}

fn check_layout(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let read = || -> rusqlite::Result<(i32, i64, i64, String)> {
        Ok((
            pragma(connection, "application_id")?,
            pragma(connection, "page_size")?,
            pragma(connection, "auto_vacuum")?,
            pragma(connection, "journal_mode")?,
        ))
    };
    let (id, page, vacuum, journal) = read().map_err(|error| sqlite_refusal(path, &error))?;
    if (id, page, vacuum, journal.as_str()) == (APPLICATION_ID, PAGE_BYTES, AUTO_VACUUM, "wal") {
        return Ok(());
    }
    Err(refuse(
        path,
        format!(
            "its layout is not ours (id {id:#x}, page {page}, auto_vacuum {vacuum}, {journal})"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::turn::beside;

    fn options(path: &Path, role: Role) -> Options {
        Options {
            path: path.to_owned(),
            role,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            read_time: None,
            durability: Durability::Full,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(1),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    fn a_new_file_has_our_layout_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/memory.db");
        drop(open(&options(&path, Role::Command), now()).unwrap());
        drop(open(&options(&path, Role::Server), now()).unwrap());
        #[cfg(unix)]
        for file in [
            path.clone(),
            beside(&path, "lock"),
            path.parent().unwrap().to_owned(),
        ] {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(
                std::fs::metadata(&file).unwrap().permissions().mode() & 0o077,
                0,
                "{}",
                file.display()
            );
        }
    }

    #[test]
    fn foreign_files_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("notes.txt");
        std::fs::write(&text, "not a database").unwrap();
        let other = dir.path().join("other.db");
        #[expect(clippy::disallowed_methods, reason = "a foreign file")]
        Connection::open(&other)
            .unwrap()
            .execute_batch("create table t (x)")
            .unwrap();
        for path in [&text, &other, &dir.path().to_owned()] {
            let before = std::fs::read(path).ok();
            assert!(open(&options(path, Role::Server), now()).is_err());
            assert_eq!(std::fs::read(path).ok(), before);
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.db");
        let file = open(&options(&path, Role::Server), now()).unwrap();
        file.connection
            .pragma_update(None, "user_version", schema_version() + 1)
            .unwrap();
        drop(file);
        let error = open(&options(&path, Role::Server), now()).unwrap_err();
        assert!(error.to_string().contains("newer"), "{error}");
    }
}
