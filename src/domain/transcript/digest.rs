//! What the automatic handoff of a session is made of, kept bounded while the session goes on.
//!
//! Extractive, without a model: what was asked first and last, what the agent found and chose, what failed, which files
//! it changed, what is still open. Sentences are chosen whole, by the words that mark a finding or a wish.
//!
//! **Invariant:** never larger than some 16 KB, however long the session; holds redacted text alone.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::Timestamp;
use crate::domain::handoff::HandoffDraft;
use crate::domain::redact::redact;
use crate::domain::transcript::draft::Way;
use crate::domain::transcript::sentence::{self, choosable, lead};
use crate::domain::transcript::{Entry, What};
use crate::domain::vocabulary::Origin;

/// Room for what was asked, in bytes.
const ASK_BYTES: usize = 600;
/// Prompts that are kept from the end.
const LAST_ASKS: usize = 2;
/// Findings, wishes, failures, open items, files: as many as a reader takes in.
const FINDINGS: usize = 12;
const WISHES: usize = 8;
const FAILURES: usize = 6;
const TODOS: usize = 12;
const FILES: usize = 40;
/// Longest line of a failure, or name of a file or an open item, in bytes.
const LINE_BYTES: usize = 240;
/// The significance of what nobody judged: below an agent's own handoff.
const SIGNIFICANCE: f64 = 0.4;
/// Words that tell the line of an output that says what failed.
const FAILED: [&str; 7] = [
    "error",
    "failed",
    "panicked",
    "exception",
    "denied",
    "not found",
    "fatal",
];

/// What a session came to so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Digest {
    first_ask: String,
    last_asks: VecDeque<String>,
    findings: Vec<Weighed>,
    wishes: Vec<Weighed>,
    failures: VecDeque<String>,
    todos: Vec<Todo>,
    files: Vec<String>,
    more_files: u32,
    closing: String,
    prompts: u32,
    calls: u32,
    last: Option<i64>,
}

/// A sentence, how much it says, and where it stood among all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Weighed {
    says: usize,
    at: u32,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Todo {
    text: String,
    open: bool,
}

impl Digest {
    /// Adds what happened.
    pub fn add(&mut self, entry: &Entry) {
        if let Some(ts) = entry.ts {
            self.last = self.last.max(Some(ts.millis()));
        }
        match &entry.what {
            What::Human(text) => self.ask(&redact(text).text),
            What::Agent(text) => self.tell(&redact(text).text),
            What::Call { tool, input, .. } => self.call(tool, input),
            What::Result { text, failed, .. } => {
                if *failed {
                    self.fail(text);
                }
            }
        }
    }

    /// Whether there is anything to hand over.
    pub fn is_empty(&self) -> bool {
        self.prompts == 0 && self.closing.is_empty()
    }

    /// When something last happened.
    pub fn last(&self) -> Option<Timestamp> {
        self.last.map(Timestamp::from_millis)
    }

    fn at(&self) -> u32 {
        self.prompts.saturating_add(self.calls)
    }

    fn ask(&mut self, text: &str) {
        self.prompts = self.prompts.saturating_add(1);
        let asked = lead(text, ASK_BYTES);
        let asked = if asked.is_empty() {
            format!("(a text of {} words)", text.split_whitespace().count())
        } else {
            asked
        };
        if self.prompts == 1 {
            self.first_ask = asked;
        } else {
            self.last_asks.push_back(asked);
            if self.last_asks.len() > LAST_ASKS {
                self.last_asks.pop_front();
            }
        }
        let at = self.at();
        for wish in choosable(text) {
            keep(&mut self.wishes, WISHES, sentence::wish(wish), at, wish);
        }
    }

    fn tell(&mut self, text: &str) {
        let at = self.at();
        for found in choosable(text) {
            keep(
                &mut self.findings,
                FINDINGS,
                sentence::finding(found),
                at,
                found,
            );
        }
        let closing = lead(text, ASK_BYTES);
        if !closing.is_empty() {
            self.closing = closing;
        }
    }

    fn fail(&mut self, text: &str) {
        let clean = redact(text);
        let tells = |line: &&str| {
            let lower = line.to_lowercase();
            line.len() <= LINE_BYTES && FAILED.iter().any(|word| lower.contains(word))
        };
        let mut lines = clean.text.lines().map(str::trim);
        let Some(line) = lines.find(tells) else {
            return;
        };
        if self.failures.iter().any(|known| known == line) {
            return;
        }
        self.failures.push_back(line.to_owned());
        if self.failures.len() > FAILURES {
            self.failures.pop_front();
        }
    }

