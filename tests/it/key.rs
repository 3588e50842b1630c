//! Keys: made and revoked by whoever has the file or an admin key, shown in either header, each opening one tenant as far
//! as its scope goes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Answer, TestApp, event, id, made_id};
use crate::process::{Server, client, command};

const SCOPES: [&str; 3] = ["read", "write", "admin"];

fn cli(app: &TestApp, args: &[&str]) -> String {
    let ran = command(app.file()).args(args).output().unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    String::from_utf8(ran.stdout).unwrap()
}

#[track_caller]
fn with(app: &TestApp, key: &str, path: &str) -> Answer {
    app.get_with(path, &[("x-api-key", key)])
}

#[test]
fn from_the_first_key_on_every_request_needs_one_until_that_is_switched_off() {
    let app = TestApp::start();
    app.get("/api/v1/events").ok();
    let key = app.key("default", "read");
    for path in [
        "/api/v1/events",
        "/api/v1/stats",
        "/nowhere",
        "/",
        "/%61pi/v1/events",
        "//api/v1/events",
    ] {
        let refused = app.get(path);
        assert_eq!(refused.problem(401)["code"], "unauthenticated", "{path}");
        assert_eq!(refused.header("www-authenticate"), "Bearer", "{path}");
    }
    // What carries no content stays open, and so does the description.
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
    ] {
        app.get(path).is(200);
    }
    for headers in [
        [("x-api-key", key.as_str())],
        [("authorization", &format!("Bearer {key}"))],
        [("authorization", &format!("bearer {key}"))],
    ] {
        app.get_with("/api/v1/events", &headers).ok();
    }
    for headers in [
        [("x-api-key", "")],
        [("x-api-key", &key[..46])],
        [("x-api-key", &key.to_uppercase())],
        [("authorization", &format!("Basic {key}"))],
        [("authorization", key.as_str())],
        [("cookie", &format!("key={key}"))],
    ] {
        app.get_with("/api/v1/events", &headers).problem(401);
    }
    app.get(&format!("/api/v1/events?key={key}")).problem(401);
    cli(&app, &["key", "disable"]);
    app.get("/api/v1/events").ok();
    // A wrong one is wrong even then.
    with(&app, "nonsense", "/api/v1/events").problem(401);
    cli(&app, &["key", "enable"]);
    app.get("/api/v1/events").problem(401);
    cli(&app, &["key", "revoke", "read of default"]);
    with(&app, &key, "/api/v1/events").problem(401);
    // To revoke the last does not open the door again.
    app.get("/api/v1/events").problem(401);
    assert_eq!(
        app.metric("agent_memory_http_rejected_total{reason=\"unauthenticated\"}"),
        17.0
    );
}

/// What each operation needs, told by hand: a new one has to be thought about.
fn needs(method: &str, path: &str) -> &'static str {
    match (method, path) {
        (_, path) if path.starts_with("/health") || path.starts_with("/metrics") => "nothing",
        ("GET", "/openapi.json") => "nothing",
        (_, "/api/v1/keys" | "/api/v1/keys/{id}" | "/api/v1/audit") => "admin",
        ("DELETE", "/api/v1/tenants/{id}") => "admin",
        ("POST", path) if path.starts_with("/api/v1/consolidation/") => "admin",
        ("GET", _) => "read",
        ("POST", "/api/v1/recall" | "/api/v1/context" | "/api/v1/acb/build") => "read",
        // What a message asks for is another matter: a_tool_goes_as_far_as_the_scope_of_the_key.
        ("POST", "/mcp") => "read",
        ("POST" | "PATCH" | "DELETE", _) => "write",
        _ => panic!("what does {method} {path} need?"),
    }
}

