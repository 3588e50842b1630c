//! Whatever is sent: a problem document that says what is wrong, never a 500, never half a row.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use agent_memory::http::ROUTES;
use serde_json::json;

use crate::harness::{TestApp, event, handoff, id, made_id, settled};

/// Routes that take a JSON body.
const WRITES: &[&str] = &[
    "/api/v1/events",
    "/api/v1/handoff",
    "/api/v1/handoffs",
    "/api/v1/session/start",
    "/api/v1/recall",
];
/// Lists that are paged.
const LISTS: &[&str] = &["events", "handoffs", "sessions", "projects"];

/// Nothing was stored.
fn is_untouched(app: &TestApp) {
    for list in LISTS {
        assert_eq!(app.get(&format!("/api/v1/{list}")).ok()[list], json!([]));
    }
    assert_eq!(app.metric("agent_memory_storage_bytes{type=\"text\"}"), 0.0);
}

#[test]
fn a_problem_says_what_is_wrong_and_where() {
    let app = TestApp::start();
    let problem = app.record(json!({"kind": "dream"})).problem(422);
    insta::assert_snapshot!(settled(&problem), @r#"
    {
      "type": "/problems/invalid",
      "title": "Unprocessable Entity",
      "status": 422,
      "detail": "kind: is not one of message tool_call tool_result decision task_update artifact",
      "code": "invalid",
      "error": "kind: is not one of message tool_call tool_result decision task_update artifact",
      "request_id": "…",
      "errors": [
        {
          "field": "kind",
          "reason": "is not one of message tool_call tool_result decision task_update artifact"
        }
      ]
    }
    "#);
    let problem = app
        .post_bytes("/api/v1/events", b"{\"session_id\": ")
        .problem(400);
    insta::assert_snapshot!(settled(&problem), @r#"
    {
      "type": "/problems/unparsable",
      "title": "Bad Request",
      "status": 400,
      "detail": "body: is not valid JSON (line 1, column 15)",
      "code": "unparsable",
      "error": "body: is not valid JSON (line 1, column 15)",
      "request_id": "…",
      "errors": [
        {
          "field": "body",
          "reason": "is not valid JSON (line 1, column 15)"
        }
      ]
    }
    "#);
    let problem = app
        .get(&format!("/api/v1/events/{}", made_id("evt", 1)))
        .problem(404);
    insta::assert_snapshot!(settled(&problem), @r#"
    {
      "type": "/problems/not_found",
      "title": "Not Found",
      "status": 404,
      "detail": "event not found",
      "code": "not_found",
      "error": "event not found",
      "request_id": "…"
    }
    "#);
}

#[test]
fn what_is_no_json_is_unparsable() {
    let app = TestApp::start();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let in_content = event(&json!({})).to_string().replace("\"hello\"", &deep);
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"}",
        b"nonsense",
        b"{\"session_id\": \"s\"",
        b"{'session_id': 's'}",
        b"{\"session_id\": \"s\",}",
        b"{\"session_id\": \"\\ud800\"}",
        b"{\"session_id\": \"\\udc00\\ud800\"}",
        b"{\"session_id\": \"\\u12\"}",
        b"{\"session_id\": \"a\nb\"}",
        b"{\"session_id\": \"\xff\xfe\"}",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b"{\"session_id\": 1e999}",
        b"\x00",
        deep.as_bytes(),
        in_content.as_bytes(),
    ];
    for path in WRITES {
        for body in bodies {
            let problem = app.post_bytes(path, body);
            // Of the wrong shape before it becomes unreadable is 422 as well.
            let start: String = String::from_utf8_lossy(body).chars().take(40).collect();
            assert!(
                [400, 422].contains(&problem.status),
                "{path} {start}: {}",
                problem.status
            );
            problem.problem(problem.status);
        }
    }
    for body in [
        &bodies[0],
        &bodies[2],
        &bodies[4],
        &bodies[8],
        &bodies[12],
        &bodies[18],
    ] {
        app.post_bytes("/api/v1/events", body).problem(400);
    }
    is_untouched(&app);
}

#[test]
fn a_lone_surrogate_is_refused_wherever_it_stands() {
    let app = TestApp::start();
    for over in [
        r#""content": {"text": "\ud83e"}"#,
        r#""content": {"\udd80": "x"}"#,
        r#""content": {"text": "x"}, "tags": ["\ud83e\ud83e"]"#,
    ] {
        let body = format!(
            r#"{{"session_id": "s", "channel": "private", "actor": {{"type": "human", "id": "a"}}, "kind": "message", {over}}}"#
        );
        app.post_bytes("/api/v1/events", body.as_bytes())
            .problem(400);
    }
    let paired = r#"{"query": "\ud83e\udd80"}"#;
    app.post_bytes("/api/v1/recall", paired.as_bytes()).ok();
    is_untouched(&app);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    let app = TestApp::start();
    for (field, value) in [
        ("session_id", json!(5)),
        ("session_id", json!(null)),
        ("session_id", json!(["s"])),
        ("channel", json!(1)),
        ("actor", json!("ada")),
        ("kind", json!({})),
        ("content", json!("text")),
        ("content", json!([])),
        ("content", json!(null)),
        ("tags", json!("a,b")),
        ("refs", json!({})),
        ("ts", json!(1_772_000_000)),
        ("sensitivity", json!(true)),
        ("event_id", json!(7)),
    ] {
        app.record(json!({field: value})).blames(422, field);
    }
    app.record(json!({"tags": ["ok", 5]}))
        .blames(422, "tags[1]");
    app.record(json!({"actor": {"type": "human", "id": 5}}))
        .blames(422, "actor.id");
    for body in [json!([]), json!(5), json!("text"), json!(null)] {
        app.post("/api/v1/events", &body).problem(422);
    }
    is_untouched(&app);
}

#[test]
fn an_unknown_word_is_refused_with_the_known_ones() {
    let app = TestApp::start();
    for (field, value, known) in [
        ("kind", json!("dream"), "tool_result"),
        ("kind", json!("Message"), "message"),
        ("channel", json!("secret"), "private"),
        ("sensitivity", json!("extreme"), "high"),
    ] {
        let problem = app.record(json!({field: value})).problem(422);
        assert_eq!(problem["errors"][0]["field"], field);
        assert!(
            problem["detail"].as_str().unwrap().contains(known),
            "{problem}"
        );
    }
    app.record(json!({"actor": {"type": "ghost", "id": "g"}}))
        .blames(422, "actor.type");
    app.get("/api/v1/events?kind=dream").blames(422, "kind");
    app.get("/api/v1/events?channel=loud")
        .blames(422, "channel");
    app.get("/api/v1/events?order=up").blames(422, "order");
}

#[test]
fn a_missing_or_misspelt_field_is_said() {
    let app = TestApp::start();
    for field in ["session_id", "channel", "actor", "kind", "content"] {
        let mut body = event(&json!({}));
        body.as_object_mut().unwrap().remove(field);
        let problem = app.post("/api/v1/events", &body).problem(422);
        assert!(
            problem["detail"].as_str().unwrap().contains(field),
            "{problem}"
        );
    }
    for field in ["session_id", "with_whom"] {
        let mut body = handoff(&json!({}));
        body.as_object_mut().unwrap().remove(field);
        let problem = app.post("/api/v1/handoff", &body).problem(422);
        assert!(
            problem["detail"].as_str().unwrap().contains(field),
            "{problem}"
        );
    }
    app.post("/api/v1/recall", &json!({})).problem(422);
    app.record(json!({"sesion": "s"})).blames(422, "sesion");
    app.record(json!({"actor": {"type": "human", "id": "a", "name": "Ada"}}))
        .blames(422, "actor.name");
    let twice = event(&json!({}))
        .to_string()
        .replacen('{', "{\"kind\": \"message\", ", 1);
    app.post_bytes("/api/v1/events", twice.as_bytes())
        .problem(422);
    is_untouched(&app);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_client_sees_it() {
    let app = TestApp::start();
    let large = event(&json!({"content": {"text": "x".repeat(11 << 20)}})).to_string();
    for path in WRITES.iter().chain(&["/api/v1/events/batch"]) {
        assert_eq!(
            app.post_bytes(path, large.as_bytes()).problem(413)["code"],
            "too_large"
        );
    }
    is_untouched(&app);
}

#[test]
fn a_large_body_without_a_length_is_refused_as_well() {
    let app = TestApp::start();
    let mut stream = TcpStream::connect(app.address()).unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let part = vec![b' '; 1 << 20];
    for _ in 0..11 {
        write!(stream, "{:x}\r\n", part.len()).unwrap();
        stream.write_all(&part).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[test]
fn a_body_of_another_kind_is_refused() {
    let app = TestApp::start();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/xml",
        "nonsense",
        "",
    ] {
        for path in WRITES.iter().chain(&["/api/v1/events/batch"]) {
            app.send("POST", path, &[("content-type", kind)], Some(b"{}"))
                .problem(415);
        }
    }
    for path in WRITES {
        app.send(
            "POST",
            path,
            &[("content-type", "application/x-ndjson")],
            Some(b"{}"),
        )
        .problem(415);
    }
    is_untouched(&app);
}

#[test]
fn every_route_refuses_a_wrong_method_and_says_which_it_takes() {
    let app = TestApp::start();
    let mut methods: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for route in ROUTES {
        methods.entry(route.pattern).or_default().push(route.method);
    }
    for (pattern, known) in methods {
        let path = pattern.replace("{id}", "x");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"] {
            if known.contains(&method) {
                continue;
            }
            let answer = app.send(method, &path, &[], None);
            assert_eq!(
                answer.problem(405)["code"],
                "method_not_allowed",
                "{method} {path}"
            );
            let mut allow: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
            allow.sort_unstable();
            let mut expected = known.clone();
            expected.sort_unstable();
            assert_eq!(allow, expected, "{method} {path}");
        }
    }
}

#[test]
fn a_path_that_is_no_route_is_a_problem() {
    let app = TestApp::start();
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/events",
        "/api/v1/events/",
        "/api/v1/event",
        "/api/v1/events/a/b",
        "/API/V1/EVENTS",
        "/api/v1//events",
        "/health/",
        "/metrics/x",
        "/favicon.ico",
        "/%00",
        "/%FF",
        "/..%2F..%2Fetc%2Fpasswd",
    ] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = app.send(method, path, &[], None);
            assert_eq!(
                answer.problem(404)["code"],
                "no_such_route",
                "{method} {path}"
            );
        }
    }
}