    fn call(&mut self, tool: &str, input: &Value) {
        self.calls = self.calls.saturating_add(1);
        match tool {
            "Edit" | "Write" | "MultiEdit" | "NotebookEdit" | "edit_file" | "StrReplace" => {
                for key in ["file_path", "notebook_path", "path", "target_file"] {
                    if let Some(path) = input[key].as_str() {
                        self.touch(path);
                    }
                }
            }
            "apply_patch" => {
                let patch = input["input"].as_str().or_else(|| input.as_str());
                for line in patch.unwrap_or_default().lines() {
                    for mark in ["*** Update File: ", "*** Add File: ", "*** Delete File: "] {
                        if let Some(path) = line.strip_prefix(mark) {
                            self.touch(path);
                        }
                    }
                }
            }
            "TodoWrite" => self.plan(&input["todos"], "content"),
            "update_plan" => self.plan(&input["plan"], "step"),
            "TaskCreate" => self.todo(input["subject"].as_str().unwrap_or_default(), true),
            "TaskUpdate" => self.settle(input),
            _ => {}
        }
    }

    fn touch(&mut self, path: &str) {
        let path = redact(path.trim()).text.into_owned();
        if path.is_empty() || path.len() > LINE_BYTES || self.files.contains(&path) {
            return;
        }
        if self.files.len() < FILES {
            self.files.push(path);
        } else {
            self.more_files = self.more_files.saturating_add(1);
        }
    }

    /// The whole list, as the agent writes it anew each time.
    fn plan(&mut self, items: &Value, key: &str) {
        let Some(items) = items.as_array() else {
            return;
        };
        self.todos.clear();
        for item in items {
            let open = item["status"].as_str() != Some("completed");
            self.todo(item[key].as_str().unwrap_or_default(), open);
        }
    }

    fn todo(&mut self, text: &str, open: bool) {
        let text = redact(text.trim()).text.into_owned();
        if text.is_empty() || text.len() > LINE_BYTES {
            return;
        }
        // What is done makes room; tasks are numbered by their place, so only as long as it has to.
        if self.todos.len() >= 4 * TODOS {
            self.todos.remove(0);
        }
        self.todos.push(Todo { text, open });
    }

    fn settle(&mut self, input: &Value) {
        let done = matches!(input["status"].as_str(), Some("completed" | "deleted"));
        let number = input["taskId"]
            .as_str()
            .and_then(|id| id.parse::<usize>().ok());
        let place = number.and_then(|number| number.checked_sub(1));
        if let Some(todo) = place.and_then(|place| self.todos.get_mut(place)) {
            todo.open = !done;
        }
    }

