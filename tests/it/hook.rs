//! Hooks as a coding agent calls them: real processes, the agent's JSON on standard input, its session files on disk.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Server, command, wait_for};

/// A machine with an agent on it: a memory, a home, session files.
struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("work")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn db(&self) -> PathBuf {
        self.path("memory.db")
    }

    fn command(&self) -> Command {
        let mut command = command(&self.db());
        command
            .env("HOME", self.path("home"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("USER", "ada");
        command
    }

    /// The output of a command of ours, which has to succeed.
    #[track_caller]
    fn cli(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(args);
        serde_json::from_str(&self.cli(&all)).unwrap()
    }

    /// Calls a hook with these bytes; it has to exit 0.
    #[track_caller]
    fn hook_with(&self, hook: &str, flags: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command()
            .args(["hook", hook])
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may not read what it has no use for.
        let _sent = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{hook}: {output:?}");
        output
    }

    /// Calls a hook as Claude Code does. Answers what it printed and what it said on standard error.
    #[track_caller]
    fn hook(&self, hook: &str, session: &Session, over: &Value) -> (Value, String) {
        let mut input = json!({
            "session_id": session.id, "transcript_path": session.file, "cwd": session.directory, "permission_mode": "default",
            "hook_event_name": hook,
        });
        for (key, value) in over.as_object().unwrap() {
            input[key] = value.clone();
        }
        let output = self.hook_with(hook, &[], input.to_string().as_bytes());
        let said = String::from_utf8(output.stdout).unwrap();
        let answer = if said.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&said).unwrap()
        };
        (answer, String::from_utf8(output.stderr).unwrap())
    }

    /// A hook that has nothing to complain about.
    #[track_caller]
    fn calm(&self, hook: &str, session: &Session, over: &Value) -> Value {
        let (answer, said) = self.hook(hook, session, over);
        assert_eq!(said, "");
        answer
    }

    fn session(&self, id: &str, directory: &Path) -> Session {
        Session {
            id: id.to_owned(),
            directory: directory.to_owned(),
            file: self.path(&format!("{id}.jsonl")),
            lines: 0,
        }
    }

    /// What is stored: events, handoffs.
    #[track_caller]
    fn counts(&self) -> (i64, i64) {
        let stats = &self.json(&["status"])["stats"];
        let sum = |prefix: &str| {
            let all = stats.as_object().unwrap().iter();
            all.filter(|(key, _)| key.starts_with(prefix))
                .map(|(_, value)| value.as_i64().unwrap())
                .sum()
        };
        (sum("events."), sum("handoffs."))
    }
}

/// A session as Claude Code keeps it.
struct Session {
    id: String,
    directory: PathBuf,
    file: PathBuf,
    lines: u32,
}

impl Session {
    fn append(&mut self, line: &str) {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }

    fn line(&mut self, kind: &str, content: &Value) {
        self.lines += 1;
        let (id, number) = (&self.id, self.lines);
        let line = json!({
            "parentUuid": null, "isSidechain": false, "userType": "external", "cwd": self.directory, "sessionId": id,
            "version": "2.1.30", "gitBranch": "main", "type": kind, "uuid": format!("{id}-{number}"),
            "timestamp": format!("2026-11-0{}T10:{:02}:{:02}.000Z", 1 + number / 3600, number / 60 % 60, number % 60),
            "message": {"role": kind, "content": content},
        });
        self.append(&line.to_string());
    }

    fn human(&mut self, text: &str) {
        self.line("user", &json!(text));
    }

    fn agent(&mut self, text: &str) {
        self.line("assistant", &json!([{"type": "text", "text": text}]));
    }

    /// A tool that is used and answers.
    fn tool(&mut self, name: &str, input: &Value, answer: &str, failed: bool) {
        let id = format!("toolu_{}_{}", self.id, self.lines);
        self.line(
            "assistant",
            &json!([{"type": "tool_use", "id": id, "name": name, "input": input}]),
        );
        self.line("user", &json!([{"type": "tool_result", "tool_use_id": id, "content": answer, "is_error": failed}]));
    }
}

