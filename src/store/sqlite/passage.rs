//! Chunks and the term index: one row of `chunk` and of `term_index` for each passage, under the same number.
//!
//! The index is contentless: a deletion has to name the terms again, and `domain` makes the same ones from the stored
//! row. Every term carries its tenant's number, so that one tenant's words are never weighed by another's.
//!
//! **Invariant:** `term_index` holds terms of `domain::terms` alone; no text of a user reaches FTS5 as it is.

use rusqlite::{Connection, Row, named_params};

use crate::domain::recall::{Signature, Voice};
use crate::domain::{ActorType, EntityType, EventKind, NewChunk, Sensitivity, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::chunk::load_passage;
use crate::store::sqlite::unit::{Effects, Unit};

/// The entity that passages belong to, as the chunk rows repeat it for filtering.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) tenant_no: i64,
    pub(super) entity_type: EntityType,
    pub(super) entity_seq: i64,
    /// What has no session is of none: decisions, notes and what was concluded.
    pub(super) session_no: Option<i64>,
    pub(super) project_no: Option<i64>,
    pub(super) ts: Timestamp,
    pub(super) sensitivity: Sensitivity,
}

/// Which chunk rows are an entity's: `count` of them from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) count: i64,
}

impl Span {
    /// Reads `chunk_first, chunk_count`.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            first: row.get(0)?,
            count: row.get(1)?,
        })
    }
}

/// A term as the index holds it.
pub(super) fn indexed(tenant_no: i64, term: &str) -> String {
    format!("{tenant_no}:{term}")
}

/// A term as an FTS5 string, whatever is in it.
pub(super) fn quoted(tenant_no: i64, term: &str) -> String {
    quoted_whole(&indexed(tenant_no, term))
}

/// The same of a term as the index holds it.
pub(super) fn quoted_whole(indexed: &str) -> String {
    format!("\"{}\"", indexed.replace('"', "\"\""))
}

/// The terms of a passage as the index is given them.
pub(super) fn document(tenant_no: i64, chunk: &NewChunk) -> String {
    let tenant = format!("{tenant_no}:");
    let mut text = String::with_capacity(chunk.terms.len() * (tenant.len() + 12));
    for term in &chunk.terms {
        text.push_str(&tenant);
        text.push_str(term);
        text.push(' ');
    }
    text
}

/// Where the next entity's chunks will stand.
pub(super) fn next_span(connection: &Connection, chunks: &[NewChunk]) -> rusqlite::Result<Span> {
    let first = connection
        .prepare_cached("select coalesce(max(seq), 0) + 1 from chunk")?
        .query_row([], |row| row.get(0))?;
    Ok(Span {
        first,
        count: i64::try_from(chunks.len()).unwrap_or(i64::MAX),
    })
}

/// Stores and indexes the chunks of an entity at its span.
pub(super) fn insert(
    unit: &mut Unit<'_>,
    owner: &Owner,
    span: Span,
    chunks: &[NewChunk],
) -> Result<(), StoreError> {
    let mut chunk_row = unit.prepare(
        "insert into chunk (seq, tenant_no, entity_type, entity_seq, session_no, project_no, ts, sensitivity, field,
             byte_start, byte_end, words, signature)
         values (:seq, :tenant_no, :entity_type, :entity_seq, :session_no, :project_no, :ts, :sensitivity, :field,
             :byte_start, :byte_end, :words, :signature)",
    )?;
    let mut words = 0;
    for (seq, chunk) in (span.first..).zip(chunks) {
        chunk_row.execute(named_params! {
            ":seq": seq,
            ":tenant_no": owner.tenant_no,
            ":entity_type": owner.entity_type.code(),
            ":entity_seq": owner.entity_seq,
            ":session_no": owner.session_no,
            ":project_no": owner.project_no,
            ":ts": owner.ts.millis(),
            ":sensitivity": owner.sensitivity.code(),
            ":field": chunk.field.code(),
            ":byte_start": length(chunk.start),
            ":byte_end": length(chunk.end),
            ":words": length(chunk.words),
            ":signature": chunk.signature.bytes(),
        })?;
        unit.effects.index(seq, document(owner.tenant_no, chunk));
        words += length(chunk.words);
    }
    unit.effects.tenant(owner.tenant_no, span.count, words);
    unit.effects
        .sensitive(owner.tenant_no, owner.sensitivity.code());
    Ok(())
}

