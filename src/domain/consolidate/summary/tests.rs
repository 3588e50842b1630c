//! What is chosen of a handoff.
//!
//! **Invariant:** as the module.

use proptest::prelude::*;

use super::*;
use crate::domain::consolidate::rarity::Counts;

fn fields(learned: &str, remember: &str) -> Fields {
    Fields {
        learned: learned.to_owned(),
        remember: remember.to_owned(),
        ..Fields::default()
    }
}

/// A tenant in which everybody speaks of the gauge and the weather.
fn tenant() -> Counts {
    let mut counts = Counts::default();
    for _ in 0..50 {
        counts.add(["The gauge was read and the weather was fine again, as we said yesterday."]);
    }
    counts
}

const SESSION: &str = "We read the gauge again and the weather was fine. The checksum is CRC-16/MODBUS with init 0xFFFF. \
    The gauge was read. Jonas decided on Debian 11 because Büsum runs it. Was the weather fine?";

#[test]
fn takes_what_is_rare_named_and_numbered() {
    let fields = fields(SESSION, "");
    let forms = Forms::of(&fields, &tenant());
    let (checksum, chosen) = (
        "The checksum is CRC-16/MODBUS with init 0xFFFF.",
        "Jonas decided on Debian 11 because Büsum runs it.",
    );
    assert!(forms.within(26).contains(checksum));
    let both = forms.within(45);
    assert!(both.contains(checksum) && both.contains(chosen), "{both}");
    assert!(both.find(checksum) < both.find(chosen), "{both}");
    let day = Timestamp::parse("t", "2026-01-03T23:00:00Z").unwrap();
    assert!(forms.quick_ref(day).starts_with("2026-01-03: The checksum"));
}

#[test]
fn what_is_to_be_remembered_pulls_what_explains_it() {
    let learned = "It rains. The pool starves under load. The kettle boils over at noon.";
    let told = |remember: &str| {
        let fields = fields(learned, remember);
        Forms::of(&fields, &Counts::default())
            .sentences(18)
            .join(" ")
    };
    let mind = |what: &str| {
        told(&format!(
            "Mind the {what}, since it has been on my list for a long while and nobody has looked after it."
        ))
    };
    assert!(
        mind("kettle").contains("kettle boils"),
        "{}",
        mind("kettle")
    );
    assert!(mind("pool").contains("pool starves"), "{}", mind("pool"));
}

#[test]
fn what_was_said_in_other_words_gives_way_to_what_was_not_said() {
    let fields = fields(
        "The kettle boils at noon. At noon the kettle boils. Jonas likes tea.",
        "",
    );
    let forms = Forms::of(&fields, &Counts::default());
    assert_eq!(
        forms.within(15),
        "The kettle boils at noon. Jonas likes tea."
    );
}

#[test]
fn the_same_sentence_is_told_once() {
    let fields = fields("Always run with --locked.", "Always run with --locked.");
    let forms = Forms::of(&fields, &Counts::default());
    assert_eq!(forms.summary(), "Always run with --locked.");
}

#[test]
fn where_no_sentence_fits_the_best_is_cut() {
    let long = format!("Gauge three {} ends here.", "and so on ".repeat(60));
    let fields = fields(&long, "");
    let forms = Forms::of(&fields, &Counts::default());
    let line = forms.within(QUICK_REF_TOKENS);
    assert!(
        line.ends_with('…') && line.starts_with("Gauge three and so on"),
        "{line}"
    );
    assert!(token::estimate(&line) <= QUICK_REF_TOKENS);
}

#[test]
fn a_text_without_prose_gives_its_beginning() {
    let fields = fields("```\nlet x = 1;\n```", "");
    let forms = Forms::of(&fields, &Counts::default());
    assert_eq!(forms.summary(), "``` let x = 1; ```");
    let nothing = Fields::default();
    assert_eq!(Forms::of(&nothing, &Counts::default()).summary(), "");
}

#[test]
fn reads_other_scripts() {
    let text = "今天天气很好。数据库连接池的大小改为八个。今天天气很好吗？";
    let fields = fields(text, "");
    let mut counts = Counts::default();
    (0..20).for_each(|_| counts.add(["今天天气很好。"]));
    let forms = Forms::of(&fields, &counts);
    assert_eq!(forms.sentences(15), ["数据库连接池的大小改为八个。"]);
}

pub(in crate::domain::consolidate) fn any_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "gauge",
        "Büsum",
        "pool",
        "decided",
        "because",
        "Jonas",
        "16",
        "0xFFFF",
        "the",
        "never",
        "src/lib.rs",
        "猫",
        "tide.",
        "read.",
        "why?",
        "done!",
        "港口的水位。",
        "\n",
        "- ",
        "```\n",
        "e.g.",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.join(" "))
}

pub(in crate::domain::consolidate) fn any_fields() -> impl Strategy<Value = Fields> {
    let text = any_text;
    (text(), text(), text(), text(), text(), text()).prop_map(
        |(experienced, noticed, learned, story, becoming, remember)| Fields {
            experienced,
            noticed,
            learned,
            story,
            becoming,
            remember,
        },
    )
}

#[test]
fn sentences_that_are_longer_together_still_fit() {
    let fields = Fields {
        learned: "0xFFFF 猫 because".to_owned(),
        story: "16 gauge the Büsum".to_owned(),
        ..Fields::default()
    };
    let counts = tenant();
    let forms = Forms::of(&fields, &counts);
    for tokens in 1..40 {
        let line = forms.within(tokens);
        assert!(token::estimate(&line) <= tokens, "{tokens}: {line}");
    }
}

proptest! {
    #[test]
    fn sentences_are_verbatim_in_order_and_within_the_size(fields in any_fields(), tokens in 1_usize..200) {
        let counts = tenant();
        let forms = Forms::of(&fields, &counts);
        let chosen = forms.sentences(tokens);
        let all: Vec<&str> = fields.each().iter().flat_map(|(_, text)| sentence::split(text)).collect();
        let mut rest = all.iter();
        for sentence in &chosen {
            // Each is found after the one before, so the order is that of the handoff.
            prop_assert!(rest.any(|known| known == sentence), "{sentence:?} {all:?}");
        }
        let line = forms.within(tokens);
        prop_assert!(token::estimate(&line) <= tokens, "{line:?}");
        let said = fields.each().iter().any(|(_, text)| !text.trim().is_empty());
        prop_assert!(tokens < 4 || line.is_empty() != said, "{:?} {line:?}", fields);
        prop_assert_eq!(line, Forms::of(&fields, &counts).within(tokens));
    }
}
