//! What a session's shorter forms still answer, against a cut of its first tokens and sentences drawn by lot.
//!
//! A session becomes a handoff by a fixed rule: what its people said, a line each in their order, is `story`. What an
//! assistant said is left out, as an agent does not hand its own answers on; the sessions of a chat that is kept in batches
//! (BEAM) are the batches. The histories of `tests/data` have handoffs that were written as such, and those are taken.
//!
//! Of each question whose evidence lies in a session, the *terms of the evidence* are those that the question or its answer
//! shares with what was said there (and the handoff says), the speakers' names aside. A form's **recall** is the share of
//! them that it still has; a question is **answerable** if that is half or more. Ours is measured against as many tokens
//! from the beginning of the same text, and against whole sentences drawn by lot to the same size, ten times.
//!
//! The weights were climbed on the even spaces of the published conversations; the odd ones were held out.
//!
//! `AGENT_MEMORY_QUESTIONS` names the directory of the published conversations, which no licence lets us ship; without it
//! the project's own histories are measured alone, and the output says so.
//!
//! **Invariant:** deterministic; nothing is asserted of a set that is not there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and its table is what it is for"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use agent_memory::domain::consolidate::rarity::Counts;
use agent_memory::domain::consolidate::summary::{Forms, QUICK_REF_TOKENS, SUMMARY_TOKENS};
use agent_memory::domain::handoff::Fields;
use agent_memory::domain::terms::index_terms;
use agent_memory::domain::token;
use agent_memory::domain::transcript::sentence;
use serde_json::Value;

/// How often sentences are drawn by lot.
const DRAWS: u64 = 10;
/// Questions of these categories have no answer in the conversation.
const UNANSWERABLE: [&str; 2] = ["adversarial", "abstention"];

type Terms = BTreeSet<String>;

/// A session with what is asked about it.
struct Case {
    fields: Fields,
    /// The evidence of each question.
    wanted: Vec<Terms>,
}

/// The sessions of one user or project.
struct Space {
    cases: Vec<Case>,
    rarity: Counts,
}

/// What was found of so many questions.
#[derive(Default, Clone, Copy)]
struct Score {
    asked: f64,
    recall: f64,
    answerable: f64,
}

impl Score {
    fn add(&mut self, form: &str, wanted: &[Terms], weight: f64) {
        let has = terms(form);
        for wanted in wanted {
            let kept = wanted.intersection(&has).count() as f64 / wanted.len() as f64;
            self.asked += weight;
            self.recall += weight * kept;
            self.answerable += weight * f64::from(kept >= 0.5);
        }
    }

    /// Percent of the evidence's terms.
    fn recall(self) -> f64 {
        100.0 * self.recall / self.asked
    }

    /// Percent of the questions.
    fn answerable(self) -> f64 {
        100.0 * self.answerable / self.asked
    }
}

/// Ours, the first tokens, and sentences drawn by lot.
#[derive(Default, Clone, Copy)]
struct Row {
    ours: Score,
    first: Score,
    lot: Score,
}

