//! Putting a copy in the place of the file.
//!
//! The copy is copied once more, to `FILE.restore.part`, and hashed and checked there, so that what was checked is what is
//! put in place. What was there before gets a second name, `FILE.before-restore-TIME`, and then the part takes its first
//! one, in one step: killed anywhere, there is the one or the other. Its log is read back into it before; one that cannot
//! be is moved along with it, since the log of another file would be read into this one.
//!
//! A copy knows nothing of what happened since. Keys that were revoked since are revoked in it as well, and a door that a
//! first key has closed since stays closed. What was forgotten since is there again.
//!
//! **Invariant:** while any process has the file open, or may open it, nothing is put in its place.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::domain::Timestamp;
use crate::domain::backup::stamp;
use crate::store::sqlite::copy::{
    Content, check, check_room, hash, hex, only_ours, parent, read_manifest, remove, sync,
};
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::file::{
    Found, connect, create_dir, create_file, keep_log, lock_exclusive, look, refuse_log_of_another,
};
use crate::store::sqlite::key;
use crate::store::sqlite::mount::refuse_network;
use crate::store::sqlite::schema::schema_version;
use crate::store::sqlite::turn::{beside, lock_file};
use crate::store::{CopyError, Follow, Manifest, OpenError, Options, Restored};

/// What is looked at to tell whether a store holds something.
const HELD: [&str; 7] = [
    "event",
    "handoff",
    "decision",
    "note",
    "reflection",
    "principle",
    "api_key",
];

/// Nobody follows it, and it is not stopped: the process may be.
const ALONE: Follow<'static> = Follow {
    stop: &|| false,
    told: &|_, _| {},
};

/// What stands in the place that a copy is put in.
#[derive(Debug, Default)]
struct Standing {
    /// Whether it holds something, or what it holds cannot be told.
    full: bool,
    /// Whether it could be read.
    readable: bool,
    asked: i64,
    generation: i64,
    revoked: Vec<([u8; 16], i64)>,
}

/// Puts a copy in the place of the file.
pub(in crate::store) fn restore(
    options: &Options,
    copy: &Path,
    replace: bool,
    now: Timestamp,
) -> Result<Restored, CopyError> {
    let path = &options.path;
    create_dir(parent(path)).map_err(CopyError::io("cannot create", parent(path)))?;
    refuse_network(path)?;
    let bytes = look_at_copy(copy)?;
    if is_same(copy, path) {
        let said = format!("{} is the memory itself", copy.display());
        return Err(CopyError::Refused(said));
    }
    let manifest = read_manifest(copy)?;
    let presence =
        lock_file(path, "lock").map_err(CopyError::io("cannot open the lock file of", path))?;
    lock_exclusive(path, &presence)?;
    let found = look(path)?;
    let standing = match found {
        Found::Nothing => None,
        Found::Ours | Found::Copy => Some(stand(path, options)),
    };
    if let Some(standing) = &standing
        && standing.full
        && !replace
    {
        return Err(CopyError::InTheWay(format!(
            "{} holds a memory already{}: say --force to put the copy in its place; it is kept beside it",
            path.display(),
            if standing.readable {
                ""
            } else {
                ", which cannot be read"
            },
        )));
    }
    check_room(path, bytes)?;
    let part = beside(path, "restore.part");
    let outcome = prepare(copy, &part, manifest.as_ref(), options, standing.as_ref());
    let (content, revoked, generation) = match outcome {
        Ok(prepared) => prepared,
        Err(error) => {
            drop(remove(&part));
            return Err(error);
        }
    };
    let kept = set_aside(path, now, found != Found::Nothing)?;
    std::fs::rename(&part, path)
        .and_then(|()| sync(parent(path)))
        .map_err(CopyError::io("cannot write", path))?;
    if let Some(generation) = generation {
        key::tell(path, generation);
    }
    drop(presence);
    Ok(Restored {
        notes: notes(path, &content, standing.as_ref()),
        schema: content.schema,
        counts: content.counts,
        manifest: manifest.is_some(),
        kept,
        revoked,
    })
}

/// Looks at a copy without changing it.
pub(in crate::store) fn check_copy(copy: &Path) -> Result<Restored, CopyError> {
    look_at_copy(copy)?;
    let manifest = read_manifest(copy)?;
    let (bytes, sha256) = hash(copy, ALONE).map_err(CopyError::io("cannot read", copy))?;
    agrees(copy, manifest.as_ref(), bytes, &sha256)?;
    let connection = untouched(copy).map_err(|error| CopyError::of("cannot read", copy, error))?;
    let content = check(&connection, copy, ALONE)?;
    counts_agree(copy, manifest.as_ref(), &content)?;
    Ok(Restored {
        schema: content.schema,
        counts: content.counts,
        manifest: manifest.is_some(),
        kept: None,
        revoked: 0,
        notes: Vec::new(),
    })
}