/// A body that the operation takes.
pub(crate) fn body(method: &str, path: &str) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/api/v1/events") => event(&json!({})),
        ("POST", "/api/v1/events/batch") => json!([event(&json!({}))]),
        ("POST", "/api/v1/handoff" | "/api/v1/handoffs") => {
            json!({"session_id": "s", "with_whom": "Ada", "story": "x"})
        }
        ("POST", "/api/v1/decisions" | "/api/v1/decisions/{id}/supersede") => {
            json!({"decision": "x"})
        }
        ("POST", "/api/v1/knowledge") => json!({"content": "x"}),
        ("PATCH", "/api/v1/knowledge/{id}") => json!({"content": "y"}),
        ("POST", "/api/v1/session/start") => json!({"session_id": "s"}),
        ("POST", "/api/v1/recall") => json!({"query": "x"}),
        ("POST", "/api/v1/context" | "/api/v1/acb/build") => json!({"query_text": "x"}),
        ("POST", "/api/v1/keys") => json!({"name": "another", "scope": "read"}),
        ("POST", "/api/v1/import") => json!({"type": "header"}),
        ("POST", "/api/v1/consolidation/run") => json!({}),
        ("POST", "/api/v1/consolidation/jobs/{id}/undo") => return None,
        ("POST", "/mcp") => json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}),
        ("POST" | "PATCH", _) => panic!("which body does {method} {path} take?"),
        _ => return None,
    })
}

/// A path that leads to nothing that is there.
pub(crate) fn to_nothing(path: &str) -> String {
    let prefix = match path.split('/').nth(3).unwrap_or_default() {
        "events" => "evt",
        "chunks" => "chk",
        "artifacts" => "art",
        "handoffs" => "sh",
        "decisions" => "dec",
        "knowledge" => "kn",
        "reflections" => "refl",
        "principles" => "prin",
        "keys" => "key",
        "consolidation" => "job",
        "sessions" | "tenants" => return path.replace("{id}", "default"),
        _ => return path.to_owned(),
    };
    path.replace("{id}", &made_id(prefix, 9))
}

#[test]
fn every_operation_goes_as_far_as_the_scope_of_the_key() {
    let app = TestApp::start();
    let keys = SCOPES.map(|scope| (scope, app.key("default", scope)));
    for operation in crate::openapi::Operation::all() {
        let (method, path) = (operation.method.as_str(), operation.pattern);
        let needed = needs(method, path);
        let mut at = to_nothing(path);
        if path == "/api/v1/search" {
            at.push_str("?q=x");
        }
        let body = body(method, path).map(|body| body.to_string().into_bytes());
        let kind = if path.ends_with("/import") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let ask = |key: &str| {
            let headers = [("x-api-key", key), ("content-type", kind)];
            let headers = if key.is_empty() {
                &headers[1..]
            } else {
                &headers
            };
            app.send(method, &at, headers, body.as_deref())
        };
        if needed == "nothing" {
            ask("").is(200);
            continue;
        }
        if method == "DELETE" && path == "/api/v1/tenants/{id}" {
            // It would take the rest of the test with it.
            ask(&keys[0].1).problem(403);
            ask(&keys[1].1).problem(403);
            continue;
        }
        assert_eq!(ask("").status, 401, "{method} {path}");
        let rank = |scope: &str| SCOPES.iter().position(|known| *known == scope).unwrap();
        for (scope, key) in &keys {
            let answer = ask(key);
            let refused = answer.status == 403;
            assert_eq!(
                refused,
                rank(scope) < rank(needed),
                "{method} {path} with {scope}: {}",
                answer.text()
            );
        }
    }
}

#[test]
fn a_tool_goes_as_far_as_the_scope_of_the_key() {
    let app = TestApp::start();
    let keys = SCOPES.map(|scope| (scope, app.key("a", scope)));
    let stranger = app.key("b", "write");
    let told = app
        .post_with(
            "/api/v1/events",
            &[("x-api-key", &keys[1].1)],
            &event(&json!({})),
        )
        .created();
    let told = id(&told, "event_id");
    let call = |key: &str, tool: &str, arguments: &Value| {
        let called = json!({"name": tool, "arguments": arguments});
        let message = crate::mcp::message("tools/call", &called);
        let answer = app.post_with("/mcp", &[("x-api-key", key)], &message);
        answer.ok()["result"].clone()
    };
    let listed = app.post_with(
        "/mcp",
        &[("x-api-key", &keys[0].1)],
        &crate::mcp::message("tools/list", &json!({})),
    );
    let listed = listed.ok();
    let mut tried = 0;
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let arguments = match name {
            "wake_up" | "memory_status" => json!({}),
            "list_memories" => json!({"type": "event"}),
            "recall" => json!({"query": "x"}),
            "build_context" => json!({"task": "x"}),
            "remember" => json!({"content": "x"}),
            "record_decision" => json!({"decision": "x"}),
            "record_event" => json!({"text": "x"}),
            "create_handoff" => json!({"story": "x"}),
            "forget" => json!({"id": told}),
            _ => panic!("which arguments does {name} take?"),
        };
        let writes = tool["annotations"]["readOnlyHint"] == false;
        // Of another tenant's memory there is nothing to see or to take away.
        let theirs = call(&stranger, name, &arguments);
        assert!(
            !theirs.to_string().contains(&told) || name == "forget",
            "{name}: {theirs}"
        );
        assert_eq!(
            theirs["isError"] == true,
            name == "forget",
            "{name}: {theirs}"
        );
        for (scope, key) in &keys[..2] {
            let answer = call(key, name, &arguments);
            let refused = answer["isError"] == true;
            assert_eq!(
                refused,
                writes && *scope == "read",
                "{name} with {scope}: {answer}"
            );
        }
        tried += 1;
    }
    assert_eq!(tried, 10);
    let none = app.post("/mcp", &crate::mcp::message("ping", &json!({})));
    none.problem(401);
}

