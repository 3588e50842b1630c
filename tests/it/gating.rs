//! What leaves is gated: every channel, every sensitivity, every way out, in one table.
//!
//! A channel shows what is no more sensitive than it may hear; what is secret is read by its id alone, and on the private
//! channel alone. The command line acts with the permissions of the file: its lists and searches are those of the
//! private channel, and its export leaves nothing out.
//!
//! **Invariant:** every way out that the interface describes is in the table, or is named with the reason why not.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::contract::DOCUMENT;
use crate::harness::{TestApp, id, made_id};
use crate::import::{import, principle, reflection, sealed};
use crate::process::BINARY;

const CHANNELS: [&str; 4] = ["public", "agent", "team", "private"];
const LEVELS: [&str; 4] = ["none", "low", "high", "secret"];

/// What was stored at one sensitivity: the word that gives it away is `<entity><level>mark`.
struct Stored {
    event: String,
    long: String,
    artifact: String,
    chunk: String,
    handoff: String,
    reflection: String,
    principle: String,
}

/// How a way out treats sensitivities.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    /// As a list: up to what the channel may hear.
    List,
    /// As an id: what is secret on the private channel as well.
    Id,
    /// By the file's permissions: everything.
    All,
}

impl Gate {
    fn opens(self, channel: &str, level: &str) -> bool {
        let rank = LEVELS.iter().position(|known| *known == level).unwrap();
        let most = if ["private", "team"].contains(&channel) {
            2
        } else {
            1
        };
        match self {
            Self::List => rank <= most,
            Self::Id => rank <= most || channel == "private",
            Self::All => true,
        }
    }
}

fn fill(app: &TestApp) -> Vec<Stored> {
    LEVELS
        .iter()
        .zip(1..)
        .map(|(level, number)| {
            let text = |what: &str| format!("{what}{level}mark lighthouse");
            let event = app.record(json!({"session_id": "both", "sensitivity": level, "content": {"text": text("event")}})).created();
            let body = format!("{} {}", "long ".repeat(16_000), text("artifact"));
            let long = app.record(json!({"session_id": "both", "kind": "tool_result", "sensitivity": level,
                "content": {"output": format!("{} {body}", text("long"))}})).created();
            let handoff = app.hand_off(json!({"session_id": "both", "sensitivity": level, "with_whom": format!("{level}person"),
                "story": text("handoff"), "becoming": text("becoming"), "remember": text("remember")})).created();
            let rows = [
                reflection(number, &json!({"sensitivity": level, "summary": text("reflection")})),
                principle(number, &json!({"sensitivity": level, "text": text("principle")})),
            ];
            assert_eq!(import(app, "", &sealed(&rows)).ok()["conflict_count"], 0);
            Stored {
                event: id(&event, "event_id"),
                chunk: id(&json!({"id": event["chunk_ids"][0]}), "id"),
                long: id(&long, "event_id"),
                artifact: id(&long, "artifact_id"),
                handoff: id(&handoff, "handoff_id"),
                reflection: made_id("refl", number),
                principle: made_id("prin", number),
            }
        })
        .collect()
}

/// A way out by HTTP: what it is called, how to ask on a channel, what it may show of which entities.
struct Way {
    route: &'static str,
    path: String,
    body: Option<Value>,
    shows: &'static [&'static str],
    gate: Gate,
    /// Whose id is asked for, if one's.
    level: Option<&'static str>,
}

