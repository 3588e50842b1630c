//! What is made of a scrape.
//!
//! **Invariant:** each judgement is tried on both sides of its bound.

use super::*;

/// A healthy server's.
const WELL: &str = r#"
agent_memory_up 1
agent_memory_uptime_seconds 7300
agent_memory_build_info{version="1.2.3",revision="abc",rustc="1.95.0",sqlite="3.51.3"} 1
agent_memory_memory_bytes{type="heap_used"} 1048576
agent_memory_memory_bytes{type="rss_anon"} 20971520
agent_memory_memory_bytes{type="external"} 2097152
agent_memory_memory_limit_bytes 104857600
agent_memory_db_pool_connections{state="total"} 4
agent_memory_db_pool_connections{state="idle"} 3
agent_memory_db_pool_connections{state="waiting"} 0
agent_memory_write_queue_depth 1
agent_memory_write_queue_capacity 1024
agent_memory_sqlite_file_bytes{file="db"} 4194304
agent_memory_sqlite_file_bytes{file="wal"} 1048576
agent_memory_sqlite_wal_frames{state="log"} 30
agent_memory_sqlite_wal_frames{state="checkpointed"} 10
agent_memory_workers{state="responsive"} 2
agent_memory_workers{state="stalled"} 0
agent_memory_http_requests_total{method="GET",path="/a",status="200"} 990
agent_memory_http_requests_total{method="GET",path="/a",status="500"} 0
agent_memory_http_requests_total{method="GET",path="/a",status="503"} 10
agent_memory_http_requests_abandoned_total 2
agent_memory_http_rejected_total{reason="overloaded"} 10
agent_memory_http_rejected_total{reason="timeout"} 0
agent_memory_http_request_duration_seconds_bucket{method="GET",path="/a",le="0.5"} 900
agent_memory_http_request_duration_seconds_bucket{method="GET",path="/a",le="1.0"} 990
agent_memory_http_request_duration_seconds_bucket{method="GET",path="/a",le="+Inf"} 1000
agent_memory_http_request_duration_seconds_count{method="GET",path="/a"} 1000
agent_memory_http_connections 5
agent_memory_http_connections_cut_total{reason="full"} 1
process_open_fds 40
process_max_fds 100
process_start_time_seconds 1000
agent_memory_panics_total 0
agent_memory_log_messages_total{level="error"} 1
agent_memory_log_messages_total{level="warn"} 2
agent_memory_events_total{kind="message"} 12
agent_memory_knowledge_notes 3
agent_memory_handoffs{compression_level="full"} 4
agent_memory_recalls_total 20
agent_memory_recalls_empty_total 5
agent_memory_storage_bytes{type="text"} 2048
agent_memory_redactions_total{kind="jwt"} 1
agent_memory_last_write_timestamp_seconds 8200
agent_memory_writes_dropped_total{reason="failed"} 0
agent_memory_spool_bytes 0
agent_memory_spool_replayed_total 0
agent_memory_spool_dropped_total 0
agent_memory_redaction_enabled 1
"#;

fn said(text: &str) -> Vec<String> {
    let line = |finding: Finding| {
        let mark = if finding.ok { "ok" } else { "LOOK" };
        format!("{mark} {}: {}", finding.about, finding.says)
    };
    explain(text).unwrap().into_iter().map(line).collect()
}

#[test]
fn says_how_a_healthy_server_is() {
    let expected = [
        "ok server: version 1.2.3 (abc), up for 2 hours; the store can be used",
        "ok memory: 20 MiB for itself (1 MiB in use by the program, 2 MiB by SQLite), 20 % of 100 MiB",
        "ok readers: 3 of 4 connections free, 0 calls waiting",
        "ok writer: 1 of 1024 places in the queue taken",
        "ok file: 4 MiB, and 1 MiB of log of which 20 pages are not in the file yet",
        "ok workers: 2 responsive, 0 stalled",
        "ok requests: 1000 answered, 0 of them 500 and 10 503; 2 left before their answer; refused: 10 overloaded",
        "ok latency: GET /a: 1000 times, half at most 500 ms, the slowest hundredth at most 1 s",
        "ok connections: 5 open, 1 ended by the server; 40 of 100 files open",
        "ok faults: 0 panics, 1 errors and 2 warnings in the log",
        "ok memories: 12 events ever, 4 handoffs and 3 notes now, 2 KiB of text; 20 searches, 5 of them found nothing; \
         1 secrets kept out; last write 100 seconds ago",
        "ok spool: nothing waits to be stored",
        "ok secrets: secrets are taken out of what is stored",
    ];
    assert_eq!(said(WELL), expected);
}

#[test]
fn each_bound_has_two_sides() {
    for (about, well, ill) in [
        ("server", "agent_memory_up 1", "agent_memory_up 0"),
        (
            "memory",
            "type=\"rss_anon\"} 20971520",
            "type=\"rss_anon\"} 94371840",
        ),
        ("readers", "state=\"waiting\"} 0", "state=\"waiting\"} 4"),
        (
            "writer",
            "agent_memory_write_queue_depth 1",
            "agent_memory_write_queue_depth 820",
        ),
        ("file", "file=\"wal\"} 1048576", "file=\"wal\"} 134217728"),
        ("workers", "state=\"stalled\"} 0", "state=\"stalled\"} 1"),
        ("requests", "status=\"500\"} 0", "status=\"500\"} 1"),
        ("requests", "status=\"503\"} 10", "status=\"503\"} 11"),
        ("latency", "le=\"1.0\"} 990", "le=\"1.0\"} 989"),
        ("connections", "process_open_fds 40", "process_open_fds 90"),
        (
            "faults",
            "agent_memory_panics_total 0",
            "agent_memory_panics_total 1",
        ),
    ] {
        assert!(WELL.contains(well), "{well}");
        let wrong: Vec<_> = explain(&WELL.replace(well, ill))
            .unwrap()
            .into_iter()
            .filter(|finding| !finding.ok)
            .map(|finding| finding.about)
            .collect();
        assert_eq!(wrong, [about], "{ill}");
    }
    assert!(explain(WELL).unwrap().iter().all(|finding| finding.ok));
}

#[test]
fn a_long_log_that_is_all_in_the_file_is_no_fault() {
    let text = WELL
        .replace("file=\"wal\"} 1048576", "file=\"wal\"} 134217728")
        .replace("state=\"checkpointed\"} 10", "state=\"checkpointed\"} 30");
    assert!(explain(&text).unwrap().iter().all(|finding| finding.ok));
}

#[test]
fn a_few_slow_requests_say_nothing() {
    let text = WELL
        .replace("path=\"/a\",le=\"0.5\"} 900", "path=\"/a\",le=\"0.5\"} 0")
        .replace("path=\"/a\",le=\"1.0\"} 990", "path=\"/a\",le=\"1.0\"} 0")
        .replace("le=\"+Inf\"} 1000", "le=\"+Inf\"} 99")
        .replace(
            "duration_seconds_count{method=\"GET\",path=\"/a\"} 1000",
            "duration_seconds_count{method=\"GET\",path=\"/a\"} 99",
        );
    assert!(explain(&text).unwrap().iter().all(|finding| finding.ok));
}

#[test]
fn another_server_is_told_apart() {
    assert!(explain("up 1\n").is_err());
    assert!(explain("<html>nginx</html>").is_err());
    assert!(explain("").is_err());
}
