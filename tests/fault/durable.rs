//! An acknowledgement is an fsync: seen in the system calls, and in what a power cut leaves.
//!
//! **Invariant:** each check is also made of a server that does not sync (`--durability normal`), and has to find it out.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::machine::{Luck, Machine};
use crate::process::{Server, client, command, wait_for};
use crate::talk::{
    Ledger, assert_no_half_batch, assert_sound, event, record, rounds, send, write_until_gone,
};

/// Writers at once, and writes of each.
const WRITERS: usize = 8;
const WRITES: usize = 12;
/// Power cuts of the everyday run.
const ROUNDS: usize = 4;

#[test]
fn an_acknowledgement_follows_an_fsync_of_its_frames() {
    let (acknowledged, early) = traced("full");
    assert_eq!(acknowledged, WRITERS * WRITES + WRITES);
    assert!(early.is_empty(), "acknowledged before an fsync: {early:?}");
}

#[test]
fn the_trace_shows_that_normal_durability_does_not_wait_for_an_fsync() {
    let (acknowledged, early) = traced("normal");
    assert!(
        early.len() > acknowledged / 2,
        "{} of {acknowledged}",
        early.len()
    );
}

/// Runs writes under strace. Answers how many were acknowledged, and those whose frames no fsync had reached by then.
fn traced(durability: &str) -> (usize, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let (db, trace) = (dir.path().join("memory.db"), dir.path().join("trace"));
    let real = command(&db);
    let mut strace = Command::new("strace");
    // -D: the server is our child, and strace watches it from aside.
    strace
        .args(["-D", "-f", "-y", "-s", "4200", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=pwrite64,fsync,fdatasync,write,writev,sendto,sendmsg",
        ])
        .arg(real.get_program())
        .args(real.get_args())
        .env("AGENT_MEMORY_DURABILITY", durability);
    let found = Command::new("strace").arg("-V").output();
    found.expect("this test needs strace: apt-get install strace");
    let mut server = Server::start_by(strace);
    let write = |writer: usize, number: usize| {
        let marker = format!("marker-{writer}-{number}-end");
        let answer = send(
            &client(),
            "POST",
            &server.url("/api/v1/events"),
            Some(&event(&marker)),
        );
        let answer = answer.unwrap();
        assert_eq!(answer.status, 201);
        (marker, answer.body["event_id"].as_str().unwrap().to_owned())
    };
    let mut pairs: Vec<(String, String)> =
        (0..WRITES).map(|number| write(WRITERS, number)).collect();
    let write = &write;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn(move || {
                    (0..WRITES)
                        .map(|number| write(writer, number))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for writer in writers {
            pairs.extend(writer.join().unwrap());
        }
    });
    server.terminate();
    let calls = wait_for("the end of the trace", || {
        let text = String::from_utf8_lossy(&fs::read(&trace).unwrap()).into_owned();
        text.contains("+++ exited with 0 +++").then_some(text)
    });
    let calls = parse(&calls);
    let early = pairs
        .iter()
        .filter(|(marker, id)| !synced_before_sent(&calls, marker, id));
    (
        pairs.len(),
        early.map(|(marker, _)| marker.clone()).collect(),
    )
}

/// A system call of the trace; the numbers are lines, so an order.
struct Call {
    name: String,
    args: String,
    begun: usize,
    ended: usize,
}

fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, rest)) = text.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.starts_with("<... ") {
            if let Some(call) = open.remove(thread) {
                calls[call].ended = line;
                calls[call].args.push_str(rest);
            }
        } else if let Some((name, args)) = rest.split_once('(') {
            let unfinished = rest.ends_with("<unfinished ...>");
            if unfinished {
                open.insert(thread, calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                args: args.to_owned(),
                begun: line,
                ended: if unfinished { usize::MAX } else { line },
            });
        }
    }
    calls
}

