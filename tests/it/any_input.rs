//! Whatever comes in is answered: texts to search for, cursors, lines of a batch, exports, messages of MCP, and texts to take
//! secrets from.
//!
//! Each target draws inputs from pieces that its reader knows, mutilates them, and goes on for `FUZZ_SECONDS` (4, so that
//! all are about twenty; `scripts/test --full fuzz` gives each ten minutes). What failed is printed with the seed it came from
//! (`FUZZ_SEED`).
//!
//! **Invariant:** an input may be refused, and may not be answered with a 5xx, end the process, or take long.

use std::time::{Duration, Instant};

use agent_memory::domain::redact::redact;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, encoded, event};
use crate::import::{principle, reflection, sealed, whole};
use crate::mcp::message;
use crate::mcp_stdio::Pipe;

/// Longest that one input may take, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often an input may be late before the machine is not to blame.
const TRIES: u32 = 3;

/// Draws inputs until the time is up, and answers how many there were.
fn draw<T: std::fmt::Debug + Clone>(
    strategy: &impl Strategy<Value = T>,
    mut attempt: impl FnMut(&T),
) -> u64 {
    let number = |name: &str, otherwise: u64| {
        std::env::var_os(name).map_or(otherwise, |text| text.to_str().unwrap().parse().unwrap())
    };
    let seed = number("FUZZ_SEED", std::process::id().into());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS", 4));
    let mut count = 0;
    let begun = Instant::now();
    let mut minute = 1;
    while Instant::now() < end || count < 20 {
        let input = strategy.new_tree(&mut runner).unwrap().current();
        let named = || {
            format!(
                "input {count} of FUZZ_SEED={seed}: {:.2000}",
                format!("{input:?}")
            )
        };
        // What is wrong is wrong at once. A machine that stands still for a while is not our fault, so that what was right
        // and late is asked again.
        let in_time = (0..TRIES).any(|_| {
            let begun = Instant::now();
            let attempt = std::panic::AssertUnwindSafe(|| attempt(&input));
            assert!(std::panic::catch_unwind(attempt).is_ok(), "{}", named());
            begun.elapsed() < PATIENCE
        });
        assert!(in_time, "{TRIES} times too late: {}", named());
        count += 1;
        if begun.elapsed() > Duration::from_secs(60 * minute) {
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("{name}: {count} inputs in {minute} min");
            minute += 1;
        }
    }
    count
}

#[track_caller]
fn answered(answer: &Answer) {
    assert!(answer.status < 500, "{} {}", answer.status, answer.text());
}