/// A connection that takes the file as it is: no lock, no log, nothing written.
#[expect(
    clippy::disallowed_methods,
    reason = "read-only, and not the store's file"
)]
fn untouched(copy: &Path) -> rusqlite::Result<Connection> {
    // The characters that mean something in such a name: from SQLite's documentation of URI filenames.
    let path: String = copy
        .to_string_lossy()
        .chars()
        .map(|char| match char {
            '%' => "%25".to_owned(),
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{path}?immutable=1"), flags)
}

/// Whether a file can be a copy, by its header and what lies beside it; answers its length.
fn look_at_copy(copy: &Path) -> Result<u64, CopyError> {
    let about = std::fs::metadata(copy).map_err(CopyError::io("cannot read the copy", copy))?;
    if !about.is_file() {
        let said = format!("{} is no file", copy.display());
        return Err(CopyError::Refused(said));
    }
    match look(copy)? {
        Found::Copy => refuse_log_of_another(copy)?,
        // A memory that was closed in order, or the copy that a migration made.
        Found::Ours => {
            let log = with_suffix(copy, "-wal");
            if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
                return Err(CopyError::Refused(format!(
                    "{} has a log beside it, {}: it is in use, or was copied by hand. Make a copy of it with \
                     `agent-memory --db {} backup FILE`",
                    copy.display(),
                    log.display(),
                    copy.display()
                )));
            }
        }
        Found::Nothing => {
            return Err(CopyError::Refused(format!("{} is empty", copy.display())));
        }
    }
    Ok(about.len())
}

#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path| std::fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(not(unix))]
fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Whether the copy is what its manifest says.
fn agrees(
    copy: &Path,
    manifest: Option<&Manifest>,
    bytes: u64,
    sha256: &str,
) -> Result<(), CopyError> {
    match manifest {
        Some(manifest) if manifest.bytes != bytes || manifest.sha256 != sha256 => {
            Err(CopyError::Refused(format!(
                "{} is not what its manifest says ({bytes} bytes with SHA-256 {sha256}, and not {} with {}): it was changed or cut \
                 since it was made. Another copy is the way; to use it all the same, move the manifest away",
                copy.display(),
                manifest.bytes,
                manifest.sha256
            )))
        }
        _ => Ok(()),
    }
}

fn counts_agree(
    copy: &Path,
    manifest: Option<&Manifest>,
    content: &Content,
) -> Result<(), CopyError> {
    match manifest {
        Some(manifest)
            if manifest.counts != content.counts || manifest.schema != content.schema =>
        {
            Err(CopyError::Refused(format!(
                "{} holds {:?}, and its manifest says {:?}",
                copy.display(),
                content.counts,
                manifest.counts
            )))
        }
        _ => Ok(()),
    }
}

/// Reads what stands there, and its log into it.
fn stand(path: &Path, options: &Options) -> Standing {
    let read = || -> Result<Standing, OpenError> {
        let connection = connect(path, options)?;
        let look = || -> rusqlite::Result<Standing> {
            let mut standing = Standing {
                readable: true,
                ..Standing::default()
            };
            for table in HELD {
                standing.full |= has_table(&connection, table)?
                    && connection
                        .prepare(&format!("select 1 from {table} limit 1"))?
                        .exists([])?;
            }
            if has_table(&connection, "access")? {
                (standing.asked, standing.generation) =
                    connection.query_row("select asked, generation from access", [], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?;
                let mut revoked = connection
                    .prepare("select id, revoked_at from api_key where revoked_at is not null")?;
                standing.revoked = revoked
                    .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect::<rusqlite::Result<_>>()?;
            }
            connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
            Ok(standing)
        };
        look().map_err(|error| crate::store::sqlite::file::sqlite_refusal(path, &error))
    };
    read().unwrap_or(Standing {
        full: true,
        ..Standing::default()
    })
}

fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("select 1 from sqlite_schema where type = 'table' and name = ?1")?
        .exists([table])
}

/// Makes the file that is put in place: checked, with a log, and with the keys revoked that were.
fn prepare(
    copy: &Path,
    part: &Path,
    manifest: Option<&Manifest>,
    options: &Options,
    standing: Option<&Standing>,
) -> Result<(Content, u64, Option<i64>), CopyError> {
    let failed = |error| CopyError::of("cannot prepare", part, error);
    let (bytes, sha256) = take_over(copy, part)?;
    agrees(copy, manifest, bytes, &sha256)?;
    let connection =
        connect(part, options).map_err(|error| CopyError::of("cannot use", copy, error))?;
    let content = check(&connection, copy, ALONE)?;
    counts_agree(copy, manifest, &content)?;
    if content.schema > schema_version() {
        return Err(CopyError::Refused(format!(
            "{} has schema {}, newer than this version's {}; use a newer agent-memory",
            copy.display(),
            content.schema,
            schema_version()
        )));
    }
    if content.schema == 0 {
        return Err(CopyError::Refused(format!(
            "{} holds no memory",
            copy.display()
        )));
    }
    keep_log(&connection).map_err(failed)?;
    let mut revoked = 0;
    let mut generation = None;
    if let Some(standing) = standing.filter(|standing| standing.readable)
        && has_table(&connection, "access").map_err(failed)?
    {
        let told = carry_over(&connection, standing).map_err(failed)?;
        revoked = told.0;
        generation = Some(told.1);
    }
    // The last connection takes the log into the file.
    connection.close().map_err(|(_, error)| failed(error))?;
    let log = with_suffix(part, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let said = format!("{} could not be read into its file", log.display());
        return Err(CopyError::Refused(said));
    }
    for suffix in ["-wal", "-shm"] {
        remove(&with_suffix(part, suffix)).map_err(CopyError::io("cannot remove", part))?;
    }
    sync(part).map_err(CopyError::io("cannot sync", part))?;
    Ok((content, revoked, generation))
}

/// Copies the copy's bytes; answers how many, and their SHA-256.
fn take_over(copy: &Path, part: &Path) -> Result<(u64, String), CopyError> {
    use sha2::{Digest as _, Sha256};
    use std::io::{Read as _, Write as _};
    for suffix in ["", "-journal", "-wal", "-shm"] {
        remove(&with_suffix(part, suffix)).map_err(CopyError::io("cannot remove", part))?;
    }
    create_file(part).map_err(CopyError::io("cannot write", part))?;
    let read = || -> std::io::Result<(u64, String)> {
        let (mut from, mut to) = (File::open(copy)?, File::options().write(true).open(part)?);
        only_ours(&to)?;
        let mut digest = Sha256::new();
        let (mut buffer, mut bytes) = (vec![0; 1024 * 1024], 0);
        loop {
            let count = from.read(&mut buffer)?;
            let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
                to.sync_all()?;
                return Ok((bytes, hex(&digest.finalize())));
            };
            digest.update(read);
            to.write_all(read)?;
            bytes += u64::try_from(count).unwrap_or(0);
        }
    };
    read().map_err(CopyError::io("cannot copy", copy))
}

