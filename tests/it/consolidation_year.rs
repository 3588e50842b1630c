//! A year of sessions with consolidation, on a clock that is moved: what has to hold on every day of it.
//!
//! The texts are those of the conversations in `tests/data`. The everyday run consolidates every four weeks;
//! `scripts/test --full consolidation` does so every day (`CONSOLIDATION_DAYS=1`), and measures larger memories
//! (`CONSOLIDATION_SESSIONS=10000`). Each round is taken back and done again.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_memory::app;
use agent_memory::clock::Clock;
use agent_memory::domain::consolidation::{ConsolidationJob, Totals};
use agent_memory::domain::handoff::HandoffDraft;
use agent_memory::domain::note::NoteFilter;
use agent_memory::domain::page::{Direction, Page};
use agent_memory::domain::wake_up::WakeUpQuery;
use agent_memory::domain::{
    Caller, CompressionLevel, ConsolidationType, JobStatus, TenantId, Timestamp,
};
use agent_memory::service::{Consolidation, Limits, Services};
use agent_memory::store::{Durability, Options, Role};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A memory over a file of its own, on a clock that is moved.
struct Memory {
    services: Services,
    clock: Clock,
    caller: Caller,
    texts: Vec<String>,
    told: usize,
    tokenizer: tiktoken_rs::CoreBPE,
    _dir: TempDir,
}

fn number(name: &str, default: i64) -> i64 {
    let asked = std::env::var_os(name);
    asked.map_or(default, |text| text.to_string_lossy().parse().unwrap())
}

impl Memory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            path: dir.path().join("m.db"),
            role: Role::Command,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            read_time: None,
            durability: Durability::Normal,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(5),
        };
        let clock = Clock::fixed(Timestamp::parse("t", "2025-01-01T20:00:00Z").unwrap());
        let limits = Limits {
            max_artifact_bytes: 0,
        };
        let services = app::open(&options, clock.clone(), limits).unwrap();
        let mut texts = Vec::new();
        for name in ["ferrypost", "lanternfish", "tidewatch"] {
            let path = format!(
                "{}/tests/data/{name}/history.jsonl",
                env!("CARGO_MANIFEST_DIR")
            );
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                collect(&row, &mut texts);
            }
        }
        assert!(texts.len() > 300, "{}", texts.len());
        Self {
            services,
            clock,
            caller: Caller::local(TenantId::default_tenant()),
            texts,
            told: 0,
            tokenizer: tiktoken_rs::o200k_base().unwrap(),
            _dir: dir,
        }
    }

    fn say(&mut self, count: usize) -> String {
        let said: Vec<&str> = (0..count)
            .map(|step| self.texts[(self.told + step) % self.texts.len()].as_str())
            .collect();
        let said = said.join(" ");
        self.told += count;
        said
    }

    /// A session's handoff, of now.
    fn hand_off(&mut self) {
        let becoming = if self.told.is_multiple_of(5) {
            "I measure before I believe a number."
        } else {
            ""
        };
        let draft = json!({
            "session_id": format!("session {}", self.told), "with_whom": "Ada",
            "experienced": self.say(4), "learned": self.say(1), "remember": self.say(1), "becoming": becoming,
        });
        let draft: HandoffDraft = serde_json::from_value(draft).unwrap();
        let pending = self
            .services
            .create_handoff(&self.caller, draft, None)
            .unwrap();
        pending.wait().unwrap();
    }

    /// What is decided and noted on a day: some of it rules, some of it was noted before.
    fn decide_and_note(&mut self, day: i64) {
        if day % 4 == 0 {
            let scopes = ["project", "policy", "user", "global", "session"];
            let scope = scopes[usize::try_from(day / 4).unwrap() % scopes.len()];
            let draft = json!({"decision": format!("{} ({day})", self.say(1)), "scope": scope});
            let draft = serde_json::from_value(draft).unwrap();
            let pending = self.services.create_decision(&self.caller, draft, None);
            pending.unwrap().wait().unwrap();
        }
        if day % 3 == 0 {
            let fact = self.texts[usize::try_from(day % 7).unwrap()].clone();
            let draft = json!({"content": fact, "pinned": day % 30 == 0});
            let draft = serde_json::from_value(draft).unwrap();
            let pending = self.services.create_note(&self.caller, draft, None);
            pending.unwrap().wait().unwrap();
        }
    }

    fn consolidate(&self) -> Vec<ConsolidationJob> {
        self.services.consolidate(&self.caller, None).unwrap()
    }

    /// All rows of the full export, and each note with what it is shown with, which an export leaves out.
    fn export(&self) -> Vec<String> {
        let mut export = self.services.begin_export(&self.caller).unwrap();
        let mut text = String::new();
        while let Some(piece) = self.services.export_piece(&mut export).unwrap() {
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        let frame = |line: &&str| {
            line.contains("\"type\":\"header\"") || line.contains("\"type\":\"trailer\"")
        };
        let rows = text.lines().filter(|line| !frame(line));
        let mut rows: Vec<String> = rows.map(str::to_owned).collect();
        let page = Page::first(1000, Direction::Ascending);
        let filter = NoteFilter {
            project: None,
            pinned: None,
        };
        let notes = self.services.notes(&self.caller, &filter, &page).unwrap();
        rows.extend(notes.items.iter().map(|note| {
            let of = note.duplicate_of.map(|id| id.to_string());
            format!("{} {} {of:?}", note.note_id, note.duplicates)
        }));
        rows
    }

    /// Tokens of a wake-up's text, by a real tokenizer, and by our estimate.
    fn wake_up(&self) -> (usize, usize) {
        let query = WakeUpQuery::parse(None, None, None, None, None, None).unwrap();
        let wake_up = self.services.wake_up(&self.caller, &query).unwrap();
        let counted = self.tokenizer.encode_ordinary(&wake_up.context).len();
        (counted, wake_up.estimated_tokens)
    }
}