#[track_caller]
fn git(directory: &Path, args: &[&str]) {
    let output = Command::new("git")
        .current_dir(directory)
        .args([
            "-c",
            "user.name=ada",
            "-c",
            "user.email=ada@example.org",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

fn context(answer: &Value) -> &str {
    answer["hookSpecificOutput"]["additionalContext"]
        .as_str()
        .unwrap_or_default()
}

/// Keeps the write lock of the file, as another program would.
#[expect(clippy::disallowed_methods, reason = "looks at a file from outside")]
fn hold(db: &Path) -> Connection {
    let connection = Connection::open(db).unwrap();
    connection.execute_batch("begin immediate").unwrap();
    connection
}

#[test]
fn the_third_session_knows_what_the_first_two_learned_in_two_worktrees() {
    let machine = Machine::new();
    let main = machine.path("work");
    git(&main, &["init", "-q", "-b", "main"]);
    git(&main, &["commit", "-q", "--allow-empty", "-m", "begin"]);
    git(&main, &["worktree", "add", "-q", "../side"]);
    fs::create_dir_all(machine.path("side/src/deep")).unwrap();

    let mut first = machine.session("first", &main);
    let start = json!({"source": "startup"});
    assert_eq!(machine.calm("session-start", &first, &start), Value::Null);
    assert!(!machine.db().exists(), "a start alone makes no memory");
    first.human("Make the tide gauge poll every minute. Always log in UTC.");
    let asked = json!({"prompt": "Make the tide gauge poll every minute. Always log in UTC."});
    assert_eq!(machine.calm("prompt", &first, &asked), Value::Null);
    let edit = json!({"file_path": "/work/src/poll.rs", "old_string": "3600", "new_string": "60"});
    first.tool("Edit", &edit, "The file was updated.", false);
    first.agent("Done. The gauge lagged because the client opened a new socket for each reading.");
    assert_eq!(
        machine.calm("stop", &first, &json!({"stop_hook_active": false})),
        Value::Null
    );
    assert_eq!(machine.counts(), (4, 1));
    first.human("Thanks, that is all.");
    machine.calm("session-end", &first, &json!({"reason": "other"}));
    assert_eq!(machine.counts(), (5, 1), "one handoff, kept up to date");

    let mut second = machine.session("second", &machine.path("side/src/deep"));
    let woken = machine.calm("session-start", &second, &start);
    assert_eq!(woken["hookSpecificOutput"]["hookEventName"], "SessionStart");
    assert!(context(&woken).contains("Always log in UTC."), "{woken}");
    assert!(
        context(&woken).contains("opened a new socket for each reading"),
        "{woken}"
    );
    second.human("Now write the alarm for spring tides.");
    second.tool(
        "Bash",
        &json!({"command": "cargo test"}),
        "error: the moon table is missing\nfailed",
        true,
    );
    second.tool(
        "TodoWrite",
        &json!({"todos": [{"content": "download the moon table", "status": "pending", "activeForm": "Downloading"}]}),
        "ok",
        false,
    );
    second.agent("We decided to compute the moon's phase instead of asking a service.");
    machine.calm(
        "pre-compact",
        &second,
        &json!({"trigger": "auto", "custom_instructions": ""}),
    );

    let third = machine.session("third", &machine.path("side"));
    let woken = machine.calm("session-start", &third, &start);
    for learned in [
        "Always log in UTC.",
        "opened a new socket for each reading",
        "compute the moon's phase instead of asking a service",
        "error: the moon table is missing",
        "Still open: download the moon table",
    ] {
        assert!(context(&woken).contains(learned), "{learned}: {woken}");
    }
    let asked = json!({"prompt": "why did the gauge lag?"});
    let told = machine.calm("prompt", &third, &asked);
    assert_eq!(
        told["hookSpecificOutput"]["hookEventName"],
        "UserPromptSubmit"
    );
    assert!(context(&told).contains("new socket"), "{told}");
    // The agent has its own session before it.
    assert!(!context(&machine.calm("prompt", &first, &asked)).contains("new socket"));

    // A project apart knows nothing of it.
    let apart = machine.session("apart", machine.dir.path());
    assert_eq!(machine.calm("session-start", &apart, &start), Value::Null);
    let projects = machine.json(&["project", "list"]);
    assert_eq!(projects["projects"].as_array().unwrap().len(), 1);
}

#[test]
fn an_agents_own_handoff_wins_and_what_was_forgotten_stays_so() {
    let machine = Machine::new();
    let mut session = machine.session("s1", &machine.path("work"));
    session.human("Paint the harbour blue.");
    machine.calm("stop", &session, &json!({}));
    machine.cli(&[
        "handoff",
        "--session",
        "s1",
        "--with-whom",
        "ada",
        "--remember",
        "the harbour is blue now",
    ]);
    session.human("And the boats red.");
    machine.calm("stop", &session, &json!({}));
    let handoffs = machine.json(&["list", "handoffs"]);
    assert_eq!(handoffs["handoffs"].as_array().unwrap().len(), 1);
    assert_eq!(handoffs["handoffs"][0]["origin"], "agent");

    machine.cli(&["forget", "--session", "s1", "--yes"]);
    session.human("Now the lighthouse.");
    machine.calm("stop", &session, &json!({}));
    let events = machine.json(&["list", "events"]).to_string();
    assert!(
        events.contains("lighthouse") && !events.contains("harbour") && !events.contains("boats"),
        "{events}"
    );
    let handoffs = machine.json(&["list", "handoffs"]).to_string();
    assert!(
        !handoffs.contains("harbour") && !handoffs.contains("boats"),
        "{handoffs}"
    );
}

#[test]
fn any_input_is_answered() {
    let machine = Machine::new();
    let session = json!({"session_id": "s", "transcript_path": machine.path("none.jsonl"), "cwd": 7, "new_member": [1]});
    let inputs: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{}".to_vec(),
        b"\xff\xfe".to_vec(),
        b"{\"session_id\": 3, \"transcript_path\": {}, \"prompt\": []}".to_vec(),
        b"{\"session_id\": \"\", \"transcript_path\": \"\", \"cwd\": \"\"}".to_vec(),
        session.to_string().into_bytes(),
        json!({"session_id": "s".repeat(3_000), "transcript_path": "/", "cwd": "/nowhere/at/all"})
            .to_string()
            .into_bytes(),
        json!({"prompt": "x".repeat(3_000_000)})
            .to_string()
            .into_bytes(),
    ];
    for hook in [
        "session-start",
        "prompt",
        "pre-compact",
        "stop",
        "session-end",
    ] {
        for client in ["claude-code", "codex", "cursor"] {
            for input in &inputs {
                let output = machine.hook_with(hook, &["--client", client], input);
                if !output.stdout.is_empty() {
                    let _json: Value = serde_json::from_slice(&output.stdout).unwrap();
                }
            }
        }
        // A flag of a newer version.
        machine.hook_with(hook, &["--not-a-flag"], b"{}");
    }
    let output = machine.hook_with("stop", &[], session.to_string().as_bytes());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("none.jsonl cannot be read"), "{said}");
}

#[test]
fn a_session_file_may_be_broken_cut_replaced_and_half_written() {
    let machine = Machine::new();
    let mut session = machine.session("s1", &machine.path("work"));
    session.append(r#"{"type":"summary","summary":"an older one","leafUuid":"x"}"#);
    session.human("One word about anchors.");
    session.append("{\"type\":\"user\",\"message\":");
    session.append("\u{0}\u{1}\u{fffd}");
    session.append("[1,2,3]");
    session.append(r#"{"type":"assistant","isSidechain":true,"uuid":"x","message":{"content":[{"type":"text","text":"aside"}]}}"#);
    session.append(r#"{"type":"user","uuid":"y","message":{"content":[{"type":"image"},{"type":"text","text":7}]}}"#);
    session.append("");
    session.agent("An anchor holds.");
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts().0, 2);

    // A line that is being written is left for the next time.
    let whole = fs::read(&session.file).unwrap();
    session.agent("A chain is heavy because it has to be.");
    let longer = fs::read(&session.file).unwrap();
    fs::write(&session.file, &longer[..whole.len() + 40]).unwrap();
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts().0, 2);
    fs::write(&session.file, &longer).unwrap();
    machine.calm("stop", &session, &json!({}));
    machine.calm("session-end", &session, &json!({}));
    assert_eq!(machine.counts().0, 3);

    // Cut short, and then with other lines: nothing twice, nothing missed.
    fs::write(&session.file, &whole).unwrap();
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts().0, 3);
    session.human("And ropes?");
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts().0, 4);

    // Another file under the same name.
    fs::remove_file(&session.file).unwrap();
    let mut other = machine.session("s1", &machine.path("work"));
    other.lines = 50;
    other.human("A new beginning, longer than what stood in its place before, so that its length tells nothing at all.");
    machine.calm("stop", &other, &json!({}));
    assert_eq!(machine.counts(), (5, 1));
}