/// Takes an entity's chunks out of the table and the index. `chunks` are made anew from the stored row.
pub(super) fn delete(
    unit: &mut Unit<'_>,
    tenant_no: i64,
    span: Span,
    chunks: &[NewChunk],
) -> Result<(), StoreError> {
    let mut words = 0;
    for (seq, chunk) in (span.first..).zip(chunks) {
        unit.effects.unindex(seq, document(tenant_no, chunk));
        words += length(chunk.words);
    }
    let deleted = unit.execute(
        "delete from chunk where seq >= ?1 and seq < ?1 + ?2",
        (span.first, span.count),
    )?;
    if i64::try_from(deleted) != Ok(span.count) || i64::try_from(chunks.len()) != Ok(span.count) {
        return Err(StoreError::Internal(
            "an entity's chunks are not those of its text".into(),
        ));
    }
    unit.effects.tenant(tenant_no, -span.count, -words);
    unit.effects.erase(tenant_no);
    Ok(())
}

/// Makes the signatures of a file that has none, from the texts, into the table that they had to themselves.
pub(super) fn fill_signatures(connection: &Connection) -> Result<(), StoreError> {
    let mut insert = connection.prepare("insert into signature (seq, terms) values (?1, ?2)")?;
    each_anew(connection, |seq, _, chunk| {
        let signature = chunk.map_or_else(Signature::default, |chunk| chunk.signature);
        insert.execute((seq, signature.bytes()))?;
        Ok(())
    })
}

/// Fills the term index of a file in which it is empty, from the texts.
pub(super) fn fill_index(connection: &Connection) -> Result<(), StoreError> {
    let mut effects = Effects::default();
    each_anew(connection, |seq, tenant_no, chunk| {
        if let Some(chunk) = chunk {
            effects.index(seq, document(tenant_no, &chunk));
        }
        Ok(effects.relieve(connection)?)
    })?;
    Ok(effects.flush_terms(connection)?)
}

