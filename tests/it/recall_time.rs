//! Questions that name a time: what happened then comes first, softly, and filters stay filters.
//!
//! **Invariant:** the clock stands still, so every phrase has one meaning.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::harness::{TestApp, encoded, event};
use crate::recall_rank::{hits, ids, remember, tell, unrelated};

#[test]
fn a_time_in_the_question_prefers_what_happened_then() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    let days = [
        ("2026-03-19T10:00:00Z", "Olaf"),
        ("2026-03-17T10:00:00Z", "Brigitte"),
        ("2026-03-13T10:00:00Z", "Henrik"),
        ("2026-03-06T10:00:00Z", "Nadia"),
        ("2026-02-11T10:00:00Z", "Pavel"),
        ("2025-12-24T10:00:00Z", "Rosa"),
        ("2025-10-02T10:00:00Z", "Jun"),
        ("2025-05-09T10:00:00Z", "Tariq"),
        ("2024-08-09T10:00:00Z", "Wendy"),
    ];
    for (ts, who) in days {
        let text = format!("{who} greased the winch on the lower deck.");
        tell(&app, json!({"ts": ts, "content": {"text": text}}));
    }
    // A Friday.
    let asked_at = "2026-03-20T15:00:00Z";
    let mut wrong = Vec::new();
    for (query, who) in [
        ("Who greased the winch yesterday?", "Olaf"),
        ("Who greased the winch last Tuesday?", "Brigitte"),
        ("Who greased the winch on Tuesday?", "Brigitte"),
        ("Who greased the winch a week ago?", "Henrik"),
        ("Who greased the winch two weeks ago?", "Nadia"),
        ("Who greased the winch 2 weeks ago?", "Nadia"),
        ("Who greased the winch three days ago?", "Brigitte"),
        ("Who greased the winch last month?", "Pavel"),
        ("Who greased the winch in February?", "Pavel"),
        ("Who greased the winch in May?", "Tariq"),
        ("Who greased the winch in May 2025?", "Tariq"),
        ("Who greased the winch on 6 March?", "Nadia"),
        ("Who greased the winch on March 6th?", "Nadia"),
        ("Who greased the winch on 2026-03-13?", "Henrik"),
        ("Who greased the winch on 24 December?", "Rosa"),
        ("Who greased the winch last October?", "Jun"),
        ("Who greased the winch in 2024?", "Wendy"),
    ] {
        let found = hits(&app, json!({"query": query, "asked_at": asked_at}));
        let text = found
            .first()
            .map_or("", |hit| hit["text"].as_str().unwrap());
        if !text.starts_with(who) {
            wrong.push(format!("{query} {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn without_asked_at_a_time_counts_from_now_and_both_ways_of_asking_agree() {
    let app = TestApp::start();
    // The clock stands on Sunday, the first of March.
    for (ts, who) in [
        ("2026-02-20T10:00:00Z", "Olaf"),
        ("2026-02-28T10:00:00Z", "Brigitte"),
        ("2026-03-01T08:00:00Z", "Henrik"),
    ] {
        let text = format!("{who} greased the winch on the lower deck.");
        tell(&app, json!({"ts": ts, "content": {"text": text}}));
    }
    let query = "who greased the winch yesterday";
    let found = hits(&app, json!({"query": query}));
    assert_eq!(
        found[0]["text"],
        "Brigitte greased the winch on the lower deck."
    );
    let by_get = app
        .get(&format!("/api/v1/search?q={}", encoded(query)))
        .ok();
    assert_eq!(by_get["hits"], json!(found));
    let asked = json!({"query": query, "asked_at": "2026-02-21T10:00:00Z"});
    assert_eq!(
        hits(&app, asked)[0]["text"],
        "Olaf greased the winch on the lower deck."
    );
    app.advance_hours(24);
    let found = hits(&app, json!({"query": query}));
    assert_eq!(
        found[0]["text"],
        "Henrik greased the winch on the lower deck."
    );
}

#[test]
fn a_time_is_a_wish_and_a_filter_is_a_rule() {
    let app = TestApp::start();
    unrelated(&app, "default", 40);
    let told = |ts: &str, text: &str| tell(&app, json!({"ts": ts, "content": {"text": text}}));
    let oil = told(
        "2026-01-20T10:00:00Z",
        "For the winch gearbox we chose Omala oil.",
    );
    let painted = told("2026-02-28T10:00:00Z", "The winch got a coat of paint.");
    let query = json!({"query": "Which oil did we choose for the winch gearbox yesterday?"});
    assert_eq!(ids(&hits(&app, query.clone()))[0], oil);
    let with = |key: &str, value: &str| {
        let mut body = query.clone();
        body[key] = json!(value);
        body
    };
    let since = hits(&app, with("since", "2026-02-01T00:00:00Z"));
    assert!(ids(&since).iter().all(|hit| *hit != oil), "{since:?}");
    let until = hits(&app, with("until", "2026-02-01T00:00:00Z"));
    assert!(ids(&until).iter().all(|hit| *hit != painted), "{until:?}");
    for (since, until, ok) in [
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z", false),
        ("2026-02-02T00:00:00Z", "2026-02-01T00:00:00Z", false),
        ("2026-02-01T00:00:00Z", "2026-02-01T00:00:00.001Z", true),
    ] {
        let body = json!({"query": "winch", "since": since, "until": until});
        let answer = app.post("/api/v1/recall", &body);
        let path = format!("/api/v1/search?q=winch&since={since}&until={until}");
        if ok {
            answer.ok();
            app.get(&path).ok();
        } else {
            answer.blames(422, "until");
            app.get(&path).blames(422, "until");
        }
    }
}

#[test]
fn a_question_of_nothing_but_a_time_lists_what_happened_then() {
    let app = TestApp::start();
    unrelated(&app, "default", 240);
    let told = |ts: &str, text: &str| tell(&app, json!({"ts": ts, "content": {"text": text}}));
    let january = [
        told("2026-01-02T07:00:00Z", "The lock was emptied."),
        told("2026-01-15T07:00:00Z", "Divers looked at the gate."),
        told("2026-01-31T23:59:59.999Z", "Bells rang for the new mayor."),
    ];
    for day in 1..=20 {
        told(
            &format!("2026-02-{day:02}T10:00:00Z"),
            &format!("Entry {day} of the log."),
        );
    }
    let yesterday = [
        told("2026-02-28T00:00:00Z", "Rosa fed the gulls."),
        told("2026-02-28T12:00:00Z", "Olaf fixed a hinge."),
        told("2026-02-28T23:59:59.999Z", "A storm blew the sign down."),
    ];
    told("2026-03-01T00:00:00Z", "Coffee was out.");
    for (query, then) in [
        ("what happened yesterday?", &yesterday),
        ("yesterday", &yesterday),
        ("What did we do yesterday?", &yesterday),
        ("what happened on 28 February?", &yesterday),
        ("What happened on 2026-02-28?", &yesterday),
        ("What happened in January?", &january),
    ] {
        let found = hits(&app, json!({"query": query}));
        let first: HashSet<&str> = ids(&found).into_iter().take(3).collect();
        let then: HashSet<&str> = then.iter().map(String::as_str).collect();
        assert_eq!(first, then, "{query}: {found:#?}");
    }
}

#[test]
fn times_at_the_ends_of_the_calendar_are_answered() {
    let app = TestApp::start();
    remember(&app, "The tide gauge is old.");
    for asked_at in [
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2024-02-29T23:59:59.999Z",
        "9999-12-31T23:59:59.999Z",
    ] {
        for phrase in [
            "yesterday",
            "tomorrow",
            "last week",
            "next week",
            "last month",
            "next month",
            "last year",
            "next year",
            "last Tuesday",
            "next Friday",
            "two weeks ago",
            "9999 years ago",
            "400000 days ago",
            "in 5000 months",
            "in May",
            "on 29 February",
            "on 2026-02-30",
            "on 0000-00-00",
            "in 0000",
            "in 9999",
            "last weekend",
            "recently",
            "last summer",
            "in winter",
            "at Christmas",
            "the day before yesterday",
            "a century ago",
        ] {
            for query in [phrase.to_owned(), format!("tide gauge {phrase}")] {
                let body = json!({"query": query, "asked_at": asked_at});
                let answer = app.post("/api/v1/recall", &body);
                assert!(
                    answer.status == 200 || answer.status == 422,
                    "{query} {asked_at}"
                );
            }
        }
    }
}

#[test]
fn what_happened_then_goes_through_the_filters_first() {
    let app = TestApp::start();
    let then = |minute: u32| format!("2026-02-28T10:{minute:02}:00Z");
    let early = ["The gulls were fed.", "A hinge was fixed."].map(|text| {
        tell(&app, json!({"session_id": "s", "project_id": "p", "tags": ["t"], "ts": then(0), "content": {"text": text}}))
    });
    let busy = Value::from_iter((0..240).map(|at| {
        event(&json!({"session_id": "busy", "project_id": "q", "sensitivity": "high", "ts": then(1 + at % 59),
            "content": {"text": format!("Parcel {at} came in.")}}))
    }));
    app.post("/api/v1/events/batch", &busy).itemised();
    for filter in [
        json!({"session_id": "s"}),
        json!({"project_id": "p"}),
        json!({"tags": ["t"]}),
        json!({"until": then(1)}),
        json!({"channel": "public"}),
        json!({"channel": "agent"}),
    ] {
        let mut body = filter.clone();
        body["query"] = json!("What happened yesterday?");
        let found = hits(&app, body);
        let seen: HashSet<&str> = ids(&found).into_iter().collect();
        assert_eq!(
            seen,
            early.iter().map(String::as_str).collect(),
            "{filter}: {found:#?}"
        );
    }
}