#[test]
fn secrets_and_private_words_stay_out_and_outputs_are_capped() {
    let machine = Machine::new();
    let key = ["sk", "ant", "api03", &"Zq7Xw9Lk2Mv4".repeat(3)].join("-");
    let mut session = machine.session("s1", &machine.path("work"));
    session.human(&format!(
        "Always use {key} here. <private>my cat is Miu</private> Fine."
    ));
    session.tool(
        "Bash",
        &json!({"command": format!("curl -H 'x-api-key: {key}'")}),
        &format!("{}{key}", "line of output\n".repeat(5_000)),
        true,
    );
    machine.calm("stop", &session, &json!({}));
    let events = machine.json(&["list", "events"]).to_string();
    let handoffs = machine.json(&["list", "handoffs"]).to_string();
    assert!(
        events.contains("REDACTED") && events.contains("bytes left out"),
        "{events}"
    );
    assert!(events.len() < 12_000, "{}", events.len());
    for entry in fs::read_dir(machine.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("memory.db") {
            let bytes = fs::read(&path).unwrap();
            for word in [key.as_bytes(), b"Miu"] {
                assert!(
                    !bytes.windows(word.len()).any(|window| window == word),
                    "{name}"
                );
            }
        }
    }
    assert!(!handoffs.contains(&key));
}

