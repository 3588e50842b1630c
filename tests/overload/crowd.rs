//! Many connections at once: served, or told that there are too many, and never a burden afterwards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::process::{Server, wait_for};
use crate::wire::{Wire, anonymous_mb, event, get, metric, post, status, stored};
use crate::{alone, among_others};

/// How long the crowd stays.
const LOAD: Duration = Duration::from_secs(6);
/// How long the server may take to be itself again.
const RECOVERY: Duration = Duration::from_secs(5);

/// Lets this process have as many connections as a test wants.
pub(crate) fn many_files() {
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
}

/// What one of the crowd does at each turn: half of it writes, and one in ten searches.
fn request(turn: usize) -> Vec<u8> {
    match turn % 10 {
        0 | 2 | 4 | 6 => post(
            "/api/v1/events",
            &event(&format!("the gauge of station {turn} reports")),
        ),
        1 => post(
            "/api/v1/handoff",
            &json!({"session_id": "overload", "with_whom": "Ada", "learned": "patience"}),
        ),
        3 | 5 => get("/api/v1/events?limit=10"),
        7 => post("/api/v1/recall", &json!({"query": "which gauge reports"})),
        _ => get("/api/v1/wake-up"),
    }
}

#[test]
fn five_hundred_at_once_beside_five_hundred_idle_ones() {
    let _alone = alone();
    many_files();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("memory.db"));
    let before = median(&server);
    let began = anonymous_mb(&server);
    let mut idle: Vec<_> = (0..500).map(|_| Wire::connect(&server)).collect();
    idle.iter_mut()
        .for_each(|wire| assert_eq!(wire.ask(&get("/health")).status, 200));
    let (written, served, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let end = Instant::now() + LOAD;
    let mut peak = 0;
    thread::scope(|scope| {
        for number in 0..500_usize {
            let (server, written, served, refused) = (&server, &written, &served, &refused);
            let client = thread::Builder::new().stack_size(256 * 1024);
            let work = move || {
                let mut wire = Wire::connect(server);
                let mut turn = number;
                let mut mine = 0;
                while Instant::now() < end || mine == 0 {
                    let answer = wire.ask(&request(turn));
                    match answer.status {
                        503 => {
                            assert_eq!(answer.header("retry-after"), Some("1"));
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                        200 | 201 => mine += 1,
                        _ => panic!("{}", answer.head),
                    }
                    let is_event = turn.is_multiple_of(2) && turn % 10 < 8;
                    written.fetch_add(
                        u64::from(is_event && answer.status == 201),
                        Ordering::Relaxed,
                    );
                    turn += 1;
                }
                served.fetch_add(mine, Ordering::Relaxed);
            };
            client.spawn_scoped(scope, work).unwrap();
        }
        while Instant::now() < end {
            peak = peak.max(anonymous_mb(&server));
            thread::sleep(Duration::from_millis(100));
        }
    });
    let ended = Instant::now();
    let after = wait_for("normal latency", || {
        let after = median(&server);
        (after < (before * 3).max(Duration::from_millis(100))).then_some(after)
    });
    let recovery = ended.elapsed();
    let (served, refused) = (served.into_inner(), refused.into_inner());
    eprintln!(
        "500 and 500: {served} served, {refused} refused; {began} MB before, {peak} MB at most; latency {before:?} \
         before, {after:?} within {recovery:?} after; {} threads",
        status(&server, "Threads")
    );
    assert!(recovery < RECOVERY, "{recovery:?}");
    assert!(peak < began + 300, "{began} MB became {peak} MB");
    // A whole mix of the crowd waits in the queue and is not refused.
    assert!(
        refused * 20 < served,
        "{refused} were refused and {served} served"
    );
    idle.iter_mut()
        .for_each(|wire| assert_eq!(wire.ask(&get("/health")).status, 200));
    assert_eq!(
        stored(&server),
        written.into_inner() + MEASURED.load(Ordering::Relaxed)
    );
}

static MEASURED: AtomicU64 = AtomicU64::new(0);

/// What a write and a search take now.
fn median(server: &Server) -> Duration {
    let mut wire = Wire::connect(server);
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let begun = Instant::now();
            let written = wire.ask(&post("/api/v1/events", &event("a gauge that was measured")));
            MEASURED.fetch_add(u64::from(written.status == 201), Ordering::Relaxed);
            drop(wire.ask(&request(7)));
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[4]
}

#[test]
fn a_burst_of_searches_waits_and_is_not_refused() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(&dir.path().join("memory.db"), &["--readers", "1"]);
    for number in 0..20 {
        let said = Wire::connect(&server).ask(&post(
            "/api/v1/events",
            &event(&format!("the gauge of station {number}")),
        ));
        assert_eq!(said.status, 201);
    }
    // One connection and four permits: sixty of these queue.
    let mut burst: Vec<_> = (0..64).map(|_| Wire::connect(&server)).collect();
    for wire in &mut burst {
        wire.send(&request(7));
    }
    for wire in &mut burst {
        assert_eq!(wire.answer().unwrap().status, 200);
    }
}

