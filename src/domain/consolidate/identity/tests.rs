//! What becomes a principle.
//!
//! **Invariant:** as the module.

use proptest::prelude::*;

use super::*;

fn said(number: u8, becoming: &str) -> StatementFacts {
    StatementFacts {
        handoff_id: HandoffId::from_bytes([number; 16]),
        session: Name::parse("s", &format!("s{number}")).unwrap(),
        created_at: Timestamp::from_millis(1_000 * i64::from(number)),
        sensitivity: Sensitivity::None,
        becoming: becoming.to_owned(),
    }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn planned(statements: &[StatementFacts], known: &[Principle]) -> Plan {
    let thresholds = Thresholds {
        statements: 3,
        ..Thresholds::default()
    };
    plan(tenant(), &thresholds, statements.to_vec(), known)
}

fn principle(write: &WritePrinciple) -> Principle {
    Principle {
        principle_id: write.principle_id,
        tenant_id: tenant(),
        body: write.body.clone(),
        created_at: Timestamp::from_millis(0),
        updated_at: Timestamp::from_millis(0),
    }
}

/// The principles after a plan.
fn applied(known: &[Principle], plan: &Plan) -> Vec<Principle> {
    let mut after: Vec<Principle> = known.to_vec();
    for change in &plan.changes {
        let (Change::WritePrinciple(WritePrinciple {
            principle_id: id, ..
        })
        | Change::RetirePrinciple(RetirePrinciple {
            principle_id: id, ..
        })) = change
        else {
            panic!("{change:?}")
        };
        after.retain(|principle| principle.principle_id != *id);
        if let Change::WritePrinciple(write) = change {
            after.push(principle(write));
        }
    }
    after
}

fn thread() -> Vec<StatementFacts> {
    vec![
        said(
            1,
            "I am becoming someone who measures before optimising. I like tea.",
        ),
        said(2, "I ask what must survive before creating files."),
        said(3, "Someone who always measures before they optimise."),
        said(4, "I measure before optimising."),
        said(5, "I trust captures over manuals."),
    ]
}

#[test]
fn what_recurs_in_three_sessions_is_a_principle_in_the_words_of_the_first() {
    let plan = planned(&thread(), &[]);
    let [Change::WritePrinciple(write)] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(
        write.body.text,
        "I am becoming someone who measures before optimising."
    );
    let sources: Vec<HandoffId> = [1, 3, 4]
        .map(|number| HandoffId::from_bytes([number; 16]))
        .to_vec();
    assert_eq!(
        (&write.body.source_handoffs, write.body.count),
        (&sources, 3)
    );
    assert!(!write.known && write.tokens_before == 0 && write.tokens_after > 5);
    let known = applied(&[], &plan);
    assert_eq!(planned(&thread(), &known).changes, []);
}

#[test]
fn a_group_that_grows_is_the_same_principle() {
    let known = applied(&[], &planned(&thread(), &[]));
    let mut more = thread();
    more.push(StatementFacts {
        sensitivity: Sensitivity::High,
        ..said(9, "I measure before optimising.")
    });
    let plan = planned(&more, &known);
    let [Change::WritePrinciple(write)] = plan.changes.as_slice() else {
        panic!("{plan:?}")
    };
    assert!(write.known && write.principle_id == known[0].principle_id);
    assert_eq!(
        (write.body.count, write.body.sensitivity),
        (4, Sensitivity::High)
    );
}

#[test]
fn what_was_forgotten_drops_out() {
    let known = applied(&[], &planned(&thread(), &[]));
    let mut thread = thread();
    thread.push(said(9, "I measure before optimising."));
    // The founder is gone: its words go too, and the next oldest founds the group.
    let plan = planned(&thread[1..], &known);
    let after = applied(&known, &plan);
    assert_eq!(after.len(), 1, "{plan:?}");
    assert_eq!(
        after[0].body.text,
        "Someone who always measures before they optimise."
    );
    assert_eq!(planned(&thread[1..], &after).changes, []);
    // Two are not enough.
    let plan = planned(&thread[3..], &after);
    assert!(
        matches!(plan.changes.as_slice(), [Change::RetirePrinciple(_)]),
        "{plan:?}"
    );
}

#[test]
fn of_two_that_are_as_near_the_older_is_joined() {
    let thread = [
        said(1, "I trust captures."),
        said(2, "I trust manuals."),
        said(3, "I trust captures, manuals."),
        said(4, "I trust captures."),
    ];
    let after = applied(&[], &planned(&thread, &[]));
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].body.text, "I trust captures.");
    assert_eq!(after[0].body.count, 3);
}

#[test]
fn one_session_says_a_thing_once() {
    let one: Vec<StatementFacts> = (1..9)
        .map(|number| StatementFacts {
            session: Name::parse("s", "same").unwrap(),
            ..said(
                number,
                "I measure before optimising. I measure before I optimise.",
            )
        })
        .collect();
    assert_eq!(planned(&one, &[]).changes, []);
}

