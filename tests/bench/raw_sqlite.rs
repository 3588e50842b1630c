//! SQLite running the statements of an event write, on one connection and one thread.
//!
//! The statements are those of `store/sqlite/`: a savepoint, the look-ups and the rows of each event, and the counts of
//! each group. Whoever changes what a write does there changes it here, or the ratio flatters us. The file has the same
//! schema, settings and checkpoints.
//!
//! **Invariant:** texts are parsed, cleaned and cut into terms before the clock starts; while it runs, nothing but an id
//! and the time is made.

use std::path::Path;
use std::time::{Duration, Instant};

use agent_memory::clock::Clock;
use agent_memory::domain::event::{EventDraft, Intake, NewEvent};
use agent_memory::domain::{EntityType, EventId, TenantId, Timestamp};
use anyhow::{Context as _, ensure};
use rusqlite::{Connection, OptionalExtension as _, named_params};
use serde_json::{Value, json};

use crate::{Durability, SqliteArgs, percentile_ms};

const SCHEMA: [&str; 5] = [
    include_str!("../../src/store/sqlite/migrations/0001_init.sql"),
    include_str!("../../src/store/sqlite/migrations/0003_signature.sql"),
    include_str!("../../src/store/sqlite/migrations/0004_upkeep.sql"),
    include_str!("../../src/store/sqlite/migrations/0005_passage.sql"),
    include_str!("../../src/store/sqlite/migrations/0008_pace.sql"),
];
/// Events of one session before the next begins; as in `scripts/lib/wrk.lua`.
const EVENTS_PER_SESSION: usize = 200;
/// Most different texts, used in turn: about what two seconds write, and made in less than one.
const TEXTS: usize = 20_000;
/// Events a transaction while the file is filled; nothing is measured then.
const FILL_GROUP: usize = 1_000;
/// The writer's own limit for a passive checkpoint (`PASSIVE_FRAMES`).
const CHECKPOINT_FRAMES: u32 = 4_000;
/// Commits whose pages are counted when the clock has stopped.
const COUNTED_COMMITS: usize = 51;
/// More than there are statements.
const CACHED_STATEMENTS: usize = 64;

pub(crate) fn measure(args: &SqliteArgs) -> anyhow::Result<Value> {
    let texts = texts(&args.texts)?;
    let connection = open(&args.file, args.durability)?;
    let stored: i64 = connection.query_row("select count(*) from event", [], |row| row.get(0))?;
    let mut writer = Writer::new(connection, texts, usize::try_from(stored)?)?;
    while writer.written < usize::try_from(args.rows)? {
        writer.commit_group(FILL_GROUP)?;
    }
    let group = usize::try_from(args.group)?;
    let before = writer.written;
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < args.seconds {
        let one = Instant::now();
        writer.commit_group(group)?;
        times.push(one.elapsed());
    }
    let took = began.elapsed();
    let events = writer.written - before;
    let pages_per_commit = writer.pages_per_commit(group)?;
    times.sort_unstable();
    Ok(json!({
        "group": group,
        "rows_before": before,
        "events": events,
        "commits": times.len(),
        "pages_per_commit": pages_per_commit,
        "seconds": took.as_secs_f64(),
        "events_per_s": per_second(events, took),
        "commits_per_s": per_second(times.len(), took),
        "commit_p50_ms": percentile_ms(&times, 50),
        "commit_p99_ms": percentile_ms(&times, 99),
        "commit_max_ms": percentile_ms(&times, 100),
        "sqlite_version": rusqlite::version(),
    }))
}

fn per_second(count: usize, took: Duration) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from) / took.as_secs_f64()
}

/// Events as the service would hand them to the store, each with an identifier that was never seen, as the load has it.
fn texts(file: &Path) -> anyhow::Result<Vec<NewEvent>> {
    let lines = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the texts in {}", file.display()))?;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let tenant = TenantId::default_tenant();
    let intake = Intake {
        now: Clock::System.now(),
        max_artifact_bytes: 1 << 20,
    };
    lines
        .lines()
        .take(TEXTS)
        .map(|line| {
            let text = format!("{line} {:08x}", dice.next());
            let draft: EventDraft = serde_json::from_value(json!({
                "session_id": "raw", "channel": "team", "actor": {"type": "agent", "id": "bench"},
                "kind": "message", "content": {"text": text},
            }))?;
            NewEvent::parse(draft, &tenant, intake)
                .map_err(|invalid| anyhow::anyhow!("the event is not valid: {invalid:?}"))
        })
        .collect()
}

