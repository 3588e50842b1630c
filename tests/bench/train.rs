//! Learns the weights of the ranking from questions whose evidence is known; `scripts/train` runs it.
//!
//! Each data set (`NAME.items.jsonl`, `NAME.questions.jsonl`, as `scripts/eval` reads them) goes into a store of its own,
//! and every question is asked once for the features of the passages in its pool. Then the weights climb, one at a
//! time, on rec@10 + MRR: the measure itself, which has no gradient. What is learned on some conversations is tested on
//! the others (cross-validation), and the gap between the two is reported as what was only learned by heart.
//!
//! **Invariant:** deterministic; the same data give the same table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_memory::clock::Clock;
use agent_memory::domain::event::{Intake, NewEvent};
use agent_memory::domain::recall::{Feature, Features, RecallDraft, RecallQuery, WEIGHTS};
use agent_memory::domain::{Caller, TenantId, Timestamp};
use agent_memory::store::{Durability, Options, Role, Store, Wait};
use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::{Value, json};

/// Categories of BEAM that matching words can answer at all.
const BEAM_CORE: [&str; 5] = [
    "information_extraction",
    "knowledge_update",
    "temporal_reasoning",
    "multi_session_reasoning",
    "contradiction_resolution",
];
/// Not learned: what the others are measured against.
const GIVEN: [Feature; 1] = [Feature::Words];
const FOLDS: usize = 5;
const ROUNDS: usize = 4;
/// Places to climb from beside the first.
const RESTARTS: usize = 8;
const STEPS: [f64; 6] = [0.4, -0.4, 0.15, -0.15, 0.05, -0.05];
/// A weight has to earn this much of the measure for each unit of its size.
const PRICE: f64 = 0.0002;
/// Events a write.
const BATCH: usize = 500;

/// Learns the weights of the ranking.
#[derive(Debug, Parser)]
struct Args {
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// Each holds NAME.items.jsonl with NAME.questions.jsonl, or a history.jsonl with questions.jsonl.
    dirs: Vec<PathBuf>,
    /// Writes the table into this file, src/domain/recall/weights.rs.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// A question with its pool.
struct Question {
    set: String,
    space: String,
    /// Of each entity in the pool, the features of its passages.
    entities: Vec<Vec<Features>>,
    /// Which of them answer.
    evidence: Vec<usize>,
    /// How many there would be.
    wanted: usize,
    /// What it counts for.
    weight: f64,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.dirs.is_empty() {
        return Ok(());
    }
    let mut questions = Vec::new();
    for dir in &args.dirs {
        if dir.join("history.jsonl").is_file() {
            questions.extend(
                load_history(dir).with_context(|| format!("{} cannot be read", dir.display()))?,
            );
        }
        for name in sets(dir)? {
            questions
                .extend(load_pair(dir, &name).with_context(|| format!("{name} cannot be read"))?);
        }
    }
    ensure!(
        !questions.is_empty(),
        "there are no questions with evidence"
    );
    weigh(&mut questions);
    let all: Vec<&Question> = questions.iter().collect();
    let now = WEIGHTS.map(|(_, weight)| weight);
    report("the table", &all, &now);
    let learned = search(&all, now);
    report("learned on all", &all, &learned);
    cross_validate(&all, now);
    for ((feature, old), new) in WEIGHTS.iter().zip(&learned) {
        tell(&format!("  {:10} {old:6.2} -> {new:6.2}", feature.as_str()));
    }
    if let Some(path) = args.write {
        write(&path, &learned)?;
    }
    Ok(())
}

fn sets(dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // A smoke test, not a yardstick: its evidence is whole sessions.
        if let Some(name) = name
            .strip_suffix(".items.jsonl")
            .filter(|name| !name.starts_with("lme"))
        {
            names.insert(name.to_owned());
        }
    }
    Ok(names)
}