#[test]
fn capture_can_be_less_and_nothing() {
    for (capture, events, handoffs) in [("off", 0, 0), ("messages", 2, 1), ("all", 4, 1)] {
        let machine = Machine::new();
        let mut session = machine.session("s1", &machine.path("work"));
        session.human("List the piers.");
        session.tool("Bash", &json!({"command": "ls"}), "north south", false);
        session.agent("There are two.");
        let input =
            json!({"session_id": "s1", "transcript_path": session.file, "cwd": session.directory});
        machine.hook_with(
            "stop",
            &["--capture", capture],
            input.to_string().as_bytes(),
        );
        if capture == "off" {
            assert!(!machine.db().exists());
        } else {
            assert_eq!(machine.counts(), (events, handoffs), "{capture}");
        }
    }
}

#[test]
fn a_project_opts_out_and_hooks_are_paused() {
    let machine = Machine::new();
    let work = machine.path("work");
    git(&work, &["init", "-q"]);
    fs::create_dir(work.join("below")).unwrap();
    let mut session = machine.session("s1", &work.join("below"));
    session.human("Nothing of this.");
    let mark = work.join(".agent-memory-ignore");
    fs::write(&mark, "").unwrap();
    for hook in ["session-start", "prompt", "stop", "session-end"] {
        machine.calm(hook, &session, &json!({"prompt": "what?"}));
    }
    assert!(!machine.db().exists());
    assert!(
        machine
            .cli(&["project", "current", work.to_str().unwrap()])
            .contains("leave it out")
    );
    fs::remove_file(mark).unwrap();

    machine.cli(&["hook", "pause", "--for", "1h"]);
    machine.calm("stop", &session, &json!({}));
    assert!(!machine.db().exists());
    assert_eq!(machine.cli(&["hook", "resume"]), "hooks are on again\n");
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts().0, 1);
    machine.cli(&["hook", "pause"]);
    assert!(machine.cli(&["status"]).contains("hooks     off until"));
}

