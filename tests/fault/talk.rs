//! What is said to a server, and what has to hold of its file afterwards.
//!
//! **Invariant:** knows no fault; a refusal is an answer like any other.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::process::{Server, client, command};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

/// Sends a request; `None` if the server is gone before it has answered.
pub(crate) fn send(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    let request = ureq::http::Request::builder().method(method).uri(url);
    let answer = match body {
        Some(body) => agent.run(
            request
                .header("content-type", "application/json")
                .body(body.to_string())
                .unwrap(),
        ),
        None => agent.run(request.body(()).unwrap()),
    };
    let mut answer = answer.ok()?;
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (kind, retry_after) = (
        header("content-type").unwrap_or_default(),
        header("retry-after"),
    );
    let text = answer.body_mut().read_to_string().ok()?;
    Some(Answer {
        status: answer.status().as_u16(),
        kind,
        retry_after,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
    })
}

/// Sends one request to a server that has to be there.
pub(crate) fn ask(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Answer {
    send(&client(), method, &server.url(path), body).expect("the server is gone")
}

/// Records an event and answers its id.
pub(crate) fn record(server: &Server, text: &str) -> String {
    let answer = ask(server, "POST", "/api/v1/events", Some(&event(text)));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.body["event_id"].as_str().unwrap().to_owned()
}

/// A write that the store has no room or no use for: said in the words of the interface, worth another try.
pub(crate) fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.kind, "application/problem+json", "{answer:?}");
    assert!(answer.retry_after.is_some(), "{answer:?}");
    assert_eq!(answer.body["code"], "unavailable");
    let said = answer.body.to_string().to_lowercase();
    for lower in [
        "sqlite",
        "disk",
        "i/o",
        "errno",
        "os error",
        "memory.db",
        "wal",
        "readonly",
        "malformed",
    ] {
        assert!(!said.contains(lower), "{said}");
    }
}

/// The status of `/health`.
pub(crate) fn health(server: &Server) -> u16 {
    ask(server, "GET", "/health", None).status
}

/// An event of the session `fault`.
pub(crate) fn event(text: &str) -> Value {
    json!({
        "session_id": "fault", "channel": "private", "actor": {"type": "agent", "id": "writer"},
        "kind": "message", "content": {"text": text},
    })
}

/// An event of so many bytes that hold no words, so that storing it is quick.
pub(crate) fn bulk(bytes: usize) -> Value {
    event(&"x".repeat(bytes))
}

/// The rounds of a test, ten to a file: each round looks at the whole file. `scripts/test --full crash` sets more than
/// the everyday run has.
#[expect(clippy::disallowed_methods, reason = "a test has no flags")]
pub(crate) fn rounds(everyday: usize) -> Vec<Vec<usize>> {
    let count = std::env::var("CRASH_ROUNDS").map_or(everyday, |text| text.parse().unwrap());
    let all: Vec<usize> = (0..count).collect();
    all.chunks(10).map(<[usize]>::to_vec).collect()
}

/// What was acknowledged, and what was acknowledged to be forgotten.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stored: Mutex<HashSet<String>>,
    forgotten: Mutex<HashSet<String>>,
}

impl Ledger {
    /// How many writes were acknowledged.
    pub(crate) fn len(&self) -> usize {
        locked(&self.stored).len()
    }

    /// Notes that a row was acknowledged.
    pub(crate) fn stored(&self, id: &str) {
        locked(&self.stored).insert(id.to_owned());
    }

    /// Which acknowledged rows are not there.
    pub(crate) fn lost(&self, server: &Server) -> Vec<String> {
        let (there, forgotten) = (stored_ids(server), locked(&self.forgotten));
        let acknowledged = locked(&self.stored);
        let lost = acknowledged
            .iter()
            .filter(|id| !there.contains(*id) && !forgotten.contains(*id));
        lost.cloned().collect()
    }

    /// Which rows are there again although they were forgotten.
    pub(crate) fn risen(&self, server: &Server) -> Vec<String> {
        let there = stored_ids(server);
        let forgotten = locked(&self.forgotten);
        forgotten
            .iter()
            .filter(|id| there.contains(*id))
            .cloned()
            .collect()
    }

