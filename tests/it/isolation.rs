//! Tenants: what one has, no other sees, and where a request names its tenant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::harness::{Answer, TestApp, event, handoff, id, made_id};

/// The same id for every request, so that answers can be compared byte for byte.
const SAME: [(&str, &str); 2] = [("x-request-id", "same"), ("x-tenant-id", "stranger")];

#[test]
fn another_tenants_id_looks_just_like_an_unknown_one() {
    let app = TestApp::start();
    app.record(json!({"tenant_id": "stranger"})).created();
    let receipt = app
        .record(json!({"content": {"text": "quay ".repeat(20_000)}}))
        .created();
    let created = app.hand_off(json!({})).created();
    let chunk_id = id(&json!({"id": receipt["chunk_ids"][1]}), "id");
    for (list, theirs, unknown) in [
        ("events", id(&receipt, "event_id"), made_id("evt", 1)),
        ("artifacts", id(&receipt, "artifact_id"), made_id("art", 1)),
        ("chunks", chunk_id, made_id("chk", 1)),
        ("handoffs", id(&created, "handoff_id"), made_id("sh", 1)),
        ("sessions", "s2".to_owned(), "nobody".to_owned()),
    ] {
        for method in ["GET", "DELETE"] {
            if (method == "DELETE" && ["artifacts", "chunks"].contains(&list))
                || (method == "GET" && list == "sessions")
            {
                continue;
            }
            let path = |id: &str| format!("/api/v1/{list}/{id}");
            let one = app.send(method, &path(&theirs), &SAME, None);
            let other = app.send(method, &path(&unknown), &SAME, None);
            one.problem(404);
            assert_eq!(one.text(), other.text(), "{method} {list}");
            let names = |answer: &Answer| {
                answer
                    .headers
                    .keys()
                    .map(ToString::to_string)
                    .collect::<BTreeSet<_>>()
            };
            assert_eq!(names(&one), names(&other), "{method} {list}");
        }
    }
    app.get(&format!("/api/v1/events/{}", id(&receipt, "event_id")))
        .ok();
    app.get(&format!("/api/v1/handoffs/{}", id(&created, "handoff_id")))
        .ok();
}

#[test]
fn lists_searches_and_wake_ups_show_one_tenant() {
    let app = TestApp::start();
    for tenant in ["a", "b"] {
        let text = format!("the quay of {tenant}");
        app.record(json!({"tenant_id": tenant, "session_id": tenant, "project_id": tenant, "content": {"text": text}})).created();
        app.hand_off(json!({"tenant_id": tenant, "session_id": tenant, "project_id": tenant, "becoming": text})).created();
    }
    for (tenant, other) in [("a", "b"), ("b", "a")] {
        for path in [
            "events",
            "handoffs",
            "handoffs/last",
            "sessions",
            "projects",
            "identity-thread",
            "wake-up",
            "search?q=quay",
        ] {
            let mark = if path.contains('?') { '&' } else { '?' };
            let shown = app
                .get(&format!("/api/v1/{path}{mark}tenant_id={tenant}"))
                .ok()
                .to_string();
            assert!(
                shown.contains(&format!("\"{tenant}\"")) || shown.contains(&format!("of {tenant}")),
                "{path} {shown}"
            );
            assert!(
                !shown.contains(&format!("\"{other}\"")) && !shown.contains(&format!("of {other}")),
                "{path} {shown}"
            );
        }
    }
    assert_eq!(app.get("/api/v1/events").ok(), json!({"events": []}));
}