/// What a session says at its stop while the store refuses, and that nothing of it is lost after.
#[track_caller]
fn spools_and_replays(machine: &Machine, spool: &Path, refuse: impl FnOnce(), mend: impl FnOnce()) {
    let mut session = machine.session("s1", &machine.path("work"));
    session.human("Before the trouble.");
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts(), (1, 1));

    refuse();
    let key = ["sk", "ant", "api03", &"Zq7Xw9Lk2Mv4".repeat(3)].join("-");
    session.human(&format!("During it, with {key}. Never forget the buoys."));
    machine.hook("stop", &session, &json!({}));
    session.agent("The buoys drift because the chain is short.");
    machine.hook("stop", &session, &json!({}));
    machine.hook("session-end", &session, &json!({}));
    let kept = fs::read_to_string(spool).unwrap();
    assert_eq!(
        kept.lines().count(),
        2,
        "a line for each time that something was new"
    );
    assert!(kept.contains("buoys") && !kept.contains(&key));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            fs::metadata(spool).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    mend();

    // The next calls of any session bring it in, each as much as it has time for.
    let other = machine.session("s2", &machine.path("work"));
    wait_for("an empty spool", || {
        machine.calm("session-start", &other, &json!({"source": "startup"}));
        (!spool.exists()).then_some(())
    });
    let woken = machine.calm("session-start", &other, &json!({"source": "startup"}));
    assert!(
        context(&woken).contains("Never forget the buoys."),
        "{woken}"
    );
    assert_eq!(machine.counts(), (3, 1));
    // And the session goes on as if nothing had been.
    session.human("After it.");
    machine.calm("stop", &session, &json!({}));
    assert_eq!(machine.counts(), (4, 1));
    // A store that cannot be read does not say how far the file was read: then what is known is spooled once more.
    let stats = &machine.json(&["status"])["stats"];
    assert!(stats["spool_replayed"].as_i64().unwrap() >= 4, "{stats}");
    assert_eq!(stats["spool_dropped"], 0);
}

#[test]
fn a_locked_file_is_spooled_for_and_nothing_is_lost() {
    let machine = Machine::new();
    let spool = machine.path("memory.db.spool");
    let held = std::cell::RefCell::new(None);
    let db = machine.db();
    spools_and_replays(
        &machine,
        &spool,
        || drop(held.borrow_mut().replace(hold(&db))),
        || {
            let status = machine.cli(&["status"]);
            assert!(status.contains("spool     2 stretches"), "{status}");
            let doctor = machine.command().arg("doctor").output().unwrap();
            assert_eq!(doctor.status.code(), Some(1));
            assert!(
                String::from_utf8(doctor.stdout)
                    .unwrap()
                    .contains("WRONG spool")
            );
            drop(held.borrow_mut().take());
        },
    );
    assert!(
        machine
            .cli(&["doctor"])
            .contains("nothing waits to be stored")
    );
}

#[test]
fn an_older_schema_is_spooled_for_and_said_so() {
    let machine = Machine::new();
    let spool = machine.path("memory.db.spool");
    let set = |version: i64| {
        #[expect(clippy::disallowed_methods, reason = "looks at a file from outside")]
        let connection = Connection::open(machine.db()).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    };
    let now = agent_memory::store::sqlite::schema_version();
    spools_and_replays(
        &machine,
        &spool,
        || set(now - 1),
        || {
            let session = machine.session("s9", &machine.path("work"));
            let (answer, _) = machine.hook("session-start", &session, &json!({}));
            let said = answer["systemMessage"].as_str().unwrap();
            assert!(said.contains("agent-memory migrate"), "{said}");
            let status = machine.command().arg("status").output().unwrap();
            assert_eq!(status.status.code(), Some(75));
            assert!(
                String::from_utf8(status.stdout)
                    .unwrap()
                    .contains("spool     2 stretches")
            );
            set(now);
        },
    );
}

#[test]
fn the_spool_goes_to_the_state_directory_if_it_must_and_a_broken_line_of_it_is_counted() {
    let machine = Machine::new();
    let mut session = machine.session("s1", &machine.path("work"));
    session.human("Begin.");
    machine.calm("stop", &session, &json!({}));
    // A directory in its place: no file of that name can be written, whoever tests.
    fs::create_dir(machine.path("memory.db.spool.lock")).unwrap();
    let held = hold(&machine.db());
    session.human("Go on.");
    machine.hook("stop", &session, &json!({}));
    let state = machine.path("state/agent-memory");
    let spool = wait_for("the spool", || {
        let entries = fs::read_dir(&state)
            .ok()?
            .map(|entry| entry.unwrap().path());
        entries
            .into_iter()
            .find(|path| path.extension().is_some_and(|kind| kind == "spool"))
    });
    let whole = fs::read(&spool).unwrap();
    fs::write(
        &spool,
        [b"{\"version\": 1, \"at\":\n".as_slice(), &whole, b"\xff\n"].concat(),
    )
    .unwrap();
    drop(held);
    assert!(
        machine
            .cli(&["hook", "replay"])
            .starts_with("stored 3 stretches")
    );
    assert_eq!(machine.counts(), (2, 1));
    assert_eq!(machine.json(&["status"])["stats"]["spool_dropped"], 2);
}

