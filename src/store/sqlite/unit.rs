//! A unit of work: what one call does to the file, inside its own savepoint of a group's transaction.
//!
//! What a unit counts is collected in its [`Effects`] and written once for the whole group, since every unit of a
//! group tends to change the same few rows. So are its terms: FTS5 collects them in memory and writes a segment at each
//! *savepoint*, so that terms written inside the units would cost a segment a unit, and later its merging, in place of
//! one a group (a third of the writer's time).
//!
//! **Invariant:** a unit that fails leaves nothing behind, neither rows nor counts nor terms.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, Row, named_params};

use crate::domain::content::Redactions;
use crate::domain::{Actor, Stat, TenantId, Timestamp, Via};
use crate::store::StoreError;
use crate::store::sqlite::audit::Deeds;
use crate::store::sqlite::key;
use crate::store::sqlite::session::Totals;

/// The transaction of a group, as one unit sees it.
pub(super) struct Unit<'a> {
    pub(super) connection: &'a Connection,
    pub(super) effects: Effects,
    /// Whose work it is, for the audit.
    pub(super) actor: Actor,
}

/// What a unit changed beside its rows.
#[derive(Debug, Default)]
pub(super) struct Effects {
    stats: BTreeMap<Stat, i64>,
    tenants: BTreeMap<i64, TenantDelta>,
    terms: Vec<TermChange>,
    terms_bytes: usize,
    /// The passage whose terms were removed last, if that was the last that was written of the index.
    removed: Option<i64>,
    /// Something was deleted, so the log has to be emptied soon.
    pub(super) erased: bool,
    /// What the audit has to tell.
    pub(super) deeds: Deeds,
    /// What changes in the totals that wake-ups read.
    pub(super) totals: Totals,
    /// The generation that the keys have come to, if they changed.
    pub(super) keys: Option<i64>,
}

/// A change of the term index, which is written after the units.
#[derive(Debug)]
struct TermChange {
    seq: i64,
    document: String,
    removes: bool,
}

/// Terms that are kept for the end of a group; beyond it they are written between two units. FTS5 keeps as much itself
/// before it writes a segment.
const MOST_TERMS_BYTES: usize = 1024 * 1024;

/// How many pages of the index are merged at most after so many octets of terms were added. Four octets of terms are one
/// of the index, and a page is written anew once for each level it rises, of which a million events make four; with less,
/// segments would pile up. A level has the sixteen that are merged (`usermerge`), and some more while they are.
fn merged_pages(terms_bytes: usize) -> i64 {
    const LEAST: usize = 8;
    const LEVELS: usize = 5;
    const PAGE_BYTES: usize = 4_096;
    i64::try_from(LEAST + LEVELS * terms_bytes / PAGE_BYTES).unwrap_or(i64::MAX)
}

#[derive(Debug, Default)]
struct TenantDelta {
    stats: BTreeMap<Stat, i64>,
    writes: i64,
    passages: i64,
    words: i64,
    erasures: i64,
    most_sensitive: i64,
}

impl Effects {
    /// Whether a tenant's memory is another than before; proofs and the store's own counts are no such change.
    pub(super) fn changes_memory(&self) -> bool {
        !self.tenants.is_empty()
    }

    /// Counts a fact of a tenant up or down; the store's own count follows.
    pub(super) fn count(&mut self, tenant_no: i64, stat: Stat, by: i64) {
        *self
            .tenants
            .entry(tenant_no)
            .or_default()
            .stats
            .entry(stat)
            .or_default() += by;
        self.count_store(stat, by);
    }

    /// Counts the secrets that were taken out of a write.
    pub(super) fn redacted(&mut self, tenant_no: i64, redactions: &Redactions) {
        for (kind, count) in redactions {
            self.count(tenant_no, Stat::Redactions(*kind), *count);
        }
    }

    /// Counts a fact of the store that is no tenant's.
    pub(super) fn count_store(&mut self, stat: Stat, by: i64) {
        *self.stats.entry(stat).or_default() += by;
    }

