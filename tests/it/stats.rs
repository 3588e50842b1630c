//! What a tenant holds, counted when writing: exact after whatever happened, and the store's own counts split.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::decision::{cli_ok, decide, decided, provider_key, supersede};
use crate::harness::{Scrape, TestApp, event, handoff, id, made_id, settled};
use crate::note::{keep, kept, patch};
use crate::process::wait_for;

/// A word that nothing else in the product holds.
const WORD: &str = "xylographer";

fn stats(app: &TestApp, tenant: &str) -> Value {
    app.get(&format!("/api/v1/stats?tenant_id={tenant}")).ok()
}

fn is_well(app: &TestApp) {
    let findings = cli_ok(app.file(), &["doctor", "--json"]);
    let findings: Value = serde_json::from_str(&findings).unwrap();
    let findings = findings.as_array().unwrap();
    assert!(findings.len() >= 4, "{findings:?}");
    assert!(
        findings.iter().all(|finding| finding["ok"] == true),
        "{findings:#?}"
    );
}

/// Each number of a tenant's stats, under the series that shows the same of the whole store.
fn by_series(stats: &Value) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (name, value) in stats.as_object().unwrap() {
        let split = |family: &str, label: &str| -> Vec<(String, f64)> {
            let labels = value.as_object().unwrap();
            labels
                .iter()
                .map(|(word, count)| {
                    (
                        format!("agent_memory_{family}{{{label}=\"{word}\"}}"),
                        count.as_f64().unwrap(),
                    )
                })
                .collect()
        };
        let one = |series: &str| vec![(format!("agent_memory_{series}"), value.as_f64().unwrap())];
        found.extend(match name.as_str() {
            "tenant_id" => Vec::new(),
            "events_recorded" => split("events_total", "kind"),
            "events" => split("events", "kind"),
            "handoffs" => split("handoffs_total", "compression_level"),
            "handoffs_to_remember" => one("handoffs_to_remember"),
            "decisions" => split("decisions_total", "status"),
            "redactions" => split("redactions_total", "kind"),
            "notes" => one("knowledge_notes_total"),
            "reflections" => one("reflections"),
            "principles" => one("principles"),
            "sessions" => one("sessions"),
            "text_bytes" => one("storage_bytes{type=\"text\"}"),
            "recalls" => one("recalls_total"),
            "recalls_empty" => one("recalls_empty_total"),
            other => panic!("{other} stands for no series"),
        });
    }
    found
}

/// The sum of some tenants' stats equals the scrape.
#[track_caller]
fn add_up(app: &TestApp, tenants: &[&str], without: &[&str]) {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for tenant in tenants {
        for (series, value) in by_series(&stats(app, tenant)) {
            *sums.entry(series).or_default() += value;
        }
    }
    let scrape: Scrape = app.scrape();
    assert!(sums.len() > 20, "{sums:?}");
    for (series, sum) in sums {
        if !without.iter().any(|left_out| series.contains(left_out)) {
            assert_eq!(scrape.value(&series), sum, "{series}");
        }
    }
}