/// Whether an fsync of the log began after the frame with `marker` was written and was over before the answer with
/// `id` was sent.
fn synced_before_sent(calls: &[Call], marker: &str, id: &str) -> bool {
    let first = |wanted: &dyn Fn(&Call) -> bool| calls.iter().find(|call| wanted(call));
    let of_log = |call: &Call| call.args.contains("memory.db-wal>");
    let written =
        first(&|call| call.name == "pwrite64" && of_log(call) && call.args.contains(marker))
            .expect("the frame is not in the trace");
    let sent = first(&|call| call.args.contains("HTTP/1.1 201") && call.args.contains(id))
        .expect("the answer is not in the trace");
    calls.iter().any(|call| {
        matches!(call.name.as_str(), "fsync" | "fdatasync")
            && of_log(call)
            && call.begun > written.ended
            && call.ended < sent.begun
            && !call.args.contains("= -1")
    })
}

#[test]
fn nothing_acknowledged_is_lost_to_a_power_cut() {
    for part in rounds(ROUNDS) {
        let dir = tempfile::tempdir().unwrap();
        let db = dir.path().join("memory.db");
        let (machine, ledger) = (Machine::new(&db), Ledger::default());
        for round in part {
            // A disk may also keep some of what nobody had synced, in no order.
            let luck = match round % 2 {
                0 => Luck::None,
                _ => Luck::Half(u64::try_from(round).unwrap()),
            };
            let undone = power_cut(&machine, "full", round, &ledger, luck);
            let mut server = Server::start(&db);
            ledger.assert_kept(&server);
            assert_no_half_batch(&server, crate::talk::BATCH);
            server.kill();
            assert_sound(&db);
            eprintln!(
                "power cut: round {round}, {undone} writes undone, {} kept",
                ledger.len()
            );
        }
    }
}

#[test]
fn the_power_cut_takes_from_normal_durability_what_was_not_synced_and_leaves_the_file_sound() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let mut server = Server::start(&db);
    record(&server, "long ago");
    assert!(server.terminate().success());
    let (machine, ledger) = (Machine::new(&db), Ledger::default());
    let undone = power_cut(&machine, "normal", 0, &ledger, Luck::None);
    assert!(undone > 0, "the shim saw no write");
    let mut server = Server::start(&db);
    let lost = ledger.lost(&server);
    assert!(
        !lost.is_empty(),
        "{} writes that nobody had synced are all there: the power cut takes nothing",
        ledger.len()
    );
    assert_no_half_batch(&server, crate::talk::BATCH);
    assert!(server.terminate().success());
    assert_sound(&db);
}

/// Cuts the power of a server in the middle of concurrent writes. Answers how many writes that took back.
fn power_cut(
    machine: &Machine,
    durability: &str,
    round: usize,
    ledger: &Ledger,
    luck: Luck,
) -> usize {
    let mut command = machine.command();
    command.env("AGENT_MEMORY_DURABILITY", durability);
    let mut server = Server::start_by(command);
    let before = ledger.len();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            let api = server.url("/api/v1");
            scope.spawn(move || write_until_gone(&api, ledger));
        }
        wait_for("some acknowledged writes", || {
            (ledger.len() >= before + 200).then_some(())
        });
        // Half of the rounds go on until what was forgotten has left the log, which truncates it.
        thread::sleep(Duration::from_millis(
            u64::try_from(round / 2 % 2 * 1100 + round * 7 % 50).unwrap(),
        ));
        server.kill();
    });
    machine.lose_power(luck)
}

/// An fsync that fails is no fsync: nothing is acknowledged on its account.
#[test]
fn a_failed_fsync_acknowledges_nothing_and_writing_goes_on_when_the_disk_is_well() {
    const EIO: i32 = 5;
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let (machine, ledger) = (Machine::new(&db), Ledger::default());
    let mut server = Server::start_by(machine.command());
    ledger.stored(&record(&server, "before the fault"));
    machine.fail("sync", EIO);
    let write =
        |text: &str| crate::talk::ask(&server, "POST", "/api/v1/events", Some(&event(text)));
    for number in 0..5 {
        crate::talk::assert_unavailable(&write(&format!("unsynced {number}")));
    }
    assert_eq!(crate::talk::health(&server), 503);
    machine.mend();
    wait_for("writing again", || {
        let answer = write("after the fault");
        (answer.status == 201).then(|| ledger.stored(answer.body["event_id"].as_str().unwrap()))
    });
    wait_for("health to say so", || {
        (crate::talk::health(&server) == 200).then_some(())
    });
    server.kill();
    machine.lose_power(Luck::None);
    let server = Server::start(Path::new(&db));
    ledger.assert_kept(&server);
    drop(server);
    assert_sound(&db);
}
