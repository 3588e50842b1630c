//! What recall says once and in which order: a decision's successor before it, a fact that was told many times one time.
//!
//! **Invariant:** what differs in what matters is never put together, however alike the words are.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{TestApp, texts};
use crate::recall_rank::{decide, hits, ids, place, remember, replace, unrelated};

#[test]
fn what_was_superseded_stands_below_what_took_its_place() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let first = decide(
        &app,
        &json!({"decision": "Use PostgreSQL for the booking ledger", "rationale": ["everybody knows it"]}),
    );
    app.advance_hours(1);
    let second = replace(
        &app,
        &first,
        &json!({"decision": "Embed a single-file engine instead"}),
    );
    let lone = decide(
        &app,
        &json!({"decision": "The booking ledger is backed up hourly"}),
    );
    for query in [
        "PostgreSQL booking ledger",
        "Use PostgreSQL for the booking ledger",
        "Why did we choose PostgreSQL?",
        "embedded single-file engine",
        "everybody knows it",
        "what database holds the booking ledger",
        "postgrsql",
    ] {
        for limit in [1, 2, 10, 100] {
            let found = hits(&app, json!({"query": query, "limit": limit}));
            let new = place(&found, &second);
            assert!(new.is_some() || limit == 1, "{query} {limit}: {found:#?}");
            if let Some(old) = place(&found, &first) {
                assert!(
                    new.is_some_and(|new| new < old),
                    "{query} {limit}: {found:#?}"
                );
                assert_eq!(found[old]["superseded_by"], second);
                assert_eq!(found[old]["status"], "superseded");
            }
            if let Some(new) = new {
                assert_eq!(found[new]["status"], "active");
            }
        }
    }
    let found = hits(
        &app,
        json!({"query": "Use PostgreSQL for the booking ledger"}),
    );
    assert!(
        place(&found, &first).is_some() && place(&found, &lone).is_some(),
        "{found:#?}"
    );
    app.advance_hours(1);
    let third = replace(
        &app,
        &second,
        &json!({"decision": "Everything goes to the mainframe"}),
    );
    for query in [
        "PostgreSQL booking ledger",
        "single-file engine",
        "PostgreSQL single-file engine mainframe",
    ] {
        let found = hits(&app, json!({"query": query}));
        let places: Vec<usize> = [&third, &second, &first]
            .into_iter()
            .filter_map(|id| place(&found, id))
            .collect();
        assert!(place(&found, &third).is_some(), "{query}: {found:#?}");
        assert!(places.is_sorted(), "{query}: {places:?} {found:#?}");
    }
    let found = hits(
        &app,
        json!({"query": "PostgreSQL single-file engine mainframe"}),
    );
    assert_eq!(
        found[place(&found, &first).unwrap()]["superseded_by"],
        second
    );
    assert_eq!(
        found[place(&found, &second).unwrap()]["superseded_by"],
        third
    );
}

#[test]
fn a_successor_that_may_not_be_found_stays_away() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    let old = decide(
        &app,
        &json!({"decision": "Use PostgreSQL for the booking ledger", "project_id": "ferry", "ts": "2026-01-05T00:00:00Z"}),
    );
    let new = replace(
        &app,
        &old,
        &json!({"decision": "Embed a single-file engine", "project_id": "ferry", "ts": "2026-02-05T00:00:00Z"}),
    );
    for (filter, shown) in [
        (json!({"until": "2026-02-01T00:00:00Z"}), [true, false]),
        (json!({"since": "2026-02-01T00:00:00Z"}), [false, false]),
        (json!({"types": ["event"]}), [false, false]),
        (json!({"types": ["decision"]}), [true, true]),
        (json!({"project_id": "ferry"}), [true, true]),
        (json!({"project_id": "winch"}), [false, false]),
        (json!({"session_id": "s1"}), [false, false]),
        (json!({"tags": ["net"]}), [false, false]),
        (json!({"tenant_id": "other"}), [false, false]),
        (json!({"channel": "public"}), [true, true]),
    ] {
        let mut body = filter.clone();
        body["query"] = json!("PostgreSQL booking ledger");
        let found = hits(&app, body);
        let seen = [&old, &new].map(|id| place(&found, id).is_some());
        if shown == [false, false] {
            assert!(!seen[0], "{filter}: {found:#?}");
            if filter["since"].is_null() {
                assert!(!seen[1], "{filter}: {found:#?}");
            }
        } else {
            assert_eq!(seen, shown, "{filter}: {found:#?}");
        }
    }
    app.delete(&format!("/api/v1/decisions/{new}")).forgotten();
    let found = hits(&app, json!({"query": "PostgreSQL booking ledger"}));
    assert_eq!(ids(&found), [old.as_str()]);
}