#[test]
fn a_malformed_id_is_refused() {
    let app = TestApp::start();
    let event_id = app.say("hello");
    for (list, prefix) in [
        ("events", "evt"),
        ("handoffs", "sh"),
        ("chunks", "chk"),
        ("artifacts", "art"),
    ] {
        let hex = "0".repeat(32);
        for bad in [
            "x".to_owned(),
            format!("{prefix}_"),
            format!("{prefix}_{}", &hex[1..]),
            format!("{prefix}_{hex}0"),
            format!("{prefix}_{}g", &hex[1..]),
            format!("{prefix}_{}", "A".repeat(32)),
            format!("job_{hex}"),
            hex.clone(),
            "%00".to_owned(),
            "%F0%9F%A6%80".to_owned(),
            "x".repeat(4_000),
            "%27%20or%201=1".to_owned(),
        ] {
            app.get(&format!("/api/v1/{list}/{bad}")).blames(422, "id");
        }
    }
    app.get(&format!("/api/v1/handoffs/{event_id}"))
        .blames(422, "id");
    // Bytes that are no text.
    let answer = app.get("/api/v1/events/%FF%FE");
    assert!(
        [400, 404, 422].contains(&answer.status),
        "{}",
        answer.status
    );
    answer.problem(answer.status);
}