#[test]
fn a_tenants_stats_are_exact() {
    let app = TestApp::start();
    app.record(json!({"content": {"text": "12345"}})).created();
    let gone = app.say("gone");
    app.delete(&format!("/api/v1/events/{gone}")).forgotten();
    app.record(json!({"kind": "decision", "session_id": "s2", "content": {}}))
        .created();
    app.hand_off(json!({"experienced": "123456", "story": "7"}))
        .created();
    let old = decide(
        &app,
        &json!({"decision": "1234", "rationale": ["56", "7"], "alternatives": ["8"]}),
    )
    .created();
    let old = id(&old, "decision_id");
    supersede(
        &app,
        &old,
        &json!({"decision": "123", "constraints": ["é"]}),
    )
    .created();
    decided(&app, provider_key().as_str());
    let note_id = id(
        &keep(&app, &json!({"title": "123", "content": "12345"})).created(),
        "note_id",
    );
    kept(&app, "1");
    patch(
        &app,
        &note_id,
        &json!({"content": "12345678", "title": null}),
    )
    .ok();
    // None of this is the tenant's.
    decide(&app, &json!({"tenant_id": "other"})).created();
    keep(
        &app,
        &json!({"tenant_id": "other", "content": provider_key()}),
    )
    .created();
    let mut found = app.get("/api/v1/stats").ok();
    // Searches have a test of their own.
    found
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !name.starts_with("recalls"));
    insta::assert_snapshot!(settled(&found), @r#"
    {
      "tenant_id": "default",
      "events_recorded": {
        "message": 2,
        "tool_call": 0,
        "tool_result": 0,
        "decision": 1,
        "task_update": 0,
        "artifact": 0
      },
      "events": {
        "message": 1,
        "tool_call": 0,
        "tool_result": 0,
        "decision": 1,
        "task_update": 0,
        "artifact": 0
      },
      "handoffs": {
        "full": 1,
        "summary": 0,
        "quick_ref": 0,
        "integrated": 0
      },
      "handoffs_to_remember": 0,
      "decisions": {
        "active": 2,
        "superseded": 1
      },
      "notes": 2,
      "reflections": 0,
      "principles": 0,
      "sessions": 2,
      "text_bytes": 71,
      "redactions": {
        "anthropic_key": 1,
        "openai_key": 0,
        "google_key": 0,
        "aws_access_key": 0,
        "github_token": 0,
        "gitlab_token": 0,
        "slack_token": 0,
        "stripe_key": 0,
        "npm_token": 0,
        "pypi_token": 0,
        "hugging_face_token": 0,
        "sendgrid_key": 0,
        "docker_token": 0,
        "digitalocean_token": 0,
        "vault_token": 0,
        "bot_token": 0,
        "webhook": 0,
        "service_token": 0,
        "jwt": 0,
        "private_key": 0,
        "bearer_token": 0,
        "basic_credentials": 0,
        "connection_password": 0,
        "password": 0,
        "api_key": 0,
        "private_passage": 0
      }
    }
    "#);
    let by_header = app
        .get_with("/api/v1/stats", &[("x-tenant-id", "default")])
        .ok();
    assert_eq!(by_header, stats(&app, "default"));
    add_up(&app, &["default", "other"], &[]);
}

#[test]
fn an_unknown_tenant_holds_nothing() {
    let app = TestApp::start();
    kept(&app, "one");
    let nobody = stats(&app, "nobody");
    assert_eq!(nobody["tenant_id"], "nobody");
    assert!(
        by_series(&nobody).values().all(|value| *value == 0.0),
        "{nobody}"
    );
    assert_eq!(
        by_series(&nobody).into_keys().collect::<Vec<_>>(),
        by_series(&stats(&app, "default"))
            .into_keys()
            .collect::<Vec<_>>()
    );
    // Asking does not make it known.
    app.delete("/api/v1/tenants/nobody").problem(404);
    for (query, field) in [
        ("?kind=message", "kind"),
        ("?limit=1", "limit"),
        ("?tenant_id=a%20b", "tenant_id"),
    ] {
        app.get(&format!("/api/v1/stats{query}")).blames(422, field);
    }
    app.post("/api/v1/stats", &json!({})).problem(405);
}

