//! `kill -9` in the middle of concurrent writes: what was acknowledged is there, and the file is sound.
//!
//! A kill does not empty the page cache, so this proves order and atomicity, not that an fsync was made.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Server, client, command, wait_for};

/// Rounds in the everyday run; `scripts/test --full crash` sets more.
const ROUNDS: usize = 10;
const WRITERS: usize = 8;
/// Acknowledged writes before the kill, so that each round kills a busy server.
const WRITES_BEFORE_KILL: usize = 40;

#[test]
fn nothing_acknowledged_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    #[expect(clippy::disallowed_methods, reason = "a test has no flags")]
    let rounds = std::env::var("CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let acknowledged = Mutex::new(HashSet::new());
    for round in 0..rounds {
        let mut server = Server::start(&db);
        let before = acknowledged.lock().unwrap().len();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (url, acknowledged) = (server.url("/api/v1"), &acknowledged);
                scope.spawn(move || write_until_gone(&url, round, writer, acknowledged));
            }
            wait_for("some acknowledged writes", || {
                (acknowledged.lock().unwrap().len() >= before + WRITES_BEFORE_KILL).then_some(())
            });
            thread::sleep(Duration::from_millis(
                u64::try_from(round * 7 % 50).unwrap(),
            ));
            server.kill();
        });
    }
    let mut server = Server::start(&db);
    let stored = stored_ids(&server);
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged writes are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(server.terminate().success());
    assert_sound(&db);
}

#[test]
fn an_interrupted_deletion_goes_on_after_the_restart() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    let events: Vec<Value> = (0..1000)
        .map(|number| event(&format!("doomed {number}")))
        .collect();
    let answer = client()
        .post(server.url("/api/v1/events/batch"))
        .send_json(&events)
        .unwrap();
    assert_eq!(answer.status(), 207);
    let answer = client()
        .delete(server.url("/api/v1/tenants/default"))
        .call()
        .unwrap();
    assert_eq!(answer.status(), 202);
    server.kill();
    let mut server = Server::start(&db);
    assert_eq!(server.get("/api/v1/events").unwrap()["events"], json!([]));
    wait_for("the job's end", || {
        (server.get("/health/detailed")?["store"]["open_jobs"] == json!(0)).then_some(())
    });
    assert!(server.terminate().success());
    assert_sound(&db);
}

fn event(text: &str) -> Value {
    json!({
        "session_id": "crash", "channel": "private", "actor": {"type": "agent", "id": "writer"},
        "kind": "message", "content": {"text": text},
    })
}

/// Writes single events, batches and handoffs until the server is gone, noting what was acknowledged.
fn write_until_gone(api: &str, round: usize, writer: usize, acknowledged: &Mutex<HashSet<String>>) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let agent = client();
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let text = format!("round {round} writer {writer} number {number} of the tide gauge");
        let (path, body) = match number % 10 {
            0 => (
                "/events/batch",
                json!([event(&text), event(&format!("{text} again"))]),
            ),
            1 => (
                "/handoff",
                json!({"session_id": "crash", "with_whom": "Ada", "learned": text, "becoming": "careful"}),
            ),
            _ => ("/events", event(&text)),
        };
        let Ok(mut answer) = agent.post(format!("{api}{path}")).send_json(&body) else {
            return;
        };
        let Ok(body) = answer.body_mut().read_json::<Value>() else {
            return;
        };
        let mut ids = acknowledged.lock().unwrap();
        match answer.status().as_u16() {
            201 => drop(
                ids.insert(
                    body.get("event_id")
                        .or(body.get("handoff_id"))
                        .unwrap()
                        .as_str()
                        .unwrap()
                        .to_owned(),
                ),
            ),
            207 => ids.extend(
                body["results"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["event_id"].as_str().unwrap().to_owned()),
            ),
            503 => {}
            status => panic!("{status}: {body}"),
        }
    }
}

fn stored_ids(server: &Server) -> HashSet<String> {
    let mut ids = HashSet::new();
    for (list, id) in [("events", "event_id"), ("handoffs", "handoff_id")] {
        let mut cursor = String::new();
        loop {
            let page = server
                .get(&format!("/api/v1/{list}?limit=1000{cursor}"))
                .unwrap();
            ids.extend(
                page[list]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item[id].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    ids
}

/// `doctor` finds integrity, counts and index as they should be.
fn assert_sound(db: &Path) {
    let output = command(db).arg("doctor").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}
