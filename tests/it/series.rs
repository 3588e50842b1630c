//! The store's own series: each counts what happened, once; and the ways in which `agent_memory_up` becomes 0.

use std::fs::File;

use serde_json::json;

use crate::harness::{Scrape, TestApp};
use crate::process::{Server, wait_for};

/// What the sums of the histogram's buckets say, and what they hold.
fn distribution(scrape: &Scrape, name: &str, labels: &str) -> (f64, f64) {
    let of = |suffix: &str| scrape.value(&format!("{name}_{suffix}{labels}"));
    (of("count"), of("sum"))
}

#[test]
fn each_write_waits_once_and_belongs_to_one_group() {
    let app = TestApp::start();
    let before = app.scrape();
    assert_eq!(
        before.value("agent_memory_last_write_timestamp_seconds"),
        0.0
    );
    for number in 0..20 {
        app.say(&format!("entry {number}"));
    }
    app.record(json!({"kind": "nonsense"})).problem(422);
    let after = app.scrape();
    let grown = |name: &str, labels: &str| {
        let (then, now) = (
            distribution(&before, name, labels),
            distribution(&after, name, labels),
        );
        (now.0 - then.0, now.1 - then.1)
    };
    let (waits, waited) = grown("agent_memory_write_queue_wait_seconds", "");
    let (groups, units) = grown("agent_memory_write_batch_size", "");
    let (commits, committing) = grown("agent_memory_sqlite_commit_duration_seconds", "");
    let (events, working) = grown(
        "agent_memory_sqlite_statement_duration_seconds",
        "{op=\"event_write\"}",
    );
    assert_eq!(events, 20.0);
    assert_eq!(waits, units);
    assert!(groups <= units && units >= 20.0, "{units} in {groups}");
    // The store's own upkeep commits too, and is no group that anybody waits for.
    let (flushes, _) = grown(
        "agent_memory_sqlite_statement_duration_seconds",
        "{op=\"flush\"}",
    );
    assert!(commits >= groups, "{commits} of {groups}");
    // One of them may be between its flush and its commit.
    assert!(
        (flushes - commits).abs() <= 1.0,
        "{flushes} before {commits}"
    );
    assert!(waited > 0.0 && committing > 0.0 && working > 0.0);
    let committed = "agent_memory_write_batches_total{outcome=\"committed\"}";
    assert_eq!(after.value(committed) - before.value(committed), groups);
    assert!(after.value("agent_memory_last_write_timestamp_seconds") > 1.7e9);
}

#[test]
fn each_read_keeps_a_connection_once() {
    let app = TestApp::start();
    app.say("the tide gauge is read at noon");
    let held = |scrape: &Scrape| {
        distribution(
            scrape,
            "agent_memory_db_pool_hold_seconds",
            "{role=\"reader\"}",
        )
        .0
    };
    let waited = |scrape: &Scrape| {
        distribution(
            scrape,
            "agent_memory_db_pool_wait_seconds",
            "{role=\"reader\"}",
        )
        .0
    };
    // Now and then a job thread looks as well, at most every ten seconds, and a round takes some milliseconds: so no round has
    // fewer than the requests, and at least half of them have no more.
    let mut rounds = Vec::new();
    let mut after = app.scrape();
    for _ in 0..4 {
        let before = after;
        for _ in 0..10 {
            app.get("/api/v1/events").ok();
        }
        after = app.scrape();
        let (helds, waits) = (
            held(&after) - held(&before),
            waited(&after) - waited(&before),
        );
        rounds.push((helds, waits));
    }
    assert!(
        rounds
            .iter()
            .all(|(held, waited)| *held >= 10.0 && *waited >= 10.0),
        "{rounds:?}"
    );
    let exact = rounds.iter().filter(|round| **round == (10.0, 10.0));
    assert!(exact.count() >= 2, "{rounds:?}");
    assert_eq!(
        after.value("agent_memory_sqlite_oldest_reader_seconds"),
        0.0
    );
    assert_eq!(
        after.value("agent_memory_db_pool_max_connections{role=\"reader\"}"),
        2.0
    );
}