#[test]
fn a_limit_is_between_one_and_a_thousand() {
    let app = TestApp::start();
    app.say("hello");
    for list in LISTS.iter().chain(&["identity-thread"]) {
        for bad in [
            "0",
            "-1",
            "1001",
            "-9223372036854775808",
            "99999999999999999999",
            "1e2",
            "1.0",
            "ten",
            "",
            "%2B",
        ] {
            app.get(&format!("/api/v1/{list}?limit={bad}"))
                .blames(422, "limit");
        }
        for good in ["1", "1000"] {
            app.get(&format!("/api/v1/{list}?limit={good}")).ok();
        }
    }
}

#[test]
fn a_cursor_that_its_list_did_not_give_is_refused() {
    let app = TestApp::start();
    for index in 0..3 {
        app.record(json!({"session_id": format!("s{index}"), "project_id": format!("p{index}")}))
            .created();
        app.hand_off(json!({"session_id": format!("s{index}")}))
            .created();
    }
    let mut cursors = Vec::new();
    for list in LISTS {
        let page = app.get(&format!("/api/v1/{list}?limit=1")).ok();
        let cursor = id(&page, "next_cursor");
        assert!(
            cursor
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
            "{cursor}"
        );
        cursors.push(cursor);
    }
    for (index, list) in LISTS.iter().enumerate() {
        let path = format!("/api/v1/{list}?limit=1&cursor=");
        for (other, cursor) in cursors.iter().enumerate() {
            let answer = app.get(&format!("{path}{cursor}"));
            if other == index {
                answer.ok();
            } else {
                answer.blames(422, "cursor");
            }
        }
        let own = &cursors[index];
        let (longer, shorter) = (format!("{own}AAAA"), own[..own.len() - 2].to_owned());
        let flood = "A".repeat(8_000);
        for forged in [
            "",
            "x",
            "AAAA",
            "%00",
            "%F0%9F%A6%80",
            "1",
            &longer,
            &shorter,
            &flood,
        ] {
            app.get(&format!("{path}{forged}")).blames(422, "cursor");
        }
    }
}