fn way(route: &'static str, query: &str, shows: &'static [&'static str]) -> Way {
    let path = route.split_once(' ').unwrap().1;
    Way {
        route,
        path: format!("{path}?{query}"),
        body: None,
        shows,
        gate: Gate::List,
        level: None,
    }
}

fn ways(stored: &[Stored]) -> Vec<Way> {
    // A search shows one passage of each.
    let all: &[&str] = &["event", "reflection", "principle"];
    let asked = |route, query: &str, body: Value, shows| Way {
        body: Some(body),
        ..way(route, query, shows)
    };
    let mut ways = vec![
        way("GET /api/v1/events", "limit=100", &["event", "long"]),
        way(
            "GET /api/v1/events",
            "limit=100&session_id=both",
            &["event", "long"],
        ),
        way(
            "GET /api/v1/handoffs",
            "",
            &["handoff", "becoming", "remember"],
        ),
        way("GET /api/v1/reflections", "", &["reflection"]),
        way("GET /api/v1/principles", "", &["principle"]),
        way("GET /api/v1/identity-thread", "", &["becoming"]),
        way(
            "GET /api/v1/wake-up",
            "max_tokens=20000&recent_count=10",
            &["handoff", "becoming", "remember", "principle"],
        ),
        way(
            "GET /api/v1/wake-up",
            "max_tokens=20000&topic=lighthouse",
            &["becoming", "principle"],
        ),
        way("GET /api/v1/search", "q=lighthouse&limit=50", all),
        asked(
            "POST /api/v1/recall",
            "",
            json!({"query": "lighthouse", "limit": 50}),
            all,
        ),
        asked(
            "POST /api/v1/context",
            "",
            json!({"query_text": "lighthouse", "max_tokens": 60000}),
            &["event"],
        ),
        asked(
            "POST /api/v1/acb/build",
            "",
            json!({"query_text": "lighthouse", "max_tokens": 60000}),
            &["event"],
        ),
        way(
            "GET /api/v1/export/all",
            "",
            &[
                "event",
                "long",
                "artifact",
                "handoff",
                "becoming",
                "remember",
                "reflection",
                "principle",
            ],
        ),
        way(
            "GET /api/v1/export/thread",
            "format=json",
            &["handoff", "becoming", "remember"],
        ),
        way(
            "GET /api/v1/export/thread",
            "format=markdown",
            &["handoff", "becoming", "remember"],
        ),
    ];
    for (level, stored) in LEVELS.iter().zip(stored) {
        let person = format!("with_whom={level}person");
        ways.push(Way {
            level: Some(level),
            ..way(
                "GET /api/v1/handoffs/last",
                &person,
                &["handoff", "remember"],
            )
        });
        for (route, id, shows) in [
            (
                "GET /api/v1/events/{id}",
                &stored.event,
                ["event"].as_slice(),
            ),
            ("GET /api/v1/events/{id}", &stored.long, &["long"]),
            (
                "GET /api/v1/artifacts/{id}",
                &stored.artifact,
                &["artifact"],
            ),
            ("GET /api/v1/chunks/{id}", &stored.chunk, &["event"]),
            ("GET /api/v1/handoffs/{id}", &stored.handoff, &["handoff"]),
            (
                "GET /api/v1/reflections/{id}",
                &stored.reflection,
                &["reflection"],
            ),
            (
                "GET /api/v1/principles/{id}",
                &stored.principle,
                &["principle"],
            ),
        ] {
            let by_id = way(route, "", shows);
            ways.push(Way {
                path: by_id.path.replace("{id}", id),
                gate: Gate::Id,
                level: Some(level),
                ..by_id
            });
        }
    }
    ways
}

/// Ways out that show no text that has a sensitivity.
const UNGATED: &[(&str, &str)] = &[
    ("/api/v1/decisions", "a decision has no sensitivity"),
    ("/api/v1/decisions/{id}", "likewise"),
    ("/api/v1/knowledge", "a note has none"),
    ("/api/v1/knowledge/{id}", "likewise"),
    ("/api/v1/sessions", "names, times and counts of everything"),
    ("/api/v1/projects", "names and times"),
    ("/api/v1/stats", "counts of everything"),
    (
        "/api/v1/keys",
        "for an admin key; holds nothing that was stored",
    ),
    ("/api/v1/audit", "likewise"),
    (
        "/api/v1/consolidation/status",
        "times and counts of everything",
    ),
    ("/api/v1/consolidation/jobs", "likewise"),
];

#[test]
fn every_channel_shows_of_every_sensitivity_what_it_may_on_every_way_out() {
    let app = TestApp::start();
    let stored = fill(&app);
    let ways = ways(&stored);
    let mut cells = 0;
    for channel in CHANNELS {
        for way in &ways {
            let path = format!("{}&channel={channel}", way.path);
            let answer = match &way.body {
                None => app.get(&path),
                Some(body) => app.post(&path, body),
            };
            let text = answer.text();
            for level in LEVELS {
                if way.level.is_some_and(|only| only != level) {
                    continue;
                }
                for entity in way.shows {
                    let shown = text.contains(&format!("{entity}{level}mark"));
                    assert_eq!(
                        shown,
                        way.gate.opens(channel, level),
                        "{} on {channel}: {entity} of {level}",
                        way.route
                    );
                    cells += 1;
                }
                // Nothing of another entity slips out of it either.
                let any = text.contains(&format!("{level}mark"));
                assert!(
                    !any || way.gate.opens(channel, level),
                    "{} on {channel}: {level}",
                    way.route
                );
                if way.level.is_some() && !way.gate.opens(channel, level) {
                    answer.problem(404);
                }
            }
        }
    }
    assert!(cells > 700, "{cells}");
    let tried: BTreeSet<&str> = ways
        .iter()
        .map(|way| way.route.split_once(' ').unwrap().1)
        .collect();
    for (path, operations) in DOCUMENT["paths"].as_object().unwrap() {
        let reads = operations.get("get").is_some() || tried.contains(path.as_str());
        let known =
            tried.contains(path.as_str()) || UNGATED.iter().any(|(ungated, _)| path == ungated);
        assert!(
            !reads || known || !path.starts_with("/api/"),
            "{path} is a way out that nothing here tries"
        );
    }
}

#[test]
fn totals_of_a_wake_up_count_what_it_may_show() {
    let app = TestApp::start();
    fill(&app);
    for (channel, handoffs) in [("public", 2), ("agent", 2), ("team", 3), ("private", 3)] {
        let woken = app.get(&format!("/api/v1/wake-up?channel={channel}")).ok();
        assert_eq!(
            woken["layers"]["metadata"]["handoffs"], handoffs,
            "{channel} {woken}"
        );
        let thread = app
            .get(&format!("/api/v1/identity-thread?channel={channel}"))
            .ok();
        assert_eq!(thread["total_statements"], handoffs, "{channel}");
        // How much a session and a tenant hold is said of everything: it is what an operator watches growth by.
        let sessions = app.get(&format!("/api/v1/sessions?channel={channel}")).ok();
        assert_eq!(
            sessions["sessions"][0]["counts"],
            json!({"events": 8, "handoffs": 4})
        );
        let stats = app.get(&format!("/api/v1/stats?channel={channel}")).ok();
        assert_eq!(stats["handoffs"]["full"], 4);
    }
}

#[test]
fn the_command_line_reads_as_the_private_channel_and_exports_all() {
    let app = TestApp::start();
    let stored = fill(&app);
    let run = |args: &[&str]| {
        let output = Command::new(BINARY)
            .arg("--db")
            .arg(app.file())
            .args(args)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let table: &[(&[&str], &[&str], Gate)] = &[
        (&["list", "events"], &["event"], Gate::List),
        (
            &["list", "events", "--json"],
            &["event", "long"],
            Gate::List,
        ),
        (
            &["list", "handoffs", "--json"],
            &["handoff", "becoming"],
            Gate::List,
        ),
        (
            &["list", "reflections", "--json"],
            &["reflection"],
            Gate::List,
        ),
        (
            &["list", "principles", "--json"],
            &["principle"],
            Gate::List,
        ),
        (
            &["wake-up", "--max-tokens", "20000"],
            &["becoming"],
            Gate::List,
        ),
        (
            &["recall", "--json", "--limit", "50", "lighthouse"],
            &["event", "handoff", "reflection", "principle"],
            Gate::List,
        ),
        (&["context", "--json", "lighthouse"], &["event"], Gate::List),
        (
            &["export"],
            &[
                "event",
                "long",
                "artifact",
                "handoff",
                "reflection",
                "principle",
            ],
            Gate::All,
        ),
    ];
    for (args, shows, gate) in table {
        let said = run(args);
        for level in LEVELS {
            for entity in *shows {
                let shown = said.contains(&format!("{entity}{level}mark"));
                assert_eq!(
                    shown,
                    gate.opens("private", level),
                    "{args:?}: {entity} of {level}: {said}"
                );
            }
        }
    }
    for (level, stored) in LEVELS.iter().zip(&stored) {
        for (id, entity) in [
            (&stored.event, "event"),
            (&stored.handoff, "handoff"),
            (&stored.reflection, "reflection"),
            (&stored.principle, "principle"),
        ] {
            assert!(
                run(&["show", id]).contains(&format!("{entity}{level}mark")),
                "show {entity} of {level}"
            );
        }
    }
}
