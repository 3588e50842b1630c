//! Looking the file over: its facts, and whether they agree with each other ([`relations`], [`index`]); and what lies beside
//! it ([`place`]).
//!
//! **Invariant:** changes nothing.

use std::collections::BTreeMap;

use rusqlite::Connection;

use crate::domain::{CompressionLevel, DecisionStatus, EventKind, terms};
use crate::store::measure::Op;
use crate::store::sqlite::repair::ENTITIES;
use crate::store::sqlite::stat::stored_stats;
use crate::store::{FileFacts, Finding, StoreError, Wait};

mod consolidated;
mod index;
mod place;
mod relations;

pub(super) use consolidated::mend_consolidated;
pub(super) use place::{FILES, close_files, parts};
pub(super) use relations::TOTALS;

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
        let beside = place::look(self.path());
        let mut findings = self.read(Op::Look, Wait::Yes, |connection| {
            let checks: [(&'static str, Check); 8] = [
                ("references", relations::references),
                ("consolidated", consolidated::look),
                ("stat", stat_rows),
                ("totals", relations::totals),
                ("chunks", chunk_rows),
                ("index", index::look),
                ("terms", terms_version),
                ("pages", free_pages),
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
        findings.extend(beside);
        Ok(findings)
    }
}

/// One look at the file.
type Check = fn(&Connection) -> Result<Finding, StoreError>;

/// Whether SQLite finds the file sound.
pub(super) fn integrity(connection: &Connection) -> Finding {
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

/// What each kept count should be: tenant, name, label as the store's code or null, and a part of the count.
const COUNTS: &str = "select tenant_no, 'events', kind, count(*) from event group by 1, 3
     union all select tenant_no, 'handoffs', compression_level, count(*) from handoff group by 1, 3
     union all select tenant_no, 'handoffs_to_remember', null, count(*) from handoff where remember <> '' group by 1
     union all select tenant_no, 'decisions', status, count(*) from decision group by 1, 3
     union all select tenant_no, 'notes', null, count(*) from note group by 1
     union all select tenant_no, 'reflections', null, count(*) from reflection group by 1
     union all select tenant_no, 'principles', null, count(*) from principle group by 1
     union all select tenant_no, 'sessions', null, count(*) from session group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(content)) from event group by 1
     union all select tenant_no, 'text_bytes', null, sum(bytes) from artifact group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(experienced || noticed || learned || story || becoming || remember
               || coalesce(summary, '') || coalesce(quick_ref, ''))) from handoff group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(content || coalesce(title, ''))) from note group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(text)) from principle group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(summary)) from reflection group by 1
     union all select r.tenant_no, 'text_bytes', null, sum(octet_length(item.value)) from reflection r, json_each(coalesce(r.insights, '[]')) item
               group by 1
     union all select tenant_no, 'text_bytes', null, sum(octet_length(decision)) from decision group by 1
     union all select d.tenant_no, 'text_bytes', null, sum(octet_length(item.value)) from decision d,
               json_each(json_array(d.rationale, d.constraints, d.alternatives, d.consequences)) list,
               json_each(coalesce(list.value, '[]')) item group by 1";

/// The counts that are kept of what is there, made anew: by tenant, name and label.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) tenants: BTreeMap<(i64, String, &'static str), i64>,
}

impl Counted {
    /// The names of all of them.
    pub(super) const NAMES: &[&str] = &[
        "events",
        "handoffs",
        "handoffs_to_remember",
        "decisions",
        "notes",
        "reflections",
        "principles",
        "sessions",
        "text_bytes",
    ];
}

/// Counts what is there.
pub(super) fn counted(connection: &Connection) -> Result<Counted, StoreError> {
    let mut counted = Counted::default();
    let mut statement = connection.prepare(COUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, code): (String, Option<i64>) = (row.get(1)?, row.get(2)?);
        let label = code.map_or(Some(""), |code| match name.as_str() {
            "events" => EventKind::from_code(code).map(EventKind::as_str),
            "handoffs" => CompressionLevel::from_code(code).map(CompressionLevel::as_str),
            _ => DecisionStatus::from_code(code).map(DecisionStatus::as_str),
        });
        let key = (row.get(0)?, name, label.unwrap_or("?"));
        *counted.tenants.entry(key).or_default() += row.get::<_, Option<i64>>(3)?.unwrap_or(0);
    }
    Ok(counted)
}

/// The counts that writes keep and that are not what is there, in words.
pub(super) fn drift(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let kept = stored_stats(connection)?;
    let mut store: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
    for ((_, name, label), count) in counted(connection)?.tenants {
        *store.entry((name, label)).or_default() += count;
    }
    let mut wrong = Vec::new();
    for (stat, value) in kept.iter().filter(|(stat, _)| stat.is_countable()) {
        let (name, label) = stat.key();
        let count = store.get(&(name.to_owned(), label)).copied().unwrap_or(0);
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
        format!(
            "{}: `agent-memory doctor --repair` counts anew",
            wrong.join("; ")
        )
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
        "select count(*) from tenant t where (t.passages, t.words) is not
             (select count(*), coalesce(sum(words), 0) from chunk c where c.tenant_no = t.tenant_no)",
    )?;
    // By these a search tells what a reader may see.
    let shown = one("select count(*) from tenant t where t.most_sensitive <
             (select max(sensitivity) from chunk c where c.tenant_no = t.tenant_no)")?;
    let mut astray = 0;
    for (entity_type, _, sql) in ENTITIES {
        let sql = format!(
            "select count(*) from chunk c join ({sql}) e on e.seq = c.entity_seq where c.entity_type = ?1
                 and (c.tenant_no, c.session_no, c.project_no, c.ts, c.sensitivity) is not
                     (e.tenant_no, e.session_no, e.project_no, e.ts, e.sensitivity)"
        );
        astray += connection.query_row(&sql, [entity_type.code()], |row| row.get::<_, i64>(0))?;
    }
    let unsigned = one(
        "select count(*) from chunk where length(signature) < 8 or length(signature) % 4 <> 0",
    )?;
    let ok = expected == found && [orphans, drifted, unsigned, shown, astray] == [0; 5];
    let mut detail = format!(
        "{found} chunks for {expected} expected, {orphans} without an entity, {unsigned} without a signature, \
         {drifted} tenants with wrong totals"
    );
    if astray > 0 {
        detail.push_str(&format!(
            "; {astray} say other than their memory whose they are, when they are from or how sensitive they are"
        ));
    }
    if shown > 0 {
        detail.push_str(&format!(
            "; {shown} tenants are said to hold nothing as sensitive as they do: searches count what their reader may not know of"
        ));
    }
    if !ok {
        detail.push_str(": `agent-memory doctor --repair` makes them anew");
    }
    Ok(Finding {
        check: "chunks",
        ok,
        detail,
    })
}

/// How much of the file is free. No fault: what is written next goes there.
fn free_pages(connection: &Connection) -> Result<Finding, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (pages, free) = (pragma("page_count")?, pragma("freelist_count")?);
    let advice = if free > 1_000 && free > pages / 4 {
        ": the next writes go there, or `agent-memory doctor --repair` gives them back to the disk"
    } else {
        ""
    };
    Ok(Finding {
        check: "pages",
        ok: true,
        detail: format!("{free} of {pages} pages are free{advice}"),
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
