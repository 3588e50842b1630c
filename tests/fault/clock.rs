//! A wall clock that jumps back a day, and on again.
//!
//! **Invariant:** what lasts is measured by a clock that does not jump; what is dated takes the wall clock's word.

use serde_json::json;

use crate::machine::Machine;
use crate::process::{Server, wait_for};
use crate::talk::{ask, assert_sound, event, health, list, record};

const DAY: i64 = 24 * 60 * 60;

#[test]
fn a_clock_that_jumps_back_a_day_breaks_no_order_and_no_proof() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let machine = Machine::new(&db);
    let mut server = Server::start_by(machine.command());
    let mut ids = vec![record(&server, "before the jump")];
    let uptime = |server: &Server| {
        server.get("/health").unwrap()["uptime_seconds"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(ask(&server, "GET", "/health/ready", None).status, 200);
    let key = |text: &str| {
        let request = ureq::post(server.url("/api/v1/events")).header("Idempotency-Key", "jump");
        let mut answer = request.send_json(event(text)).unwrap();
        answer.body_mut().read_json::<serde_json::Value>().unwrap()["event_id"].clone()
    };
    let first = key("said twice");
    ids.push(first.as_str().unwrap().to_owned());
    let was = server.get("/health").unwrap()["timestamp"].clone();
    machine.shift_clock(-DAY);
    let is = server.get("/health").unwrap()["timestamp"].clone();
    assert!(
        is.as_str() < was.as_str(),
        "the clock did not jump: {was} {is}"
    );
    assert!(uptime(&server) < 3600);

    assert_eq!(
        key("said twice"),
        first,
        "a repeated write was stored twice"
    );
    for number in 0..20 {
        ids.push(record(&server, &format!("a day earlier {number}")));
    }
    machine.shift_clock(0);
    ids.push(record(&server, "after the jump"));

    let mut unique = ids.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "an id was given twice");
    // Lists go by time, and by sequence where times are equal: those of the day before come first, in their own order.
    let listed = list(&server, "events");
    assert_eq!(listed.len(), ids.len());
    let times: Vec<_> = listed
        .iter()
        .map(|row| row["ts"].as_str().unwrap().to_owned())
        .collect();
    let mut sorted = times.clone();
    sorted.sort();
    assert_eq!(times, sorted);
    assert_eq!(
        listed[listed.len() - 1]["event_id"],
        json!(ids[ids.len() - 1])
    );
    let early: Vec<_> = listed
        .iter()
        .filter(|row| {
            row["content"]["text"]
                .as_str()
                .unwrap()
                .starts_with("a day earlier")
        })
        .map(|row| row["event_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(early, ids[2..22]);
    assert!(server.terminate().success());
    assert_sound(&db);
}

/// A proof of writing must not be believed for a day because the clock went back.
#[test]
fn readiness_is_proved_anew_after_the_clock_went_back() {
    const EIO: i32 = 5;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let machine = Machine::new(&db);
    let server = Server::start_by(machine.command());
    assert_eq!(ask(&server, "GET", "/health/ready", None).status, 200);
    machine.shift_clock(-DAY);
    machine.fail("sync", EIO);
    wait_for("readiness to see the fault", || {
        (ask(&server, "GET", "/health/ready", None).status == 503).then_some(())
    });
    machine.mend();
    wait_for("readiness to come back", || {
        (ask(&server, "GET", "/health/ready", None).status == 200).then_some(())
    });
    wait_for("health to say so", || {
        (health(&server) == 200).then_some(())
    });
}
