//! Clients that are slow on purpose: every one of them is done with in bounded time, and the others do not notice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Server, wait_for};
use crate::wire::{Wire, anonymous_mb, event, get, metric, post};
use crate::{alone, among_others};

/// What a request may take, by flag.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What its refusal may take beyond, on a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// From one byte of a drip to the next: slow enough to be too slow, fast enough to show that bytes buy no time.
const DRIP: Duration = Duration::from_millis(150);

const POST: &str =
    "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

fn server(dir: &tempfile::TempDir) -> Server {
    Server::start_with(&dir.path().join("memory.db"), &["--request-timeout", "2"])
}

fn bytes(text: &str) -> impl Iterator<Item = Vec<u8>> {
    text.bytes().map(|byte| vec![byte])
}

fn chunks() -> impl Iterator<Item = Vec<u8>> {
    std::iter::repeat_with(|| b"1\r\n \r\n".to_vec())
}

/// A way to be slow.
type Slow = (&'static str, fn(&mut Wire));

/// Each of these is answered 408.
const SLOW: &[Slow] = &[
    ("says nothing", |_| {}),
    ("half a head", |wire| {
        wire.send(b"GET /api/v1/events HTTP/1.1\r\nhost: loc");
    }),
    ("a head by drips", |wire| {
        let long = format!(
            "GET /health HTTP/1.1\r\nhost: localhost\r\nx-padding: {}",
            "x".repeat(500)
        );
        wire.drip(bytes(&long), DRIP, TIMEOUT + SLACK);
    }),
    ("the second head by drips", |wire| {
        assert_eq!(wire.ask(&get("/health")).status, 200);
        let long = format!(
            "GET /health HTTP/1.1\r\nhost: localhost\r\nx-padding: {}",
            "x".repeat(500)
        );
        wire.drip(bytes(&long), DRIP, TIMEOUT + SLACK);
    }),
    ("half a body", |wire| {
        wire.send(format!("{POST}content-length: 500\r\n\r\n{{").as_bytes());
    }),
    ("a body by drips", |wire| {
        wire.send(format!("{POST}content-length: 5000\r\n\r\n").as_bytes());
        wire.drip(bytes(&" ".repeat(5000)), DRIP, TIMEOUT + SLACK);
    }),
    ("a body by drips of chunks", |wire| {
        wire.send(format!("{POST}transfer-encoding: chunked\r\n\r\n").as_bytes());
        wire.drip(chunks(), DRIP, TIMEOUT + SLACK);
    }),
    ("an import by drips", |wire| {
        let head =
            "POST /api/v1/import HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        wire.send(head.as_bytes());
        wire.drip(chunks(), DRIP, TIMEOUT + SLACK);
    }),
];

#[test]
fn a_slow_request_is_answered_408_and_the_others_do_not_notice() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir);
    let done = AtomicBool::new(false);
    let mut times = Vec::new();
    thread::scope(|scope| {
        let slow: Vec<_> = SLOW
            .iter()
            .flat_map(|way| std::iter::repeat_n(way, 4))
            .map(|(what, act)| {
                let server = &server;
                scope.spawn(move || {
                    let begun = Instant::now();
                    let mut wire = Wire::connect(server);
                    act(&mut wire);
                    let answer = wire.answer().unwrap_or_else(|| panic!("{what}: no answer"));
                    assert_eq!(answer.problem(408)["code"], "timeout", "{what}");
                    wire.ends();
                    let took = begun.elapsed();
                    assert!(took < TIMEOUT + SLACK, "{what}: {took:?}");
                    assert!(took >= TIMEOUT.mul_f32(0.9), "{what}: {took:?}, too early");
                })
            })
            .collect();
        scope.spawn(|| {
            let ended: Vec<_> = slow
                .into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect();
            done.store(true, Ordering::Relaxed);
            ended.into_iter().for_each(|ended| ended.unwrap());
        });
        let mut normal = Wire::connect(&server);
        while !done.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let written = normal.ask(&post("/api/v1/events", &event("beside slow clients")));
            assert_eq!(written.status, 201);
            assert_eq!(normal.ask(&get("/api/v1/wake-up")).status, 200);
            times.push(begun.elapsed());
        }
    });
    times.sort_unstable();
    let (median, p95) = (times[times.len() / 2], times[times.len() * 95 / 100]);
    eprintln!(
        "beside slow clients: {} times, median {median:?}, p95 {p95:?}",
        times.len()
    );
    assert!(median < Duration::from_millis(100), "median {median:?}");
    assert!(p95 < Duration::from_millis(500), "p95 {p95:?}");
    let cut = metric(
        &server,
        "agent_memory_http_connections_cut_total{reason=\"slow_head\"}",
    );
    assert_eq!(cut, 4 * 4);
    wait_for("the connections to be gone", || {
        // The one that asks, and that of whoever saw the server start.
        (metric(&server, "agent_memory_http_connections") <= 2).then_some(())
    });
}