/// Revokes the keys that were revoked since, and keeps the door closed; answers how many, and the keys' generation.
fn carry_over(connection: &Connection, standing: &Standing) -> rusqlite::Result<(u64, i64)> {
    let transaction = connection.unchecked_transaction()?;
    let mut count = 0;
    {
        let mut revoke = transaction
            .prepare("update api_key set revoked_at = ?2 where id = ?1 and revoked_at is null")?;
        for (id, at) in &standing.revoked {
            count += u64::try_from(revoke.execute((id, at))?).unwrap_or(0);
        }
    }
    let generation = transaction.query_row(
        "update access set asked = iif(?1 = 1, 1, asked), generation = max(generation, ?2) + 1 returning generation",
        (standing.asked, standing.generation),
        |row| row.get(0),
    )?;
    transaction.commit()?;
    Ok((count, generation))
}

/// Gives what stands there a second name.
fn set_aside(path: &Path, now: Timestamp, is_there: bool) -> Result<Option<PathBuf>, CopyError> {
    if !is_there {
        // A log without its file is nobody's.
        for suffix in ["-wal", "-shm"] {
            let file = with_suffix(path, suffix);
            remove(&file).map_err(CopyError::io("cannot remove", &file))?;
        }
        return Ok(None);
    }
    let first = beside(path, &format!("before-restore-{}", stamp(now)));
    let aside = std::iter::once(first.clone())
        .chain((2..1_000).map(|number| with_suffix(&first, &format!("-{number}"))))
        .find(|name| !name.exists())
        .unwrap_or(first);
    std::fs::hard_link(path, &aside)
        // A file system without links.
        .or_else(|_| std::fs::copy(path, &aside).map(|_| ()))
        .map_err(CopyError::io("cannot keep what was there as", &aside))?;
    // Here only if it could not be read into the file.
    for suffix in ["-wal", "-shm"] {
        let file = with_suffix(path, suffix);
        if file.exists() {
            std::fs::rename(&file, with_suffix(&aside, suffix))
                .map_err(CopyError::io("cannot move", &file))?;
        }
    }
    sync(parent(path)).map_err(CopyError::io("cannot sync", parent(path)))?;
    Ok(Some(aside))
}

fn notes(path: &Path, content: &Content, standing: Option<&Standing>) -> Vec<String> {
    let mut notes = Vec::new();
    if content.schema < schema_version() {
        notes.push(format!(
            "it has schema {}, which `agent-memory serve` or `agent-memory migrate` brings to {}",
            content.schema,
            schema_version()
        ));
    }
    match standing {
        Some(standing) if !standing.readable => notes.push(
            "what was there could not be read: keys that were revoked since the copy was made are good again (`agent-memory key \
             list`)"
                .to_owned(),
        ),
        Some(standing) if standing.asked == 1 && content.schema < 6 => notes.push(
            "the copy is from before there were keys: requests need none until `agent-memory key create`"
                .to_owned(),
        ),
        _ => {}
    }
    if std::fs::metadata(beside(path, "spool")).is_ok_and(|spool| spool.len() > 0) {
        notes
            .push("what hooks could not store still waits, and goes into this file now".to_owned());
    }
    notes
}