    /// The handoff of the session as it stands.
    pub fn handoff(&self, way: &Way<'_>) -> Option<HandoffDraft> {
        if self.is_empty() {
            return None;
        }
        let mut experienced = Vec::new();
        if !self.first_ask.is_empty() {
            experienced.push(format!("Asked first: {}", self.first_ask));
        }
        if let Some(last) = self.last_asks.back() {
            experienced.push(format!("Asked last: {last}"));
        }
        let open: Vec<_> = self.todos.iter().filter(|todo| todo.open).collect();
        let mut remember: Vec<String> = self.wishes.iter().map(|wish| wish.text.clone()).collect();
        remember.extend(
            open.iter()
                .take(TODOS)
                .map(|todo| format!("Still open: {}", todo.text)),
        );
        let mut story = Vec::new();
        if !self.closing.is_empty() {
            story.push(format!("In the end: {}", self.closing));
        }
        if !self.files.is_empty() {
            let more = match self.more_files {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            story.push(format!("Files changed: {}{more}", self.files.join(", ")));
        }
        let learned = self.findings.iter().map(|found| found.text.clone());
        let noticed = self.failures.iter().map(|line| format!("Failed: {line}"));
        Some(HandoffDraft {
            handoff_id: None,
            tenant_id: None,
            project_id: way.project.map(str::to_owned),
            session_id: way.session.to_owned(),
            with_whom: way.with_whom.to_owned(),
            experienced: lines(experienced),
            noticed: lines(noticed),
            learned: lines(learned),
            story: lines(story),
            becoming: None,
            remember: lines(remember),
            significance: Some(SIGNIFICANCE),
            tags: Some(vec![way.client.as_str().to_owned()]),
            sensitivity: None,
            origin: Some(Origin::Automatic),
            created_at: self.last(),
        })
    }
}

/// Keeps the sentences that say most, in the order they were said; the same one once. Of two that say as much, the
/// later stays: what was found last holds.
fn keep(kept: &mut Vec<Weighed>, most: usize, says: usize, at: u32, text: &str) {
    if says == 0 {
        return;
    }
    kept.retain(|known| !known.text.eq_ignore_ascii_case(text));
    kept.push(Weighed {
        says,
        at,
        text: text.to_owned(),
    });
    if kept.len() > most {
        let least = kept
            .iter()
            .enumerate()
            .min_by_key(|(_, known)| (known.says, known.at))
            .map(|(place, _)| place);
        if let Some(place) = least {
            kept.remove(place);
        }
    }
}

fn lines(items: impl IntoIterator<Item = String>) -> Option<String> {
    let text = items.into_iter().collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::transcript::Client;

    fn add(digest: &mut Digest, what: What) {
        let entry = Entry {
            key: String::new(),
            ts: Some(Timestamp::from_millis(1_000)),
            what,
        };
        digest.add(&entry);
    }

    fn call(digest: &mut Digest, tool: &str, input: Value) {
        let (tool, call) = (tool.to_owned(), String::new());
        add(digest, What::Call { tool, input, call });
    }

    const WAY: Way<'_> = Way {
        client: Client::ClaudeCode,
        session: "s",
        project: Some("p"),
        with_whom: "ada",
    };

    #[test]
    fn hands_over_what_was_asked_found_changed_and_left_open() {
        let mut digest = Digest::default();
        assert!(digest.handoff(&WAY).is_none());
        add(
            &mut digest,
            What::Human("Make the parser faster. Always run the tests with --locked.".to_owned()),
        );
        call(&mut digest, "Edit", json!({"file_path": "src/parse.rs"}));
        call(
            &mut digest,
            "TodoWrite",
            json!({"todos": [
            {"content": "measure", "status": "completed"}, {"content": "update the README", "status": "pending"}]}),
        );
        add(
            &mut digest,
            What::Result {
                call: String::new(),
                text: "warming up\nerror: no such option: --locked\nmore".to_owned(),
                failed: true,
            },
        );
        add(
            &mut digest,
            What::Agent(
                "Looking.\n\nIt was slow because every token was copied. Nice weather.".to_owned(),
            ),
        );
        add(&mut digest, What::Human("Now document it.".to_owned()));
        let handoff = digest.handoff(&WAY).unwrap();
        assert_eq!(
            handoff.experienced.as_deref(),
            Some(
                "Asked first: Make the parser faster. Always run the tests with --locked.\nAsked last: Now document it."
            )
        );
        assert_eq!(
            handoff.learned.as_deref(),
            Some("It was slow because every token was copied.")
        );
        assert_eq!(
            handoff.noticed.as_deref(),
            Some("Failed: error: no such option: --locked")
        );
        assert_eq!(
            handoff.remember.as_deref(),
            Some("Always run the tests with --locked.\nStill open: update the README")
        );
        assert!(
            handoff
                .story
                .unwrap()
                .ends_with("Files changed: src/parse.rs")
        );
    }

    #[test]
    fn stays_small_and_keeps_no_secret() {
        let mut digest = Digest::default();
        let key = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        for round in 0..2_000 {
            add(
                &mut digest,
                What::Human(format!(
                    "Never print {key} in round {round}. {}",
                    "word ".repeat(200)
                )),
            );
            add(
                &mut digest,
                What::Agent(format!(
                    "It failed because of {round}. <private>mine {round}</private>"
                )),
            );
            add(
                &mut digest,
                What::Result {
                    call: String::new(),
                    text: format!("error {round} {key}"),
                    failed: true,
                },
            );
            call(
                &mut digest,
                "Write",
                json!({"file_path": format!("src/{round}.rs")}),
            );
            call(
                &mut digest,
                "TaskCreate",
                json!({"subject": format!("task {round}")}),
            );
        }
        let text = serde_json::to_string(&digest).unwrap();
        assert!(text.len() < 16_000, "{}", text.len());
        assert!(!text.contains(&key) && !text.contains("mine"));
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
    }
}