#[test]
fn decisions_and_notes_are_counted_by_every_operation() {
    let app = TestApp::start();
    let counts = || {
        let scrape = app.scrape();
        let of = |status: &str| {
            scrape.value(&format!(
                "agent_memory_decisions_total{{status=\"{status}\"}}"
            ))
        };
        (
            of("active"),
            of("superseded"),
            scrape.value("agent_memory_knowledge_notes_total"),
        )
    };
    let own = json!({"decision": "one", "decision_id": made_id("dec", 1)});
    decide(&app, &own).created();
    decide(&app, &own).created();
    decide(&app, &json!({"decision": ""})).problem(422);
    assert_eq!(counts(), (1.0, 0.0, 0.0));
    let two = decided(&app, "two");
    supersede(&app, &made_id("dec", 1), &json!({"superseded_by": two})).created();
    assert_eq!(counts(), (1.0, 1.0, 0.0));
    let body = json!({"decision": "three", "decision_id": made_id("dec", 3)});
    supersede(&app, &two, &body).created();
    supersede(&app, &two, &body).created();
    supersede(&app, &two, &json!({"decision": "four"})).problem(409);
    assert_eq!(counts(), (1.0, 2.0, 0.0));
    let note = json!({"note_id": made_id("kn", 1), "content": "a"});
    keep(&app, &note).created();
    keep(&app, &note).created();
    patch(&app, &made_id("kn", 1), &json!({"content": "b"})).ok();
    patch(&app, &made_id("kn", 1), &json!({"confidence": 2})).problem(422);
    kept(&app, "c");
    assert_eq!(counts(), (1.0, 2.0, 2.0));
    let text = |expected: f64| {
        assert_eq!(
            app.metric("agent_memory_storage_bytes{type=\"text\"}"),
            expected
        )
    };
    text(13.0);
    app.delete(&format!("/api/v1/decisions/{two}")).forgotten();
    app.delete(&format!("/api/v1/decisions/{two}")).problem(404);
    app.delete(&format!("/api/v1/knowledge/{}", made_id("kn", 1)))
        .forgotten();
    assert_eq!(counts(), (1.0, 1.0, 1.0));
    text(9.0);
    app.delete(&format!("/api/v1/decisions/{}", made_id("dec", 3)))
        .forgotten();
    assert_eq!(counts(), (0.0, 1.0, 1.0));
    text(4.0);
    let before = stats(&app, "default");
    let app = app.restarted();
    let scrape = app.scrape();
    assert_eq!(
        scrape.value("agent_memory_decisions_total{status=\"superseded\"}"),
        1.0
    );
    assert_eq!(scrape.value("agent_memory_knowledge_notes_total"), 1.0);
    assert_eq!(stats(&app, "default"), before);
    is_well(&app);
}

#[test]
fn a_tenants_stats_count_its_searches() {
    let app = TestApp::start();
    kept(&app, "the tide gauge");
    app.recall("gauge");
    app.recall("zeppelin");
    app.recall_with(json!({"query": "gauge", "tenant_id": "other"}));
    // The next group of writes counts the searches.
    kept(&app, "something else");
    wait_for("the searches to be counted", || {
        (app.metric("agent_memory_recalls_total") == 3.0).then_some(())
    });
    let found = stats(&app, "default");
    // A number that is there has to be the tenant's; one that nobody keeps has no place in the answer.
    if !found["recalls"].is_null() {
        assert_eq!(
            (&found["recalls"], &found["recalls_empty"]),
            (&json!(2), &json!(1)),
            "{found}"
        );
    }
}

#[test]
fn what_the_command_line_writes_is_in_the_stats() {
    let app = TestApp::start();
    let old = cli_ok(app.file(), &["decide", "1234"]);
    cli_ok(app.file(), &["decide", "12", "--supersedes", &old]);
    cli_ok(app.file(), &["note", "123", "--title", "1"]);
    cli_ok(app.file(), &["--tenant", "other", "note", "1"]);
    let found = stats(&app, "default");
    assert_eq!(found["decisions"], json!({"active": 1, "superseded": 1}));
    assert_eq!(
        (&found["notes"], &found["text_bytes"]),
        (&json!(1), &json!(10))
    );
    wait_for("the server's counts", || {
        (app.metric("agent_memory_knowledge_notes_total") == 2.0).then_some(())
    });
    add_up(&app, &["default", "other"], &[]);
}

