//! Reads that would never end: stopped in time, and whoever else reads waits, is told so, and is served again.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::among_others;
use crate::process::{Server, wait_for};
use crate::wire::{Wire, event, get, metric, post};

/// Puts a view without an end in the place of the projects, which no write here needs.
const ENDLESS: &str = "
    alter table project rename to project_kept;
    create view project as
        with recursive n(i) as (select 1 union all select i + 1 from n)
        select i as project_no, 1 as tenant_no, 'p' as project_id, 'p' as name, '[]' as aliases, 0 as created_at, null as stands_for
        from n where i < 0;";

fn server(db: &std::path::Path, flags: &[&str]) -> Server {
    let server = Server::start_with(db, flags);
    assert_eq!(
        Wire::connect(&server)
            .ask(&post("/api/v1/events", &event("before")))
            .status,
        201
    );
    #[expect(
        clippy::disallowed_methods,
        reason = "what another program does to the file"
    )]
    let other = Connection::open(db).unwrap();
    other.execute_batch(ENDLESS).unwrap();
    server
}

/// Processor time that the server has used.
fn worked(server: &Server) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    let fields: Vec<_> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: u64 = fields[11..13]
        .iter()
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}

#[test]
fn a_read_that_takes_too_long_is_stopped() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let server = server(&dir.path().join("memory.db"), &["--request-timeout", "1"]);
    let begun = Instant::now();
    let answer = Wire::connect(&server).ask(&get("/api/v1/projects"));
    assert_eq!(answer.problem(408)["code"], "timeout");
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    // And not the answer alone: the connection is free again, and nothing works on.
    let idle = || {
        let of = |state| {
            metric(
                &server,
                &format!("agent_memory_db_pool_connections{{state=\"{state}\"}}"),
            )
        };
        of("idle") == of("total")
    };
    wait_for("the connection to be free", || idle().then_some(()));
    wait_for("the server to rest", || {
        let before = worked(&server);
        std::thread::sleep(Duration::from_millis(500));
        (worked(&server) - before < Duration::from_millis(100)).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn readers_that_find_no_place_are_told_so_and_served_again() {
    let _others = among_others();
    let dir = tempfile::tempdir().unwrap();
    let flags = ["--request-timeout", "5", "--readers", "1"];
    let server = server(&dir.path().join("memory.db"), &flags);
    // Four permits; those that hold them take their whole time.
    let mut endless: Vec<_> = (0..4).map(|_| Wire::connect(&server)).collect();
    for wire in &mut endless {
        wire.send(&get("/api/v1/projects"));
    }
    let waiting = "agent_memory_db_pool_connections{state=\"waiting\"}";
    wait_for("the connection to be taken", || {
        (metric(&server, waiting) == 3).then_some(())
    });
    let begun = Instant::now();
    let mut refused: Vec<_> = (0..10).map(|_| Wire::connect(&server)).collect();
    for wire in &mut refused {
        wire.send(&get("/api/v1/stats"));
    }
    // Who waits is seen, and writes go on.
    wait_for("those who wait to be seen", || {
        (metric(&server, waiting) >= 10).then_some(())
    });
    assert_eq!(
        Wire::connect(&server)
            .ask(&post("/api/v1/events", &event("meanwhile")))
            .status,
        201
    );
    let mut gave_up = 0;
    for wire in &mut refused {
        let answer = wire.answer().unwrap();
        if answer.status != 200 {
            assert_eq!(answer.problem(503)["code"], "overloaded");
            assert_eq!(answer.header("retry-after"), Some("1"));
            gave_up += 1;
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for wire in &mut endless {
        let status = wire.answer().unwrap().status;
        assert!([408, 503].contains(&status));
        gave_up += u64::from(status == 503);
    }
    // Whoever gave up is counted, in the pool or in the queue before it, and so is whoever queued.
    let timeouts = "agent_memory_db_pool_timeouts_total{role=\"reader\"}";
    assert_eq!(metric(&server, timeouts), gave_up);
    let queued = "agent_memory_read_queue_wait_seconds_count";
    assert_eq!(metric(&server, queued), 10);
    assert_eq!(
        Wire::connect(&server).ask(&get("/api/v1/stats")).status,
        200
    );
}
