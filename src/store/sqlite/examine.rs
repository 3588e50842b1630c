//! Looking the file over: its facts, and whether they agree with each other.
//!
//! **Invariant:** changes nothing.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::domain::{CompressionLevel, DecisionStatus, EventKind, terms};
use crate::store::measure::Op;
use crate::store::sqlite::stat::stored_stats;
use crate::store::sqlite::turn::beside;
use crate::store::{FileFacts, Finding, StoreError, Wait};

impl super::Sqlite {
    pub(in crate::store) fn file_facts(&self, wait: Wait) -> Result<FileFacts, StoreError> {
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
        self.read(Op::Look, wait, |connection| {
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
        let mut findings = self.read(Op::Look, Wait::Yes, |connection| {
            let checks: [(&'static str, Check); 3] = [
                ("stat", stat_rows),
                ("chunks", chunk_rows),
                ("terms", terms_version),
            ];
            let mut findings = vec![integrity(connection)];
            for (name, check) in checks {
                findings.push(match check(connection) {
                    // It cannot be told; which table that is, the first finding says.
                    Err(StoreError::Damaged(fault)) => Finding {
                        check: name,
                        ok: false,
                        detail: fault.to_string(),
                    },
                    outcome => outcome?,
                });
            }
            Ok(findings)
        })?;
        findings.extend(permissions);
        Ok(findings)
    }
}

/// One look at the file.
type Check = fn(&Connection) -> Result<Finding, StoreError>;

fn integrity(connection: &Connection) -> Finding {
    let look = |sql: &str| {
        let outcome: rusqlite::Result<String> = connection.query_row(sql, [], |row| row.get(0));
        outcome.unwrap_or_else(|error| error.to_string())
    };
    let detail = look("pragma integrity_check(1)");
    if detail == "ok" {
        return Finding {
            check: "integrity",
            ok: true,
            detail,
        };
    }
    // It speaks of pages; which tables those are of shows when each is looked at alone.
    let mut wrong: Vec<String> = table_names(connection)
        .unwrap_or_default()
        .into_iter()
        .map(|name| {
            let found = look(&format!("pragma integrity_check(\"{name}\")"));
            (name, found)
        })
        .filter(|(_, found)| found != "ok")
        .map(|(name, found)| format!("table {name}: {}", found.replace('\n', " ")))
        .collect();
    if wrong.is_empty() {
        wrong.push(detail);
    }
    Finding {
        check: "integrity",
        ok: false,
        detail: wrong.join("; "),
    }
}

/// The tables of the schema; their names are ours and need no quoting.
fn table_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "select name from sqlite_schema where type = 'table' and rootpage > 0 order by name";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// What each kept count should be. One column: name, label as the store's code or null, count.
pub(super) const COUNTS: &str = "select 'events', kind, count(*) from event group by kind
     union all select 'handoffs', compression_level, count(*) from handoff group by compression_level
     union all select 'handoffs_to_remember', null, count(*) from handoff where remember <> ''
     union all select 'decisions', status, count(*) from decision group by status
     union all select 'notes', null, count(*) from note
     union all select 'reflections', null, count(*) from reflection
     union all select 'principles', null, count(*) from principle
     union all select 'sessions', null, count(*) from session
     union all select 'text_bytes', null,
         (select coalesce(sum(octet_length(content)), 0) from event)
         + (select coalesce(sum(bytes), 0) from artifact)
         + (select coalesce(sum(octet_length(experienced || noticed || learned || story || becoming || remember
               || coalesce(summary, '') || coalesce(quick_ref, ''))), 0) from handoff)
         + (select coalesce(sum(octet_length(content || coalesce(title, ''))), 0) from note)
         + (select coalesce(sum(octet_length(text)), 0) from principle)
         + (select coalesce(sum(octet_length(summary)), 0) from reflection)
         + (select coalesce(sum(octet_length(item.value)), 0) from reflection r, json_each(coalesce(r.insights, '[]')) item)
         + (select coalesce(sum(octet_length(decision)), 0) from decision)
         + (select coalesce(sum(octet_length(item.value)), 0) from decision d,
               json_each(json_array(d.rationale, d.constraints, d.alternatives, d.consequences)) list,
               json_each(coalesce(list.value, '[]')) item)";

/// The counts that writes keep and that are not what is there, in words.
pub(super) fn drift(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let kept = stored_stats(connection)?;
    let mut counted: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
    let mut statement = connection.prepare(COUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, code): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        let label = code.map_or(Some(""), |code| match name.as_str() {
            "events" => EventKind::from_code(code).map(EventKind::as_str),
            "handoffs" => CompressionLevel::from_code(code).map(CompressionLevel::as_str),
            _ => DecisionStatus::from_code(code).map(DecisionStatus::as_str),
        });
        counted.insert((name, label.unwrap_or("?")), row.get(2)?);
    }
    let mut wrong = Vec::new();
    for (stat, value) in kept.iter().filter(|(stat, _)| !stat.is_lifetime()) {
        let (name, label) = stat.key();
        let count = counted.get(&(name.to_owned(), label)).copied().unwrap_or(0);
        if *value != count {
            wrong.push(format!("{name} {label}: kept {value}, counted {count}"));
        }
    }
    let mut split = connection.prepare(
        "select name, label from (
             select name, label, sum(value) as total from tenant_stat group by name, label
         ) t join stat s using (name, label)
         where t.total <> s.value and s.name in ('events', 'handoffs', 'handoffs_to_remember', 'decisions', 'notes', 'reflections', 'principles',
             'sessions', 'text_bytes')",
    )?;
    let mut rows = split.query([])?;
    while let Some(row) = rows.next()? {
        let (name, label): (String, String) = (row.get(0)?, row.get(1)?);
        wrong.push(format!(
            "{name} {label}: the counts of the tenants do not add up to the store's"
        ));
    }
    Ok(wrong)
}

fn stat_rows(connection: &Connection) -> Result<Finding, StoreError> {
    let wrong = drift(connection)?;
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

/// Each entity's chunks are there, each chunk has its entity and a signature, and the tenants' totals are theirs.
fn chunk_rows(connection: &Connection) -> Result<Finding, StoreError> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let expected = one(
        "select (select coalesce(sum(chunk_count), 0) from event) + (select coalesce(sum(chunk_count), 0) from handoff)
              + (select coalesce(sum(chunk_count), 0) from decision) + (select coalesce(sum(chunk_count), 0) from note)
              + (select coalesce(sum(chunk_count), 0) from reflection) + (select coalesce(sum(chunk_count), 0) from principle)",
    )?;
    let found = one("select count(*) from chunk")?;
    let orphans = one(
        "select count(*) from chunk c where (c.entity_type = 0 and not exists (select 1 from event e where e.seq = c.entity_seq))
            or (c.entity_type = 1 and not exists (select 1 from handoff h where h.seq = c.entity_seq))
            or (c.entity_type = 2 and not exists (select 1 from decision d where d.seq = c.entity_seq))
            or (c.entity_type = 3 and not exists (select 1 from note n where n.seq = c.entity_seq))
            or (c.entity_type = 4 and not exists (select 1 from reflection r where r.seq = c.entity_seq))
            or (c.entity_type = 5 and not exists (select 1 from principle p where p.seq = c.entity_seq))",
    )?;
    let drifted = one(
        "select count(*) from tenant t where (t.passages, t.words, 1) is not
             (select count(*), coalesce(sum(words), 0), coalesce(max(sensitivity), 0) <= t.most_sensitive
              from chunk c where c.tenant_no = t.tenant_no)",
    )?;
    let unsigned = one(
        "select count(*) from chunk where length(signature) < 8 or length(signature) % 4 <> 0",
    )?;
    let ok = expected == found && orphans == 0 && drifted == 0 && unsigned == 0;
    let detail = format!(
        "{found} chunks for {expected} expected, {orphans} without an entity, {unsigned} without a signature, \
         {drifted} tenants with wrong totals"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    #[test]
    fn a_chunk_with_half_a_signature_is_found() {
        let (_dir, connection) = testing::connection();
        assert!(chunk_rows(&connection).unwrap().ok);
        connection
            .execute(
                "insert into chunk (seq, tenant_no, entity_type, entity_seq, ts, sensitivity, field, byte_start, byte_end, words,
                     signature)
                 values (8, 1, 0, 1, 0, 0, 0, 0, 0, 0, zeroblob(10))",
                [],
            )
            .unwrap();
        let found = chunk_rows(&connection).unwrap();
        assert!(
            !found.ok && found.detail.contains("1 without a signature"),
            "{}",
            found.detail
        );
    }
}