#[test]
fn little_material_gives_no_new_principle_and_a_secret_none_at_all() {
    let thresholds = Thresholds {
        statements: 6,
        ..Thresholds::default()
    };
    assert_eq!(plan(tenant(), &thresholds, thread(), &[]).changes, []);
    let secret = |mut facts: StatementFacts| {
        facts.sensitivity = Sensitivity::Secret;
        facts
    };
    let secrets: Vec<_> = thread().into_iter().map(secret).collect();
    assert_eq!(planned(&secrets, &[]).changes, []);
}

#[test]
fn a_principle_that_another_made_is_left_alone() {
    let mut other = applied(&[], &planned(&thread(), &[])).remove(0);
    other.principle_id = PrincipleId::from_bytes([7; 16]);
    assert_eq!(planned(&[], &[other]).changes, []);
    let own = applied(&[], &planned(&thread(), &[]));
    assert_eq!(planned(&[], &own).changes.len(), 1);
    let elsewhere = TenantId::parse("t", "elsewhere").unwrap();
    let there = plan(elsewhere, &Thresholds::default(), vec![], &own);
    assert_eq!(there.changes, [], "the id follows from the tenant too");
}

#[test]
fn holds_so_many_groups_and_keeps_those_that_recur() {
    let thresholds = Thresholds {
        statements: 3,
        ..Thresholds::default()
    };
    let mut planner = Planner::new(tenant(), &thresholds);
    planner.page(&thread());
    let filler = |number: usize| StatementFacts {
        becoming: format!("Zq{number}a zq{number}b zq{number}c."),
        ..said(6, "")
    };
    for number in 0..MAX_GROUPS + 500 {
        planner.page(&[filler(number)]);
    }
    assert_eq!(planner.groups.len(), MAX_GROUPS);
    assert!(planner.by_term.len() <= 3 * MAX_GROUPS && planner.waiting.len() < MAX_GROUPS);
    assert_eq!(planner.finish(&[]).changes.len(), 1);
}

fn statements() -> impl Strategy<Value = Vec<StatementFacts>> {
    let sentences = prop::sample::select(vec![
        "I measure before optimising.",
        "I always measure before I optimise.",
        "Someone who measures, then optimises.",
        "I ask what must survive.",
        "I ask first what has to survive.",
        "I trust captures over manuals.",
        "I trust captures more than manuals and people.",
        "Tea.",
        "",
        "我先测量再优化。",
    ]);
    let one = (prop::collection::vec(sentences, 1..3), 0_u8..6, 0_i64..40);
    prop::collection::vec(one, 0..25).prop_map(|all| {
        let made = |(number, (texts, session, at)): (u8, (Vec<&str>, u8, i64))| StatementFacts {
            session: Name::parse("s", &format!("s{session}")).unwrap(),
            created_at: Timestamp::from_millis(at),
            ..said(number, &texts.join(" "))
        };
        (0..).zip(all).map(made).collect()
    })
}

proptest! {
    #[test]
    fn idempotent_and_blind_to_order(facts in statements(), turn in 0_usize..25, gone in 0_usize..25) {
        let plan = planned(&facts, &[]);
        let mut turned = facts.clone();
        turned.rotate_left(turn.min(facts.len()));
        turned.reverse();
        prop_assert_eq!(&planned(&turned, &[]), &plan);
        let known = applied(&[], &plan);
        prop_assert_eq!(planned(&facts, &known).changes, vec![]);
        for principle in &known {
            let body = &principle.body;
            let founder = facts.iter().find(|facts| Some(&facts.handoff_id) == body.source_handoffs.first()).unwrap();
            prop_assert!(founder.becoming.contains(&body.text));
            prop_assert!(body.count as usize >= body.source_handoffs.len() && body.source_handoffs.len() >= RECURS);
        }
        // Half applied, then something is forgotten: the next runs arrive where a first run would.
        let mut half = plan.clone();
        half.changes.truncate(half.changes.len() / 2);
        let mut fewer = facts.clone();
        fewer.truncate(gone);
        let mut after = applied(&applied(&[], &half), &planned(&fewer, &applied(&[], &half)));
        let mut fresh = applied(&[], &planned(&fewer, &[]));
        after.sort_by_key(|principle| principle.principle_id);
        fresh.sort_by_key(|principle| principle.principle_id);
        let texts = |all: &[Principle]| all.iter().map(|one| one.body.clone()).collect::<Vec<_>>();
        // Those that are there are kept up however little material there is.
        if fewer.iter().filter(|facts| !facts.becoming.trim().is_empty()).count() >= 3 {
            prop_assert_eq!(texts(&after), texts(&fresh));
        }
    }
}
