//! Questions that are none, and questions by chance.
//!
//! **Invariant:** whatever the words, the answer is a list or a refusal that names a field; the same question twice gets
//! the same bytes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{TestApp, id};
use crate::recall_rank::{remember, unrelated};

/// Longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

const WORDS: [&str; 30] = [
    "tide",
    "gauge",
    "src/store/mod.rs",
    "max_retry_count",
    "E0308",
    "潮位計",
    "데이터베이스",
    "ท่าเรือ",
    "сервер",
    "naïve",
    "yesterday",
    "last Tuesday",
    "in May",
    "AND",
    "NOT",
    "\"",
    "*",
    "(",
    "🦀",
    "0.14.2",
    "C++",
    "decide",
    "Jonas",
    "said",
    "anemometer",
    "anemomter",
    "'",
    "PostgreSQL",
    "https://example.org/a?b=c",
    "שלום",
];

/// About a hundred memories of every kind and many scripts.
fn mixed(app: &TestApp) {
    unrelated(app, "default", 60);
    for text in WORDS {
        remember(app, &format!("{text} and then {text} once more"));
    }
    app.hand_off(json!({"learned": "Tides are slow.", "becoming": "patient"}))
        .created();
    let old = app
        .post(
            "/api/v1/decisions",
            &json!({"decision": "Use PostgreSQL for the tide ledger"}),
        )
        .created();
    let path = format!("/api/v1/decisions/{}/supersede", id(&old, "decision_id"));
    app.post(&path, &json!({"decision": "An embedded engine"}))
        .created();
    app.post(
        "/api/v1/knowledge",
        &json!({"content": "Port 502 is Modbus", "tags": ["net"]}),
    )
    .created();
}

#[test]
fn anything_at_all_is_answered_or_refused_in_time() {
    let app = TestApp::start();
    mixed(&app);
    let mut queries: Vec<String> = [
        "",
        "   ",
        "\u{a0}\u{2003}",
        "the and of to a",
        "what is it?",
        "?!…",
        "AND",
        "OR NOT",
        "NOT NEAR(tide, 2)",
        "tide NEAR gauge",
        "(((",
        "tide*",
        "^tide",
        "\"tide gauge",
        "\"\"\"\"",
        "text:tide",
        "{text kind}: tide",
        "- tide",
        "tide + + gauge",
        "\0",
        "tide\0gauge",
        "🦀",
        "👩‍👩‍👧‍👦",
        "שלום עולם",
        "مرحبا tide بالعالم",
        "\u{202e}egdit\u{202c}",
        "潮 tide прилив ท่า",
        "'; DROP TABLE event; --",
        "' OR '1'='1",
        "\\\\\\",
        "%s%n{}",
        "\u{feff}tide",
        "e\u{301}\u{301}",
        "\u{fffd}",
        "0x1F",
        "1e309",
        "-0",
        "99999999999999999999999999",
        "yesterday tomorrow last next",
        "on 31 February",
        "in 99999",
        "999999999 years ago",
        "0 days ago",
        "last last Tuesday",
        "on 2026-99-99",
        "-5 weeks ago",
        "18446744073709551616 days ago",
    ]
    .map(str::to_owned)
    .to_vec();
    queries.push("tide gauge ".repeat(9_000));
    queries.push("z".repeat(200_000));
    queries.push("tide_".repeat(20_000));
    queries.push("潮位".repeat(30_000));
    queries.push("ท่าเรือ".repeat(8_000));
    queries.push("yesterday ".repeat(10_000));
    queries.push("\"".repeat(100_000));
    queries.push((0..10_000).map(|word| format!("wurd{word} ")).collect());
    queries.push(
        (0..10_000)
            .map(|word| format!("tide{word}gauge "))
            .collect(),
    );
    for query in &queries {
        let start = Instant::now();
        let answer = app.post("/api/v1/recall", &json!({"query": query}));
        let took = start.elapsed();
        let named: String = query.chars().take(40).collect();
        assert!(took < PATIENCE, "{named:?} took {took:?}");
        answer.ok();
        let zero = json!({"query": query, "min_score": 0, "limit": 100});
        app.post("/api/v1/recall", &zero).ok();
    }
    let long = json!({"query": "x".repeat(256 * 1024 + 1)});
    app.post("/api/v1/recall", &long).blames(422, "query");
}

#[test]
fn random_questions_are_answered_and_twice_alike() {
    let app = TestApp::start();
    mixed(&app);
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..300 {
        let mut query = String::new();
        for _ in 0..next(6) {
            let word = WORDS[next(WORDS.len())];
            let cut = next(8);
            let skip = usize::from(next(5) == 0);
            let taken: String = word.chars().skip(skip).collect();
            let kept = if cut == 0 {
                taken.chars().rev().collect()
            } else {
                taken
            };
            query.push_str(&kept);
            query.push_str([" ", "  ", "", "-", "\n", "/", ": "][next(7)]);
        }
        if next(10) == 0 {
            query.push(char::from_u32(u32::try_from(next(0x3_0000)).unwrap()).unwrap_or('x'));
        }
        let mut body = json!({"query": query, "limit": 1 + next(30)});
        if next(3) == 0 {
            body["min_score"] = json!(0);
        }
        let first = app.post("/api/v1/recall", &body).is(200).text();
        let again = app.post("/api/v1/recall", &body).is(200).text();
        assert_eq!(first, again, "round {round}: {query:?}");
    }
}
