//! Looking the file over: its facts, and whether they agree with each other.
//!
//! **Invariant:** changes nothing.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::domain::terms;
use crate::store::sqlite::turn::beside;
use crate::store::{FileFacts, Finding, StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn file_facts(&self, wait: Wait) -> Result<FileFacts, StoreError> {
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
        self.read(wait, |connection| {
            let pragma =
                |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok(FileFacts {
                schema_version: pragma("user_version")?,
                sqlite_version: rusqlite::version().to_owned(),
                database_bytes: size(self.path()),
                wal_bytes: size(&self.wal_path()),
                pages: pragma("page_count")?,
                free_pages: pragma("freelist_count")?,
                page_bytes: pragma("page_size")?,
                open_jobs: connection.query_row(
                    "select count(*) from job where completed_at is null",
                    [],
                    |row| row.get(0),
                )?,
            })
        })
    }

    pub(in crate::store) fn examine(&self) -> Result<Vec<Finding>, StoreError> {
        let permissions = permissions(self.path());
        let mut findings = self.read(Wait::Yes, |connection| {
            Ok(vec![
                integrity(connection),
                stat_rows(connection)?,
                chunk_rows(connection)?,
                terms_version(connection)?,
            ])
        })?;
        findings.extend(permissions);
        Ok(findings)
    }
}

fn integrity(connection: &Connection) -> Finding {
    let outcome: rusqlite::Result<String> =
        connection.query_row("pragma integrity_check(1)", [], |row| row.get(0));
    let detail = outcome.unwrap_or_else(|error| error.to_string());
    Finding {
        check: "integrity",
        ok: detail == "ok",
        detail,
    }
}

/// The counts that writes keep, against counting.
fn stat_rows(connection: &Connection) -> Result<Finding, StoreError> {
    let mut counted: BTreeMap<(String, String), i64> = BTreeMap::new();
    for (name, sql) in [
        ("events", "select kind, count(*) from event group by kind"),
        (
            "handoffs",
            "select compression_level, count(*) from handoff group by compression_level",
        ),
    ] {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let code: i64 = row.get(0)?;
            let word = match name {
                "events" => {
                    crate::domain::EventKind::from_code(code).map(crate::domain::EventKind::as_str)
                }
                _ => crate::domain::CompressionLevel::from_code(code)
                    .map(crate::domain::CompressionLevel::as_str),
            };
            counted.insert(
                (name.to_owned(), word.unwrap_or("?").to_owned()),
                row.get(1)?,
            );
        }
    }
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    counted.insert(
        ("sessions".to_owned(), String::new()),
        one("select count(*) from session")?,
    );
    let text = one(
        "select (select coalesce(sum(length(cast(content as blob))), 0) from event)
              + (select coalesce(sum(bytes), 0) from artifact)
              + (select coalesce(sum(length(cast(experienced || noticed || learned || story || becoming || remember
                     || coalesce(summary, '') || coalesce(quick_ref, '') as blob))), 0) from handoff)",
    )?;
    counted.insert(("text_bytes".to_owned(), String::new()), text);
    let mut wrong = Vec::new();
    for ((name, label), count) in &counted {
        let kept: i64 = connection.query_row(
            "select coalesce(sum(value), 0) from stat where name = ?1 and label = ?2",
            (name, label),
            |row| row.get(0),
        )?;
        if kept != *count {
            wrong.push(format!("{name} {label}: kept {kept}, counted {count}"));
        }
    }
    let detail = if wrong.is_empty() {
        "every kept count equals what is there".to_owned()
    } else {
        wrong.join("; ")
    };
    Ok(Finding {
        check: "stat",
        ok: wrong.is_empty(),
        detail,
    })
}

/// Each entity's chunks are there, each chunk has its entity, and the tenants' totals are theirs.
fn chunk_rows(connection: &Connection) -> Result<Finding, StoreError> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let expected = one(
        "select (select coalesce(sum(chunk_count), 0) from event) + (select coalesce(sum(chunk_count), 0) from handoff)",
    )?;
    let found = one("select count(*) from chunk")?;
    let orphans = one(
        "select count(*) from chunk c where (c.entity_type = 0 and not exists (select 1 from event e where e.seq = c.entity_seq))
            or (c.entity_type = 1 and not exists (select 1 from handoff h where h.seq = c.entity_seq))",
    )?;
    let drifted = one(
        "select count(*) from tenant t where (t.passages, t.words) is not
             (select count(*), coalesce(sum(words), 0) from chunk c where c.tenant_no = t.tenant_no)",
    )?;
    let ok = expected == found && orphans == 0 && drifted == 0;
    let detail = format!(
        "{found} chunks for {expected} expected, {orphans} without an entity, {drifted} tenants with wrong totals"
    );
    Ok(Finding {
        check: "chunks",
        ok,
        detail,
    })
}

fn terms_version(connection: &Connection) -> Result<Finding, StoreError> {
    let found: i64 =
        connection.query_row("select terms_version from store", [], |row| row.get(0))?;
    let detail = format!(
        "the index was made by version {found} of the term rules, this is version {}",
        terms::TERMS_VERSION
    );
    Ok(Finding {
        check: "terms",
        ok: found == terms::TERMS_VERSION,
        detail,
    })
}

#[cfg(unix)]
fn permissions(path: &std::path::Path) -> Vec<Finding> {
    use std::os::unix::fs::PermissionsExt as _;
    let files = [
        path.to_owned(),
        with_suffix(path, "-wal"),
        beside(path, "lock"),
    ];
    let open: Vec<String> = files
        .iter()
        .filter(|file| {
            std::fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
        })
        .map(|file| file.display().to_string())
        .collect();
    let detail = if open.is_empty() {
        "only the owner can read the files".to_owned()
    } else {
        format!("others can read {}: chmod 600", open.join(", "))
    };
    vec![Finding {
        check: "permissions",
        ok: open.is_empty(),
        detail,
    }]
}

#[cfg(not(unix))]
fn permissions(_path: &std::path::Path) -> Vec<Finding> {
    Vec::new()
}

/// The path with something put directly behind it, as SQLite names its log.
pub(super) fn with_suffix(path: &std::path::Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
