//! Several processes on one file: nobody starves, nobody is told that the database is locked.
//!
//! A crate of its own, since Cargo runs test crates one after the other: what is timed here wants the machine for itself.
//!
//! **Invariant:** one test at a time, and none without a bound.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../it/process.rs"]
#[allow(
    dead_code,
    reason = "shared with the other crate, which uses more of it"
)]
mod process;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use agent_memory::clock::Clock;
use agent_memory::config::{Global, store_options};
use agent_memory::domain::event::EventDraft;
use agent_memory::domain::{Caller, TenantId};
use agent_memory::service::{Limits, Services};
use agent_memory::store::Role;
use serde_json::json;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

use process::{Server, client, command};

/// Writes of the third process; enough for a 99th percentile.
const WRITES: usize = 300;
/// What the third process may wait at the 99th percentile while two others write flat out, or twice what they wait
/// themselves: on a machine that can do no better, a writer that has to wait as they do is not starved.
const P99: Duration = Duration::from_millis(50);

/// What is timed here is not looked at.
fn watched(config: ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope> {
    config
}

/// Held by each test while it measures.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_modest_writer_is_not_starved_by_two_greedy_ones() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let servers = [Server::start(&db), Server::start(&db)];
    let (stop, waits) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let mut times = Vec::with_capacity(WRITES);
    thread::scope(|scope| {
        for server in &servers {
            for _ in 0..4 {
                let (url, stop, waits) = (server.url("/api/v1/events"), &stop, &waits);
                scope.spawn(move || flood(&url, stop, waits));
            }
        }
        let services = third_process(&db);
        let caller = Caller::local(TenantId::default_tenant());
        for number in 0..WRITES {
            let begun = Instant::now();
            services
                .record_event(&caller, draft(number), None)
                .unwrap()
                .wait()
                .unwrap();
            times.push(begun.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
    });
    let waits = waits.into_inner().unwrap();
    let greedy = waits.len();
    assert!(greedy > WRITES, "the greedy ones were not greedy");
    let ((p50, p99), (_, theirs)) = (percentiles(times), percentiles(waits));
    eprintln!(
        "third process: p50 {p50:?}, p99 {p99:?}; the greedy ones wrote {greedy}, p99 {theirs:?}"
    );
    assert!(p99 < P99.max(2 * theirs), "p99 {p99:?}, theirs {theirs:?}");
}

#[test]
fn commands_work_on_the_file_of_a_busy_server() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start(&db);
    let (stop, waits) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            let url = server.url("/api/v1/events");
            let (stop, waits) = (&stop, &waits);
            scope.spawn(move || flood(&url, stop, waits));
        }
        for number in 0..20 {
            let output = command(&db)
                .args(["record", &format!("from the command line {number}")])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    let output = command(&db).args(["--json", "status"]).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        status["stats"]["events.message"],
        json!(waits.into_inner().unwrap().len() + 20)
    );
}

#[test]
fn a_command_is_ready_in_ten_milliseconds() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    drop(third_process(&db));
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            drop(third_process(&db));
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    assert!(
        times[10] <= Duration::from_millis(10),
        "median {:?}",
        times[10]
    );
}

/// What a command process does, in this one: a store of its own with its own locks.
fn third_process(db: &Path) -> Services {
    let global = Global {
        db: Some(db.to_owned()),
        json: false,
        tenant: "default".to_owned(),
        redact: agent_memory::config::RedactArg::On,
    };
    let options = store_options(&global, Role::Command).unwrap();
    agent_memory::app::open(
        &options,
        Clock::System,
        Limits {
            max_artifact_bytes: 1 << 24,
        },
    )
    .unwrap()
}

fn draft(number: usize) -> EventDraft {
    serde_json::from_value(body(number)).unwrap()
}

fn body(number: usize) -> serde_json::Value {
    json!({
        "session_id": "load", "channel": "private", "actor": {"type": "agent", "id": "writer"}, "kind": "message",
        "content": {"text": format!("the gauge of station {number} reports {} cm above normal", number % 97)},
    })
}

/// Writes until it is told to stop, and adds what each write took.
fn flood(url: &str, stop: &AtomicBool, waits: &Mutex<Vec<Duration>>) {
    let agent = client();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let begun = Instant::now();
        let answer = agent.post(url).send_json(body(number)).unwrap();
        assert_eq!(answer.status(), 201, "a greedy writer was refused");
        waits.lock().unwrap().push(begun.elapsed());
    }
}

/// The middle, and what one of a hundred is above.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100 - 1])
}