/// Some of these texts one after the other, and then a few bytes of it changed, doubled or gone.
fn mutilated(pieces: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
    let some = proptest::collection::vec(
        prop_oneof![4 => proptest::sample::select(pieces), 1 => "\\PC{0,12}"],
        0..12,
    );
    let harm =
        proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..4);
    (some, harm).prop_map(|(pieces, harm)| {
        let mut bytes = pieces.concat().into_bytes();
        for (at, byte, how) in harm {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn any_question_is_answered() {
    let app = TestApp::start();
    app.say("the lighthouse keeper measured the tide on 2026-02-10");
    let words = texts(&[
        "lighthouse ",
        "NEAR(",
        "\"",
        "*",
        "tide",
        " AND ",
        " OR NOT ",
        "-",
        "^",
        "{a b}:",
        "col:",
        "yesterday ",
        "last week ",
        "2026-13-45 ",
        "灯台",
        "\u{0}",
        "🌊",
        "'; drop table event; --",
        "%",
        "_",
        "\\",
        "a".repeat(300).as_str(),
        "\u{202e}",
        "e\u{301}",
    ]);
    draw(&mutilated(words), |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        answered(&app.post("/api/v1/recall", &json!({"query": text})));
        answered(&app.get(&format!("/api/v1/search?q={}", encoded(&text))));
        answered(&app.post(
            "/api/v1/context",
            &json!({"query_text": text, "max_tokens": 500}),
        ));
    });
}

#[test]
fn any_cursor_is_answered() {
    let app = TestApp::start();
    for number in 0..5 {
        app.say(&format!("event {number}"));
    }
    let page = app.get("/api/v1/events?limit=2").ok();
    let real = page["next_cursor"].as_str().unwrap().to_owned();
    let half = real[..real.len() / 2].to_owned();
    draw(
        &mutilated(vec![real, half, "AAAA".into(), "=".into(), "-_".into()]),
        |bytes| {
            for list in [
                "events",
                "handoffs",
                "knowledge",
                "decisions",
                "sessions",
                "reflections",
            ] {
                let cursor = encoded(&String::from_utf8_lossy(bytes));
                answered(&app.get(&format!("/api/v1/{list}?limit=2&cursor={cursor}")));
            }
        },
    );
}

#[test]
fn any_lines_of_a_batch_are_answered() {
    let app = TestApp::start();
    let good = event(&json!({})).to_string() + "\n";
    let pieces = vec![
        good.clone(),
        good.replace('"', "'"),
        "{}\n".into(),
        "[".repeat(200),
        "\n\n".into(),
        "{\"session_id\":".into(),
        "1e999\n".into(),
        "\"\\ud800\"\n".into(),
        "\u{feff}".into(),
        "null\n".into(),
        good.replace("private", "dream"),
    ];
    draw(&mutilated(pieces), |bytes| {
        let lines = [("content-type", "application/x-ndjson")];
        answered(&app.send("POST", "/api/v1/events/batch", &lines, Some(bytes)));
        let one = [("content-type", "application/json")];
        answered(&app.send("POST", "/api/v1/events/batch", &one, Some(bytes)));
        answered(&app.send("POST", "/api/v1/handoff", &one, Some(bytes)));
    });
}

#[test]
fn any_import_is_answered() {
    let app = TestApp::start();
    app.say("something");
    app.hand_off(json!({})).created();
    let rows = sealed(&[reflection(1, &json!({})), principle(1, &json!({}))]);
    let mut pieces: Vec<String> = whole(&app)
        .lines()
        .chain(rows.lines())
        .map(|line| format!("{line}\n"))
        .collect();
    pieces.extend([
        whole(&app),
        rows.clone(),
        rows.replace("\"version\":2", "\"version\":99"),
        rows.replace("2026-", "9999-"),
    ]);
    draw(&mutilated(pieces), |bytes| {
        for mode in ["merge", "replace"] {
            let lines = [("content-type", "application/x-ndjson")];
            answered(&app.send(
                "POST",
                &format!("/api/v1/import?mode={mode}"),
                &lines,
                Some(bytes),
            ));
        }
    });
    answered(&app.get("/health"));
}

/// Any JSON, with the words that messages and arguments are made of among its names and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let words = proptest::sample::select(vec![
        "id",
        "name",
        "arguments",
        "content",
        "query",
        "limit",
        "cursor",
        "type",
        "max_tokens",
        "_meta",
        "io.modelcontextprotocol/protocolVersion",
        "2026-07-28",
        "uri",
        "memory://wake-up",
        "wake-up",
        "\u{0}",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.clone().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(Value::from("9".repeat(100_000))),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        let names = prop_oneof![3 => words.clone().prop_map(str::to_owned), 1 => "\\PC{0,8}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((names, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A message of a method that there is, with parameters, an id and a version of any kind; alone or in a batch.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let methods = texts(&[
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "prompts/list",
        "prompts/get",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "notifications/cancelled",
        "dream",
    ]);
    let tools = agent_memory::mcp::listing();
    let tools: Vec<_> = tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    let called = (proptest::sample::select(tools), any_json()).prop_map(|(name, arguments)| {
        message("tools/call", &json!({"name": name, "arguments": arguments}))
    });
    let other = (proptest::sample::select(methods), any_json())
        .prop_map(|(method, params)| message(&method, &params));
    (prop_oneof![called, other], any_json(), 0..12_u8).prop_map(|(mut message, value, how)| {
        match how {
            0 => message["id"] = value,
            1 => message["jsonrpc"] = value,
            2 => message["method"] = value,
            3 => message["params"] = value,
            4 => drop(message.as_object_mut().unwrap().remove("id")),
            5 => message = json!([message, value]),
            6 => {
                let deep = "[".repeat(5_000) + &"]".repeat(5_000);
                return message
                    .to_string()
                    .replace("\"jsonrpc\"", &format!("\"deep\":{deep},\"jsonrpc\""))
                    .into();
            }
            7 => {
                return message
                    .to_string()
                    .replace(":7", &format!(":{}", "7".repeat(400)))
                    .into();
            }
            _ => {}
        }
        message.to_string().into()
    })
}