fn lines(path: &Path) -> anyhow::Result<Vec<Value>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A store of one data set, in a folder of its own.
fn fresh() -> anyhow::Result<(tempfile::TempDir, Store)> {
    let folder = tempfile::tempdir()?;
    let options = Options {
        path: folder.path().join("memory.db"),
        role: Role::Command,
        readers: 1,
        reader_wait: Duration::from_secs(5),
        read_time: None,
        durability: Durability::Normal,
        max_log_bytes: u64::MAX,
        write_wait: Duration::from_secs(5),
    };
    let store = Store::open(&options, Clock::System.now())?;
    Ok((folder, store))
}

/// An event as the service would hand it to the store.
fn event(draft: Value, tenant: &TenantId) -> anyhow::Result<NewEvent> {
    let intake = Intake {
        now: Clock::System.now(),
        max_artifact_bytes: 1 << 20,
    };
    NewEvent::parse(serde_json::from_value(draft)?, tenant, intake)
        .map_err(|invalid| anyhow::anyhow!("an event is refused: {invalid}"))
}

fn record(store: &Store, space: &str, events: Vec<NewEvent>) -> anyhow::Result<()> {
    let tenant = TenantId::parse("space", space)?;
    let mut events = events.into_iter().peekable();
    while events.peek().is_some() {
        let batch = events.by_ref().take(BATCH).collect();
        store
            .record_events(&tenant, batch, None, Clock::System.now())?
            .wait()?;
    }
    Ok(())
}

/// Conversations as items, each in a space of its own.
fn load_pair(dir: &Path, name: &str) -> anyhow::Result<Vec<Question>> {
    let (_folder, store) = fresh()?;
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut spaces: BTreeMap<String, Vec<NewEvent>> = BTreeMap::new();
    let mut last: HashMap<String, String> = HashMap::new();
    for (number, item) in lines(&dir.join(format!("{name}.items.jsonl")))?
        .iter()
        .enumerate()
    {
        let space = text(item, "space").to_owned();
        let id = format!("evt_{number:032x}");
        ids.insert(text(item, "id").to_owned(), id.clone());
        let ts = match text(item, "ts") {
            "" => last.get(&space).cloned(),
            day if day.len() == 10 => Some(format!("{day}T00:00:00Z")),
            ts if ts.ends_with('Z') => Some(ts.to_owned()),
            ts => Some(format!("{ts}Z")),
        };
        last.extend(ts.clone().map(|ts| (space.clone(), ts)));
        let speaker = text(item, "speaker");
        let mut content = json!({"text": text(item, "text")});
        if let Some(image) = item.get("image") {
            content
                .as_object_mut()
                .context("content is an object")?
                .insert("image".to_owned(), image.clone());
        }
        let draft = json!({
            "event_id": id, "session_id": text(item, "session"), "channel": "team", "kind": "message", "ts": ts,
            "actor": {"type": if speaker == "assistant" { "agent" } else { "human" }, "id": speaker},
            "content": content,
        });
        let event = event(draft, &TenantId::parse("space", &space)?)?;
        spaces.entry(space).or_default().push(event);
    }
    for (space, events) in spaces {
        record(&store, &space, events)?;
    }
    let mut questions = Vec::new();
    for question in lines(&dir.join(format!("{name}.questions.jsonl")))? {
        questions.extend(ask(
            &store,
            name,
            text(&question, "space"),
            &question,
            &ids,
        )?);
    }
    Ok(questions)
}

/// A written project: its events are as they would be sent. All such projects together are one set.
fn load_history(dir: &Path) -> anyhow::Result<Vec<Question>> {
    let (_folder, store) = fresh()?;
    let space = dir
        .file_name()
        .context("a directory has a name")?
        .to_string_lossy()
        .into_owned();
    let tenant = TenantId::parse("space", &space)?;
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut events = Vec::new();
    for line in lines(&dir.join("history.jsonl"))? {
        if let Some(draft) = line.get("event") {
            let id = text(draft, "event_id").to_owned();
            ids.insert(id.clone(), id);
            events.push(event(draft.clone(), &tenant)?);
        }
    }
    record(&store, &space, events)?;
    let mut questions = Vec::new();
    for question in lines(&dir.join("questions.jsonl"))? {
        questions.extend(ask(&store, "coding", &space, &question, &ids)?);
    }
    Ok(questions)
}