#[test]
fn a_body_that_nobody_wants_keeps_no_connection() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir);
    let nowhere = "POST /nowhere HTTP/1.1\r\nhost: localhost\r\n";
    thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let mut wire = Wire::connect(&server);
            wire.send(format!("{nowhere}transfer-encoding: chunked\r\n\r\n").as_bytes());
            assert_eq!(wire.answer().unwrap().status, 404);
            let end = begun + TIMEOUT + 2 * SLACK;
            while wire.send(b"1\r\n \r\n") {
                assert!(Instant::now() < end, "the drips are still taken");
                thread::sleep(DRIP);
            }
        });
        scope.spawn(|| {
            let begun = Instant::now();
            let mut wire = Wire::connect(&server);
            wire.send(format!("{nowhere}content-length: 1000000\r\n\r\n").as_bytes());
            assert_eq!(wire.answer().unwrap().status, 404);
            wire.ends();
            assert!(begun.elapsed() < TIMEOUT + SLACK);
        });
    });
}

/// An event with a text of ten megabytes, and where to read it.
fn long_text(server: &Server) -> String {
    let text = "tide table of the harbour ".repeat(10_000_000 / 26);
    let written = Wire::connect(server).ask(&post("/api/v1/events", &event(&text)));
    assert_eq!(written.status, 201);
    let written: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    format!(
        "/api/v1/artifacts/{}",
        written["artifact_id"].as_str().unwrap()
    )
}

/// A client that asks for a long text and reads as far as the status.
fn ask_and_read_no_more(server: &Server, path: &str) -> Wire {
    let mut wire = Wire::connect(server);
    wire.shrink();
    wire.send(&get(path));
    wire.fill().expect("closed before it was answered");
    wire
}

#[test]
fn answers_that_nobody_reads_fill_no_memory() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let path = long_text(&Server::start(&db));
    let server = Server::start_with(&db, &["--request-timeout", "300"]);
    let began = anonymous_mb(&server);
    let clients: Vec<_> = (0..32)
        .map(|_| ask_and_read_no_more(&server, &path))
        .collect();
    let refused = clients.iter().filter(|wire| wire.has_status(503)).count();
    let filled = anonymous_mb(&server);
    eprintln!("32 that do not read: {refused} refused, {began} MB before, {filled} MB then");
    // 256 MiB are room for 26 of them.
    assert!((5..=7).contains(&refused), "{refused} of 32 were refused");
    assert!(filled < began + 400, "{filled} MB");
    let written = Wire::connect(&server).ask(&post("/api/v1/events", &event("meanwhile")));
    assert_eq!(written.status, 201);
    drop(clients);
    wait_for("the room to be free again", || {
        (Wire::connect(&server).ask(&get(&path)).status == 200).then_some(())
    });
}

#[test]
fn clients_that_do_not_read_are_cut_off() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let path = long_text(&Server::start(&db));
    let server = Server::start_with(&db, &["--request-timeout", "2"]);
    let begun = Instant::now();
    let clients: Vec<_> = (0..3)
        .map(|_| ask_and_read_no_more(&server, &path))
        .collect();
    let cut = "agent_memory_http_connections_cut_total{reason=\"slow_reader\"}";
    wait_for("those that do not read to be cut off", || {
        (metric(&server, cut) == 3).then_some(())
    });
    assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
    wait_for("their connections to be gone", || {
        (metric(&server, "agent_memory_http_connections") <= 2).then_some(())
    });
    drop(clients);
}

#[test]
fn a_client_that_reads_steadily_gets_all_of_it() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let path = long_text(&Server::start(&db));
    let server = Server::start_with(&db, &["--request-timeout", "1"]);
    let mut wire = Wire::connect(&server);
    wire.shrink();
    let begun = Instant::now();
    wire.send(&get(&path));
    let mut read = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        // 640 KB/s: beyond what the pace asks for, and longer than a request may take in all.
        read += wire
            .fill()
            .unwrap_or_else(|| panic!("cut off after {read} bytes"));
        thread::sleep(Duration::from_millis(50));
    }
    let answer = wire.answer().expect("cut off");
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 9_900_000);
}

#[test]
fn bodies_that_come_slowly_fill_no_memory() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(&dir.path().join("memory.db"), &["--request-timeout", "20"]);
    let began = anonymous_mb(&server);
    let head = format!("{POST}content-length: 10000000\r\n\r\n");
    let part = vec![b' '; 9_000_000];
    let mut clients: Vec<_> = (0..40)
        .map(|_| {
            let mut wire = Wire::connect(&server);
            // One that was refused is no longer read.
            let _taken = wire.send(head.as_bytes()) && wire.send(&part);
            wire
        })
        .collect();
    wait_for("the bodies to be read or refused", || {
        let refused = metric(
            &server,
            "agent_memory_http_requests_total{method=\"POST\",path=\"/api/v1/events\",status=\"503\"}",
        );
        (refused >= 10).then_some(())
    });
    let filled = anonymous_mb(&server);
    eprintln!("forty slow bodies: {began} MB before, {filled} MB then");
    assert!(filled < began + 400, "{filled} MB");
    let refused = clients.last_mut().unwrap().answer().expect("no answer");
    assert_eq!(refused.problem(503)["code"], "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(
        Wire::connect(&server)
            .ask(&post("/api/v1/events", &event("a short one")))
            .status,
        201
    );
}