#[test]
fn the_same_client_made_id_is_another_event_in_another_tenant() {
    let app = TestApp::start();
    for tenant in ["a", "b"] {
        app.record(json!({"tenant_id": tenant, "event_id": made_id("evt", 1), "content": {"text": tenant}})).created();
        app.hand_off(json!({"tenant_id": tenant, "handoff_id": made_id("sh", 1), "story": tenant}))
            .created();
    }
    for tenant in ["a", "b"] {
        let read = app
            .get(&format!(
                "/api/v1/events/{}?tenant_id={tenant}",
                made_id("evt", 1)
            ))
            .ok();
        assert_eq!(
            (&read["content"]["text"], &read["tenant_id"]),
            (&json!(tenant), &json!(tenant))
        );
    }
    app.delete(&format!("/api/v1/events/{}?tenant_id=a", made_id("evt", 1)))
        .forgotten();
    app.get(&format!("/api/v1/events/{}?tenant_id=b", made_id("evt", 1)))
        .ok();
}

#[test]
fn a_tenant_is_named_by_body_query_or_header() {
    let app = TestApp::start();
    app.post("/api/v1/events", &event(&json!({"tenant_id": "t"})))
        .created();
    app.post("/api/v1/events?tenant_id=t", &event(&json!({})))
        .created();
    app.post_with(
        "/api/v1/events",
        &[("x-tenant-id", "t")],
        &event(&json!({})),
    )
    .created();
    app.post_with(
        "/api/v1/events?tenant_id=t",
        &[("x-tenant-id", "t")],
        &event(&json!({"tenant_id": "t"})),
    )
    .created();
    let by_header = app.get_with("/api/v1/events", &[("x-tenant-id", "t")]).ok();
    assert_eq!(by_header["events"].as_array().unwrap().len(), 4);
    assert_eq!(app.get("/api/v1/events?tenant_id=t").ok(), by_header);
}

#[test]
fn two_tenants_that_differ_are_refused() {
    let app = TestApp::start();
    let header = [("x-tenant-id", "b")];
    let bodies = [
        ("/api/v1/events", event(&json!({"tenant_id": "a"}))),
        ("/api/v1/handoff", handoff(&json!({"tenant_id": "a"}))),
        (
            "/api/v1/session/start",
            json!({"tenant_id": "a", "session_id": "s"}),
        ),
        ("/api/v1/recall", json!({"tenant_id": "a", "query": "x"})),
    ];
    for (path, body) in &bodies {
        app.post_with(path, &header, body).blames(422, "tenant_id");
        app.post(&format!("{path}?tenant_id=b"), body)
            .blames(422, "tenant_id");
        app.post_with(&format!("{path}?tenant_id=a"), &header, body)
            .blames(422, "tenant_id");
    }
    for path in [
        "events",
        "handoffs",
        "wake-up",
        "search",
        "sessions",
        "projects",
        "identity-thread",
    ] {
        let mark = if path == "search" { "?q=x&" } else { "?" };
        app.get_with(&format!("/api/v1/{path}{mark}tenant_id=a"), &header)
            .blames(422, "tenant_id");
    }
    for tenant in ["a", "b"] {
        assert_eq!(
            app.get(&format!("/api/v1/sessions?tenant_id={tenant}"))
                .ok(),
            json!({"sessions": []})
        );
    }
}

#[test]
fn a_tenants_name_is_plain() {
    let app = TestApp::start();
    for good in ["a", "locomo/conv-26", "me@example.org", "A.b_c:d-9"] {
        app.record(json!({"tenant_id": good})).created();
    }
    for bad in ["", "a b", "ünder", "a\nb", "<script>"] {
        app.record(json!({"tenant_id": bad}))
            .blames(422, "tenant_id");
    }
    app.get("/api/v1/events?tenant_id=")
        .blames(422, "tenant_id");
    app.get("/api/v1/events?tenant_id=a%00")
        .blames(422, "tenant_id");
    app.get_with("/api/v1/events", &[("x-tenant-id", "a b")])
        .blames(422, "X-Tenant-Id");
}

