//! What the real binary says of its own process, and what `doctor --metrics` makes of it.

use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::process::{Server, client, command, wait_for};

fn text(server: &Server) -> String {
    let mut answer = client().get(server.url("/metrics")).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

fn value(text: &str, series: &str) -> f64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}"))
        .parse()
        .unwrap()
}

fn note(server: &Server, text: &str) {
    let body = json!({"content": text});
    let answer = client()
        .post(server.url("/api/v1/knowledge"))
        .send_json(&body);
    assert_eq!(answer.unwrap().status(), 201);
}

/// How `doctor --metrics` ended, and what it said.
fn doctor(url: &str, more: &[&str]) -> (i32, String, String) {
    let output = command(Path::new("/nowhere/memory.db"))
        .args(["doctor", "--metrics", "--url", url])
        .args(more)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_process_is_described_as_the_kernel_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("m.db"));
    for index in 0..50 {
        note(&server, &format!("note {index}"));
    }
    let scrape = text(&server);
    let proc =
        |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", server.id())).unwrap();
    let status = proc("status");
    let kibibytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let word = line.unwrap().split_whitespace().next().unwrap();
        word.parse::<f64>().unwrap() * 1024.0
    };
    for (series, expected) in [
        (
            "agent_memory_memory_bytes{type=\"rss\"}",
            kibibytes("VmRSS:"),
        ),
        (
            "agent_memory_memory_bytes{type=\"rss_anon\"}",
            kibibytes("RssAnon:"),
        ),
        ("process_resident_memory_bytes", kibibytes("VmRSS:")),
        ("process_virtual_memory_bytes", kibibytes("VmSize:")),
    ] {
        let seen = value(&scrape, series);
        assert!(
            (seen / expected - 1.0).abs() < 0.1,
            "{series} {seen} {expected}"
        );
    }
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    let threads: f64 = threads.unwrap().trim().parse().unwrap();
    assert!((value(&scrape, "process_threads") - threads).abs() <= 2.0);
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap();
    let open = value(&scrape, "process_open_fds");
    assert!((open - files.count() as f64).abs() <= 4.0, "{open}");
    assert!(value(&scrape, "process_max_fds") > open);
    let limit = value(&scrape, "agent_memory_memory_limit_bytes");
    let machine = std::fs::read_to_string("/proc/meminfo").unwrap();
    let machine = machine.lines().next().unwrap();
    let machine: f64 = machine.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(limit > 0.0 && limit <= machine * 1024.0);
    let allocator = |stat: &str| {
        value(
            &scrape,
            &format!("agent_memory_allocator_bytes{{stat=\"{stat}\"}}"),
        )
    };
    assert!(allocator("allocated") > 0.0);
    assert!(allocator("allocated") <= allocator("active"));
    assert!(allocator("active") <= allocator("mapped"));
    assert!(value(&scrape, "agent_memory_sqlite_memory_bytes") > 0.0);
    let build = scrape
        .lines()
        .find(|line| line.starts_with("agent_memory_build_info{"))
        .unwrap();
    for label in ["version", "revision", "rustc", "sqlite"] {
        assert!(build.contains(&format!("{label}=\"")), "{build}");
    }
    assert!(!build.contains("=\"\""), "{build}");
}

#[test]
fn processor_time_goes_on_by_less_than_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("m.db"));
    let cpu = || value(&text(&server), "process_cpu_seconds_total");
    let before = cpu();
    let after = wait_for("some work", || {
        note(&server, "work");
        let now = cpu();
        (now > before + 0.02).then_some(now)
    });
    assert!(after - before < 1.0, "{before} {after}");
    let ticks = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    let fields: Vec<_> = ticks
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let kernel = (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0;
    assert!((kernel - after).abs() < 0.1, "{kernel} {after}");
}

#[test]
fn lines_of_the_log_are_counted_by_level_as_far_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("m.db");
    let log = dir.path().join("log");
    let server = Server::start_with(&db, &["--log-file", log.to_str().unwrap()]);
    let lines = |level: &str| {
        value(
            &text(&server),
            &format!("agent_memory_log_messages_total{{level=\"{level}\"}}"),
        )
    };
    assert_eq!(lines("error"), 0.0);
    std::fs::remove_file(&db).unwrap();
    wait_for("the server to complain", || {
        let written = std::fs::read_to_string(&log).unwrap();
        let written = written.matches(" ERROR ").count() as f64;
        (written > 0.0 && lines("error") == written).then_some(())
    });
    // What the filter keeps out is not written: that it listens, for one.
    assert_eq!((lines("info"), lines("debug")), (0.0, 0.0));
    assert_eq!(value(&text(&server), "agent_memory_panics_total"), 0.0);
}

#[test]
fn doctor_says_in_words_how_a_server_is() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("m.db");
    let server = Server::start(&db);
    note(&server, "the tide turns at six");
    let (code, said, wrong) = doctor(&server.url(""), &[]);
    assert_eq!((code, wrong.as_str()), (0, ""), "{said}");
    for part in [
        "the store can be used",
        "of 1024 places in the queue taken",
        "POST /api/v1/knowledge: 1 times, half at most",
        "0 panics, 0 errors",
        "1 notes now",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let (code, json, _) = doctor(&server.url("/"), &["--json"]);
    let findings: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 0);
    assert!(findings.iter().all(|finding| finding["ok"] == true));
    assert!(findings.iter().any(|finding| finding["about"] == "memory"));

    // The file goes away under the server.
    for end in ["", "-wal", "-shm"] {
        let path = dir.path().join(format!("m.db{end}"));
        if path.exists() {
            std::fs::remove_file(path).unwrap();
        }
    }
    wait_for("the server to notice", || {
        (value(&text(&server), "agent_memory_up") == 0.0).then_some(())
    });
    let (code, said, wrong) = doctor(&server.url(""), &[]);
    assert_eq!(code, 1);
    assert!(said.contains("WRONG server"), "{said}");
    assert!(wrong.contains("checks found something wrong"), "{wrong}");
}

#[test]
fn doctor_tells_no_server_from_another_one() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (code, _, wrong) = doctor(&format!("http://{address}"), &[]);
    assert_eq!(code, 75, "{wrong}");
    assert!(wrong.contains("is a server running there?"), "{wrong}");
    for url in [
        "https://localhost:3456",
        "localhost:3456",
        "http://a b",
        "http://localhost/x",
    ] {
        let (code, _, wrong) = doctor(url, &[]);
        assert_eq!(code, 2, "{url}: {wrong}");
    }
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = other.accept().unwrap();
            let mut head = [0; 512];
            assert!(stream.read(&mut head).unwrap() > 0);
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nup 1\n";
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (code, _, wrong) = doctor(&format!("http://{address}"), &[]);
        assert_eq!(code, 1, "{wrong}");
        assert!(wrong.contains("not the metrics of agent-memory"), "{wrong}");
    });
}
