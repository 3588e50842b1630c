//! What should not be sent to `/mcp`: it is refused in words, and nothing is lost or left behind.

use std::io::Write as _;
use std::net::TcpStream;

use agent_memory::mcp::listing;
use serde_json::{Value, json};

use crate::harness::{TestApp, id};
use crate::mcp::message;
use crate::process::wait_for;

#[test]
fn what_is_no_message_is_told_so() {
    let app = TestApp::start();
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("nonsense", -32700),
        ("\u{1f40b}", -32700),
        ("5", -32700),
        ("[]", -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":2,"id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1e999,"method":"ping"}"#, -32700),
        (r#"{"jsonrpc":"2.0","id":"\ud800","method":"ping"}"#, -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#, -32700),
    ] {
        let answer = app.post_bytes("/mcp", body.as_bytes());
        let answer = answer.is(400).json();
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        assert!(answer.get("id").is_none(), "{answer}");
    }
    for params in [
        "[]",
        "5",
        "\"x\"",
        r#"{"name": 5}"#,
        r#"{"_meta": 5}"#,
        r#"{"uri": []}"#,
    ] {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{params}}}"#);
        let answer = app.post_bytes("/mcp", body.as_bytes()).ok();
        assert_eq!(
            (&answer["error"]["code"], &answer["id"]),
            (&json!(-32602), &json!("x")),
            "{params}"
        );
    }
    assert_eq!(app.result("ping", &json!({"unknown": [1]})), json!({}));
}

#[test]
fn a_notification_and_an_answer_nobody_asked_for_are_taken() {
    let app = TestApp::start();
    for body in [
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7, "reason": "bored"}}),
        json!({"jsonrpc": "2.0", "method": "no/such/notification", "params": []}),
        json!({"jsonrpc": "2.0", "id": 1, "result": {}}),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}),
    ] {
        assert!(app.mcp(&body).is(202).body.is_empty(), "{body}");
    }
}

#[test]
fn only_pages_of_its_own_get_in_and_only_by_its_name() {
    let app = TestApp::start();
    let ping = message("ping", &json!({}));
    app.post_with("/mcp", &[("origin", "http://evil.example")], &ping)
        .problem(403);
    app.post_with("/mcp", &[("host", "evil.example")], &ping)
        .problem(403);
    app.post_with("/mcp", &[("content-type", "text/plain")], &ping);
    app.get("/.well-known/oauth-protected-resource")
        .problem(404);
    app.get("/.well-known/oauth-authorization-server")
        .problem(404);
}

#[test]
fn an_unknown_tool_is_a_fault_of_the_protocol_and_a_wrong_argument_one_of_the_call() {
    let app = TestApp::start();
    assert_eq!(
        app.mcp_error("tools/call", &json!({"name": "dream"})),
        -32602
    );
    assert_eq!(app.mcp_error("tools/call", &json!({})), -32602);
    for (tool, arguments, says) in [
        ("recall", json!({}), "missing field `query`"),
        ("recall", json!({"query": 5}), "query: invalid type"),
        (
            "recall",
            json!({"query": "x", "limit": 0}),
            "limit: is not between 1 and 100",
        ),
        (
            "recall",
            json!({"query": "x", "limit": "ten"}),
            "limit: invalid type",
        ),
        (
            "recall",
            json!({"query": "x", "types": ["dream"]}),
            "types[0]: is not one of event handoff",
        ),
        (
            "recall",
            json!({"query": "x", "since": "yesterday"}),
            "since",
        ),
        (
            "recall",
            json!({"query": "x", "max_tokens": 1}),
            "max_tokens: is not between 200 and 100000",
        ),
        (
            "recall",
            json!({"qeury": "x"}),
            "unknown field `qeury`, expected one of `query`",
        ),
        ("recall", json!(["x"]), "arguments: is not an object"),
        (
            "wake_up",
            json!({"with_whom": ["Ada"]}),
            "with_whom: invalid type",
        ),
        ("create_handoff", json!({}), "create_handoff did nothing"),
        (
            "create_handoff",
            json!({"remember": "x", "significance": 7}),
            "significance",
        ),
        ("remember", json!({"content": " "}), "content"),
        (
            "record_decision",
            json!({"decision": "x", "scope": "galaxy"}),
            "scope: is not one of session",
        ),
        (
            "record_decision",
            json!({"decision": "x", "supersedes": "it"}),
            "supersedes: is not an id",
        ),
        (
            "record_decision",
            json!({"decision": "x", "supersedes": format!("dec_{:032x}", 1)}),
            "decision not found",
        ),
        (
            "record_event",
            json!({"text": "x", "kind": "dream"}),
            "kind: is not one of message",
        ),
        (
            "forget",
            json!({"id": "everything"}),
            "id: does not begin with evt_, sh_",
        ),
        (
            "forget",
            json!({"id": "sh_5"}),
            "id: is not an id of the form sh_",
        ),
        ("list_memories", json!({"cursor": "x"}), "cursor"),
        (
            "memory_status",
            json!({"verbose": true}),
            "unknown field `verbose`",
        ),
    ] {
        let why = app.tool_error(tool, arguments.clone());
        assert!(why.contains(says), "{tool} {arguments}: {why}");
        assert!(why.starts_with(&format!("{tool} did nothing: ")), "{why}");
    }
    assert_eq!(
        app.tool("memory_status", json!({}))["structuredContent"]["text_bytes"],
        0
    );
}

