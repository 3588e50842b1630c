//! More writes than can wait: refused at once, and what was acknowledged is there.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crowd::many_files;
use crate::process::{Server, wait_for};
use crate::wire::{Wire, event, get, metric, post, stored};
use crate::{alone, among_others};

/// What a refusal may take.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The write turn, as another process holds it while it writes.
fn take_turn(db: &Path) -> File {
    let turn = File::options()
        .write(true)
        .open(format!("{}.turn", db.display()))
        .unwrap();
    turn.lock().unwrap();
    turn
}

#[test]
fn a_full_queue_refuses_at_once_and_loses_nothing_that_it_took() {
    let _alone = alone();
    many_files();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start_with(&db, &["--max-connections", "3000"]);
    assert_eq!(
        Wire::connect(&server)
            .ask(&post("/api/v1/events", &event("before")))
            .status,
        201
    );
    let turn = take_turn(&db);
    let capacity = metric(&server, "agent_memory_write_queue_capacity");
    let mut waiting = Vec::new();
    let depth = || metric(&server, "agent_memory_write_queue_depth");
    while depth() < capacity {
        assert!(waiting.len() < 2000, "the queue does not fill");
        for _ in 0..64 {
            let mut wire = Wire::connect(&server);
            wire.send(&post(
                "/api/v1/events",
                &event(&format!("waits {}", waiting.len())),
            ));
            waiting.push(wire);
        }
    }
    let mut times = Vec::new();
    let mut client = Wire::connect(&server);
    for _ in 0..50 {
        let begun = Instant::now();
        let answer = client.ask(&post("/api/v1/events", &event("one too many")));
        times.push(begun.elapsed());
        assert_eq!(answer.problem(503)["code"], "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
        // Whoever reads does not notice.
        for path in [
            "/api/v1/events",
            "/api/v1/wake-up",
            "/api/v1/search?q=before",
        ] {
            assert_eq!(client.ask(&get(path)).status, 200);
        }
    }
    drop(turn);
    times.sort_unstable();
    eprintln!(
        "a full queue refuses in {:?}, at worst {:?}",
        times[25], times[49]
    );
    // The worst few are the machine's.
    assert!(times[45] < AT_ONCE, "{times:?}");
    let statuses: Vec<_> = waiting
        .iter_mut()
        .map(|wire| wire.answer().unwrap().status)
        .collect();
    let (taken, refused): (Vec<_>, Vec<_>) =
        statuses.into_iter().partition(|status| *status == 201);
    assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
    assert!(taken.len() as u64 >= capacity);
    // Exactly what was acknowledged.
    assert_eq!(stored(&server), 1 + taken.len() as u64);
    assert_eq!(
        client.ask(&post("/api/v1/events", &event("after"))).status,
        201
    );
}

#[test]
fn a_write_that_took_too_long_may_get_there_and_is_told_so_when_repeated() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start_with(&db, &["--request-timeout", "1"]);
    assert_eq!(
        Wire::connect(&server)
            .ask(&post("/api/v1/events", &event("before")))
            .status,
        201
    );
    let turn = take_turn(&db);
    let named = |number: usize| {
        let mut event = event(&format!("late {number}"));
        event["event_id"] = json!(format!("evt_{number:032x}"));
        event
    };
    let mut clients: Vec<_> = (0..5).map(|_| Wire::connect(&server)).collect();
    for (number, wire) in clients.iter_mut().enumerate() {
        wire.send(&post("/api/v1/events", &named(number)));
    }
    for wire in &mut clients {
        assert_eq!(wire.answer().unwrap().problem(408)["code"], "timeout");
    }
    drop(turn);
    wait_for("the writes to get there", || {
        (stored(&server) == 6).then_some(())
    });
    for number in 0..clients.len() {
        let again = Wire::connect(&server).ask(&post("/api/v1/events", &named(number)));
        assert!([200, 201].contains(&again.status), "{}", again.head);
        let again: Value = serde_json::from_slice(&again.body).unwrap();
        assert_eq!(again["event_id"], format!("evt_{number:032x}"));
    }
    assert_eq!(stored(&server), 6);
}
