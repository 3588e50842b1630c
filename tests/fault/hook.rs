//! Hooks of a coding agent on a disk that is full.
//!
//! **Invariant:** a hook exits 0, says what is wrong, and what an agent's session file holds is stored in the end, once.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::machine::Mount;
use crate::process::{Server, command};
use crate::talk::assert_sound;

/// Turns of the session: enough to need pages that a full disk does not have.
const TURNS: usize = 200;

struct Agent<'a> {
    db: &'a Path,
    home: &'a Path,
}

impl Agent<'_> {
    fn command(&self) -> Command {
        let mut command = command(self.db);
        command.env("HOME", self.home.join("home"));
        command.env("XDG_STATE_HOME", self.home.join("state"));
        command
    }

    fn file(&self) -> std::path::PathBuf {
        self.home.join("session.jsonl")
    }

    /// Says something, each time something else.
    fn turns(&self, from: usize) {
        let options = fs::OpenOptions::new().create(true).append(true).to_owned();
        let mut file = options.open(self.file()).unwrap();
        for number in from..from + TURNS {
            let text = format!(
                "turn{number} {}",
                "the gauge stands on the pier ".repeat(40)
            );
            let line = json!({
                "type": "user", "uuid": format!("u{number}"), "sessionId": "s", "cwd": self.home, "isSidechain": false,
                "timestamp": "2026-03-01T09:30:00.000Z", "message": {"role": "user", "content": text},
            });
            writeln!(file, "{line}").unwrap();
        }
    }

    fn hook(&self, name: &str) -> Output {
        let mut child = self
            .command()
            .args(["hook", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = json!({"session_id": "s", "transcript_path": self.file(), "cwd": self.home, "prompt": "the gauge"});
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.to_string().as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{name}: {output:?}");
        output
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.command().args(args).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{args:?}: {error}: {output:?}"))
    }

    /// Calls the hook until it has nothing more to record, and insists that each turn is stored once.
    fn assert_stored(&self, turns: usize) {
        let count = || {
            self.json(&["status"])["stats"]["events.message"]
                .as_i64()
                .unwrap_or(0)
        };
        for _ in 0..50 {
            let before = count();
            assert_eq!(String::from_utf8_lossy(&self.hook("stop").stderr), "");
            if count() == before {
                break;
            }
        }
        let mut seen = vec![0; turns];
        let exported = self.command().arg("export").output().unwrap().stdout;
        for line in String::from_utf8(exported).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            if let Some(text) = row.pointer("/content/text").and_then(Value::as_str) {
                let number = text.split(' ').next().unwrap().trim_start_matches("turn");
                seen[number.parse::<usize>().unwrap()] += 1;
            }
        }
        assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
        assert_eq!(count(), i64::try_from(turns).unwrap());
    }
}

/// What is left of the disk is filled, to the last byte.
fn fill(disk: &Mount) -> std::path::PathBuf {
    let path = disk.path().join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

#[test]
fn a_hook_on_a_full_disk_spools_elsewhere_and_nothing_is_lost() {
    // Without one, tests/it/hook.rs still has the spool beside a locked file.
    let Some(disk) = Mount::in_memory(24) else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let db = disk.path().join("memory.db");
    let agent = Agent {
        db: &db,
        home: home.path(),
    };
    drop(Server::start(&db));
    let filler = fill(&disk);
    agent.turns(0);
    agent.hook("stop");
    // It waits in the state directory, which has room, and that is told.
    let waiting = agent.json(&["status"]);
    let spool = &waiting["hooks"]["spool"][0];
    let path = spool["path"]
        .as_str()
        .unwrap_or_else(|| panic!("{waiting}"));
    assert!(path.starts_with(home.path().to_str().unwrap()), "{path}");
    assert!(spool["bytes"].as_u64().unwrap() > 10_000, "{spool}");
    assert!(spool["why"].as_str().unwrap().contains("full"), "{spool}");
    // An agent goes on, and what reads still answers.
    agent.turns(TURNS);
    agent.hook("session-end");
    agent.hook("session-start");
    agent.hook("prompt");
    fs::remove_file(filler).unwrap();
    agent.assert_stored(2 * TURNS);
    assert_eq!(agent.json(&["status"])["hooks"]["spool"], json!([]));
    assert_sound(&db);
}

#[test]
fn a_hook_that_can_write_nowhere_reads_the_session_again_later() {
    let Some(disk) = Mount::in_memory(24) else {
        return;
    };
    let db = disk.path().join("memory.db");
    let agent = Agent {
        db: &db,
        home: disk.path(),
    };
    drop(Server::start(&db));
    agent.turns(0);
    let filler = fill(&disk);
    let said = agent.hook("stop");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.is_empty(), "nothing was said");
    agent.hook("session-start");
    agent.hook("session-end");
    fs::remove_file(filler).unwrap();
    agent.assert_stored(TURNS);
    assert_sound(&db);
}
