//! What counts what ever happened, over many kills: it never falls, and ends up as what is there.
//!
//! **Invariant:** nothing is forgotten here, so each count has one right value.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rusqlite::{Connection, OpenFlags};

use crate::process::{Server, client, wait_for};
use crate::talk::{event, rounds, send};

/// Rounds in the everyday run.
const ROUNDS: usize = 4;
const WRITERS: usize = 4;
/// Events of a round before its kill.
const EVENTS: f64 = 60.0;

#[test]
fn a_lifetime_counter_never_falls_whatever_is_killed() {
    for part in rounds(ROUNDS) {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("memory.db");
        let mut seen = [0.0; 3];
        for round in part {
            let mut server = Server::start(&db);
            let first = look(&server, &mut seen);
            assert_eq!(first[0], stored(&db), "round {round}");
            thread::scope(|scope| {
                for _ in 0..WRITERS {
                    scope.spawn(|| write_until_gone(&server));
                }
                wait_for("writes that a scrape shows", || {
                    let now = look(&server, &mut seen);
                    (now[0] >= first[0] + EVENTS).then_some(())
                });
                let id = server.id().to_string();
                let sent = std::process::Command::new("kill")
                    .args(["-9", &id])
                    .status();
                assert!(sent.unwrap().success());
            });
            server.kill();
            assert!(
                seen[0] <= stored(&db),
                "round {round}: more was shown than is stored"
            );
            eprintln!("round {round}: {seen:?} shown, {} stored", stored(&db));
        }
        let mut server = Server::start(&db);
        let [events, redactions, recalls] = look(&server, &mut seen);
        assert_eq!(events, stored(&db));
        assert!(
            redactions > 0.0 && recalls > 0.0,
            "nothing was counted beside the events"
        );
        assert!(server.terminate().success());
    }
}

/// Scrapes; none of the counters is below what was seen before.
fn look(server: &Server, seen: &mut [f64; 3]) -> [f64; 3] {
    let mut answer = client().get(server.url("/metrics")).call().unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let names = ["events_total{", "redactions_total{", "recalls_total "];
    let now = names.map(|name| {
        let prefix = format!("agent_memory_{name}");
        let values = text.lines().filter(|line| line.starts_with(&prefix));
        let values = values.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap());
        values.sum()
    });
    for (index, (now, before)) in now.iter().zip(seen.iter()).enumerate() {
        assert!(
            now >= before,
            "{} fell from {before} to {now}",
            names[index]
        );
    }
    *seen = now;
    now
}

#[expect(clippy::disallowed_methods, reason = "read-only, and not the product")]
fn stored(db: &Path) -> f64 {
    let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection
        .query_row("select count(*) from event", [], |row| row.get(0))
        .unwrap()
}

fn write_until_gone(server: &Server) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let agent = client();
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Put together here, so that no scanner mistakes this file for a leak.
        let key = format!("sk-{}-api03-{}", "ant", "Zq7Xw9Lk2Mv4".repeat(3));
        let (path, body) = match number % 5 {
            0 => (
                "recall",
                serde_json::json!({"query": format!("entry {number}")}),
            ),
            1 => ("events", event(&format!("the key is {key}"))),
            _ => (
                "events",
                event(&format!("entry {number} of the tide gauge")),
            ),
        };
        let url = server.url(&format!("/api/v1/{path}"));
        let Some(answer) = send(&agent, "POST", &url, Some(&body)) else {
            return;
        };
        assert!([200, 201, 503].contains(&answer.status), "{answer:?}");
    }
}
