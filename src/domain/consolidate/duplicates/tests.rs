//! What is shown with what.
//!
//! **Invariant:** as the module.

use proptest::prelude::*;

use super::*;

fn note(number: u8, content: &str) -> NoteFacts {
    NoteFacts {
        note_id: NoteId::from_bytes([number; 16]),
        project: None,
        with_whom: None,
        created_at: Timestamp::from_millis(i64::from(number)),
        pinned: false,
        title: None,
        content: content.to_owned(),
        folded_into: None,
    }
}

/// What each note is shown with after a plan.
fn applied(notes: &[NoteFacts], plan: &Plan) -> Vec<NoteFacts> {
    let mut after = notes.to_vec();
    for change in &plan.changes {
        let Change::Fold(fold) = change else {
            panic!("{change:?}")
        };
        let note = after
            .iter_mut()
            .find(|note| note.note_id == fold.note_id)
            .unwrap();
        assert_eq!(note.folded_into, fold.from);
        note.folded_into = fold.into;
    }
    after
}

fn together(one: &str, other: &str) -> bool {
    !plan(vec![note(1, one), note(2, other)]).changes.is_empty()
}

#[test]
fn the_same_fact_is_shown_once() {
    for other in [
        "The pool opens 16 connections.",
        "the pool opens 16 connections",
        "Note that the pools open \"16\" connections!",
        "Remember: our pool also opens 16 connections.",
    ] {
        assert!(together("The pool opens 16 connections.", other), "{other}");
    }
}

#[test]
fn what_makes_another_fact_of_it_keeps_it_apart() {
    let fact = "The pool of Büsum has 16 connections before noon.";
    for other in [
        "The pool of Büsum has 8 connections before noon.",
        "The pool of Büsum has -16 connections before noon.",
        "The pool of Büsum has not 16 connections before noon.",
        "The pool of Büsum never has 16 connections before noon.",
        "The pool of Büsum has 16 connections after noon.",
        "The pool of Husum has 16 connections before noon.",
        "The pool of Büsum has <16 connections before noon.",
        "The pool of Büsum has 16 connections before noon?",
        "The connections of Büsum has 16 pool before noon.",
        "The pool of Büsum has 16 connections before noon, and that is too few.",
    ] {
        assert!(!together(fact, other), "{other}");
    }
    assert!(!together(
        "Der Pool hat nicht 16 Plätze.",
        "Der Pool hat 16 Plätze."
    ));
    assert!(!together("A calls B", "B calls A"));
}

#[test]
fn twenty_are_one_with_the_oldest_shown() {
    let mut notes: Vec<NoteFacts> = (1..=20)
        .map(|number| note(number, "Run with --locked."))
        .collect();
    notes.push(note(21, "Something else."));
    let first = plan(notes.clone());
    assert_eq!(first.changes.len(), 19);
    assert!(first.tokens_before() > 19 * 3 && first.tokens_after() == 0);
    let after = applied(&notes, &first);
    assert!(
        after[0].folded_into.is_none()
            && after[1..20]
                .iter()
                .all(|note| note.folded_into == Some(notes[0].note_id))
    );
    assert_eq!(plan(after.clone()).changes, []);
    // What they are shown with is forgotten.
    let fewer = after[1..].to_vec();
    let next = plan(fewer.clone());
    let after = applied(&fewer, &next);
    assert_eq!(
        after
            .iter()
            .filter(|note| note.folded_into.is_none())
            .count(),
        2
    );
    assert_eq!(plan(after).changes, []);
}

#[test]
fn a_pinned_note_stays_and_others_are_shown_with_it() {
    let pinned = |number| NoteFacts {
        pinned: true,
        ..note(number, "Run with --locked.")
    };
    let notes = vec![note(1, "Run with --locked."), pinned(2), pinned(3)];
    let after = applied(&notes, &plan(notes.clone()));
    assert_eq!(after[0].folded_into, Some(notes[1].note_id));
    assert!(after[1].folded_into.is_none() && after[2].folded_into.is_none());
}

#[test]
fn projects_are_apart() {
    let of = |project: &str, number| NoteFacts {
        project: Name::parse_opt("p", (!project.is_empty()).then_some(project)).unwrap(),
        ..note(number, "Run with --locked.")
    };
    assert_eq!(plan(vec![of("", 1), of("a", 2), of("b", 3)]).changes, []);
    assert_eq!(plan(vec![of("a", 1), of("a", 2)]).changes.len(), 1);
}

#[test]
fn a_title_that_the_content_repeats_adds_nothing() {
    let titled = |number, title: &str, content| NoteFacts {
        title: Some(title.to_owned()),
        ..note(number, content)
    };
    let notes = vec![
        note(1, "Lock file: run with --locked."),
        titled(2, "Lock file", "Lock file: run with --locked."),
    ];
    assert_eq!(plan(notes).changes.len(), 1);
    let notes = vec![
        titled(1, "Cargo", "Run with --locked."),
        titled(2, "npm", "Run with --locked."),
    ];
    assert_eq!(plan(notes).changes, []);
}

fn notes() -> impl Strategy<Value = Vec<NoteFacts>> {
    let content = prop::sample::select(vec![
        "The pool has 16.",
        "the pool has 16",
        "Pools have 16",
        "The pool has 8.",
        "it",
        "is it",
        "猫。",
        "...",
    ]);
    let one = (
        content,
        0_u8..3,
        any::<bool>(),
        0_i64..5,
        prop::option::of(0_u8..20),
    );
    prop::collection::vec(one, 0..20).prop_map(|all| {
        let made = |(number, (content, project, pinned, at, into)): (
            u8,
            (&str, u8, bool, i64, Option<u8>),
        )| NoteFacts {
            project: (project > 0).then(|| Name::parse("p", &format!("p{project}")).unwrap()),
            pinned,
            created_at: Timestamp::from_millis(at),
            folded_into: into
                .filter(|_| !pinned)
                .map(|into| NoteId::from_bytes([into; 16])),
            ..note(number, content)
        };
        (0..).zip(all).map(made).collect()
    })
}

proptest! {
    #[test]
    fn idempotent_blind_to_order_and_never_touches_what_is_pinned(notes in notes(), turn in 0_usize..20) {
        let first = plan(notes.clone());
        let mut turned = notes.clone();
        turned.rotate_left(turn.min(notes.len()));
        prop_assert_eq!(&plan(turned), &first);
        let after = applied(&notes, &first);
        prop_assert_eq!(plan(after.clone()).changes, vec![]);
        for (note, before) in after.iter().zip(&notes) {
            prop_assert!(!note.pinned || note == before);
            if let Some(into) = note.folded_into {
                let shown = after.iter().find(|other| other.note_id == into).unwrap();
                prop_assert!(shown.folded_into.is_none() && shown.project == note.project && into != note.note_id);
            }
        }
    }
}