#[test]
fn an_unknown_or_doubled_parameter_is_refused() {
    let app = TestApp::start();
    for path in [
        "events",
        "handoffs",
        "handoffs/last",
        "sessions",
        "projects",
        "identity-thread",
        "wake-up",
    ] {
        app.get(&format!("/api/v1/{path}?sesion_id=s"))
            .blames(422, "sesion_id");
        app.get(&format!("/api/v1/{path}?channel=public&channel=private"))
            .blames(422, "channel");
    }
    app.post("/api/v1/events?limit=5", &event(&json!({})))
        .blames(422, "limit");
    is_untouched(&app);
}

#[test]
fn a_query_string_of_any_bytes_gets_an_answer() {
    let app = TestApp::start();
    for query in [
        "%",
        "%zz",
        "%FF",
        "=",
        "&",
        "&&=&",
        "q",
        "q=%FF%FE",
        "q=%00",
        "q=a%",
        "%00=%00",
        "q=%F0%9F%A6",
        "[]=1",
    ] {
        let answer = app.get(&format!("/api/v1/search?{query}"));
        assert!(answer.status < 500, "{query}: {}", answer.status);
        if answer.status != 200 {
            answer.problem(answer.status);
        }
    }
}

#[test]
fn deep_structure_within_reason_is_kept() {
    let app = TestApp::start();
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let body = event(&json!({})).to_string().replace("\"hello\"", &deep);
    let receipt = app.post_bytes("/api/v1/events", body.as_bytes()).created();
    let read = app
        .get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    assert_eq!(read["content"]["text"].to_string(), deep);
}

#[test]
fn numbers_come_back_as_they_were_sent() {
    let app = TestApp::start();
    for number in [
        "0",
        "-1",
        "9007199254740993",
        "18446744073709551615",
        "1.5",
        "-0.25",
        "1e300",
    ] {
        let body = event(&json!({})).to_string().replace("\"hello\"", number);
        let receipt = app.post_bytes("/api/v1/events", body.as_bytes()).created();
        let read = app.get(&format!("/api/v1/events/{}", id(&receipt, "event_id")));
        let sent: serde_json::Value = serde_json::from_str(number).unwrap();
        assert_eq!(read.ok()["content"]["text"], sent, "{number}");
    }
}

#[test]
fn what_is_no_http_is_refused_without_harm() {
    let app = TestApp::start();
    for request in [
        &b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\nconnection: close\r\n\r\n",
        b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n",
    ] {
        let answer = app.send_raw(request);
        assert_eq!(answer.problem(400)["errors"][0]["field"], "request");
    }
    app.get("/health").ok();
}

#[test]
fn a_request_id_is_echoed_if_it_is_a_sane_one() {
    let app = TestApp::start();
    for path in ["/health", "/api/v1/events", "/nowhere"] {
        let answer = app.get_with(path, &[("x-request-id", "trace-1.a_B")]);
        assert_eq!(answer.header("x-request-id"), "trace-1.a_B");
        let long = "x".repeat(65);
        for strange in ["", "a b", "<script>", "a\"b", long.as_str()] {
            let answer = app.get_with(path, &[("x-request-id", strange)]);
            let given = answer.header("x-request-id");
            assert!(!given.is_empty() && given != strange, "{strange}");
        }
        let ids =
            [app.get(path), app.get(path)].map(|answer| answer.header("x-request-id").to_owned());
        assert_ne!(ids[0], ids[1]);
    }
}

#[test]
fn a_body_that_does_not_come_is_a_timeout() {
    let app = TestApp::start_with(|config| config.request_timeout = Duration::from_millis(200));
    let request = b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                    content-type: application/json\r\ncontent-length: 500\r\n\r\n{";
    assert_eq!(app.send_raw(request).problem(408)["code"], "timeout");
    is_untouched(&app);
}