#[test]
fn hooks_beside_a_busy_server_lose_nothing() {
    let machine = Machine::new();
    let server = Server::start(&machine.db());
    let mut sessions: Vec<_> = (0..4)
        .map(|number| machine.session(&format!("s{number}"), &machine.path("work")))
        .collect();
    for session in &mut sessions {
        for round in 0..20 {
            session.human(&format!("Round {round} of {}.", session.id));
        }
    }
    std::thread::scope(|scope| {
        for session in &sessions {
            let machine = &machine;
            scope.spawn(move || {
                for hook in ["stop", "pre-compact", "stop", "session-end"] {
                    machine.hook(hook, session, &json!({}));
                }
            });
        }
    });
    machine.cli(&["hook", "replay"]);
    assert_eq!(machine.counts(), (80, 4));
    drop(server);
}

#[test]
fn cursor_and_codex_are_spoken_to_in_their_own_words() {
    let machine = Machine::new();
    let work = machine.path("work");
    let cursor = machine.path("cursor.jsonl");
    fs::write(
        &cursor,
        "{\"role\":\"user\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"<user_query>\\nAlways moor at the north pier.\\n</user_query>\"}]}}\n\
         {\"role\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"Noted.\"}]}}\n",
    )
    .unwrap();
    let input = json!({"conversation_id": "c1", "generation_id": "g", "workspace_roots": [work], "transcript_path": cursor,
        "hook_event_name": "stop", "status": "completed", "loop_count": 0});
    let call = |hook: &str, client: &str, input: &Value| -> Value {
        let output = machine.hook_with(hook, &["--client", client], input.to_string().as_bytes());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    };
    assert_eq!(call("stop", "cursor", &input), json!({}));
    assert_eq!(call("stop", "cursor", &input), json!({}));
    assert_eq!(machine.counts(), (2, 1));
    let woken = call(
        "session-start",
        "cursor",
        &json!({"session_id": "c2", "workspace_roots": [work]}),
    );
    assert!(
        woken["additional_context"]
            .as_str()
            .unwrap()
            .contains("north pier"),
        "{woken}"
    );
    assert_eq!(
        call(
            "prompt",
            "cursor",
            &json!({"prompt": "x", "workspace_roots": [work]})
        ),
        json!({"continue": true})
    );

    let codex = machine.path("rollout.jsonl");
    fs::write(
        &codex,
        "{\"timestamp\":\"2026-11-01T10:00:00.000Z\",\"type\":\"session_meta\",\"payload\":{\"id\":\"x\"}}\n\
         {\"timestamp\":\"2026-11-01T10:00:01.000Z\",\"type\":\"response_item\",\"payload\":{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"Prefer rope over chain.\"}]}}\n\
         {\"timestamp\":\"2026-11-01T10:00:02.000Z\",\"type\":\"response_item\",\"payload\":{\"type\":\"function_call\",\"name\":\"shell\",\"arguments\":\"{\\\"command\\\":[\\\"ls\\\"]}\",\"call_id\":\"c\"}}\n",
    )
    .unwrap();
    let input = json!({"session_id": "x", "turn_id": "t", "transcript_path": codex, "cwd": work, "hook_event_name": "Stop",
        "model": "gpt", "stop_hook_active": false, "last_assistant_message": null});
    assert_eq!(call("stop", "codex", &input), Value::Null);
    assert_eq!(machine.counts(), (4, 2));
    let woken = call(
        "session-start",
        "codex",
        &json!({"session_id": "y", "transcript_path": null, "cwd": work, "source": "startup"}),
    );
    assert!(
        context(&woken).contains("Prefer rope over chain."),
        "{woken}"
    );
}
