//! `agent-memory mcp`: the real binary at the end of a pipe, as clients start it.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::id;
use crate::mcp::message;
use crate::process::{BINARY, Server, client, command, wait_for};

/// A client's server.
pub(crate) struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pipe {
    /// On this file.
    pub(crate) fn start(db: &Path) -> Self {
        Self::start_with(db, &[])
    }

    fn start_with(db: &Path, flags: &[&str]) -> Self {
        let mut child = command(db)
            .arg("mcp")
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
        input.flush().unwrap();
    }

    /// The next line that comes.
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.say(message(method, params).to_string().as_bytes());
        self.hear()
    }

    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": name, "arguments": arguments}));
        let result = &answer["result"];
        assert!(
            result.is_object() && result["isError"] != true,
            "{name}: {answer}"
        );
        result["structuredContent"].clone()
    }

    /// Closes the input; answers the exit code and what stood on standard error.
    pub(crate) fn end(mut self) -> (i32, String) {
        drop(self.input.take());
        let status = wait_for("the end of the server", || self.child.try_wait().unwrap());
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (status.code().unwrap(), said)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_whole_session_without_a_server() {
    let folder = folder();
    let db = folder.path().join("m.db");
    let mut one = Pipe::start(&db);
    let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    let hello = one.ask("initialize", &hello);
    assert_eq!(hello["result"]["protocolVersion"], "2025-11-25");
    one.say(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    assert_eq!(one.tool("wake_up", json!({}))["first_session"], true);
    one.tool(
        "remember",
        json!({"content": "the gauge stands on the pier"}),
    );
    one.tool("create_handoff", json!({"remember": "paint the gauge"}));
    let listed = one.tool("list_memories", json!({"type": "handoff"}));
    assert_eq!(listed["memories"].as_array().unwrap().len(), 1);
    assert_eq!(one.end(), (0, String::new()));

    let mut next = Pipe::start(&db);
    let woken = next.tool("wake_up", json!({}));
    assert_eq!(woken["first_session"], false);
    assert!(id(&woken, "context").contains("paint the gauge"));
    let hits = next.tool("recall", json!({"query": "pier"}));
    let note = id(&hits["memories"][0], "id");
    next.tool("forget", json!({"id": note}));
    assert_eq!(next.end(), (0, String::new()));
    // Forgotten is gone, as by the command line, and the searches were counted.
    for file in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(
            !bytes
                .windows(4)
                .any(|word| word.eq_ignore_ascii_case(b"pier"))
        );
    }
    let status = command(&db).args(["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["stats"]["recalls"], 1);
}

#[test]
fn flags_say_project_session_and_tenant() {
    let folder = folder();
    let db = folder.path().join("m.db");
    let mut one = Pipe::start_with(
        &db,
        &["--project", "harbour", "--session", "s9", "--tenant", "a"],
    );
    one.tool("create_handoff", json!({"remember": "paint the gauge"}));
    one.tool("remember", json!({"content": "the crane is rusty"}));
    let listed = one.tool("list_memories", json!({"session_id": "s9"}));
    assert_eq!(listed["memories"].as_array().unwrap().len(), 1);
    one.end();
    for (flags, found) in [
        (["--project", "elsewhere"], 0),
        (["--project", "harbour"], 1),
        (["--session", "x"], 1),
    ] {
        let mut next = Pipe::start_with(&db, &[&flags[..], &["--tenant", "a"]].concat());
        let hits = next.tool("recall", json!({"query": "crane"}));
        assert_eq!(
            hits["memories"].as_array().unwrap().len(),
            found,
            "{flags:?}"
        );
    }
    let wrong = command(&db)
        .args(["mcp", "--project", " "])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn goes_on_after_what_is_no_message() {
    let folder = folder();
    let mut one = Pipe::start(&folder.path().join("m.db"));
    for (line, code) in [
        (&b"nonsense"[..], -32700),
        (b"\xff\xfe\x00", -32700),
        (b"[]", -32600),
        (br#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#, -32601),
    ] {
        one.say(line);
        assert_eq!(one.hear()["error"]["code"], code, "{line:?}");
    }
    for nested in ["[", "{\"a\":"] {
        let deep = nested.repeat(5_000);
        one.say(
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{deep}"#).as_bytes(),
        );
        assert_eq!(one.hear()["error"]["code"], -32700);
    }
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    one.say(
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{{"a":{deep}}}}}}}"#
        )
        .as_bytes(),
    );
    assert_eq!(one.hear()["error"]["code"], -32700);
    // What wants no answer gets none; an empty line is nothing.
    one.say(b"");
    one.say(br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    one.say(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let mut long = br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":""#.to_vec();
    long.resize(12 << 20, b'x');
    long.extend_from_slice(br#""}}"#);
    one.say(&long);
    assert_eq!(one.hear()["error"]["code"], -32600);
    let long = "quay ".repeat(1 << 20);
    one.tool("record_event", json!({"text": long}));
    assert_eq!(one.ask("ping", &json!({}))["result"], json!({}));
    assert_eq!(one.tool("memory_status", json!({}))["events"], 1);
    assert_eq!(one.end(), (0, String::new()));
}

#[test]
fn a_file_that_cannot_be_used_is_said_at_the_start_and_one_that_is_lost_later_at_the_call() {
    let folder = folder();
    let db = folder.path().join("m.db");
    let mut one = Pipe::start(&db);
    one.tool("remember", json!({"content": "kept"}));
    fs::rename(&db, folder.path().join("away.db")).unwrap();
    let lost = one.ask(
        "tools/call",
        &json!({"name": "remember", "arguments": {"content": "lost"}}),
    );
    assert_eq!(lost["error"]["code"], -32603, "{lost}");
    assert_eq!(
        lost["error"]["message"],
        "the store cannot be used right now"
    );
    // Over HTTP it is what it is on every other route.
    let server = Server::start(&folder.path().join("other.db"));
    fs::rename(
        folder.path().join("other.db"),
        folder.path().join("gone.db"),
    )
    .unwrap();
    let call = message(
        "tools/call",
        &json!({"name": "remember", "arguments": {"content": "lost"}}),
    );
    let mut refused = client().post(server.url("/mcp")).send_json(&call).unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: Value = refused.body_mut().read_json().unwrap();
    assert_eq!(problem["code"], "unavailable");
    let mut scrape = client().get(server.url("/metrics")).call().unwrap();
    let scrape = scrape.body_mut().read_to_string().unwrap();
    let failed = "agent_memory_mcp_tool_calls_total{tool=\"remember\",outcome=\"failed\"} 1";
    assert!(scrape.lines().any(|line| line == failed), "{scrape}");

    fs::rename(folder.path().join("away.db"), &db).unwrap();
    assert_eq!(one.tool("memory_status", json!({}))["knowledge"], 1);
    let (code, said) = one.end();
    assert_eq!(code, 0);
    assert!(
        said.starts_with("agent-memory: the store cannot be used right now: "),
        "{said}"
    );

    fs::write(&db, "this is no database, whatever its name says").unwrap();
    let refused = command(&db)
        .arg("mcp")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(74));
    assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
}

/// The state of a process, as the kernel says; none if it is gone.
#[cfg(target_os = "linux")]
fn alive(process: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    (state != 'Z').then_some(state)
}

#[cfg(target_os = "linux")]
fn gone_within_two_seconds(process: u32) {
    let begun = Instant::now();
    wait_for("the server to follow its client", || {
        alive(process).is_none().then_some(())
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

/// The input stays open after the client's death, since the test holds its other end: a client's helper may do so.
#[test]
#[cfg(target_os = "linux")]
fn ends_with_its_parent_though_the_pipe_stays_open() {
    let folder = folder();
    let db = folder.path().join("m.db");
    let script = "exec 3<&0; \"$0\" --db \"$1\" mcp <&3 & echo $!; wait";
    let mut parent = Command::new("sh")
        .args(["-c", script, BINARY])
        .arg(&db)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = parent.stdin.take().unwrap();
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let process: u32 = line.trim().parse().unwrap();
    let remember = message(
        "tools/call",
        &json!({"name": "remember", "arguments": {"content": "before the end"}}),
    );
    writeln!(input, "{remember}").unwrap();
    let mut answer = String::new();
    output.read_line(&mut answer).unwrap();
    assert!(answer.contains("Remembered as"), "{answer}");
    parent.kill().unwrap();
    parent.wait().unwrap();
    gone_within_two_seconds(process);
    drop(input);
    let listed = command(&db).args(["list", "knowledge"]).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("before the end"));
}

#[test]
#[cfg(target_os = "linux")]
fn ends_when_its_client_is_killed_or_reads_no_more() {
    let folder = folder();
    let mut one = Pipe::start(&folder.path().join("m.db"));
    one.ask("ping", &json!({}));
    let process = one.child.id();
    drop(one.input.take());
    let reaped = std::thread::spawn(move || one.child.wait().unwrap());
    gone_within_two_seconds(process);
    assert_eq!(reaped.join().unwrap().code(), Some(0));

    let mut child = command(&folder.path().join("m.db"))
        .arg("mcp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    drop(child.stdout.take());
    for _ in 0..2 {
        // The second may already find nobody.
        let _sent = writeln!(input, "{}", message("ping", &json!({})));
    }
    let status = wait_for("the server to see that nobody reads", || {
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn ten_clients_a_server_and_the_command_line_share_a_file() {
    const CLIENTS: usize = 10;
    const EACH: usize = 15;
    let folder = folder();
    let db = folder.path().join("m.db");
    let server = Server::start(&db);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let db = &db;
            scope.spawn(move || {
                let mut one = Pipe::start(db);
                for fact in 0..EACH {
                    one.tool(
                        "remember",
                        json!({"content": format!("client {number} knows fact {fact}")}),
                    );
                    if fact % 5 == 0 {
                        one.tool("recall", json!({"query": "what does a client know?"}));
                        one.tool("wake_up", json!({}));
                    }
                }
                assert_eq!(one.end(), (0, String::new()));
            });
        }
        scope.spawn(|| {
            let agent = client();
            for fact in 0..EACH {
                let content = json!({"content": format!("the server knows fact {fact}")});
                let call = message(
                    "tools/call",
                    &json!({"name": "remember", "arguments": content}),
                );
                let mut answer = agent.post(server.url("/mcp")).send_json(&call).unwrap();
                let answer: Value = answer.body_mut().read_json().unwrap();
                assert!(
                    id(&answer["result"]["structuredContent"], "id").starts_with("kn_"),
                    "{answer}"
                );
            }
        });
        scope.spawn(|| {
            for fact in 0..EACH {
                let done = command(&db)
                    .args(["note", &format!("the command line knows fact {fact}")])
                    .output()
                    .unwrap();
                assert!(
                    done.status.success(),
                    "{}",
                    String::from_utf8_lossy(&done.stderr)
                );
            }
        });
    });
    let status = command(&db).args(["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["stats"]["notes"], (CLIENTS + 2) * EACH);
    let examined = command(&db).arg("doctor").output().unwrap();
    assert!(
        examined.status.success(),
        "{}",
        String::from_utf8_lossy(&examined.stdout)
    );
}