#[test]
fn what_one_tenant_writes_does_not_move_anothers_ranking() {
    let app = TestApp::start();
    for text in ["mooring rope", "mooring ring", "rope ladder"] {
        app.say(text);
    }
    let before = app
        .post("/api/v1/recall", &json!({"query": "mooring rope"}))
        .ok();
    for _ in 0..30 {
        app.record(json!({"tenant_id": "other", "content": {"text": "mooring mooring mooring"}}))
            .created();
    }
    assert_eq!(
        app.post("/api/v1/recall", &json!({"query": "mooring rope"}))
            .ok(),
        before
    );
}

/// What an answer shows a stranger: its status, its headers and its body, but for what differs from each request to the
/// next.
fn shape(answer: &Answer) -> (u16, BTreeSet<String>, String) {
    let names = answer.headers.keys().map(ToString::to_string).collect();
    (answer.status, names, answer.text())
}

/// How many units of work of each kind the store has done.
fn work(app: &TestApp) -> BTreeMap<String, f64> {
    let is_work = |series: &str| {
        series.starts_with("agent_memory_sqlite_statement_duration_seconds_count")
            && !["probe", "settle", "flush"]
                .iter()
                .any(|op| series.contains(op))
    };
    let series = app.scrape().series;
    series
        .into_iter()
        .filter(|(series, _)| is_work(series))
        .collect()
}

fn difference(after: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let grown = after
        .iter()
        .map(|(series, count)| (series.clone(), count - before[series]));
    grown.filter(|(_, count)| *count != 0.0).collect()
}

/// Every operation of the description, tried with one tenant's ids and another's key: the same as for an id that
/// nothing has, and by the same work.
#[test]
fn no_operation_tells_another_tenants_key_that_something_is_there() {
    let app = TestApp::start();
    let mine = app.key("a", "admin");
    let mine = [("x-api-key", mine.as_str())];
    let post = |path: &str, body: &serde_json::Value| app.post_with(path, &mine, body).created();
    let word = "xylographer";
    let told = post(
        "/api/v1/events",
        &event(
            &json!({"session_id": word, "project_id": word, "content": {"text": word.repeat(9_000)}}),
        ),
    );
    let written = post(
        "/api/v1/handoff",
        &handoff(
            &json!({"session_id": word, "with_whom": word, "becoming": word, "remember": word}),
        ),
    );
    let chosen = post(
        "/api/v1/decisions",
        &json!({"decision": word, "scope": "global"}),
    );
    let noted = post(
        "/api/v1/knowledge",
        &json!({"content": word, "pinned": true}),
    );
    let made = post("/api/v1/keys", &json!({"name": word, "scope": "read"}));
    let mut run = crate::process::command(app.file());
    run.args(["consolidate", "--tenant", "a", "--json"]);
    let ran = run.args(["run", "--type", "reflection"]).output().unwrap();
    let ran: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let other = app.key("b", "admin");
    let theirs = [("x-api-key", other.as_str()), ("x-request-id", "same")];
    app.post_with(
        "/api/v1/knowledge",
        &theirs,
        &json!({"content": "the quay"}),
    )
    .created();
    // An id of theirs, and one of the same kind that nothing has.
    let ids = |pattern: &str| -> Option<(String, String)> {
        let (id, prefix) = match pattern.split('/').nth(3)? {
            "events" => (id(&told, "event_id"), "evt"),
            "chunks" => (told["chunk_ids"][1].as_str().unwrap().to_owned(), "chk"),
            "artifacts" => (id(&told, "artifact_id"), "art"),
            "handoffs" => (id(&written, "handoff_id"), "sh"),
            "decisions" => (id(&chosen, "decision_id"), "dec"),
            "knowledge" => (id(&noted, "note_id"), "kn"),
            "keys" => (id(&made, "key_id"), "key"),
            "reflections" => (made_id("refl", 1), "refl"),
            "principles" => (made_id("prin", 1), "prin"),
            "sessions" => (word.to_owned(), ""),
            "tenants" => ("a".to_owned(), ""),
            "consolidation" => (id(&ran["jobs"][0], "job_id"), "job"),
            other => panic!("whose id does {other} take?"),
        };
        let unknown = if prefix.is_empty() {
            "nobody".to_owned()
        } else {
            made_id(prefix, 77)
        };
        Some((id, unknown))
    };
    let before = app.get_with("/api/v1/stats", &mine).ok();
    let mut tried = 0;
    for operation in crate::openapi::Operation::all() {
        let (method, pattern) = (operation.method.as_str(), operation.pattern);
        if !pattern.starts_with("/api/") {
            continue;
        }
        let body = crate::key::body(method, pattern);
        let body = body.map(|body| body.to_string().into_bytes());
        let kind = if pattern.ends_with("/import") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let ask = |path: &str| {
            let headers = [theirs[0], theirs[1], ("content-type", kind)];
            let before = work(&app);
            let answer = app.send(method, path, &headers, body.as_deref());
            (shape(&answer), difference(&work(&app), &before))
        };
        tried += 1;
        if pattern.contains("{id}") {
            let (there, unknown) = ids(pattern).unwrap();
            let one = ask(&pattern.replace("{id}", &there));
            let two = ask(&pattern.replace("{id}", &unknown));
            assert_eq!(one, two, "{method} {pattern}");
            assert!(
                [403, 404].contains(&one.0.0),
                "{method} {pattern}: {}",
                one.0.2
            );
            continue;
        }
        // What takes no id, asked for what is theirs by every name there is.
        for query in ["", "session_id", "project_id", "with_whom", "topic", "q"] {
            if query.is_empty() == (pattern == "/api/v1/search")
                || (!query.is_empty() && !operation.takes_query(query))
            {
                continue;
            }
            let one = ask(&format!("{pattern}?{query}={word}").replace("?=xylographer", ""));
            assert!(
                !one.0.2.contains(word),
                "{method} {pattern}?{query}: {}",
                one.0.2
            );
            if !query.is_empty() {
                let two = ask(&format!("{pattern}?{query}=gasholder"));
                // A part of the answer repeats what was asked for.
                let settled = |text: &str| text.replace("gasholder", word).len();
                assert_eq!(
                    (one.0.0, settled(&one.0.2)),
                    (two.0.0, settled(&two.0.2)),
                    "{method} {pattern}?{query}"
                );
                assert_eq!(one.1, two.1, "{method} {pattern}?{query}");
            }
        }
    }
    assert!(tried > 40, "{tried}");
    assert_eq!(app.get_with("/api/v1/stats", &mine).ok(), before);
}

