//! The ranking on small pools made by hand.
//!
//! **Invariant:** no store: what is tested is a function.

use proptest::prelude::*;

use super::*;
use crate::domain::recall::{Extent, RecallDraft, Voice};
use crate::domain::{ChunkField, NewChunk, TenantId, Timestamp};

fn at(text: &str) -> Timestamp {
    Timestamp::parse("at", text).unwrap()
}

/// Asked on a Wednesday.
fn query(text: &str) -> RecallQuery {
    let draft = RecallDraft {
        query: text.to_owned(),
        min_score: Some(0.0),
        ..RecallDraft::default()
    };
    RecallQuery::parse(
        &draft,
        &TenantId::default_tenant(),
        at("2026-03-25T12:00:00Z"),
    )
    .unwrap()
}

/// One message of a session.
fn row(number: i64, voice: ActorType, speaker: &str, text: &str) -> Row {
    let ts = Timestamp::from_millis(number * 60_000);
    let chunk = NewChunk::whole(
        ChunkField::Content,
        text,
        ts,
        &[],
        Some(Voice {
            actor: voice,
            name: speaker,
            decides: false,
        }),
    );
    Row {
        chunk: number,
        entity: (EntityType::Event, number),
        extent: Extent {
            field: ChunkField::Content,
            start: 0,
            end: 0,
        },
        session: Some(1),
        ts,
        signature: chunk.signature,
        before: None,
        after: None,
        shown: true,
        successor: None,
    }
}

fn said(number: i64, text: &str) -> Row {
    row(number, ActorType::Human, "ada", text)
}

/// A pool in a tenant of a thousand passages, where each of the terms stands in as many as given.
fn pool(query: &RecallQuery, frequencies: &[i64], rows: Vec<Row>) -> Pool {
    let frequencies = frequencies.iter().copied().chain(std::iter::repeat(1));
    Pool {
        passages: 1000,
        words: 10_000,
        terms: query.terms.iter().cloned().zip(frequencies).collect(),
        rows,
    }
}

/// The chunks in their order.
fn order(query: &RecallQuery, pool: &Pool) -> Vec<i64> {
    let ranking = rank(query, pool);
    ranking
        .hits
        .iter()
        .filter_map(|hit| Some(pool.rows.get(hit.row)?.chunk))
        .collect()
}

fn linked(mut rows: Vec<Row>) -> Vec<Row> {
    let last = rows.len() - 1;
    for (at, row) in rows.iter_mut().enumerate() {
        row.before = at.checked_sub(1);
        row.after = (at < last).then_some(at + 1);
    }
    rows
}