fn terms(text: &str) -> Terms {
    index_terms(text).into_iter().collect()
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The terms that count of what a question asks and its evidence says.
fn wanted(question: &Value, evidence: &str, handoff: &Terms, speakers: &Terms) -> Terms {
    let asked = terms(&format!(
        "{} {}",
        text(question, "question"),
        question["answer"]
    ));
    let said = terms(evidence);
    let counts = |term: &&String| {
        asked.contains(*term) && handoff.contains(*term) && !speakers.contains(*term)
    };
    said.iter().filter(counts).cloned().collect()
}

/// The spaces of a published set, in the order of their names.
fn published(directory: &Path, set: &str) -> Vec<Space> {
    let items = rows(&directory.join(format!("{set}.items.jsonl")));
    let questions = rows(&directory.join(format!("{set}.questions.jsonl")));
    // A session of BEAM is a prompt and its answer, `.../B1T0`; what belongs together is the batch.
    let session = |item: &Value| {
        let name = text(item, "session");
        let batch = name.rsplit_once('T').filter(|_| set.starts_with("beam"));
        batch.map_or(name, |(batch, _)| batch).to_owned()
    };
    let mut spaces: BTreeMap<String, BTreeMap<String, Vec<&Value>>> = BTreeMap::new();
    for item in &items {
        let sessions = spaces.entry(text(item, "space").to_owned()).or_default();
        sessions.entry(session(item)).or_default().push(item);
    }
    let of_space = |(space, sessions): (String, BTreeMap<String, Vec<&Value>>)| {
        let asked = questions.iter().filter(|question| {
            text(question, "space") == space && !UNANSWERABLE.contains(&text(question, "category"))
        });
        let asked: Vec<&Value> = asked.collect();
        let mut rarity = Counts::default();
        let mut cases = Vec::new();
        for said in sessions.values() {
            let story: Vec<String> = said.iter().filter_map(|item| line_of(item)).collect();
            let story = story.join("\n");
            rarity.add([story.as_str()]);
            let (handoff, speakers) = (
                terms(&story),
                said.iter()
                    .flat_map(|item| terms(text(item, "speaker")))
                    .collect(),
            );
            let evidence = |question: &Value| {
                let named = question["evidence"].as_array().into_iter().flatten();
                let named: Vec<&str> = named.filter_map(Value::as_str).collect();
                let cited = said.iter().filter(|item| named.contains(&text(item, "id")));
                cited
                    .map(|item| text(item, "text"))
                    .collect::<Vec<_>>()
                    .join("\n")
            };
            let wanted = asked
                .iter()
                .map(|question| wanted(question, &evidence(question), &handoff, &speakers));
            let wanted: Vec<Terms> = wanted.filter(|wanted| !wanted.is_empty()).collect();
            let fields = Fields {
                story,
                ..Fields::default()
            };
            cases.push(Case { fields, wanted });
        }
        Space { cases, rarity }
    };
    spaces.into_iter().map(of_space).collect()
}

/// What somebody said, as a line of a story; `None` for an assistant.
fn line_of(item: &Value) -> Option<String> {
    match text(item, "speaker") {
        "assistant" => None,
        "user" => Some(text(item, "text").to_owned()),
        name => Some(format!("{name}: {}", text(item, "text"))),
    }
}

/// A history of the project's own, with the handoffs that were written.
fn history(name: &str) -> Space {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let questions = rows(&directory.join("questions.jsonl"));
    let rows = rows(&directory.join("history.jsonl"));
    let mut rarity = Counts::default();
    let mut cases = Vec::new();
    for handoff in rows.iter().filter_map(|row| row.get("handoff")) {
        let said = |key| text(handoff, key).to_owned();
        let fields = Fields {
            experienced: said("experienced"),
            noticed: said("noticed"),
            learned: said("learned"),
            story: said("story"),
            becoming: said("becoming"),
            remember: said("remember"),
        };
        let all: Vec<&str> = fields.each().iter().map(|(_, text)| *text).collect();
        let all = all.join("\n");
        rarity.add([all.as_str()]);
        let events: Vec<&Value> = rows
            .iter()
            .filter_map(|row| row.get("event"))
            .filter(|event| event["session_id"] == handoff["session_id"])
            .collect();
        let has = terms(&all);
        let wanted = questions.iter().map(|question| {
            let named = question["evidence"].as_array().unwrap();
            let cited = events
                .iter()
                .filter(|event| named.contains(&event["event_id"]));
            let evidence: Vec<&str> = cited.map(|event| text(&event["content"], "text")).collect();
            wanted(question, &evidence.join("\n"), &has, &Terms::new())
        });
        let wanted = wanted.filter(|wanted| !wanted.is_empty()).collect();
        cases.push(Case { fields, wanted });
    }
    Space { cases, rarity }
}

fn measured(spaces: &[&Space], tokens: usize) -> Row {
    let mut row = Row::default();
    for space in spaces {
        for case in space.cases.iter().filter(|case| !case.wanted.is_empty()) {
            let all = case.fields.each().map(|(_, text)| text).join("\n");
            let forms = Forms::of(&case.fields, &space.rarity);
            let ours = forms.within(tokens);
            assert!(token::estimate(&ours) <= tokens, "{ours}");
            row.ours.add(&ours, &case.wanted, 1.0);
            row.first
                .add(token::cut(all.trim_start(), tokens), &case.wanted, 1.0);
            for draw in 1..=DRAWS {
                row.lot.add(
                    &by_lot(&all, tokens, draw),
                    &case.wanted,
                    1.0 / DRAWS as f64,
                );
            }
        }
    }
    row
}

/// Whole sentences in any order, until no other fits.
fn by_lot(text: &str, tokens: usize, seed: u64) -> String {
    let mut sentences = sentence::split(text);
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for last in (1..sentences.len()).rev() {
        // Marsaglia's xorshift of 64 bits.
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        sentences.swap(last, usize::try_from(dice % (last as u64 + 1)).unwrap());
    }
    let mut left = tokens + 1;
    let mut chosen = Vec::new();
    for sentence in sentences {
        let cost = token::estimate(sentence) + 1;
        if cost <= left {
            left -= cost;
            chosen.push(sentence);
        }
    }
    chosen.join(" ")
}

/// Measures both sizes of a set and adds them to the table.
fn tabled(table: &mut String, name: &str, spaces: &[&Space]) -> [Row; 2] {
    [SUMMARY_TOKENS, QUICK_REF_TOKENS].map(|tokens| {
        let row = measured(spaces, tokens);
        let cells = |of: fn(Score) -> f64| {
            format!(
                "{:.0} / {:.0} / {:.0}",
                of(row.ours),
                of(row.first),
                of(row.lot)
            )
        };
        let asked = row.ours.asked;
        let (recall, answerable) = (cells(Score::recall), cells(Score::answerable));
        writeln!(
            table,
            "| {name} | {asked:.0} | {tokens} | {recall} | {answerable} |"
        )
        .unwrap();
        row
    })
}

fn questions() -> PathBuf {
    let given = std::env::var_os("AGENT_MEMORY_QUESTIONS").map(PathBuf::from);
    given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/recall/dev"))
}

#[test]
fn summaries_keep_what_is_asked_for() {
    let mut table = "| sessions of | questions | tokens | recall: ours / first / lot | answerable: ours / first / lot |\n|---|---|---|---|---|\n".to_owned();
    let histories = ["tidewatch", "ferrypost", "lanternfish"].map(history);
    let own = tabled(
        &mut table,
        "the project's histories",
        &histories.each_ref().map(|space| space),
    );
    let mut conversations = Vec::new();
    let directory = questions();
    for set in ["locomo", "beam100k"] {
        if !directory.join(format!("{set}.items.jsonl")).is_file() {
            println!(
                "SKIPPED: {set} is not in {}; AGENT_MEMORY_QUESTIONS names its directory",
                directory.display()
            );
            continue;
        }
        let spaces = published(&directory, set);
        for (part, odd) in [("climbed on", false), ("held out", true)] {
            let part_of = spaces
                .iter()
                .enumerate()
                .filter(|(number, _)| (number % 2 == 1) == odd);
            let part_of: Vec<&Space> = part_of.map(|(_, space)| space).collect();
            conversations.push((set, tabled(&mut table, &format!("{set}, {part}"), &part_of)));
        }
    }
    println!("{table}");
    for row in own {
        assert!(
            row.ours.recall() > row.lot.recall(),
            "no better than a lot\n{table}"
        );
    }
    for (set, rows) in conversations {
        for row in rows {
            assert!(
                row.ours.recall() > row.lot.recall() + 2.0,
                "{set}: no better than a lot\n{table}"
            );
            // The people of LoCoMo come to the point anywhere; a chat's first prompt says what the whole is about.
            let margin = if set == "locomo" { 6.0 } else { -3.0 };
            assert!(
                row.ours.recall() > row.first.recall() + margin,
                "{set}: no better than a cut\n{table}"
            );
        }
    }
}