    /// Says that a unit is about to change a tenant: every unit does that names one, so that a tenant's `write_seq`
    /// tells whether anything of it can have changed.
    fn touch(&mut self, tenant_no: i64) {
        self.tenants.entry(tenant_no).or_default();
    }

    /// Counts a write of a tenant, with the passages and words it adds or takes away.
    pub(super) fn tenant(&mut self, tenant_no: i64, passages: i64, words: i64) {
        let delta = self.tenants.entry(tenant_no).or_default();
        delta.writes += 1;
        delta.passages += passages;
        delta.words += words;
    }

    /// Says that a tenant has passages of this sensitivity, by its code.
    pub(super) fn sensitive(&mut self, tenant_no: i64, sensitivity: i64) {
        let delta = self.tenants.entry(tenant_no).or_default();
        delta.most_sensitive = delta.most_sensitive.max(sensitivity);
    }

    /// Indexes a passage under its number.
    pub(super) fn index(&mut self, seq: i64, document: String) {
        self.change_terms(seq, document, false);
    }

    /// Takes a passage out of the index; `document` is what it was indexed by.
    pub(super) fn unindex(&mut self, seq: i64, document: String) {
        self.change_terms(seq, document, true);
    }

    fn change_terms(&mut self, seq: i64, document: String, removes: bool) {
        self.terms_bytes += document.len();
        self.terms.push(TermChange {
            seq,
            document,
            removes,
        });
    }

    /// Says that passages of a tenant were taken out, so that the log has to be emptied, and nothing that was read of
    /// them before holds any more.
    pub(super) fn erase(&mut self, tenant_no: i64) {
        self.erased = true;
        self.tenants.entry(tenant_no).or_default().erasures += 1;
    }

    /// Adds what another unit changed.
    pub(super) fn merge(&mut self, other: Self) {
        for (stat, by) in other.stats {
            self.count_store(stat, by);
        }
        for (tenant_no, delta) in other.tenants {
            let sum = self.tenants.entry(tenant_no).or_default();
            for (stat, by) in delta.stats {
                *sum.stats.entry(stat).or_default() += by;
            }
            sum.writes += delta.writes;
            sum.passages += delta.passages;
            sum.words += delta.words;
            sum.erasures += delta.erasures;
            sum.most_sensitive = sum.most_sensitive.max(delta.most_sensitive);
        }
        self.terms.extend(other.terms);
        self.terms_bytes += other.terms_bytes;
        self.erased |= other.erased;
        self.deeds.merge(other.deeds);
        self.totals.merge(other.totals);
        self.keys = other.keys.or(self.keys);
    }

    /// Tells the servers on the file at `path` what of this they hold in memory, once it is committed.
    pub(super) fn tell(&self, path: &Path) {
        if let Some(generation) = self.keys {
            key::tell(path, generation);
        }
    }

    /// Writes the terms if they have become many. Not inside a unit's savepoint.
    pub(super) fn relieve(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.terms_bytes < MOST_TERMS_BYTES {
            return Ok(());
        }
        self.flush_terms(connection)
    }

    /// Writes the terms. Not inside a unit's savepoint.
    pub(super) fn flush_terms(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.terms.is_empty() {
            return Ok(());
        }
        let mut add =
            connection.prepare_cached("insert into term_index (rowid, terms) values (?1, ?2)")?;
        let mut remove = connection.prepare_cached(
            "insert into term_index (term_index, rowid, terms) values ('delete', ?1, ?2)",
        )?;
        // In the order they were made in: a number may be taken again after a deletion. FTS5 must not see both at once: with
        // `secure-delete` and `detail = none` it drops, of a term that both have, all passages behind (`nDoclist = 0` in
        // fts5FlushOneHash, up to 3.53.2 at least).
        for change in self.terms.drain(..) {
            if change.removes {
                self.removed = Some(change.seq);
                remove.execute((change.seq, change.document))?;
                continue;
            }
            if self.removed.take() == Some(change.seq) {
                connection
                    .prepare_cached("insert into term_index (term_index) values ('flush')")?
                    .execute([])?;
            }
            add.execute((change.seq, change.document))?;
        }
        connection
            .prepare_cached("insert into term_index (term_index, rank) values ('merge', ?1)")?
            .execute([merged_pages(self.terms_bytes)])?;
        self.terms_bytes = 0;
        Ok(())
    }