#[test]
fn forgetting_a_tenant_takes_its_decisions_and_notes_with_it() {
    let app = TestApp::start();
    let kept_decision = decided(&app, "keep the tide gauge");
    let kept_note = kept(&app, "the tide gauge squeaks");
    let before = stats(&app, "default");
    let mut paths = Vec::new();
    let mut last: Option<String> = None;
    for index in 0..30 {
        let over = json!({
            "tenant_id": "old", "decision": format!("{WORD} {index}"), "rationale": [WORD], "refs": [WORD], "project_id": WORD,
        });
        let created = decide(&app, &over).created();
        let decision_id = id(&created, "decision_id");
        if let Some(older) = last.replace(decision_id.clone()) {
            supersede(
                &app,
                &older,
                &json!({"tenant_id": "old", "superseded_by": decision_id}),
            )
            .created();
        }
        paths.push(format!("/api/v1/decisions/{decision_id}?tenant_id=old"));
        let over = json!({
            "tenant_id": "old", "title": WORD, "content": format!("{WORD} carves. ").repeat(50), "with_whom": WORD,
            "tags": [WORD], "pinned": true,
        });
        let note_id = id(&keep(&app, &over).created(), "note_id");
        patch(
            &app,
            &note_id,
            &json!({"tenant_id": "old", "confidence": 0.2}),
        )
        .ok();
        paths.push(format!("/api/v1/knowledge/{note_id}?tenant_id=old"));
    }
    assert_eq!(
        stats(&app, "old")["decisions"],
        json!({"active": 1, "superseded": 29})
    );
    assert_eq!(stats(&app, "old")["notes"], 30);
    app.delete("/api/v1/tenants/old").accepted();
    for path in &paths {
        app.get(path).problem(404);
        app.delete(path).problem(404);
    }
    for list in ["decisions", "knowledge", "projects"] {
        assert_eq!(
            app.get(&format!("/api/v1/{list}?tenant_id=old")).ok()[list],
            json!([]),
            "{list}"
        );
    }
    assert_eq!(
        app.recall_with(json!({"query": WORD, "tenant_id": "old"})),
        [""; 0]
    );
    let wake_up = app.get("/api/v1/wake-up?tenant_id=old").ok();
    assert_eq!(
        (&wake_up["recent_decisions"], &wake_up["knowledge"]),
        (&json!([]), &json!([]))
    );
    assert!(
        by_series(&stats(&app, "old"))
            .values()
            .all(|value| *value == 0.0)
    );
    // The name is free at once, whatever is still being taken out under it.
    let again = id(
        &keep(&app, &json!({"tenant_id": "old", "content": "anew"})).created(),
        "note_id",
    );
    wait_for("the counts to fall", || {
        let scrape = app.scrape();
        let of = |status: &str| {
            scrape.value(&format!(
                "agent_memory_decisions_total{{status=\"{status}\"}}"
            ))
        };
        let all = (
            of("active"),
            of("superseded"),
            scrape.value("agent_memory_knowledge_notes_total"),
        );
        (all == (1.0, 0.0, 2.0)).then_some(())
    });
    app.wait_until_erased(WORD);
    assert_eq!(stats(&app, "default"), before);
    assert_eq!(stats(&app, "old")["notes"], 1);
    app.get(&format!("/api/v1/knowledge/{again}?tenant_id=old"))
        .ok();
    assert_eq!(app.recall("tide gauge").len(), 2);
    app.get(&format!("/api/v1/decisions/{kept_decision}")).ok();
    app.get(&format!("/api/v1/knowledge/{kept_note}")).ok();
    is_well(&app);
}

/// xorshift64*: the same sequence in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(roll).unwrap() % most
    }
}

const TENANTS: [&str; 3] = ["red", "green", "blue"];

/// What a tenant should hold.
#[derive(Default)]
struct Model {
    /// Each decision with its word and what took its place, if anything did.
    decisions: Vec<(String, String, Option<Option<String>>)>,
    /// Each of these with its word.
    notes: Vec<(String, String)>,
    events: Vec<(String, String)>,
    handoffs: Vec<(String, String)>,
    /// Words that nothing holds any more.
    gone: Vec<String>,
}

/// A word of its own; the digit keeps it from being mended into the next one.
fn word(number: usize) -> String {
    let letters: String = number
        .to_string()
        .bytes()
        .map(|digit| char::from(b'b' + (digit - b'0')))
        .collect();
    format!("quz{letters}7x")
}