    /// Everything acknowledged is there and nothing that was forgotten.
    pub(crate) fn assert_kept(&self, server: &Server) {
        let (lost, risen) = (self.lost(server), self.risen(server));
        assert!(
            lost.is_empty() && risen.is_empty(),
            "of {} acknowledged writes {} are lost: {lost:?}; risen: {risen:?}",
            self.len(),
            lost.len()
        );
    }
}

fn locked(ids: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    ids.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events of one batch of a writer.
pub(crate) const BATCH: usize = 20;

/// Writes events, batches and handoffs and forgets some, until the server is gone; notes what was acknowledged.
pub(crate) fn write_until_gone(api: &str, ledger: &Ledger) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let agent = client();
    let mut last = None;
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let text = format!("entry {number} of the tide gauge");
        let (method, path, body) = match (number % 10, last.take()) {
            (0, _) => ("POST", "/events/batch".to_owned(), Some(batch(number))),
            (1, _) => (
                "POST",
                "/handoff".to_owned(),
                Some(
                    json!({"session_id": "fault", "with_whom": "Ada", "learned": text, "becoming": "careful"}),
                ),
            ),
            (2, Some(id)) => {
                let answer = send(&agent, "DELETE", &format!("{api}/events/{id}"), None);
                match answer.map(|answer| answer.status) {
                    Some(204) => drop(locked(&ledger.forgotten).insert(id)),
                    Some(503) => {}
                    // It may have been carried out all the same.
                    None => {
                        locked(&ledger.stored).remove(&id);
                        return;
                    }
                    Some(status) => panic!("{status}"),
                }
                continue;
            }
            _ => ("POST", "/events".to_owned(), Some(event(&text))),
        };
        let Some(answer) = send(&agent, method, &format!("{api}{path}"), body.as_ref()) else {
            return;
        };
        match answer.status {
            201 => {
                let id = answer
                    .body
                    .get("event_id")
                    .or(answer.body.get("handoff_id"));
                let id = id.unwrap().as_str().unwrap();
                ledger.stored(id);
                last = (path == "/events").then(|| id.to_owned());
            }
            207 => {
                for item in answer.body["results"].as_array().unwrap() {
                    ledger.stored(item["event_id"].as_str().unwrap());
                }
            }
            503 => {}
            status => panic!("{status}: {}", answer.body),
        }
    }
}

/// A batch whose events say which batch they are of.
pub(crate) fn batch(number: usize) -> Value {
    let events = (0..BATCH).map(|item| event(&format!("batch {number} item {item}")));
    Value::Array(events.collect())
}

/// Every batch is there as a whole or not at all.
pub(crate) fn assert_no_half_batch(server: &Server, size: usize) {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for item in list(server, "events") {
        let text = item["content"]["text"].as_str().unwrap_or_default();
        if let Some((batch, _)) = text
            .strip_prefix("batch ")
            .and_then(|rest| rest.split_once(" item "))
        {
            *found.entry(batch.to_owned()).or_default() += 1;
        }
    }
    let halves: Vec<_> = found.iter().filter(|(_, count)| **count != size).collect();
    assert!(halves.is_empty(), "batches of {size}: {halves:?}");
}

/// Every row of a list, page by page.
pub(crate) fn list(server: &Server, of: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server
            .get(&format!("/api/v1/{of}?limit=1000{cursor}"))
            .unwrap();
        rows.extend(page[of].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return rows,
        }
    }
}

fn stored_ids(server: &Server) -> HashSet<String> {
    let ids = |of: &str, id: &str| -> Vec<String> {
        let rows = list(server, of);
        rows.iter()
            .map(|row| row[id].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all: HashSet<String> = ids("events", "event_id").into_iter().collect();
    all.extend(ids("handoffs", "handoff_id"));
    all
}

/// What `doctor` says: whether all is well, and its words.
pub(crate) fn doctor(db: &Path) -> (bool, String) {
    let output = command(db).arg("doctor").output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&words).into_owned(),
    )
}

/// `doctor` finds integrity, counts and index as they should be.
pub(crate) fn assert_sound(db: &Path) {
    let (ok, words) = doctor(db);
    assert!(ok, "{words}");
}

/// The file of a name beside the database: its log (`-wal`), its index (`-shm`).
pub(crate) fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