#[test]
fn a_key_opens_its_own_tenant_whatever_the_request_says() {
    let app = TestApp::start();
    let (a, b) = (app.key("a", "admin"), app.key("b", "write"));
    let told = app
        .post_with("/api/v1/events", &[("x-api-key", &a)], &event(&json!({})))
        .created();
    let path = format!("/api/v1/events/{}", id(&told, "event_id"));
    assert_eq!(with(&app, &a, &path).ok()["tenant_id"], "a");
    assert_eq!(
        with(&app, &a, &format!("{path}?tenant_id=a")).ok()["tenant_id"],
        "a"
    );
    with(&app, &b, &path).problem(404);
    {
        let key = &b;
        with(&app, key, &format!("{path}?tenant_id=a")).problem(403);
        app.get_with(&path, &[("x-api-key", key), ("x-tenant-id", "a")])
            .problem(403);
        let body = event(&json!({"tenant_id": "a"}));
        app.post_with("/api/v1/events", &[("x-api-key", key)], &body)
            .problem(403);
        app.post_with(
            "/api/v1/events/batch",
            &[("x-api-key", key)],
            &json!([body]),
        )
        .problem(403);
        app.send("DELETE", "/api/v1/tenants/a", &[("x-api-key", key)], None)
            .problem(403);
    }
    // An admin of one is nobody in another: not even whether a key is there can be told.
    let mine = app
        .post_with(
            "/api/v1/keys",
            &[("x-api-key", &a)],
            &json!({"name": "n", "scope": "read"}),
        )
        .created();
    let admin = app.key("b", "admin");
    let headers = [("x-api-key", admin.as_str())];
    let theirs = app.send(
        "DELETE",
        &format!("/api/v1/keys/{}", id(&mine, "key_id")),
        &headers,
        None,
    );
    theirs.problem(404);
    let names = with(&app, &admin, "/api/v1/keys").ok();
    assert_eq!(
        crate::harness::texts(&names["keys"], "tenant_id"),
        ["b", "b"]
    );
    let body = json!({"name": "n", "scope": "read", "tenant_id": "a"});
    app.post_with("/api/v1/keys", &headers, &body).problem(403);
    // The same name is free there.
    let body = json!({"name": "n", "scope": "read"});
    app.post_with("/api/v1/keys", &headers, &body).created();
    app.post_with("/api/v1/keys", &headers, &body).problem(409);
}