/// The command line acts in the tenant that it is told: with an id of another's it does what it does with one that
/// nothing has. What tells of the whole file (`status`, `doctor`, `audit`, `key list`) is for whoever has the file, and
/// shows no content.
#[test]
fn no_command_in_another_tenant_tells_that_something_is_there() {
    const WORD: &str = "xylographer";
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    // A command, in a tenant: how it ended, and what it said on both streams.
    let run = |tenant: &str, args: &[&str]| {
        let ran = crate::process::command(&db)
            .args(["--tenant", tenant])
            .args(args)
            .output()
            .unwrap();
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            ran.status.code().unwrap(),
            said(&ran.stdout),
            said(&ran.stderr),
        )
    };
    let made = |args: &[&str]| {
        let (code, said, wrong) = run("a", args);
        assert_eq!(code, 0, "{args:?}: {said} {wrong}");
        said.trim().to_owned()
    };
    let text = format!("{WORD} ").repeat(9_000);
    let told = made(&[
        "record",
        &text,
        "--session",
        WORD,
        "--project",
        WORD,
        "--json",
    ]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let event = id(&told, "event_id");
    let artifact = id(&told, "artifact_id");
    let chunk = told["chunk_ids"][1].as_str().unwrap().to_owned();
    let handoff = made(&[
        "handoff",
        "--session",
        WORD,
        "--with-whom",
        WORD,
        "--becoming",
        WORD,
        "--project",
        WORD,
    ]);
    let decision = made(&["decide", WORD, "--scope", "global"]);
    let note = made(&["note", WORD]);
    run("b", &["note", "the quay"]);
    let whole = |tenant: &str| {
        let (code, said, _) = run(tenant, &["export"]);
        assert_eq!(code, 0);
        let rows = said.lines().filter(|line| {
            !line.contains("\"type\":\"header\"") && !line.contains("\"type\":\"trailer\"")
        });
        rows.map(str::to_owned).collect::<Vec<_>>()
    };
    let (mine, theirs) = (whole("a"), whole("b"));
    assert!(mine.len() >= 6 && theirs.len() == 1, "{mine:?} {theirs:?}");

    // What takes an id: theirs, and one of the same kind that nothing has.
    let mut tried = 0;
    let mut compare = |args: &[&str], there: &str, unknown: &str| {
        let fill = |id: &str| {
            let args: Vec<_> = args.iter().map(|arg| arg.replace("{id}", id)).collect();
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            let (code, said, wrong) = run("b", &args);
            // A part of the answer repeats what was asked for.
            let settle = |text: String| text.replace(id, "{id}");
            (code, settle(said), settle(wrong))
        };
        let (one, other) = (fill(there), fill(unknown));
        assert_eq!(one, other, "{args:?} {there}");
        assert!(!one.1.contains(WORD), "{args:?}: {}", one.1);
        tried += 1;
        one.0
    };
    for (id, prefix) in [
        (&event, "evt"),
        (&artifact, "art"),
        (&chunk, "chk"),
        (&handoff, "sh"),
        (&decision, "dec"),
        (&note, "kn"),
    ] {
        let unknown = made_id(prefix, 77);
        assert_eq!(compare(&["show", "{id}"], id, &unknown), 4);
        if !["art", "chk"].contains(&prefix) {
            assert_eq!(compare(&["forget", "{id}"], id, &unknown), 4);
        }
    }
    let unknown = made_id("dec", 77);
    let supersede = ["decide", "another", "--supersedes", "{id}"];
    assert_eq!(compare(&supersede, &decision, &unknown), 4);
    for args in [
        &["forget", "--session", "{id}"][..],
        &["list", "events", "--session", "{id}", "--json"],
        &["list", "handoffs", "--session", "{id}", "--json"],
        &["wake-up", "--with-whom", "{id}", "--json"],
        &["wake-up", "--project", "{id}", "--json"],
        &["wake-up", "--topic", "{id}", "--json"],
        &["recall", "{id}", "--json"],
        &[
            "recall",
            "quay",
            "--project",
            "{id}",
            "--session",
            "{id}",
            "--json",
        ],
    ] {
        compare(args, WORD, "gasholder99");
    }
    // What takes none.
    for args in [
        &["list", "events"][..],
        &["list", "handoffs"],
        &["list", "decisions"],
        &["list", "knowledge"],
        &["list", "reflections"],
        &["list", "principles"],
        &["list", "sessions"],
        &["list", "projects"],
        &["wake-up"],
        &["recall", "what", "do", "you", "know"],
        &["context", "what", "is", "there"],
        &["project", "list"],
    ] {
        let (code, said, wrong) = run("b", args);
        assert_eq!(code, 0, "{args:?}: {wrong}");
        assert!(
            !said.contains(WORD) && !wrong.contains(WORD),
            "{args:?}: {said}"
        );
        tried += 1;
    }
    for args in [&["status"][..], &["doctor"], &["key", "list"], &["audit"]] {
        let (_, said, wrong) = run("b", args);
        assert!(
            !said.contains(WORD) && !wrong.contains(WORD),
            "{args:?}: {said}"
        );
        tried += 1;
    }
    assert!(tried >= 35, "{tried}");
    assert_eq!((whole("a"), whole("b")), (mine, theirs));
}