#[test]
fn a_refusal_does_not_repeat_a_secret() {
    let app = TestApp::start();
    let secret = ["sk", "ant", "api03", &"Zq7Xw9Lk2Mv4".repeat(3)].join("-");
    let why = app.tool_error("recall", json!({"query": "x", "types": secret}));
    assert!(!why.contains("Zq7Xw9Lk2Mv4"), "{why}");
}

/// Every argument that a schema names is read, and of the type that it names.
#[test]
fn the_schemas_name_what_is_read() {
    let app = TestApp::start();
    for tool in listing() {
        let name = id(tool, "name");
        let properties = tool["inputSchema"]["properties"].as_object();
        for (argument, schema) in properties.into_iter().flatten() {
            let wrong = match schema["type"].as_str().unwrap() {
                "string" => json!(5),
                "integer" | "number" | "boolean" | "array" => json!("five"),
                other => panic!("{name}.{argument} is of type {other}"),
            };
            let mut arguments = json!({});
            for required in tool["inputSchema"]["required"]
                .as_array()
                .into_iter()
                .flatten()
            {
                arguments[required.as_str().unwrap()] = json!("something");
            }
            arguments[argument] = wrong;
            let why = app.tool_error(&name, arguments);
            assert!(
                why.contains(&format!(" {argument}: ")) && !why.contains("unknown field"),
                "{name}: {why}"
            );
        }
    }
}

#[test]
fn five_megabytes_are_kept_or_refused_and_eleven_are_too_many() {
    let app = TestApp::start();
    let long = "quay ".repeat(1 << 20);
    let event = app.tool("record_event", json!({"text": long}));
    assert!(id(&event["structuredContent"], "id").starts_with("evt_"));
    let why = app.tool_error("remember", json!({"content": long}));
    assert!(why.contains("content"), "{why}");
    let why = app.tool_error("recall", json!({"query": long}));
    assert!(why.contains("query: is longer than 256 KiB"), "{why}");
    let why = app.tool_error("wake_up", json!({"topic": long}));
    assert!(why.len() < 500, "{why}");
    let too_long = message(
        "tools/call",
        &json!({"name": "record_event", "arguments": {"text": long.repeat(2) + &long}}),
    );
    app.mcp(&too_long).problem(413);
    assert_eq!(
        app.tool("memory_status", json!({}))["structuredContent"]["events"],
        1
    );
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let app = TestApp::start();
    for number in 0..20 {
        let body = message(
            "tools/call",
            &json!({"name": "remember", "arguments": {"content": format!("fact {number}")}}),
        )
        .to_string();
        let mut stream = TcpStream::connect(app.address()).unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // Half of them leave in the middle of what they have to say.
        let cut = if number % 2 == 0 {
            body.len()
        } else {
            body.len() / 2
        };
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body.as_bytes()[..cut]).unwrap();
    }
    let gone = || {
        let scrape = app.scrape();
        // The scrape itself is one.
        let busy = scrape.value("agent_memory_http_requests_in_flight") > 1.0
            || scrape.value("agent_memory_blocking_threads{state=\"busy\"}") > 0.0
            || scrape.value("agent_memory_http_connections") > 2.0;
        (!busy).then_some(())
    };
    wait_for("the vanished clients to be forgotten", gone);
    // A write is whole or it is not there.
    let listed = app.tool(
        "list_memories",
        json!({"type": "knowledge", "limit": 100, "max_tokens": 5_000}),
    );
    for memory in listed["structuredContent"]["memories"].as_array().unwrap() {
        assert!(id(memory, "text").starts_with("fact "));
    }
}

#[test]
fn a_header_that_contradicts_the_message_is_refused() {
    let app = TestApp::start();
    let mut params = json!({"name": "memory_status"});
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let call = message("tools/call", &params);
    let send = |headers: &[(&str, &str)], call: &Value| {
        let answer = app.post_with("/mcp", headers, call);
        (answer.status, answer.json()["error"]["code"].clone())
    };
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    assert_eq!(
        send(&[version, method, ("mcp-name", "memory_status")], &call),
        (200, Value::Null)
    );
    assert_eq!(send(&[], &call), (400, json!(-32020)));
    assert_eq!(send(&[version], &call), (400, json!(-32020)));
    assert_eq!(
        send(&[version, method, ("mcp-name", "forget")], &call),
        (400, json!(-32020))
    );
    let mut newer = call.clone();
    newer["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2031-01-01");
    let (status, code) = send(&[("mcp-protocol-version", "2031-01-01")], &newer);
    assert_eq!((status, code), (400, json!(-32022)));
    let old = message("tools/list", &json!({}));
    assert_eq!(
        send(&[("mcp-protocol-version", "0.9")], &old),
        (400, json!(-32022))
    );
    assert_eq!(send(&[version], &old), (400, json!(-32602)));
}
