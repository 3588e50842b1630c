//! `/mcp`: what an agent calls, in both eras of the protocol.

use agent_memory::domain::token::estimate;
use jsonschema::validator_for;
use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, event, id, made_id};

/// A message with these parameters, in the older era.
pub(crate) fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

impl TestApp {
    /// The answer to a message, which has to be one.
    #[track_caller]
    pub(crate) fn mcp(&self, message: &Value) -> Answer {
        self.post("/mcp", message)
    }

    /// The result of a message.
    #[track_caller]
    pub(crate) fn result(&self, method: &str, params: &Value) -> Value {
        let answer = self.mcp(&message(method, params)).ok();
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert_eq!(answer["id"], 7, "{answer}");
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The error of a message that was answered 200.
    #[track_caller]
    pub(crate) fn mcp_error(&self, method: &str, params: &Value) -> i64 {
        let answer = self.mcp(&message(method, params)).ok();
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        answer["error"]["code"].as_i64().unwrap()
    }

    /// What a tool answers, which has to be as its schema says.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    pub(crate) fn tool(&self, name: &str, arguments: Value) -> Value {
        let called = json!({"name": name, "arguments": arguments});
        let result = self.result("tools/call", &called);
        assert_ne!(result["isError"], true, "{name}: {result}");
        assert_eq!(result["content"][0]["type"], "text", "{result}");
        let listed = self.result("tools/list", &json!({}));
        let tools = listed["tools"].as_array().unwrap();
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap();
        let answered = &result["structuredContent"];
        if let Err(error) = validator_for(&tool["outputSchema"])
            .unwrap()
            .validate(answered)
        {
            panic!("{name}: {error} in {answered}");
        }
        let described = described_names(&tool["outputSchema"]);
        for (key, _) in answered.as_object().unwrap() {
            assert!(described.contains(key), "{name} answers {key}");
        }
        result
    }

    /// What is wrong with a call, in words.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    pub(crate) fn tool_error(&self, name: &str, arguments: Value) -> String {
        let called = json!({"name": name, "arguments": arguments});
        let result = self.result("tools/call", &called);
        assert_eq!(result["isError"], true, "{name}: {result}");
        assert!(result.get("structuredContent").is_none(), "{result}");
        id(&result["content"][0], "text")
    }
}