/// Over HTTP, and on the standard input of a process that has to go on afterwards.
#[test]
fn any_message_of_mcp_is_answered() {
    let app = TestApp::start();
    app.say("the lighthouse keeper measured the tide");
    let call = |name: &str, arguments: &Value| {
        message("tools/call", &json!({"name": name, "arguments": arguments})).to_string()
    };
    let pieces = vec![
        call("recall", &json!({"query": "tide", "limit": 3})),
        call("remember", &json!({"content": "the gauge", "pinned": true})),
        call("list_memories", &json!({"type": "event"})),
        call("create_handoff", &json!({"remember": "paint it"})),
        message("initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x"}})).to_string(),
        message("tools/call", &json!({"name": "memory_status", "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}})).to_string(),
        "[".repeat(200),
        "{\"a\":".repeat(200),
        "\"\\ud800\"".into(),
        "1e999".into(),
        "\u{feff}".into(),
        "\r\n".into(),
        "null".into(),
        "true".into(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut pipe = Pipe::start(&folder.path().join("m.db"));
    let mut number = 0_u64;
    let inputs = prop_oneof![mutilated(pieces), any_message()];
    let count = draw(&inputs, |bytes| {
        let json = [("content-type", "application/json")];
        answered(&app.send("POST", "/mcp", &json, Some(bytes)));
        let modern = [json[0], ("mcp-protocol-version", "2026-07-28")];
        answered(&app.send("POST", "/mcp", &modern, Some(bytes)));
        // As many answers as it likes, and then that to a question of ours.
        number += 1;
        let own = format!("own {number}");
        pipe.say(bytes);
        pipe.say(
            json!({"jsonrpc": "2.0", "id": own, "method": "ping"})
                .to_string()
                .as_bytes(),
        );
        while pipe.hear()["id"] != own.as_str() {}
    });
    assert!(count >= 20, "{count}");
    assert_eq!(pipe.end(), (0, String::new()));
}

#[test]
fn any_text_is_redacted_once() {
    let run = "aB3dE6gH9jK2".repeat(4);
    let pieces = texts(&[
        "sk-ant-",
        "ghp_",
        "sk_live_",
        "AKIA",
        "eyJ",
        ".eyJ",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "-----END RSA PRIVATE KEY-----",
        "password",
        "_TOKEN",
        "=",
        ": ",
        " is ",
        "\"",
        "\\\"",
        "'",
        "://user:",
        "@host",
        "Authorization: Bearer ",
        "basic ",
        "<private>",
        "</private>",
        "[REDACTED:",
        "]",
        "\n",
        " ",
        "ü",
        "curl -u a:",
        "mysql -p",
        "xoxb-",
        "MTAx",
        ".",
        ":AA",
        "-us12",
        ".atlasv1.",
        run.as_str(),
        "0123456789abcdef0123456789abcdef",
        "%20",
        "--api-key ",
    ]);
    let count = draw(&mutilated(pieces), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let once = redact(&text).text.into_owned();
        let twice = redact(&once);
        assert!(
            twice.is_clean() && twice.text == once,
            "{once:?} -> {:?}",
            twice.text
        );
    });
    assert!(count > 100, "{count}");
}