fn is_headline(set: &str, category: &str) -> bool {
    if set.starts_with("beam") {
        BEAM_CORE.contains(&category)
    } else {
        !["adversarial", "abstention"].contains(&category)
    }
}

fn ask(
    store: &Store,
    set: &str,
    space: &str,
    question: &Value,
    ids: &HashMap<String, String>,
) -> anyhow::Result<Option<Question>> {
    let evidence = question
        .get("evidence")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    if evidence.is_empty() || !is_headline(set, text(question, "category")) {
        return Ok(None);
    }
    let caller = Caller::local(TenantId::parse("space", space)?);
    let draft = RecallDraft {
        query: text(question, "question").to_owned(),
        ..RecallDraft::default()
    };
    let asked_at = question.get("asked_at").and_then(Value::as_str);
    let asked_at = asked_at
        .map(|text| Timestamp::parse("asked_at", text))
        .transpose()?;
    let now = asked_at.unwrap_or_else(|| Clock::System.now());
    let query = RecallQuery::parse(&draft, &caller.tenant, now)?;
    let mut entities: BTreeMap<String, Vec<Features>> = BTreeMap::new();
    for (id, features) in store.recall_pool(Wait::Yes, &caller, &query)? {
        entities.entry(id).or_default().push(features);
    }
    let wanted: BTreeSet<&String> = evidence
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|id| ids.get(id))
        .collect();
    Ok(Some(Question {
        set: set.to_owned(),
        space: space.to_owned(),
        evidence: entities
            .keys()
            .enumerate()
            .filter(|(_, id)| wanted.contains(id))
            .map(|(at, _)| at)
            .collect(),
        entities: entities.into_values().collect(),
        wanted: evidence.len(),
        weight: 0.0,
    }))
}

/// Every set counts the same, whatever the number of its questions.
fn weigh(questions: &mut [Question]) {
    let mut counts: HashMap<String, f64> = HashMap::new();
    for question in questions.iter() {
        *counts.entry(question.set.clone()).or_default() += 1.0;
    }
    for question in questions {
        question.weight = 1.0 / counts.get(&question.set).copied().unwrap_or(f64::INFINITY);
    }
}

/// rec@10 and MRR (to a depth of 50) of one question.
fn measure(question: &Question, weights: &Features) -> (f64, f64) {
    let score = |features: &Features| -> f64 {
        features
            .iter()
            .zip(weights)
            .map(|(value, weight)| value * weight)
            .sum()
    };
    let best = |passages: &Vec<Features>| passages.iter().map(score).fold(f64::MIN, f64::max);
    let scores: Vec<f64> = question.entities.iter().map(best).collect();
    let (mut found, mut first) = (0.0, usize::MAX);
    for at in &question.evidence {
        let Some(own) = scores.get(*at) else { continue };
        let place = 1 + scores.iter().filter(|score| *score > own).count();
        found += if place <= 10 { 1.0 } else { 0.0 };
        first = first.min(place);
    }
    let wanted = u32::try_from(question.wanted).map_or(1.0, f64::from);
    let first = u32::try_from(first).ok().filter(|first| *first <= 50);
    (
        found / wanted,
        first.map_or(0.0, |first| 1.0 / f64::from(first)),
    )
}

fn objective(questions: &[&Question], weights: &Features) -> f64 {
    let gained: f64 = questions
        .iter()
        .map(|question| {
            let (recall, rank) = measure(question, weights);
            question.weight * (recall + rank)
        })
        .sum();
    let total: f64 = questions.iter().map(|question| question.weight).sum();
    gained / total - PRICE * weights.iter().map(|weight| weight.abs()).sum::<f64>()
}

/// Climbs from where it stands and from some places around it, and takes the highest peak.
fn search(questions: &[&Question], start: Features) -> Features {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut best = climb(questions, start);
    let mut height = objective(questions, &best);
    for _ in 0..RESTARTS {
        let mut from = best;
        for ((feature, _), weight) in WEIGHTS.iter().zip(&mut from) {
            if !GIVEN.contains(feature) {
                *weight = (*weight * dice.between(0.3, 1.7) * 100.0).round() / 100.0;
            }
        }
        let found = climb(questions, from);
        let reached = objective(questions, &found);
        if reached > height {
            (best, height) = (found, reached);
        }
    }
    best
}