/// The settings of `store/sqlite/file.rs`; checkpoints run by SQLite itself at the writer's limit.
fn open(path: &Path, durability: Durability) -> anyhow::Result<Connection> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is SQLite without the store"
    )]
    let connection =
        Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let synchronous = match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    };
    connection.execute_batch(&format!(
        "pragma page_size = 4096; pragma auto_vacuum = 2; pragma journal_mode = wal;
         pragma synchronous = {synchronous}; pragma fullfsync = on; pragma secure_delete = on;
         pragma wal_autocheckpoint = {CHECKPOINT_FRAMES}; pragma cache_size = -16384; pragma temp_store = memory;
         pragma trusted_schema = off;"
    ))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        SCHEMA
            .iter()
            .try_for_each(|migration| connection.execute_batch(migration))?;
        connection.execute_batch(
            "insert into tenant (name, created_at) values ('default', 0); pragma user_version = 1;",
        )?;
    }
    Ok(connection)
}

/// A small generator of pseudo-random numbers (xorshift64*), the same at each run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from(drawn).unwrap_or(0)
    }
}

struct Writer {
    connection: Connection,
    texts: Vec<NewEvent>,
    /// Events in the file.
    written: usize,
}

/// What a group counts beside its rows.
#[derive(Default)]
struct Counts {
    text_bytes: i64,
    sessions: i64,
    words: i64,
    /// Indexed after the savepoints, as the server does.
    terms: Vec<(i64, String)>,
}

/// The event row that chunks belong to.
struct Stored {
    seq: i64,
    session_no: i64,
    chunk_first: i64,
    now: Timestamp,
}

impl Writer {
    fn new(connection: Connection, texts: Vec<NewEvent>, written: usize) -> anyhow::Result<Self> {
        ensure!(!texts.is_empty(), "there are no texts");
        Ok(Self {
            connection,
            texts,
            written,
        })
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
        self.connection.prepare_cached(sql)?.execute(params)
    }

    fn commit_group(&mut self, size: usize) -> anyhow::Result<()> {
        self.run("begin immediate", [])?;
        let mut counts = Counts::default();
        for _ in 0..size {
            self.run("savepoint unit", [])?;
            self.write_event(Clock::System.now(), &mut counts)?;
            self.run("release unit", [])?;
            self.written += 1;
        }
        for (chunk_seq, terms) in &counts.terms {
            self.run(
                "insert into term_index (rowid, terms) values (?1, ?2)",
                (chunk_seq, terms),
            )?;
        }
        // As many pages as the server has merged.
        let bytes: usize = counts.terms.iter().map(|(_, terms)| terms.len()).sum();
        self.run(
            "insert into term_index (term_index, rank) values ('merge', ?1)",
            [i64::try_from(8 + 5 * bytes / 4_096)?],
        )?;
        self.write_counts(i64::try_from(size)?, &counts)?;
        self.run("commit", [])?;
        Ok(())
    }

    /// What a commit appends to the log: the median of some, none of which began the log anew.
    fn pages_per_commit(&mut self, group: usize) -> anyhow::Result<i64> {
        let mut pages = Vec::new();
        let mut before = self.log_pages()?;
        for _ in 0..COUNTED_COMMITS {
            self.commit_group(group)?;
            let after = self.log_pages()?;
            pages.extend((after > before).then_some(after - before));
            before = after;
        }
        pages.sort_unstable();
        pages
            .get(pages.len() / 2)
            .copied()
            .context("no commit appended to the log")
    }