#[test]
fn three_hundred_random_operations_leave_a_file_that_is_well() {
    let app = TestApp::start();
    let mut dice = Dice(0x005E_ED0F_2026_0301);
    let mut models: Vec<Model> = TENANTS.iter().map(|_| Model::default()).collect();
    let mut done = BTreeMap::<&str, u32>::new();
    for step in 0..300 {
        let at = dice.below(3);
        let (tenant, model) = (TENANTS[at], &mut models[at]);
        let here = format!("?tenant_id={tenant}");
        let w = word(step);
        // One passage, or several.
        let text = format!("{w} {}", "and the sea. ".repeat([1, 1, 300][dice.below(3)]));
        let project = [json!(null), json!("p"), json!("q")][dice.below(3)].clone();
        app.clock.advance_millis([0, 0, 1, 60_000][dice.below(4)]);
        let operation = dice.below(14);
        let name = match operation {
            0 | 1 => {
                let scope = ["project", "policy", "global", "user"][dice.below(4)];
                let over = json!({"tenant_id": tenant, "decision": w, "rationale": [text], "project_id": project, "scope": scope});
                let created = decide(&app, &over).created();
                model.decisions.push((id(&created, "decision_id"), w, None));
                "decide"
            }
            2 | 3 => {
                let title = ["", "T"][dice.below(2)];
                let over = json!({"tenant_id": tenant, "content": text, "title": title, "tags": [format!("t{step}")], "project_id": project});
                model
                    .notes
                    .push((id(&keep(&app, &over).created(), "note_id"), w));
                "note"
            }
            4 => {
                let session = format!("s{}", dice.below(4));
                let over = json!({"tenant_id": tenant, "session_id": session, "content": {"text": text}, "project_id": project});
                model.events.push((
                    id(
                        &app.post("/api/v1/events", &event(&over)).created(),
                        "event_id",
                    ),
                    w,
                ));
                "event"
            }
            5 => {
                let session = format!("s{}", dice.below(4));
                let over = json!({"tenant_id": tenant, "session_id": session, "learned": text, "project_id": project});
                model.handoffs.push((
                    id(
                        &app.post("/api/v1/handoff", &handoff(&over)).created(),
                        "handoff_id",
                    ),
                    w,
                ));
                "handoff"
            }
            6 if !model.notes.is_empty() => {
                let chosen = dice.below(model.notes.len());
                let (note_id, old) = &mut model.notes[chosen];
                let pinned = dice.below(2) == 0;
                patch(
                    &app,
                    note_id,
                    &json!({"tenant_id": tenant, "content": text, "pinned": pinned}),
                )
                .ok();
                model.gone.push(std::mem::replace(old, w));
                "patch the words"
            }
            7 if !model.notes.is_empty() => {
                let (note_id, _) = &model.notes[dice.below(model.notes.len())];
                let body = [
                    json!({"title": null}),
                    json!({"title": "The sea, the sea"}),
                    json!({"tags": []}),
                    json!({"confidence": 0.1}),
                    json!({"with_whom": "Ada"}),
                    json!({"pinned": true}),
                    json!({}),
                ][dice.below(7)]
                .clone();
                let path = format!("/api/v1/knowledge/{note_id}{here}");
                let headers = [("content-type", "application/json")];
                app.send("PATCH", &path, &headers, Some(body.to_string().as_bytes()))
                    .ok();
                "patch the rest"
            }
            8 | 9 if !model.decisions.is_empty() => {
                let old = dice.below(model.decisions.len());
                let holds = model.decisions[old].2.is_none();
                let path = format!(
                    "/api/v1/decisions/{}/supersede{here}",
                    model.decisions[old].0
                );
                let successor = dice.below(model.decisions.len());
                if operation == 8 {
                    let answer = app.post(&path, &json!({"decision": w, "consequences": [text]}));
                    if holds {
                        let new = id(&answer.created()["decision"], "decision_id");
                        model.decisions[old].2 = Some(Some(new.clone()));
                        model.decisions.push((new, w, None));
                        "supersede by a new one"
                    } else {
                        answer.problem(409);
                        model.gone.push(w);
                        "supersede what was superseded"
                    }
                } else {
                    let by = model.decisions[successor].0.clone();
                    let answer = app.post(&path, &json!({"superseded_by": by}));
                    if model.decisions[old].2.as_ref() == Some(&Some(by.clone())) {
                        answer.created();
                        "supersede once more by the same one"
                    } else if holds && old != successor && model.decisions[successor].2.is_none() {
                        answer.created();
                        model.decisions[old].2 = Some(Some(by));
                        "supersede by one that is there"
                    } else {
                        answer.problem(409);
                        "supersede in vain"
                    }
                }
            }
            10 if !model.decisions.is_empty() => {
                let chosen = dice.below(model.decisions.len());
                let (decision_id, w, by) = model.decisions.remove(chosen);
                app.delete(&format!("/api/v1/decisions/{decision_id}{here}"))
                    .forgotten();
                for (_, _, other) in &mut model.decisions {
                    if *other == Some(Some(decision_id.clone())) {
                        *other = Some(by.clone().flatten());
                    }
                }
                model.gone.push(w);
                "forget a decision"
            }
            11 => {
                let (list, of) = match dice.below(3) {
                    0 => ("knowledge", &mut model.notes),
                    1 => ("events", &mut model.events),
                    _ => ("handoffs", &mut model.handoffs),
                };
                if of.is_empty() {
                    "nothing"
                } else {
                    let chosen = dice.below(of.len());
                    let (entity, w) = of.remove(chosen);
                    app.delete(&format!("/api/v1/{list}/{entity}{here}"))
                        .forgotten();
                    model.gone.push(w);
                    "forget"
                }
            }
            12 => {
                // What is another's, or nobody's.
                let other = TENANTS[(at + 1) % 3];
                let note_id = model
                    .notes
                    .first()
                    .map_or(made_id("kn", 1), |(id, _)| id.clone());
                patch(&app, &note_id, &json!({"tenant_id": other, "content": w})).problem(404);
                let old = model
                    .decisions
                    .first()
                    .map_or(made_id("dec", 1), |(id, _, _)| id.clone());
                supersede(&app, &old, &json!({"tenant_id": other, "decision": w})).problem(404);
                app.delete(&format!("/api/v1/decisions/{old}?tenant_id={other}"))
                    .problem(404);
                model.gone.push(w);
                "reach for another's"
            }
            _ => {
                decide(
                    &app,
                    &json!({"tenant_id": tenant, "decision": w, "rationale": [""]}),
                )
                .problem(422);
                keep(
                    &app,
                    &json!({"tenant_id": tenant, "content": w, "confidence": 7}),
                )
                .problem(422);
                if let Some((note_id, old)) = model.notes.first() {
                    patch(
                        &app,
                        note_id,
                        &json!({"tenant_id": tenant, "content": w, "confidence": 7}),
                    )
                    .problem(422);
                    let same = json!({"tenant_id": tenant, "note_id": note_id, "content": old});
                    keep(&app, &same).problem(409);
                }
                model.gone.push(w);
                "refused"
            }
        };
        *done.entry(name).or_default() += 1;
    }
    assert!(done.len() >= 12, "{done:?}");
    let app = app.restarted();
    for (tenant, model) in TENANTS.iter().zip(&models) {
        let found = stats(&app, tenant);
        let superseded = model
            .decisions
            .iter()
            .filter(|(_, _, by)| by.is_some())
            .count();
        assert_eq!(
            found["decisions"],
            json!({"active": model.decisions.len() - superseded, "superseded": superseded})
        );
        assert_eq!(found["notes"], model.notes.len());
        assert_eq!(found["events"]["message"], model.events.len());
        assert_eq!(found["handoffs"]["full"], model.handoffs.len());
        let of = |query: &str| app.recall_with(json!({"query": query, "tenant_id": tenant}));
        for (decision_id, word, by) in &model.decisions {
            let read = app
                .get(&format!(
                    "/api/v1/decisions/{decision_id}?tenant_id={tenant}"
                ))
                .ok();
            assert_eq!(
                read["status"],
                if by.is_some() { "superseded" } else { "active" }
            );
            assert_eq!(read["superseded_by"], json!(by.clone().flatten()));
            // What took its place comes first.
            let first = if by.is_some() { of(word).len() - 1 } else { 0 };
            assert_eq!(of(word)[first], decision_id.as_str());
        }
        for (entity, word) in model
            .notes
            .iter()
            .chain(&model.events)
            .chain(&model.handoffs)
        {
            // What stands beside it may come after it.
            assert_eq!(of(word)[0], entity.as_str());
        }
        for word in &model.gone {
            assert_eq!(of(word), [""; 0], "{word}");
        }
    }
    add_up(&app, &TENANTS, &["recalls"]);
    is_well(&app);
    for word in models.iter().flat_map(|model| &model.gone) {
        app.wait_until_erased(word);
    }
    // And after one of the three is gone.
    let left = [&models[0], &models[2]]
        .map(|model| model.notes.len())
        .iter()
        .sum::<usize>();
    app.delete("/api/v1/tenants/green").accepted();
    wait_for("the counts to fall", || {
        let notes = app.metric("agent_memory_knowledge_notes_total");
        let sessions = app.metric("agent_memory_sessions");
        let expected =
            ["red", "blue"].map(|tenant| stats(&app, tenant)["sessions"].as_f64().unwrap());
        (notes == left as f64 && sessions == expected.iter().sum::<f64>()).then_some(())
    });
    is_well(&app);
}
