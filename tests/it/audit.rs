//! Who did what: written with the write, without a word of it.

use serde_json::{Value, json};

use crate::harness::{TestApp, event, handoff, id, texts};
use crate::process::command;

/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

fn rows(app: &TestApp, args: &[&str]) -> Vec<Value> {
    let mut command = command(app.file());
    let ran = command
        .args(["audit", "--json", "--order", "asc", "--limit", "1000"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let body: Value = serde_json::from_slice(&ran.stdout).unwrap();
    body["audit"].as_array().unwrap().clone()
}

fn actions(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect()
}

#[test]
fn every_write_stands_with_its_id_its_key_and_its_address() {
    let app = TestApp::start();
    let key = app.key("default", "admin");
    let headers = [("x-api-key", key.as_str())];
    let post = |path: &str, body: &Value| app.post_with(path, &headers, body).created();
    let told = id(
        &post(
            "/api/v1/events",
            &event(&json!({"content": {"text": WORD}})),
        ),
        "event_id",
    );
    let written = id(
        &post("/api/v1/handoff", &handoff(&json!({"story": WORD}))),
        "handoff_id",
    );
    let chosen = id(
        &post("/api/v1/decisions", &json!({"decision": WORD})),
        "decision_id",
    );
    let noted = id(
        &post("/api/v1/knowledge", &json!({"content": WORD})),
        "note_id",
    );
    post("/api/v1/session/start", &json!({"session_id": WORD}));
    let path = format!("/api/v1/decisions/{chosen}/supersede");
    post(&path, &json!({"decision": "another"}));
    let change = json!({"title": "t"}).to_string();
    let patch = [
        ("x-api-key", key.as_str()),
        ("content-type", "application/json"),
    ];
    app.send(
        "PATCH",
        &format!("/api/v1/knowledge/{noted}"),
        &patch,
        Some(change.as_bytes()),
    )
    .ok();
    app.get_with("/api/v1/export/all", &headers).is(200);
    for path in [
        format!("events/{told}"),
        format!("handoffs/{written}"),
        format!("decisions/{chosen}"),
        format!("knowledge/{noted}"),
    ] {
        app.send("DELETE", &format!("/api/v1/{path}"), &headers, None)
            .forgotten();
    }
    app.send(
        "DELETE",
        &format!("/api/v1/sessions/{WORD}"),
        &headers,
        None,
    )
    .is(202);
    let all = rows(&app, &[]);
    assert_eq!(
        actions(&all),
        [
            "key_create",
            "event_record",
            "handoff_create",
            "decision_create",
            "note_create",
            "session_start",
            "decision_supersede",
            "note_change",
            "export",
            "event_forget",
            "handoff_forget",
            "decision_forget",
            "note_forget",
            "session_forget",
        ]
    );
    assert_eq!(
        (&all[0]["via"], &all[0]["key_name"]),
        (&json!("cli"), &Value::Null)
    );
    for row in &all[1..] {
        assert_eq!(row["key_name"], "admin of default", "{row}");
        assert_eq!(
            (&row["via"], &row["address"], &row["count"]),
            (&json!("http"), &json!("127.0.0.1"), &json!(1)),
            "{row}"
        );
    }
    for (place, id) in [
        (1, &told),
        (2, &written),
        (3, &chosen),
        (4, &noted),
        (6, &chosen),
        (9, &told),
        (12, &noted),
    ] {
        assert_eq!(all[place]["first_id"], **id, "{place}");
    }
    assert!(!json!(all).to_string().contains(WORD));
    // What was forgotten leaves the file, though the audit tells of it.
    app.wait_until_erased(WORD);
    // The same over the network, newest first and page by page.
    let first = app
        .get_with("/api/v1/audit?order=desc&limit=5", &headers)
        .ok();
    assert_eq!(first["audit"][0]["action"], "session_forget");
    let cursor = id(&first, "next_cursor");
    let next = app
        .get_with(
            &format!("/api/v1/audit?order=desc&limit=5&cursor={cursor}"),
            &headers,
        )
        .ok();
    assert_eq!(next["audit"][0]["action"], "export", "{next}");
    let key_id = all[1]["key_id"].as_str().unwrap();
    for (query, count) in [
        ("action=note_change".to_owned(), 1),
        (format!("key_id={key_id}"), 13),
        ("until=2020-01-01T00:00:00Z".to_owned(), 0),
    ] {
        let found = app
            .get_with(&format!("/api/v1/audit?{query}"), &headers)
            .ok();
        assert_eq!(found["audit"].as_array().unwrap().len(), count, "{query}");
    }
    app.get_with("/api/v1/audit?action=dance", &headers)
        .blames(422, "action");
}

#[test]
fn an_admin_reads_of_its_own_tenant_alone_and_the_file_of_all() {
    let app = TestApp::start();
    let keys = ["a", "b"].map(|tenant| app.key(tenant, "admin"));
    for key in &keys {
        app.post_with("/api/v1/events", &[("x-api-key", key)], &event(&json!({})))
            .created();
    }
    for (key, tenant) in keys.iter().zip(["a", "b"]) {
        let found = app.get_with("/api/v1/audit", &[("x-api-key", key)]).ok();
        assert_eq!(texts(&found["audit"], "tenant_id"), [tenant, tenant]);
    }
    assert_eq!(rows(&app, &[]).len(), 4);
    assert_eq!(rows(&app, &["--of", "b"]).len(), 2);
}

#[test]
fn writes_that_are_committed_together_are_one_row_and_those_that_fail_none() {
    let app = TestApp::start();
    let batch: Vec<_> = (0..100)
        .map(|number| event(&json!({"content": {"text": format!("number {number}")}})))
        .collect();
    let answer = app.post("/api/v1/events/batch", &json!(batch));
    let ids = texts(&answer.json()["results"], "event_id");
    app.post("/api/v1/events", &json!({"session_id": "x"}))
        .problem(422);
    app.delete("/api/v1/events/evt_00000000000000000000000000000001")
        .problem(404);
    let key = [("idempotency-key", "k")];
    for _ in 0..3 {
        app.post_with("/api/v1/events", &key, &event(&json!({})))
            .created();
    }
    let all = rows(&app, &["--action", "event_record"]);
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(all[0]["count"], 100);
    assert_eq!(
        (&all[0]["first_id"], &all[0]["last_id"]),
        (&json!(ids[0]), &json!(ids[99]))
    );
    assert_eq!(all[1]["count"], 1);
    assert_eq!(actions(&rows(&app, &[])), ["event_record", "event_record"]);
}

#[test]
fn what_was_refused_is_summed_and_written_down() {
    let app = TestApp::start();
    let key = app.key("default", "read");
    for _ in 0..7 {
        app.get("/api/v1/events").problem(401);
    }
    for _ in 0..3 {
        app.post_with("/api/v1/events", &[("x-api-key", &key)], &event(&json!({})))
            .problem(403);
    }
    let app = app.restarted();
    let all = rows(&app, &[]);
    assert_eq!(
        actions(&all),
        ["key_create", "denied_key", "denied_forbidden"],
        "{all:#?}"
    );
    assert_eq!(
        (&all[1]["count"], &all[1]["address"], &all[1]["tenant_id"]),
        (&json!(7), &json!("127.0.0.1"), &Value::Null)
    );
    assert_eq!(
        (&all[2]["count"], &all[2]["key_name"], &all[2]["tenant_id"]),
        (&json!(3), &json!("read of default"), &json!("default"))
    );
}

#[test]
fn no_statement_changes_a_row_of_it() {
    let app = TestApp::start();
    app.say("x");
    #[expect(clippy::disallowed_methods, reason = "looks at a file from outside")]
    let file = rusqlite::Connection::open(app.file()).unwrap();
    let refused = file.execute("update audit set count = 2", []).unwrap_err();
    assert!(refused.to_string().contains("only added to"), "{refused}");
}