#[test]
fn an_admin_key_makes_lists_and_revokes_keys_over_the_network() {
    let app = TestApp::start();
    // Without any, nobody does.
    app.post("/api/v1/keys", &json!({"name": "n", "scope": "admin"}))
        .problem(401);
    app.get("/api/v1/keys").problem(401);
    let admin = app.key("default", "admin");
    let headers = [("x-api-key", admin.as_str())];
    let end = "2026-03-01T12:30:00.000Z";
    let body = json!({"name": "hook", "scope": "write", "expires_at": end});
    let made = app.post_with("/api/v1/keys", &headers, &body);
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.created();
    let key = id(&made, "key");
    assert!(
        key.starts_with(&id(&made, "prefix")) && key.len() == 47,
        "{made}"
    );
    assert_eq!(
        (&made["name"], &made["scope"], &made["expires_at"]),
        (&json!("hook"), &json!("write"), &json!(end))
    );
    with(&app, &key, "/api/v1/events").ok();
    let listed = with(&app, &admin, "/api/v1/keys").ok().to_string();
    assert!(
        listed.contains("hook") && !listed.contains(&key) && !listed.contains(&admin),
        "{listed}"
    );
    app.advance_hours(2);
    with(&app, &key, "/api/v1/events").ok();
    app.advance_hours(1);
    with(&app, &key, "/api/v1/events").problem(401);
    for (body, field) in [
        (json!({"name": "", "scope": "read"}), "name"),
        (json!({"name": "x".repeat(65), "scope": "read"}), "name"),
        (json!({"name": key, "scope": "read"}), "name"),
        (json!({"name": "x", "scope": "root"}), "scope"),
        (
            json!({"name": "x", "scope": "read", "expires_at": "2020-01-01T00:00:00Z"}),
            "expires_at",
        ),
    ] {
        let refused = app.post_with("/api/v1/keys", &headers, &body).problem(422);
        assert_eq!(refused["errors"][0]["field"], field, "{body}");
    }
    let one = app
        .post_with(
            "/api/v1/keys",
            &headers,
            &json!({"name": "one", "scope": "read"}),
        )
        .created();
    let path = format!("/api/v1/keys/{}", id(&one, "key_id"));
    with(&app, &id(&one, "key"), "/api/v1/events").ok();
    app.send("DELETE", &path, &headers, None).forgotten();
    with(&app, &id(&one, "key"), "/api/v1/events").problem(401);
    app.send("DELETE", &path, &headers, None).forgotten();
}

#[test]
fn what_is_secret_is_read_by_its_id_with_a_key_that_may_write() {
    let app = TestApp::start();
    let told = app.record(json!({"sensitivity": "secret"})).created();
    let path = format!("/api/v1/events/{}", id(&told, "event_id"));
    app.get(&path).ok();
    let [read, write, admin] = SCOPES.map(|scope| app.key("default", scope));
    with(&app, &read, &path).problem(404);
    with(&app, &write, &path).ok();
    with(&app, &admin, &path).ok();
}

#[test]
fn a_running_server_sees_what_a_command_does_to_a_key_with_the_next_request() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let server = Server::start(&db);
    let run = |args: &[&str]| {
        let ran = command(&db).args(args).output().unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let agent = client();
    let ask = |key: &str| {
        let request = agent
            .get(server.url("/api/v1/events"))
            .header("x-api-key", key);
        request.call().unwrap().status().as_u16()
    };
    for round in 0..10 {
        let key = run(&["key", "create", "one"]);
        assert_eq!(ask(&key), 200, "{round}");
        run(&["key", "revoke", "one"]);
        assert_eq!(ask(&key), 401, "{round}");
    }
    let listed = run(&["key", "list"]);
    assert_eq!(listed.lines().count(), 10, "{listed}");
    assert_eq!(listed.matches("revoked").count(), 10, "{listed}");
}

#[test]
fn when_a_key_was_used_is_kept_without_a_write_for_each_request() {
    let app = TestApp::start();
    let key = app.key("default", "admin");
    let batches = "agent_memory_write_batches_total{outcome=\"committed\"}";
    let before = app.metric(batches);
    for _ in 0..50 {
        with(&app, &key, "/api/v1/events").ok();
    }
    assert_eq!(app.metric(batches), before);
    let listed = with(&app, &key, "/api/v1/keys").ok();
    assert_eq!(listed["keys"][0]["last_used_at"], crate::harness::NOW);
    // It is on the disk when the server has ended.
    let app = app.restarted();
    let listed = cli(&app, &["key", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["keys"][0]["last_used_at"], crate::harness::NOW);
}

#[test]
fn a_command_makes_a_key_in_a_few_milliseconds_and_shows_it_once() {
    let app = TestApp::start();
    let begun = Instant::now();
    let key = app.key("team", "write");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(key.starts_with("amk_") && key.len() == 47, "{key}");
    assert!(!app.files_with(&key[..10]).is_empty());
    assert!(app.files_with(&key).is_empty());
    for (args, code) in [
        (&["key", "create", "x", "--scope", "root"][..], 2),
        (&["key", "create", "x", "--expires", "soon"], 2),
        (&["key", "create", "write of team", "--tenant", "team"], 5),
        (&["key", "revoke", "nobody"], 4),
        (&["key", "revoke", "key_1"], 2),
    ] {
        let ran = command(app.file()).args(args).output().unwrap();
        assert_eq!(ran.status.code(), Some(code), "{args:?}");
    }
}