#[test]
fn who_comes_beyond_the_limit_is_told_so() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--max-connections", "20", "--request-timeout", "2"];
    let server = Server::start_with(&dir.path().join("memory.db"), &flags);
    let gauge = |expected: u64, wire: &mut Wire| {
        let text = String::from_utf8(wire.ask(&get("/metrics")).body).unwrap();
        text.contains(&format!("agent_memory_http_connections {expected}\n"))
    };
    // One is kept by whoever saw the server start.
    let mut open: Vec<_> = (0..19).map(|_| Wire::connect(&server)).collect();
    open.iter_mut()
        .for_each(|wire| assert_eq!(wire.ask(&get("/health")).status, 200));
    for _ in 0..5 {
        let begun = Instant::now();
        let mut beyond = Wire::connect(&server);
        beyond.send(&post("/api/v1/events", &event("one too many")));
        let answer = beyond.answer().expect("no answer");
        assert_eq!(answer.problem(503)["code"], "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
        beyond.ends();
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }
    assert!(gauge(20, &mut open[0]));
    drop(open.pop());
    wait_for("the place to be free", || {
        let mut wire = Wire::connect(&server);
        (wire.ask(&get("/health")).status == 200).then_some(())
    });
    wait_for("its end", || gauge(19, &mut open[0]).then_some(()));
    open.truncate(4);
    wait_for("their end", || gauge(5, &mut open[0]).then_some(()));
    assert_eq!(stored(&server), 0);
    let refused = metric(
        &server,
        "agent_memory_http_connections_cut_total{reason=\"full\"}",
    );
    assert!(refused >= 5, "{refused}");
    // Silent ones do not keep others out for long.
    open.truncate(1);
    wait_for("the others' end", || gauge(2, &mut open[0]).then_some(()));
    let _silent: Vec<_> = (0..18).map(|_| Wire::connect(&server)).collect();
    wait_for("the silent ones' end", || {
        (Wire::connect(&server).ask(&get("/health")).status == 200).then_some(())
    });
}

#[test]
fn what_actix_refuses_by_itself_is_a_problem_as_well() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("memory.db"));
    // Actix looks when it has read over 128 KiB, and its buffer of then may take 256 KiB at once.
    let large = format!(
        "GET /health HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n",
        "x".repeat(400_000)
    );
    for (request, status, code) in [
        ("GARBAGE\r\n\r\n", 400, "unparsable"),
        (
            "GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n",
            400,
            "unparsable",
        ),
        (large.as_str(), 431, "refused"),
    ] {
        let mut first = Wire::connect(&server);
        assert_eq!(first.ask(request.as_bytes()).problem(status)["code"], code);
        first.ends();
        // As the second on its connection, after an answer of the server's own.
        let mut second = Wire::connect(&server);
        assert_eq!(second.ask(&get("/api/v1/events")).status, 200);
        assert_eq!(second.ask(request.as_bytes()).problem(status)["code"], code);
        second.ends();
    }
    let counted =
        "agent_memory_http_requests_total{method=\"OTHER\",path=\"unmatched\",status=\"400\"}";
    assert_eq!(metric(&server, counted), 4);
}

#[test]
fn a_text_that_reads_like_a_refusal_is_no_refusal() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("memory.db"));
    let text = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".repeat(60_000);
    let mut wire = Wire::connect(&server);
    let written = wire.ask(&post("/api/v1/events", &event(&text)));
    let written: serde_json::Value = serde_json::from_slice(&written.body).unwrap();
    let path = format!(
        "/api/v1/artifacts/{}",
        written["artifact_id"].as_str().unwrap()
    );
    let read = wire.ask(&get(&path));
    assert_eq!(read.status, 200);
    let read = String::from_utf8(read.body).unwrap();
    assert!(
        read.contains(&text) || read.contains(&text.replace("\r\n", "\\r\\n")),
        "it was changed"
    );
}