#[test]
fn a_fact_said_twenty_times_is_one_hit() {
    let app = TestApp::start();
    unrelated(&app, "default", 60);
    let ways = [
        "The tide gauge speaks Modbus at 9600 baud.",
        "the tide gauge speaks modbus at 9600 baud",
        "The tide gauge speaks Modbus, at 9600 baud!",
        "So the tide gauge speaks Modbus at 9600 baud.",
        "THE TIDE GAUGE SPEAKS MODBUS AT 9600 BAUD",
    ];
    let told: HashSet<String> = (0..20)
        .map(|at| remember(&app, ways[at % ways.len()]))
        .collect();
    let body = json!({"query": "How does the tide gauge speak, at which baud?"});
    let found = hits(&app, body.clone());
    let said: Vec<&Value> = found
        .iter()
        .filter(|hit| told.contains(hit["id"].as_str().unwrap()))
        .collect();
    assert_eq!(said.len(), 1, "{found:#?}");
    assert_eq!(said[0]["duplicate_count"], 19);
    let duplicates: HashSet<&str> = said[0]["duplicates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_str().unwrap())
        .collect();
    assert_eq!(duplicates.len(), 10);
    assert!(
        duplicates
            .iter()
            .all(|id| told.contains(*id) && said[0]["id"] != *id)
    );
    // None of them takes the place of another answer.
    remember(&app, "The tide gauge was serviced in spring.");
    for limit in [1, 2, 3] {
        let found = hits(
            &app,
            json!({"query": "tide gauge Modbus baud", "limit": limit}),
        );
        assert_eq!(found.len(), limit.min(2), "{found:#?}");
        assert_eq!(found[0]["duplicate_count"], 19, "{limit}");
    }
    let bundle = app
        .post("/api/v1/context", &json!({"query_text": body["query"]}))
        .ok();
    // Each is either shown or named as left out, and most are left out.
    let omitted = texts(&bundle["omissions"], "id");
    let items = bundle["sections"].as_array().unwrap().iter();
    let shown: Vec<String> = items
        .flat_map(|section| texts(&section["items"], "id"))
        .collect();
    for event in &told {
        assert_ne!(
            omitted.contains(event),
            shown.contains(event),
            "{event} {bundle:#}"
        );
    }
    let left_out = omitted.iter().filter(|id| told.contains(*id)).count();
    assert!(left_out >= 18, "{bundle:#}");
}

#[test]
fn what_differs_in_what_matters_is_said_twice() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    let pairs = [
        (
            "The tide gauge speaks Modbus at 9600 baud.",
            "The tide gauge speaks Modbus at 19200 baud.",
        ),
        (
            "The pilots run release v0.14.2 of the plotter.",
            "The pilots run release v0.14.3 of the plotter.",
        ),
        (
            "The night watch is allowed to open the sluice.",
            "The night watch is not allowed to open the sluice.",
        ),
        (
            "Always reboot the radar after the storm has gone.",
            "Never reboot the radar after the storm has gone.",
        ),
        (
            "You can restart the foghorn from the bridge.",
            "You can't restart the foghorn from the bridge.",
        ),
        (
            "The dredger is insured against ice and collision.",
            "The dredger isn't insured against ice and collision.",
        ),
        (
            "Refuel the tender with the hatch closed.",
            "Refuel the tender without the hatch closed.",
        ),
        (
            "El práctico puede entrar de noche en el muelle.",
            "El práctico no puede entrar de noche en el muelle.",
        ),
        (
            "Die Fähre fährt am Montag nach Husum.",
            "Die Fähre fährt nicht am Montag nach Husum.",
        ),
        ("渡轮今天开往北岸码头", "渡轮今天不开往北岸码头"),
        (
            "The error at the winch is E0308 again.",
            "The error at the winch is E0309 again.",
        ),
        (
            "The ladder costs 3.50 at the chandler.",
            "The ladder costs 35.0 at the chandler.",
        ),
        (
            "Keep the bait freezer at 18 degrees in August.",
            "Keep the bait freezer at -18 degrees in August.",
        ),
    ];
    // In a long text one word is a small part.
    let long = |what: &str| {
        format!(
            "For the record and for whoever has the early shift at the southern lock next season: {what}, as Henrik wrote on the blackboard."
        )
    };
    let small = [
        (
            "the capstan can be oiled at sea",
            "the capstan can’t be oiled at sea",
        ),
        (
            "the davit can be oiled at sea",
            "the davit can't be oiled at sea",
        ),
        (
            "the rudder can be oiled at sea",
            "the rudder cannot be oiled at sea",
        ),
        ("steer with the trim tabs", "steer without the trim tabs"),
        ("the cleats need six bolts", "the cleats need seven bolts"),
        ("the hawse pipe takes 12 mm", "the hawse pipe takes 14 mm"),
        (
            "somebody may wind the chronometer",
            "nobody may wind the chronometer",
        ),
        (
            "wir haben eine Ersatzschraube",
            "wir haben keine Ersatzschraube",
        ),
    ];
    let small = small.map(|(one, other)| (long(one), long(other)));
    let pairs = pairs.map(|(one, other)| (one.to_owned(), other.to_owned()));
    let mut wrong = Vec::new();
    for (one, other) in pairs.iter().chain(&small) {
        let told = [remember(&app, one), remember(&app, other)];
        for query in [one, other] {
            let found = hits(&app, json!({"query": query}));
            let seen = [&told[0], &told[1]].map(|id| place(&found, id).is_some());
            if seen != [true, true] {
                wrong.push(query);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let old = decide(
        &app,
        &json!({"decision": "Moor the barge at the north quay in winter"}),
    );
    let new = replace(
        &app,
        &old,
        &json!({"decision": "Moor the barge at the north quay in winter."}),
    );
    let found = hits(
        &app,
        json!({"query": "Where do we moor the barge in winter?"}),
    );
    assert!(
        place(&found, &new).unwrap() < place(&found, &old).unwrap(),
        "{found:#?}"
    );
}