    /// Writes the terms and the counts; part of the group's transaction.
    pub(super) fn flush(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.flush_terms(connection)?;
        self.deeds.flush(connection)?;
        self.totals.flush(connection)?;
        let mut of_store = connection.prepare_cached(
            "insert into stat (name, label, value) values (:name, :label, :by)
             on conflict do update set value = value + excluded.value",
        )?;
        for (stat, by) in self.stats.iter().filter(|(_, by)| **by != 0) {
            let (name, label) = stat.key();
            of_store.execute(named_params! {":name": name, ":label": label, ":by": by})?;
        }
        // A tenant that this group has taken out for good gets no rows back.
        let mut of_tenant = connection.prepare_cached(
            "insert into tenant_stat (tenant_no, name, label, value)
             select :tenant_no, :name, :label, :by from tenant where tenant_no = :tenant_no
             on conflict do update set value = value + excluded.value",
        )?;
        let mut totals = connection.prepare_cached(
            "update tenant set write_seq = write_seq + :writes, passages = passages + :passages, words = words + :words,
                 erasures = erasures + :erasures, most_sensitive = max(most_sensitive, :most_sensitive)
             where tenant_no = :tenant_no",
        )?;
        for (tenant_no, delta) in &self.tenants {
            totals.execute(named_params! {
                ":tenant_no": tenant_no, ":writes": delta.writes.max(1), ":passages": delta.passages, ":words": delta.words,
                ":erasures": delta.erasures, ":most_sensitive": delta.most_sensitive,
            })?;
            for (stat, by) in delta.stats.iter().filter(|(_, by)| **by != 0) {
                let (name, label) = stat.key();
                of_tenant.execute(
                    named_params! {":tenant_no": tenant_no, ":name": name, ":label": label, ":by": by},
                )?;
            }
        }
        Ok(())
    }
}

impl<'a> Unit<'a> {
    /// A unit on a connection that is inside a transaction.
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            effects: Effects::default(),
            actor: Actor {
                via: Via::Job,
                key: None,
                address: None,
            },
        }
    }

    /// A prepared statement.
    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'a>> {
        self.connection.prepare_cached(sql)
    }

    /// Runs a statement and answers how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    /// The first row, if any.
    pub(super) fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        find(self.connection, sql, params, read)
    }

    /// The number of a tenant that is there and not forgotten; without it there is no `what` either.
    pub(super) fn tenant(
        &mut self,
        tenant: &TenantId,
        what: &'static str,
    ) -> Result<i64, StoreError> {
        let tenant_no = tenant_no(self.connection, tenant)?.ok_or(StoreError::NotFound(what))?;
        self.effects.touch(tenant_no);
        Ok(tenant_no)
    }

    /// The number of a tenant, which is made if need be.
    pub(super) fn tenant_or_new(
        &mut self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let tenant_no = if let Some(known) = tenant_no(self.connection, tenant)? {
            known
        } else {
            self.execute(
                "insert into tenant (name, created_at) values (?1, ?2)",
                (tenant.as_str(), now.millis()),
            )?;
            self.connection.last_insert_rowid()
        };
        self.effects.touch(tenant_no);
        Ok(tenant_no)
    }
}

/// The first row a query gives, if any.
pub(super) fn find<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    connection
        .prepare_cached(sql)?
        .query_row(params, read)
        .optional()
}

/// The number of a tenant that is there and not forgotten.
pub(super) fn tenant_no(
    connection: &Connection,
    tenant: &TenantId,
) -> rusqlite::Result<Option<i64>> {
    find(
        connection,
        "select tenant_no from tenant where name = ?1 and forgotten_at is null",
        [tenant.as_str()],
        |row| row.get(0),
    )
}