/// The texts of a row, wherever they stand.
fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.split_whitespace().count() > 5 => texts.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(map) => map.values().for_each(|item| collect(item, texts)),
        _ => {}
    }
}

/// Rows, but for when a reflection or a principle was written.
fn undated(rows: &[String]) -> Vec<String> {
    let undated = |row: &String| {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(row) else {
            return row.clone();
        };
        if ["reflection", "principle"].contains(&fields["type"].as_str().unwrap()) {
            fields.remove("created_at").unwrap();
            fields.remove("updated_at");
        }
        Value::Object(fields).to_string()
    };
    rows.iter().map(undated).collect()
}

fn affected(jobs: &[ConsolidationJob]) -> u64 {
    jobs.iter().map(|job| job.work.items_affected).sum()
}

/// The level that a number of days asks for, by the documented thresholds.
fn level_of(days: i64) -> CompressionLevel {
    match days {
        181.. => CompressionLevel::Integrated,
        91.. => CompressionLevel::QuickRef,
        31.. => CompressionLevel::Summary,
        _ => CompressionLevel::Full,
    }
}

#[test]
fn a_year_of_daily_sessions_stays_small_and_loses_nothing() {
    let mut memory = Memory::new();
    let step = number("CONSOLIDATION_DAYS", 28);
    let mut originals: BTreeMap<String, String> = BTreeMap::new();
    let mut ran: BTreeMap<ConsolidationType, u64> = BTreeMap::new();
    let mut largest = 0;
    for day in 0..365_i64 {
        for _ in 0..3 {
            memory.hand_off();
        }
        memory.decide_and_note(day);
        if day % step == 0 {
            let before = memory.export();
            let jobs = memory.consolidate();
            for job in &jobs {
                assert!(
                    [JobStatus::Completed, JobStatus::Skipped].contains(&job.status),
                    "{job:?}"
                );
                *ran.entry(job.job_type).or_default() += 1;
            }
            let after = memory.export();
            // The same day again changes nothing.
            let again = memory.consolidate();
            assert_eq!(affected(&again), 0, "day {day}: {again:?}");
            for job in &again {
                *ran.entry(job.job_type).or_default() += 1;
            }
            assert_eq!(memory.export(), after, "day {day}");
            // Each handoff is at its level, with its words.
            let now = memory.clock.now();
            for row in &after {
                let Ok(row) = serde_json::from_str::<Value>(row) else {
                    continue;
                };
                if let Some(scope) = row["scope"].as_str().filter(|_| row["type"] == "decision") {
                    let at = Timestamp::parse("t", row["ts"].as_str().unwrap()).unwrap();
                    let old = (now.millis() - at.millis()) / 86_400_000 > 60;
                    let rules = ["policy", "global"].contains(&scope);
                    assert_eq!(row.get("archived_at").is_some(), old && !rules, "{row}");
                }
                let Some(id) = row["handoff_id"]
                    .as_str()
                    .filter(|_| row["type"] == "handoff")
                else {
                    continue;
                };
                let at = Timestamp::parse("t", row["created_at"].as_str().unwrap()).unwrap();
                let days = (now.millis() - at.millis()) / 86_400_000;
                let level = row["compression_level"].as_str().unwrap();
                assert_eq!(level, level_of(days).as_str(), "{days} days");
                let words = format!("{}{}", row["experienced"], row["remember"]);
                let known = originals
                    .entry(id.to_owned())
                    .or_insert_with(|| words.clone());
                assert_eq!(*known, words);
            }
            // Taking the round back gives what was there before it; then it is done again.
            for job in jobs.iter().rev() {
                if job.job_type != ConsolidationType::Maintenance {
                    let undone = memory
                        .services
                        .undo_consolidation(&memory.caller, job.job_id);
                    undone.unwrap_or_else(|error| panic!("day {day}: {error}"));
                }
            }
            assert_eq!(memory.export(), before, "day {day}");
            for job in memory.consolidate() {
                *ran.entry(job.job_type).or_default() += 1;
            }
            let (again, after) = (undated(&memory.export()), undated(&after));
            let other = again.iter().zip(&after).find(|(one, two)| one != two);
            assert!(
                again.len() == after.len() && other.is_none(),
                "day {day}, done again: {other:?}"
            );
            let (counted, estimated) = memory.wake_up();
            largest = largest.max(counted);
            assert!(
                counted <= 2_000 && estimated <= 2_000,
                "{counted} {estimated}"
            );
        }
        memory.clock.advance_millis(86_400_000);
    }
    assert_eq!(
        originals.len(),
        3 * usize::try_from(365 - (364 % step)).unwrap()
    );
    // The history is whole.
    let mut told: BTreeMap<ConsolidationType, u64> = BTreeMap::new();
    let mut totals: BTreeMap<ConsolidationType, Totals> = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let list = agent_memory::domain::page::List::Jobs;
        let page = Page::parse(list, Some(1000), None, cursor.as_deref()).unwrap();
        let jobs = memory
            .services
            .consolidation_jobs(&memory.caller, &page)
            .unwrap();
        for job in &jobs.items {
            *told.entry(job.job_type).or_default() += 1;
            let sum = totals.entry(job.job_type).or_default();
            sum.completed += u64::from(job.status == JobStatus::Completed);
            sum.skipped += u64::from(job.status == JobStatus::Skipped);
            sum.items += job.work.items_affected;
            sum.tokens_saved += job.work.saved();
            if job.status == JobStatus::Completed {
                sum.last_success = sum.last_success.max(job.completed_at.unwrap());
            }
        }
        cursor = jobs.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(told, ran);
    let changed = |kind| totals.iter().any(|(of, sum)| *of == kind && sum.items > 0);
    assert!(
        ConsolidationType::ALL
            .iter()
            .all(|kind| { changed(*kind) || *kind == ConsolidationType::Maintenance })
    );
    // And the metrics are its sum.
    let watched = memory.services.clone().consolidating(Consolidation {
        schedule: "02:00".parse().unwrap(),
        ..Consolidation::default()
    });
    watched.recover_consolidation().unwrap();
    let view = watched.consolidation_view().unwrap();
    for (kind, published) in &view.totals {
        let sum = totals.get(kind).unwrap();
        let facts = |of: &Totals| {
            let runs = (of.completed, of.failed, of.skipped);
            (runs, of.items, of.tokens_saved, of.last_success)
        };
        assert_eq!(facts(published), facts(sum), "{kind:?}");
    }
    let findings = memory.services.examine().unwrap();
    let faults: Vec<_> = findings.iter().filter(|finding| !finding.ok).collect();
    assert!(
        faults.iter().all(|fault| fault.check == "permissions"),
        "{faults:?}"
    );
    eprintln!("a year of 3 sessions a day: the largest wake-up had {largest} tokens");
}

#[test]
fn a_wake_up_stays_small_however_many_sessions_there_were() {
    let most = usize::try_from(number("CONSOLIDATION_SESSIONS", 1_000)).unwrap();
    eprintln!("sessions | full, tokens | consolidated, tokens");
    for sessions in [10, 100, 1_000, 10_000] {
        if sessions > most {
            continue;
        }
        let mut memory = Memory::new();
        let apart = 365 * 86_400_000 / i64::try_from(sessions).unwrap();
        for _ in 0..sessions {
            memory.hand_off();
            memory.clock.advance_millis(apart);
        }
        let (full, _) = memory.wake_up();
        let jobs = memory.consolidate();
        assert!(affected(&jobs) > 0);
        let (consolidated, estimated) = memory.wake_up();
        eprintln!("{sessions} | {full} | {consolidated}");
        assert!(full <= 2_000 && consolidated <= 2_000 && estimated <= 2_000);
    }
}