/// A small generator of pseudo-random numbers (xorshift64*), the same at each run.
struct Dice(u64);

impl Dice {
    fn between(&mut self, from: f64, to: f64) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = u32::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or(0);
        from + (to - from) * f64::from(drawn) / f64::from(u32::MAX)
    }
}

fn climb(questions: &[&Question], mut weights: Features) -> Features {
    let mut best = objective(questions, &weights);
    for _ in 0..ROUNDS {
        let start = best;
        for (at, (feature, _)) in WEIGHTS.iter().enumerate() {
            if GIVEN.contains(feature) {
                continue;
            }
            for step in STEPS {
                loop {
                    let mut tried = weights;
                    if let Some(weight) = tried.get_mut(at) {
                        *weight = ((*weight + step) * 100.0).round() / 100.0;
                    }
                    let reached = objective(questions, &tried);
                    if reached <= best + 1e-5 {
                        break;
                    }
                    (best, weights) = (reached, tried);
                }
            }
        }
        if best - start < 2e-4 {
            break;
        }
    }
    weights
}

/// Learns on four fifths of the conversations and measures on the last, five times.
fn cross_validate(questions: &[&Question], start: Features) {
    let mut spaces: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for question in questions {
        spaces
            .entry(&question.set)
            .or_default()
            .insert(&question.space);
    }
    let fold = |question: &Question| {
        let known = spaces.get(question.set.as_str());
        known
            .and_then(|known| known.iter().position(|space| *space == question.space))
            .unwrap_or(0)
            % FOLDS
    };
    let mut results: Vec<(&Question, (f64, f64))> = Vec::new();
    for left_out in 0..FOLDS {
        let learn: Vec<&Question> = questions
            .iter()
            .copied()
            .filter(|question| fold(question) != left_out)
            .collect();
        let weights = search(&learn, start);
        let test = questions
            .iter()
            .copied()
            .filter(|question| fold(question) == left_out);
        results.extend(test.map(|question| (question, measure(question, &weights))));
    }
    print_means("cross-validated", &results);
}

fn report(what: &str, questions: &[&Question], weights: &Features) {
    let results: Vec<_> = questions
        .iter()
        .map(|question| (*question, measure(question, weights)))
        .collect();
    print_means(what, &results);
}

fn print_means(what: &str, results: &[(&Question, (f64, f64))]) {
    let mut sets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (question, result) in results {
        sets.entry(&question.set).or_default().push(*result);
    }
    let line: Vec<String> = sets
        .into_iter()
        .map(|(set, values)| {
            let count = u32::try_from(values.len()).map_or(f64::INFINITY, f64::from);
            let mean =
                |of: fn(&(f64, f64)) -> f64| 100.0 * values.iter().map(of).sum::<f64>() / count;
            format!(
                "{set} {:.1}/{:.1}",
                mean(|value| value.0),
                mean(|value| value.1)
            )
        })
        .collect();
    tell(&format!("{what:16} rec@10/MRR: {}", line.join("  ")));
}

#[expect(clippy::print_stdout, reason = "what a person at a terminal reads")]
fn tell(line: &str) {
    println!("{line}");
}

/// Puts the weights into the table of the source file.
fn write(path: &Path, weights: &Features) -> anyhow::Result<()> {
    let mut text = std::fs::read_to_string(path)?;
    for ((feature, _), weight) in WEIGHTS.iter().zip(weights) {
        let start = format!("    (Feature::{feature:?}, ");
        let at = text
            .find(&start)
            .with_context(|| format!("{feature:?} is not in the table"))?
            + start.len();
        let rest = text.get(at..).unwrap_or_default();
        let end = at + rest.find(')').context("the table is cut off")?;
        text.replace_range(at..end, &format!("{weight:?}"));
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