#[test]
fn the_rarer_word_decides() {
    let query = query("prometheus interval");
    let pool = pool(
        &query,
        &[2, 500],
        vec![said(1, "the interval"), said(2, "the prometheus")],
    );
    let ranking = rank(&query, &pool);
    assert_eq!(order(&query, &pool), [2, 1]);
    let reasons = ranking.reasons(&ranking.hits[0]);
    assert_eq!(reasons.matched[0].0, "prometheus");
    let shares: f64 = reasons.features.iter().map(|(_, share)| share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
}

#[test]
fn an_entity_is_one_hit_with_its_best_passage() {
    let query = query("prometheus");
    let long = Row {
        chunk: 2,
        ..said(
            1,
            "prometheus and much else that dilutes what it says here about it",
        )
    };
    let pool = pool(&query, &[2], vec![long, said(1, "prometheus")]);
    assert_eq!(order(&query, &pool), [1]);
}

#[test]
fn an_answer_is_found_by_the_question_before_it() {
    let query = query("which harbour has the broken gauge?");
    let rows = || {
        vec![
            said(1, "Which harbour was the one with the broken gauge?"),
            said(2, "Esbjerg, since Monday."),
            said(3, "Lunch?"),
        ]
    };
    let apart = order(&query, &pool(&query, &[9, 9, 9], rows()));
    assert_eq!(apart, [1]);
    let together = order(&query, &pool(&query, &[9, 9, 9], linked(rows())));
    assert_eq!(together.len(), 3);
    assert!(
        together.iter().position(|chunk| *chunk == 2)
            < together.iter().position(|chunk| *chunk == 3)
    );
}

#[test]
fn the_person_who_is_named_is_preferred() {
    let query = query("What did Jonas say about the fuse?");
    let rows = vec![
        row(
            1,
            ActorType::Human,
            "marit",
            "The fuse of the box blows, Jonas.",
        ),
        row(
            2,
            ActorType::Human,
            "jonas",
            "The fuse of the box blows again.",
        ),
    ];
    assert_eq!(order(&query, &pool(&query, &[5, 5, 5], rows))[0], 2);
}

#[test]
fn i_is_the_person_and_you_is_the_agent() {
    let rows = || {
        vec![
            row(1, ActorType::Human, "ada", "Use the retry budget."),
            row(2, ActorType::Agent, "helm", "Use the retry budget."),
            row(3, ActorType::Tool, "bash", "Use the retry budget."),
        ]
    };
    for (text, first) in [
        ("what did I say about the retry budget", 1),
        ("what did you say about the retry budget", 2),
    ] {
        let query = query(text);
        assert_eq!(
            order(&query, &pool(&query, &[5, 5, 5], rows()))[0],
            first,
            "{text}"
        );
    }
}

#[test]
fn words_that_belong_together_count_when_they_stand_together() {
    let query = query("connection pool size");
    let rows = vec![
        said(
            1,
            "The size of the harbour pool; a connection to Kiel is late again.",
        ),
        said(
            2,
            "The connection pool size is a thing that was changed in Kiel.",
        ),
    ];
    assert_eq!(order(&query, &pool(&query, &[9, 9, 9], rows))[0], 2);
}

#[test]
fn a_named_time_is_preferred_and_found_without_words() {
    let on = |day: &str, number, text| Row {
        ts: at(&format!("{day}T10:00:00Z")),
        ..said(number, text)
    };
    let rows = || {
        vec![
            on("2026-03-03", 1, "The deploy broke."),
            on("2026-03-24", 2, "The deploy broke."),
            on("2026-03-24", 3, "Nothing else."),
        ]
    };
    let broke = query("which deploy broke last tuesday");
    assert_eq!(order(&broke, &pool(&broke, &[9, 9], rows()))[0], 2);
    let when = query("what was it yesterday?");
    assert_eq!(order(&when, &pool(&when, &[9], rows())), [3, 2]);
}

#[test]
fn what_took_a_decisions_place_stands_above_it() {
    let decided = |number: i64, text: &str, successor| Row {
        entity: (EntityType::Decision, number),
        session: None,
        successor,
        ..said(number, text)
    };
    let query = query("pool size of eight connections");
    let rows = vec![
        decided(1, "Pool size of sixteen connections", Some(2)),
        decided(2, "Pool size of eight connections", Some(3)),
        decided(3, "Pool has four", None),
    ];
    assert_eq!(order(&query, &pool(&query, &[9, 9, 9, 9], rows)), [3, 2, 1]);
}

#[test]
fn a_circle_of_successors_comes_to_an_end() {
    let mut rows = vec![said(1, "pool size"), said(2, "pool size")];
    for (row, successor) in rows.iter_mut().zip([2, 1]) {
        row.entity.0 = EntityType::Decision;
        row.successor = Some(successor);
    }
    let query = query("pool size");
    assert_eq!(order(&query, &pool(&query, &[9, 9], rows)).len(), 2);
}

#[test]
fn what_nothing_is_about_is_answered_with_nothing() {
    let honest = |text: &str| RecallQuery {
        min_score: None,
        ..query(text)
    };
    let asked = honest("which vaccine did the veterinarian give the horse");
    let off = pool(
        &asked,
        &[0, 0, 40, 0],
        vec![said(1, "The crew gave it a name.")],
    );
    assert!(rank(&asked, &off).hits.is_empty());
    let on = pool(
        &asked,
        &[3, 0, 40, 0],
        vec![said(1, "The vaccine was given on Monday.")],
    );
    assert_eq!(rank(&asked, &on).hits.len(), 1);
    // A young memory says too little about what is rare.
    let young = Pool {
        passages: 3,
        words: 30,
        ..off
    };
    assert_eq!(rank(&asked, &young).hits.len(), 1);
    let bar = RecallQuery {
        min_score: Some(0.99),
        ..asked
    };
    assert!(rank(&bar, &on).hits.is_empty());
}

#[test]
fn a_row_that_is_only_a_neighbour_is_no_hit() {
    let query = query("gauge");
    let hidden = Row {
        shown: false,
        ..said(1, "gauge gauge")
    };
    assert!(
        rank(&query, &pool(&query, &[9], vec![hidden]))
            .hits
            .is_empty()
    );
    assert!(rank(&query, &Pool::default()).hits.is_empty());
}

proptest! {
    /// Links are indices, so unlinked rows are what can be put in any order.
    #[test]
    fn the_order_of_the_rows_does_not_matter(texts in prop::collection::vec("[a-e ]{0,24}", 1..12), swaps in prop::collection::vec((0usize..12, 0usize..12), 0..8)) {
        let query = query("a b c b");
        let rows: Vec<Row> = (1..).zip(&texts).map(|(number, text)| said(number, text)).collect();
        let mut shuffled = rows.clone();
        for (a, b) in swaps {
            let last = shuffled.len();
            shuffled.swap(a % last, b % last);
        }
        let first = pool(&query, &[3, 4, 5], rows);
        let second = Pool { rows: shuffled, ..first.clone() };
        prop_assert_eq!(order(&query, &first), order(&query, &second));
        for hit in rank(&query, &first).hits {
            prop_assert!((0.0..=1.0).contains(&hit.score) && (0.0..=1.0 + 1e-9).contains(&hit.coverage));
        }
    }
}