fn described_names(schema: &Value) -> Vec<String> {
    let properties = schema["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect()
}

fn made(result: &Value) -> String {
    id(&result["structuredContent"], "id")
}

fn found(result: &Value) -> Vec<String> {
    let memories = result["structuredContent"]["memories"].as_array().unwrap();
    memories.iter().map(|memory| id(memory, "id")).collect()
}

#[test]
fn a_session_hands_over_to_the_next() {
    let app = TestApp::start();
    let first = app.tool("wake_up", json!({}));
    assert_eq!(first["structuredContent"]["first_session"], true);
    assert_eq!(first["content"][0]["text"], "Nothing is remembered yet.");
    let note = made(&app.tool(
        "remember",
        json!({"content": "The gauge stands on the pier.", "pinned": true}),
    ));
    let decision = made(&app.tool("record_decision", json!({
        "decision": "Read the gauge at noon", "rationale": ["the tide is out"], "scope": "global",
    })));
    let event = made(&app.tool(
        "record_event",
        json!({"text": "the xylographer called about the gauge"}),
    ));
    let handoff = made(&app.tool(
        "create_handoff",
        json!({"remember": "paint the gauge on Thursday", "with_whom": "Ada"}),
    ));
    for (made, prefix) in [
        (&note, "kn_"),
        (&decision, "dec_"),
        (&event, "evt_"),
        (&handoff, "sh_"),
    ] {
        assert!(made.starts_with(prefix), "{made}");
    }
    let second = app.tool("wake_up", json!({"with_whom": "Ada"}));
    let context = id(&second["structuredContent"], "context");
    assert_eq!(second["content"][0]["text"], context.as_str());
    for said in [
        "paint the gauge on Thursday",
        "Read the gauge at noon",
        "stands on the pier",
    ] {
        assert!(context.contains(said), "{said} in {context}");
    }
    assert_eq!(
        found(&app.tool("recall", json!({"query": "xylographer"}))),
        std::slice::from_ref(&event)
    );
    let bundle = app.tool("build_context", json!({"task": "paint the gauge"}));
    assert!(id(&bundle["structuredContent"], "context").contains("on the pier"));
    let newer = app.tool(
        "record_decision",
        json!({"decision": "Read it at dawn", "supersedes": decision}),
    );
    assert!(id(&newer["content"][0], "text").contains("no longer holds"));
    app.tool("forget", json!({"id": event}));
    assert_eq!(
        app.tool_error("forget", json!({"id": event})),
        "forget did nothing: event not found"
    );
    assert_eq!(
        found(&app.tool("recall", json!({"query": "xylographer"}))),
        Vec::<String>::new()
    );
    let status = app.tool("memory_status", json!({}));
    let status = &status["structuredContent"];
    assert_eq!(
        (
            &status["events"],
            &status["handoffs"],
            &status["decisions"],
            &status["knowledge"]
        ),
        (&json!(0), &json!(1), &json!(2), &json!(1))
    );
}

#[test]
fn browses_every_type_and_reads_one_in_full() {
    let app = TestApp::start();
    let long = "a long story ".repeat(100);
    for number in 0..5 {
        app.tool(
            "create_handoff",
            json!({"story": format!("{number} {long}"), "session_id": format!("s{number}")}),
        );
        app.advance_hours(1);
    }
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut asked = json!({"limit": 2});
        if !cursor.is_null() {
            asked["cursor"] = cursor;
        }
        let page = app.tool("list_memories", asked);
        seen.extend(found(&page));
        cursor = page["structuredContent"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    let one = app.tool("list_memories", json!({"id": seen[0]}));
    let text = id(&one["structuredContent"]["memories"][0], "text");
    assert!(
        text.starts_with("story: 4 a long story") && text.len() > long.len(),
        "{text}"
    );
    for kind in ["event", "decision", "knowledge", "reflection", "principle"] {
        assert_eq!(
            found(&app.tool("list_memories", json!({"type": kind}))),
            Vec::<String>::new()
        );
    }
    let in_session = app.tool("list_memories", json!({"session_id": "s3"}));
    assert_eq!(found(&in_session), [seen[1].clone()]);
    let why = app.tool_error("list_memories", json!({"type": "event", "project_id": "p"}));
    assert!(
        why.contains("project_id: does not go with type event"),
        "{why}"
    );
}

#[test]
fn a_page_that_was_cut_to_its_budget_loses_nothing() {
    let app = TestApp::start();
    for number in 0..30 {
        app.tool(
            "remember",
            json!({"content": format!("lesson {number}: {}", "measure first ".repeat(15))}),
        );
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let mut asked = json!({"type": "knowledge", "max_tokens": 400, "limit": 100});
        if !cursor.is_null() {
            asked["cursor"] = cursor;
        }
        let page = app.tool("list_memories", asked);
        seen.extend(found(&page));
        pages += 1;
        cursor = page["structuredContent"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!((once.len(), seen.len()), (30, 30));
    assert!(pages > 5, "{pages} pages");
}

#[test]
fn answers_keep_to_their_budget() {
    let app = TestApp::start();
    for number in 0..40 {
        let text = format!(
            "The gauge \"{number}\"\\ was read\nat the pier;\t{}",
            "潮位を測る。 tide {\"a\": [1, 2]} ".repeat(20)
        );
        app.tool(
            "create_handoff",
            json!({"remember": text, "learned": text, "session_id": format!("s{number}")}),
        );
        app.tool(
            "remember",
            json!({"content": text, "pinned": number % 4 == 0}),
        );
        app.tool(
            "record_decision",
            json!({"decision": text, "scope": "global"}),
        );
        app.tool("record_event", json!({"text": text}));
    }
    let last = found(&app.tool("list_memories", json!({"limit": 1})));
    let mut fullest = 0.0_f64;
    for budget in [200, 250, 400, 700, 2_000, 5_000, 20_000] {
        for (tool, arguments) in [
            ("wake_up", json!({})),
            ("wake_up", json!({"topic": "the pier"})),
            (
                "recall",
                json!({"query": "who read the gauge at the pier?", "limit": 50}),
            ),
            ("build_context", json!({"task": "read the gauge"})),
            ("list_memories", json!({"type": "knowledge", "limit": 100})),
            ("list_memories", json!({"id": last[0]})),
        ] {
            let mut arguments = arguments;
            arguments["max_tokens"] = budget.into();
            let result = app.tool(tool, arguments);
            let text = estimate(&id(&result["content"][0], "text"));
            let structured = estimate(&result["structuredContent"].to_string());
            assert!(
                text <= budget && structured <= budget,
                "{tool}: {text} and {structured} of {budget}"
            );
            #[expect(clippy::cast_precision_loss, reason = "they are small")]
            let full = structured as f64 / budget as f64;
            fullest = fullest.max(full);
        }
    }
    assert!(fullest > 0.8, "no budget was used to more than {fullest}");
}

#[test]
fn both_eras_are_answered_in_their_own_way() {
    let app = TestApp::start();
    for (asked, answered) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let hello = app.result("initialize", &json!({
            "protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"},
        }));
        assert_eq!(hello["protocolVersion"], answered);
        assert!(id(&hello, "instructions").contains("wake_up"));
        assert_eq!(hello["serverInfo"]["name"], "agent-memory");
    }
    let listed = app.result("tools/list", &json!({}));
    assert!(listed.get("resultType").is_none() && listed.get("ttlMs").is_none());
    assert_eq!(app.result("ping", &json!({})), json!({}));
    assert_eq!(
        app.mcp_error("logging/setLevel", &json!({"level": "info"})),
        -32601
    );

    let discovered = modern(&app, "server/discover", &json!({}), None).ok();
    let result = &discovered["result"];
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(
        result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"],
        "agent-memory"
    );
    let listed = modern(&app, "tools/list", &json!({}), None).ok();
    assert_eq!(listed["result"]["cacheScope"], "private");
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 10);
    let called = modern(
        &app,
        "tools/call",
        &json!({"name": "memory_status"}),
        Some("memory_status"),
    )
    .ok();
    assert_eq!(called["result"]["resultType"], "complete");
    assert_eq!(called["result"]["structuredContent"]["events"], 0);
    // Gone since 2026-07-28.
    for method in ["ping", "logging/setLevel", "no/such"] {
        let answer = modern(&app, method, &json!({}), None);
        assert_eq!(answer.is(404).json()["error"]["code"], -32601, "{method}");
    }
    let read = modern(
        &app,
        "resources/read",
        &json!({"uri": "memory://nothing"}),
        Some("memory://nothing"),
    )
    .ok();
    assert_eq!(read["error"]["code"], -32602);
}

/// A message of 2026-07-28, with its headers.
fn modern(app: &TestApp, method: &str, params: &Value, name: Option<&str>) -> Answer {
    let mut params = params.clone();
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut headers = vec![
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    headers.extend(name.map(|name| ("mcp-name", name)));
    app.post_with("/mcp", &headers, &message(method, &params))
}

#[test]
fn a_session_id_from_before_a_restart_is_no_error() {
    let app = TestApp::start().restarted();
    let headers = [
        ("mcp-session-id", "0190f2d4-c1a7-7e1b-8f0a-2b3c4d5e6f70"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let answer = app.post_with("/mcp", &headers, &message("tools/list", &json!({})));
    assert_eq!(answer.ok()["result"]["tools"].as_array().unwrap().len(), 10);
    assert_eq!(answer.header("mcp-session-id"), "");
    app.send("DELETE", "/mcp", &headers, None).problem(405);
    app.send("GET", "/mcp", &[("accept", "text/event-stream")], None)
        .problem(405);
}

#[test]
fn prompts_and_resources_show_what_the_tools_show() {
    let app = TestApp::start();
    let handoff = made(&app.tool("create_handoff", json!({"remember": "paint the gauge"})));
    let prompts = app.result("prompts/list", &json!({}));
    assert_eq!(prompts["prompts"].as_array().unwrap().len(), 2);
    let woken = app.result(
        "prompts/get",
        &json!({"name": "wake_up", "arguments": {"with_whom": "user"}}),
    );
    assert!(id(&woken["messages"][0]["content"], "text").contains("paint the gauge"));
    let ending = app.result("prompts/get", &json!({"name": "hand_over"}));
    assert!(id(&ending["messages"][0]["content"], "text").contains("create_handoff"));
    assert_eq!(
        app.mcp_error("prompts/get", &json!({"name": "nope"})),
        -32602
    );
    assert_eq!(
        app.mcp_error(
            "prompts/get",
            &json!({"name": "wake_up", "arguments": {"who": "x"}})
        ),
        -32602
    );

    let resources = app.result("resources/list", &json!({}));
    let uri = id(&resources["resources"][0], "uri");
    let read = app.result("resources/read", &json!({"uri": uri}));
    assert!(id(&read["contents"][0], "text").contains("paint the gauge"));
    assert_eq!(read["contents"][0]["mimeType"], "text/markdown");
    let templates = app.result("resources/templates/list", &json!({}));
    assert_eq!(
        templates["resourceTemplates"][0]["uriTemplate"],
        "memory://{id}"
    );
    let one = app.result(
        "resources/read",
        &json!({"uri": format!("memory://{handoff}")}),
    );
    assert_eq!(one["contents"][0]["text"], "remember: paint the gauge");
    for uri in [
        "memory://sh_0",
        "file:///etc/passwd",
        &format!("memory://{}", made_id("sh", 1)),
    ] {
        assert_eq!(
            app.mcp_error("resources/read", &json!({"uri": uri})),
            -32002,
            "{uri}"
        );
    }
}

#[test]
fn a_tenant_and_a_project_are_kept_apart() {
    let app = TestApp::start();
    let call = |path: &str, name: &str, arguments: Value| {
        app.post(
            path,
            &message("tools/call", &json!({"name": name, "arguments": arguments})),
        )
        .ok()["result"]
            .clone()
    };
    call(
        "/mcp?tenant_id=a",
        "remember",
        json!({"content": "the quay of a"}),
    );
    let recall = json!({"query": "quay"});
    assert_eq!(
        found(&call("/mcp?tenant_id=b", "recall", recall.clone())).len(),
        0
    );
    assert_eq!(
        found(&call("/mcp?tenant_id=a", "recall", recall.clone())).len(),
        1
    );
    let header = app.post_with(
        "/mcp",
        &[("x-tenant-id", "a")],
        &message(
            "tools/call",
            &json!({"name": "recall", "arguments": recall}),
        ),
    );
    assert_eq!(found(&header.ok()["result"]).len(), 1);
    call(
        "/mcp?project_id=harbour",
        "remember",
        json!({"content": "the crane of the harbour"}),
    );
    let crane = json!({"query": "crane"});
    assert_eq!(
        found(&call("/mcp?project_id=elsewhere", "recall", crane.clone())).len(),
        0
    );
    assert_eq!(
        found(&call("/mcp?project_id=harbour", "recall", crane.clone())).len(),
        1
    );
    assert_eq!(found(&call("/mcp", "recall", crane)).len(), 1);
    // What is not for others to hear stays back.
    app.post(
        "/api/v1/events",
        &event(&json!({"sensitivity": "high", "content": {"text": "the safe of the harbour"}})),
    )
    .created();
    let safe = json!({"query": "safe"});
    assert_eq!(
        found(&call("/mcp?channel=public", "recall", safe.clone())).len(),
        0
    );
    assert_eq!(found(&call("/mcp", "recall", safe)).len(), 1);
}

#[test]
fn calls_are_counted_by_tool_and_outcome() {
    let app = TestApp::start();
    app.tool("remember", json!({"content": "the gauge"}));
    app.tool_error("remember", json!({"content": 5}));
    app.mcp_error("tools/call", &json!({"name": "no_such_tool"}));
    app.mcp_error("no/such/method", &json!({}));
    app.mcp(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .is(202);
    let scrape = app.scrape();
    let calls = |tool: &str, outcome: &str| {
        scrape.value(&format!(
            "agent_memory_mcp_tool_calls_total{{tool=\"{tool}\",outcome=\"{outcome}\"}}"
        ))
    };
    assert_eq!(
        (
            calls("remember", "ok"),
            calls("remember", "refused"),
            calls("remember", "failed")
        ),
        (1.0, 1.0, 0.0)
    );
    assert_eq!(
        scrape.value("agent_memory_mcp_tool_call_duration_seconds_count{tool=\"remember\"}"),
        2.0
    );
    let messages = |method: &str| {
        scrape.value(&format!(
            "agent_memory_mcp_messages_total{{method=\"{method}\"}}"
        ))
    };
    assert_eq!((messages("other"), messages("notification")), (1.0, 1.0));
    assert_eq!(messages("tools/call"), 3.0);
    assert!(
        !scrape
            .series
            .keys()
            .any(|series| series.contains("no_such") || series.contains("no/such"))
    );
    assert_eq!(scrape.answers("POST", "/mcp", "200"), 5.0);
}