/// Every passage of a file with its tenant, made anew from its text; without it if that is being forgotten, and goes with
/// its chunk. About 30 µs each.
pub(super) fn each_anew(
    connection: &Connection,
    mut take: impl FnMut(i64, i64, Option<NewChunk>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    /// How often the log says how far it is.
    const TOLD_EVERY: i64 = 100_000;
    let total: i64 = connection.query_row("select count(*) from chunk", [], |row| row.get(0))?;
    let mut chunks = connection.prepare(
        "select c.seq, c.tenant_no, e.actor_type, e.actor, e.kind from chunk c
         left join event e on c.entity_type = ?1 and e.seq = c.entity_seq order by c.seq",
    )?;
    let mut rows = chunks.query([EntityType::Event.code()])?;
    let mut done = 0;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let actor: Option<i64> = row.get(2)?;
        let name: Option<String> = row.get(3)?;
        let decides = row.get::<_, Option<i64>>(4)? == Some(EventKind::Decision.code());
        let voice = actor
            .and_then(ActorType::from_code)
            .zip(name.as_deref())
            .map(|(actor, name)| Voice {
                actor,
                name,
                decides,
            });
        // One damaged passage is for doctor to name and no reason to refuse the upgrade.
        let passage = load_passage(connection, seq).unwrap_or_else(|error| {
            tracing::error!(seq, %error, "a passage cannot be read; run doctor");
            None
        });
        let chunk = passage.map(|passage| {
            let (field, tags) = (passage.field, &passage.tags);
            NewChunk::whole(field, &passage.text, passage.ts, tags, voice)
        });
        take(seq, row.get(1)?, chunk)?;
        done += 1;
        if done % TOLD_EVERY == 0 {
            tracing::info!(done, total, "reading the memory anew for its index");
        }
    }
    Ok(())
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    /// The doubtful part of forgetting: that nothing of a word stays in any file of a contentless index.
    #[test]
    fn a_deleted_word_is_gone_from_the_files() {
        let (dir, connection) = testing::connection();
        let word = "xyzzyplugh";
        connection.execute_batch("begin").unwrap();
        for seq in 1..=500 {
            let extra = if seq % 50 == 0 { word } else { "other" };
            connection
                .execute(
                    "insert into term_index (rowid, terms) values (?1, ?2)",
                    (seq, format!("1:common{seq} 1:{extra}")),
                )
                .unwrap();
        }
        connection.execute_batch("commit").unwrap();
        assert!(testing::files_hold(&dir, word));
        for seq in (50..=500).step_by(50) {
            connection
                .execute(
                    "insert into term_index (term_index, rowid, terms) values ('delete', ?1, ?2)",
                    (seq, format!("1:common{seq} 1:{word}")),
                )
                .unwrap();
        }
        let found: i64 = connection
            .query_row(
                "select count(*) from term_index where term_index match ?1",
                [quoted(1, word)],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(found, 0);
        connection
            .query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
            .unwrap();
        assert!(
            !testing::files_hold(&dir, word),
            "the word is still in a file"
        );
        connection
            .execute_batch("insert into term_index (term_index) values ('integrity-check')")
            .unwrap();
    }

    #[test]
    fn a_number_that_is_taken_again_at_once_costs_no_other_passage_its_terms() {
        let (_dir, connection) = testing::connection();
        let found = |term: &str| -> i64 {
            let sql = "select count(*) from term_index where term_index match ?1";
            connection
                .query_row(sql, [quoted(1, term)], |row| row.get(0))
                .unwrap()
        };
        let write = |change: &dyn Fn(&mut Effects)| {
            let mut effects = Effects::default();
            connection.execute_batch("begin").unwrap();
            change(&mut effects);
            effects.flush_terms(&connection).unwrap();
            connection.execute_batch("commit").unwrap();
        };
        write(&|effects| effects.index(1, "1:tide 1:old".to_owned()));
        write(&|effects| {
            effects.unindex(1, "1:tide 1:old".to_owned());
            for seq in 1..=20 {
                effects.index(seq, format!("1:tide 1:new{seq}"));
            }
        });
        assert_eq!((found("tide"), found("old"), found("new7")), (20, 0, 1));
    }

    #[test]
    fn the_index_gives_back_the_terms_it_was_given() {
        let (_dir, connection) = testing::connection();
        let terms = [
            "src/store/mod.rs",
            "e0308",
            "snake_case",
            "std::sync::arc",
            "1.2.3",
            "漢字",
            "#tag",
            "a@b.c",
            "c++",
            "naïf",
            "🦀",
        ];
        let document: Vec<_> = terms.iter().map(|term| indexed(7, term)).collect();
        connection
            .execute(
                "insert into term_index (rowid, terms) values (1, ?1)",
                [document.join(" ")],
            )
            .unwrap();
        for term in terms {
            let found: i64 = connection
                .query_row(
                    "select doc from term_row where term = ?1",
                    [indexed(7, term)],
                    |row| row.get(0),
                )
                .unwrap_or(0);
            assert_eq!(found, 1, "{term}");
            let matched: i64 = connection
                .query_row(
                    "select count(*) from term_index where term_index match ?1",
                    [quoted(7, term)],
                    |row| row.get(0),
                )
                .unwrap();
            assert_eq!(matched, 1, "{term}");
        }
    }
}