#[test]
fn a_search_is_counted_with_what_it_found() {
    let app = TestApp::start();
    for number in 0..3 {
        app.say(&format!("the tide gauge stands at {number}"));
    }
    let found = app.recall("tide gauge").len();
    app.recall("xylographer");
    let scrape = app.scrape();
    let (searches, answers) =
        distribution(&scrape, "agent_memory_search_results", "{mode=\"fts\"}");
    assert_eq!(searches, 2.0);
    assert_eq!(answers, f64::from(u32::try_from(found).unwrap()));
    assert_eq!(
        scrape.value("agent_memory_search_results_bucket{mode=\"fts\",le=\"0.0\"}"),
        1.0
    );
    let (timed, took) = distribution(
        &scrape,
        "agent_memory_search_duration_seconds",
        "{mode=\"fts\"}",
    );
    assert!((timed, took > 0.0) == (2.0, true), "{timed} {took}");
}

#[test]
fn the_first_scrape_knows_the_file_and_its_disk() {
    let app = TestApp::start();
    let scrape = app.scrape();
    let pages = scrape.value("agent_memory_sqlite_pages");
    assert!(pages > 0.0);
    assert_eq!(scrape.value("agent_memory_sqlite_page_size_bytes"), 4096.0);
    assert!(scrape.value("agent_memory_sqlite_freelist_pages") < pages);
    assert!(scrape.value("agent_memory_filesystem_avail_bytes") > 0.0);
    assert!(
        scrape.value("agent_memory_filesystem_avail_bytes")
            <= scrape.value("agent_memory_filesystem_size_bytes")
    );
    assert!(scrape.value("agent_memory_sampler_last_run_timestamp_seconds") > 1.7e9);
    assert!(scrape.value("agent_memory_sqlite_file_bytes{file=\"shm\"}") > 0.0);
}

#[test]
fn a_thousand_tenants_add_no_series() {
    let app = TestApp::start();
    let before = app.scrape();
    for number in 0..1_000 {
        let tenant = format!("tenant-{number}");
        app.record(json!({"tenant_id": tenant, "session_id": format!("s-{number}"), "actor": {"type": "agent", "id": tenant}}))
            .created();
    }
    let after = app.scrape();
    assert_eq!(after.value("agent_memory_sessions"), 1_000.0);
    assert_eq!(after.names(), before.names());
}

#[test]
fn a_writer_that_gets_no_turn_is_not_up_until_it_does() {
    let app = TestApp::start();
    app.say("there is a turn to take");
    let up = || app.metric("agent_memory_up");
    assert_eq!(up(), 1.0);
    let lock = |suffix: &str| File::open(format!("{}.{suffix}", app.file().display())).unwrap();
    let turn = lock("turn");
    turn.lock().unwrap();
    wait_for("a heartbeat that is too old", || {
        (up() == 0.0).then_some(())
    });
    turn.unlock().unwrap();
    wait_for("the next heartbeat", || (up() == 1.0).then_some(()));
}

#[test]
fn a_start_after_a_kill_is_dirty_and_one_after_an_ending_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let dirty = |server: &Server| {
        let mut answer = ureq::get(server.url("/metrics")).call().unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("agent_memory_sqlite_dirty_startup "));
        line.unwrap().to_owned()
    };
    let write = |server: &Server| {
        let event = json!({"session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message", "content": {"text": "x"}});
        let sent = ureq::post(server.url("/api/v1/events")).send_json(event);
        assert_eq!(sent.unwrap().status(), 201);
    };
    let mut server = Server::start(&db);
    assert_eq!(dirty(&server), "0");
    write(&server);
    assert!(server.terminate().success());
    let mut server = Server::start(&db);
    assert_eq!(dirty(&server), "0");
    write(&server);
    server.kill();
    let server = Server::start(&db);
    assert_eq!(dirty(&server), "1");
}

/// What is shipped takes no faults: it knows no such option, and has no such word in it.
#[cfg(not(feature = "fault"))]
#[test]
fn the_binary_takes_no_faults() {
    let dir = tempfile::tempdir().unwrap();
    let option = ["--fault", "socket"].join("-");
    let mut serve = crate::process::command(&dir.path().join("memory.db"));
    let refused = serve
        .args(["serve", &option, "somewhere"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("unexpected argument"), "{said}");
    let binary = std::fs::read(crate::process::BINARY).unwrap();
    let holds = |words: &[&str]| {
        let word = words.concat();
        let mut windows = binary.windows(word.len());
        windows.any(|window| window == word.as_bytes())
    };
    assert!(
        holds(&["max-", "connections"]),
        "nothing is found in the binary"
    );
    for absent in [
        ["fault-", "socket"],
        ["slow-", "reads"],
        ["panic-", "blocking"],
        ["a fault on ", "purpose"],
    ] {
        assert!(!holds(&absent), "{absent:?}");
    }
}