    fn log_pages(&self) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("pragma wal_checkpoint(noop)")?
            .query_row([], |row| row.get(1))
    }

    fn write_event(&self, now: Timestamp, counts: &mut Counts) -> anyhow::Result<()> {
        let event = self
            .texts
            .get(self.written % self.texts.len())
            .context("there are no texts")?;
        let tenant_no: i64 = self
            .connection
            .prepare_cached(
                "select tenant_no from tenant where name = ?1 and forgotten_at is null",
            )?
            .query_row(["default"], |row| row.get(0))?;
        let session_no = self.touch_session(tenant_no, now, counts)?;
        let chunk_first: i64 = self
            .connection
            .prepare_cached("select coalesce(max(seq), 0) + 1 from chunk")?
            .query_row([], |row| row.get(0))?;
        self.run(
            "insert into event (tenant_no, id, session_no, project_no, ts, channel, actor_type, actor, kind, sensitivity,
                 tags, refs, content, fingerprint, chunk_first, chunk_count)
             values (:tenant_no, :id, :session_no, null, :ts, :channel, :actor_type, :actor, :kind, :sensitivity,
                 null, null, :content, null, :chunk_first, :chunk_count)",
            named_params! {
                ":tenant_no": tenant_no,
                ":id": EventId::generate(now).bytes(),
                ":session_no": session_no,
                ":ts": now.millis(),
                ":channel": event.channel.code(),
                ":actor_type": event.actor_type.code(),
                ":actor": event.actor.as_str(),
                ":kind": event.kind.code(),
                ":sensitivity": event.sensitivity.code(),
                ":content": event.content,
                ":chunk_first": chunk_first,
                ":chunk_count": i64::try_from(event.chunks.len())?,
            },
        )?;
        let seq = self.connection.last_insert_rowid();
        let row = Stored {
            seq,
            session_no,
            chunk_first,
            now,
        };
        self.write_chunks(tenant_no, &row, event, counts)?;
        self.run(
            "update session set events = events + ?2, handoffs = handoffs + ?3 where session_no = ?1",
            (session_no, 1, 0),
        )?;
        counts.text_bytes += event.text_bytes();
        Ok(())
    }

    fn write_chunks(
        &self,
        tenant_no: i64,
        row: &Stored,
        event: &NewEvent,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        for (chunk_seq, chunk) in (row.chunk_first..).zip(&event.chunks) {
            self.run(
                "insert into chunk (seq, tenant_no, entity_type, entity_seq, session_no, project_no, ts, sensitivity,
                     field, byte_start, byte_end, words, signature)
                 values (:seq, :tenant_no, :entity_type, :entity_seq, :session_no, null, :ts, :sensitivity,
                     :field, :byte_start, :byte_end, :words, :signature)",
                named_params! {
                    ":seq": chunk_seq,
                    ":tenant_no": tenant_no,
                    ":entity_type": EntityType::Event.code(),
                    ":entity_seq": row.seq,
                    ":session_no": row.session_no,
                    ":ts": row.now.millis(),
                    ":sensitivity": event.sensitivity.code(),
                    ":field": chunk.field.code(),
                    ":byte_start": i64::try_from(chunk.start)?,
                    ":byte_end": i64::try_from(chunk.end)?,
                    ":words": i64::try_from(chunk.words)?,
                    ":signature": chunk.signature.bytes(),
                },
            )?;
            let terms: String = chunk
                .terms
                .iter()
                .map(|term| format!("{tenant_no}:{term} "))
                .collect();
            counts.terms.push((chunk_seq, terms));
            counts.words += i64::try_from(chunk.words)?;
        }
        Ok(())
    }

    fn touch_session(
        &self,
        tenant_no: i64,
        now: Timestamp,
        counts: &mut Counts,
    ) -> anyhow::Result<i64> {
        let name = format!("raw-{}", self.written / EVENTS_PER_SESSION);
        let known = self
            .connection
            .prepare_cached(
                "select session_no, project_no, with_whom, started_at, last_seen_at from session
                 where tenant_no = ?1 and session_id = ?2 and forgotten_at is null",
            )?
            .query_row((tenant_no, &name), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(4)?))
            })
            .optional()?;
        if let Some((session_no, last)) = known {
            if now.millis() > last {
                self.run(
                    "update session set project_no = null, with_whom = null, started_at = started_at, last_seen_at = ?2
                     where session_no = ?1",
                    (session_no, now.millis()),
                )?;
            }
            return Ok(session_no);
        }
        self.run(
            "insert into session (tenant_no, session_id, project_no, with_whom, started_at, last_seen_at)
             values (?1, ?2, null, null, ?3, ?3)",
            (tenant_no, &name, now.millis()),
        )?;
        let session_no = self.connection.last_insert_rowid();
        counts.sessions += 1;
        for project in [0, -1] {
            self.run(
                "insert into summary (tenant_no, project_no, with_whom, sensitivity, sessions, handoffs, statements)
                 values (?1, ?2, '', 0, 1, 0, 0)
                 on conflict do update set sessions = sessions + excluded.sessions,
                     handoffs = handoffs + excluded.handoffs, statements = statements + excluded.statements",
                (tenant_no, project),
            )?;
        }
        Ok(session_no)
    }

    /// What every group writes and reads once: the counted facts and the tenant's totals.
    fn write_counts(&self, events: i64, counts: &Counts) -> anyhow::Result<()> {
        for (name, label, by) in [
            ("events_recorded", "message", events),
            ("events", "message", events),
            ("text_bytes", "", counts.text_bytes),
            ("sessions", "", counts.sessions),
        ] {
            if by != 0 {
                self.run(
                    "insert into stat (name, label, value) values (?1, ?2, ?3)
                     on conflict do update set value = value + excluded.value",
                    (name, label, by),
                )?;
                self.run(
                    "insert into tenant_stat (tenant_no, name, label, value)
                     select 1, ?1, ?2, ?3 from tenant where tenant_no = 1
                     on conflict do update set value = value + excluded.value",
                    (name, label, by),
                )?;
            }
        }
        self.run(
            "update tenant set write_seq = write_seq + ?1, passages = passages + ?1, words = words + ?2
             where tenant_no = 1",
            (events, counts.words),
        )?;
        let mut statement = self
            .connection
            .prepare_cached("select name, label, value from stat")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}
