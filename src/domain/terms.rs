//! The terms that the full-text index holds, and those that a query asks for.
//!
//! The engine treats each term as an opaque string: nothing of FTS5's own tokenizing is relied on but that a term comes
//! back as it went in. So a term is never empty, at most [`MAX_TERM_BYTES`] long, and its ASCII is `a-z 0-9` and
//! `_ - . / : # @ +` alone. English words lose their inflection, identifiers are held whole *and* in parts, scripts
//! without spaces are held as overlapping pairs of characters.
//!
//! **Invariant:** indexing and asking go through the same `scan`, so that a text is always found by its own words; there
//! is no second tokenizer, no prefix search and no syntax: `AND`, `*` and quotes in a query are words or nothing.

use std::borrow::Cow;

mod scan;
mod words;

use scan::{Role, scan};
use words::{MONTHS, WEEKDAYS, folded, stemmed};

/// The version of these rules: a row's old terms must be recomputed to delete them, so a change here is a new number and
/// a rebuild of the index.
pub const TERMS_VERSION: i64 = 1;

/// The longest term. 64 bytes hold a SHA-256 in hex, the longest thing that people look up whole.
pub const MAX_TERM_BYTES: usize = 64;

/// The most distinct terms of a query. A question of `LoCoMo` has at most 20; a pasted stack trace says what it is about in
/// its first lines, and the store joins at most 32 terms to find candidates.
pub const MAX_QUERY_TERMS: usize = 64;

/// How much of a query is read, from its first letter or digit: 64 terms of 64 bytes.
pub const MAX_QUERY_BYTES: usize = MAX_QUERY_TERMS * MAX_TERM_BYTES;

/// What a word of the question's frame ("what *kind* of", "how *many*") weighs; RECALL.md, LEX2.
const FRAME_WEIGHT: f64 = 0.5;

/// What a part of an identifier weighs beside the whole of it, which is worth 1: as little as a frame word, since parts
/// such as `src` and `rs` are in half of all paths.
const PART_WEIGHT: f64 = 0.5;

/// What each further time adds that a query has a word.
const REPEATED_WEIGHT: f64 = 0.5;

/// The most that a term weighs, however often a query has it.
const MAX_WEIGHT: f64 = 2.0;

/// One term of a query and what a match of it is worth against the others.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryTerm {
    /// As the index holds it.
    pub term: String,
    /// Above 0 and at most 2.
    pub weight: f64,
}

/// The terms of a text, in its order and with repeats. Empty only if the text has no letter, digit or emoji.
pub fn index_terms(text: &str) -> Vec<String> {
    // Measured on English prose: a term is kept for every 9 bytes.
    let mut terms = Vec::with_capacity(text.len() / 9 + 1);
    let mut stops = Vec::new();
    scan(text, &mut |term, role| {
        if role != Role::Stop {
            terms.push(bounded(term).into_owned());
        } else if terms.is_empty() {
            stops.push(term.to_owned());
        }
    });
    if terms.is_empty() { stops } else { terms }
}

/// The terms of a date, as `8 May 2023 Monday` and `2023-05-08` would be indexed. Monday is 0.
pub fn date_terms(year: i16, month: i8, day: i8, weekday: i8) -> Vec<String> {
    let name = |names: &[&str], at: i8| {
        let name = usize::try_from(at)
            .ok()
            .and_then(|at| names.get(at).copied())?;
        Some(stemmed(name))
    };
    let mut terms = vec![day.to_string()];
    terms.extend(name(&MONTHS, month.saturating_sub(1)));
    terms.push(year.to_string());
    terms.extend(name(&WEEKDAYS, weekday));
    terms.push(format!("{year:04}-{month:02}-{day:02}"));
    terms
}

/// The one term of a whole tag. No text gives such a term: a word never begins with `#`.
pub fn tag_term(tag: &str) -> String {
    let mut term = String::with_capacity(tag.len() + 1);
    term.push('#');
    for c in folded(tag.trim()).chars().flat_map(char::to_lowercase) {
        match c {
            'a'..='z' | '0'..='9' | '_' | '-' | '.' | '/' | ':' | '#' | '@' | '+' => term.push(c),
            _ if !c.is_ascii() && !c.is_whitespace() => term.push(c),
            _ => term.push('-'),
        }
    }
    bounded(&term).into_owned()
}

/// The distinct terms of a query in its order, at most [`MAX_QUERY_TERMS`] of its first [`MAX_QUERY_BYTES`] bytes.
pub fn query_terms(query: &str) -> Vec<QueryTerm> {
    let query = query.trim_start_matches(|c: char| {
        c.is_ascii() && !c.is_ascii_alphanumeric() || c.is_whitespace()
    });
    let mut query = prefix(query, MAX_QUERY_BYTES);
    if query.len() + 3 >= MAX_QUERY_BYTES {
        // It was cut, most likely inside a word.
        query = query
            .rsplit_once(char::is_whitespace)
            .map_or(query, |(words, _)| words);
    }
    let (mut terms, mut stops) = (Vec::new(), Vec::new());
    scan(query, &mut |term, role| match role {
        Role::Stop => ask(&mut stops, term, 1.0),
        Role::Word | Role::Whole => ask(&mut terms, term, 1.0),
        Role::Frame => ask(&mut terms, term, FRAME_WEIGHT),
        Role::Part => ask(&mut terms, term, PART_WEIGHT),
    });
    if terms.is_empty() { stops } else { terms }
}

/// Adds a term, or raises the weight of the same term. At most 64 are compared, which is cheaper than hashing.
fn ask(terms: &mut Vec<QueryTerm>, term: &str, weight: f64) {
    let term = bounded(term);
    if let Some(known) = terms.iter_mut().find(|known| known.term == term) {
        // A word that is asked twice is meant twice; a part of an identifier is only written so.
        known.weight = if weight >= 1.0 && known.weight >= 1.0 {
            (known.weight + REPEATED_WEIGHT).min(MAX_WEIGHT)
        } else {
            known.weight.max(weight)
        };
    } else if terms.len() < MAX_QUERY_TERMS {
        terms.push(QueryTerm {
            term: term.into_owned(),
            weight,
        });
    }
}

/// A term as it may stand in the index: what is too long keeps its beginning and a hash of all of it.
fn bounded(term: &str) -> Cow<'_, str> {
    if term.len() <= MAX_TERM_BYTES {
        return Cow::Borrowed(term);
    }
    // 17 bytes are the plus and 16 hex digits.
    let hash = fnv1a(term);
    Cow::Owned(format!("{}+{hash:016x}", prefix(term, MAX_TERM_BYTES - 17)))
}

/// FNV-1a, which will be the same in every build and so may stand in the file.
pub(in crate::domain) fn fnv1a(term: &str) -> u64 {
    term.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// At most `len` bytes of the text, cut between characters.
fn prefix(text: &str, len: usize) -> &str {
    text.get(..text.floor_char_boundary(len))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(text: &str) -> String {
        index_terms(text).join(" ")
    }

    fn asked(query: &str) -> Vec<(String, f64)> {
        query_terms(query)
            .into_iter()
            .map(|asked| (asked.term, asked.weight))
            .collect()
    }

    #[test]
    fn stems_words_and_drops_what_says_nothing() {
        for (text, terms) in [
            (
                "The cats were running, and they bought bicycles!",
                "cat run buy bicycl",
            ),
            (
                "Children's mother said: I haven't been swimming.",
                "kid mom say swim",
            ),
            (
                "Café, cafe\u{301}, CAFÉ and naïve ﬁsh",
                "cafe cafe cafe naiv fish",
            ),
            ("to be or not to be", "to be or not to be"),
            ("It's mine. Isn't it?", "it mine isn it"),
            ("He paid $1,000 on the 3rd", "pay 1 000 3rd"),
            ("Wait...what? yes--no", "wait yes"),
            ("", ""),
            ("?! -- ... <>", ""),
        ] {
            assert_eq!(joined(text), terms, "{text}");
        }
    }

    #[test]
    fn holds_identifiers_whole_and_in_parts() {
        for (text, terms) in [
            (
                "see `src/store/mod.rs`.",
                "see src/store/mod.rs src store mod.rs mod rs",
            ),
            ("snake_case_names,", "snake_case_names snake case name"),
            (
                "getUserName() HTTPServer",
                "getusernam get user name httpserver http server",
            ),
            (
                "GitHub github GITHUB APIs",
                "github git hub github github api",
            ),
            ("well-known", "well-known well know"),
            ("E0308 ECONNREFUSED", "e0308 econnrefus"),
            ("v0.14.2, 1.2.3.", "v0.14.2 0.14.2 v0 14 2 1.2.3 1 2 3"),
            (
                "Vec<String> std::sync::Arc",
                "vec:string vec string std::sync::arc std sync arc",
            ),
            ("a@b.org", "a@b.org b.org b org"),
            (
                "https://x.dev/a-b?q=1",
                "https://x.dev/a-b https x.dev x dev a-b b q 1",
            ),
            ("9f86d081884c7d65", "9f86d081884c7d65"),
            ("C++ and C#, g++", "c++ c c# c g++ g"),
            ("__init__ --flag .gitignore", "init flag gitignor"),
            ("2023-05-08", "2023-05-08 2023 05 08"),
        ] {
            assert_eq!(joined(text), terms, "{text}");
        }
    }

    #[test]
    fn reads_other_scripts() {
        for (text, terms) in [
            ("我喜欢猫。", "我喜 喜欢 欢猫"),
            ("用Rust写", "用 rust 写"),
            ("カ\u{3099}ラス ｶﾞﾗｽ", "ガラ ラス ガラ ラス"),
            ("한국어", "한국 국어"),
            ("ไทย", "ไท ทย"),
            ("Москва ΣΊΣΥΦΟΣ", "москва σισυφοσ"),
            ("हिन्दी", "हिन्दी"),
            ("👍🏽 👨\u{200d}👩\u{200d}👧 🇩🇪 ❤️", "👍 👨 👩 👧 🇩🇪 ❤"),
        ] {
            assert_eq!(joined(text), terms, "{text}");
        }
    }

    #[test]
    fn dates_and_tags() {
        assert_eq!(
            date_terms(2023, 5, 8, 0),
            ["8", "may", "2023", "monday", "2023-05-08"]
        );
        assert_eq!(
            date_terms(2024, 7, 31, 9),
            ["31", "juli", "2024", "2024-07-31"]
        );
        assert_eq!(
            joined("8 May 2023 Monday. I left in May, may I?"),
            "8 may 2023 monday leav may"
        );
        assert_eq!(tag_term(" Très Bien "), "#tres-bien");
        assert_eq!(tag_term(""), "#");
        assert!(!index_terms("#tag and ##tag").contains(&tag_term("tag")));
    }

    #[test]
    fn weighs_what_is_asked() {
        let weights = |of: &[(&str, f64)]| {
            of.iter()
                .map(|(t, w)| ((*t).to_owned(), *w))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            asked("What kind of cats, cats?"),
            weights(&[("kind", 0.5), ("cat", 1.5)])
        );
        assert_eq!(
            asked("who is it"),
            weights(&[("who", 1.0), ("be", 1.0), ("it", 1.0)])
        );
        assert_eq!(
            asked("app_id id"),
            weights(&[("app_id", 1.0), ("app", 0.5), ("id", 1.0)])
        );
        assert_eq!(asked("cats AND NEAR(\"dogs*\" col:x)\0"), {
            weights(&[
                ("cat", 1.0),
                ("near", 1.0),
                ("dog", 1.0),
                ("col:x", 1.0),
                ("col", 0.5),
                ("x", 0.5),
            ])
        });
    }

    #[test]
    fn a_long_query_is_cut() {
        let long = "  ".repeat(50_000) + &"word_number_x ".repeat(10_000) + &"é".repeat(9_000);
        assert_eq!(query_terms(&long).len(), 4);
        let many: String = (0..10_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(query_terms(&many).len(), MAX_QUERY_TERMS);
    }

    #[test]
    fn a_long_term_is_told_from_another() {
        let (a, b) = ("猫é".repeat(99) + "a", "x".repeat(5_000) + "b");
        let terms: Vec<String> = [&b, &(b.clone() + "c")].map(|text| joined(text)).to_vec();
        assert_ne!(terms[0], terms[1]);
        assert!(
            index_terms(&a)
                .iter()
                .chain(&terms)
                .all(|term| term.len() <= MAX_TERM_BYTES)
        );
        assert_eq!(terms[0], joined(&b));
    }

    proptest! {
        #[test]
        fn every_term_is_what_the_index_can_hold(text in "\\PC{0,40}|[ -~]{0,60}|[aZ9_./:#@+<>' \u{301}\u{e9}-]{0,40}|(?s:.){0,40}") {
            let terms = index_terms(&text);
            for term in terms.iter().cloned().chain([tag_term(&text)]) {
                prop_assert!(!term.is_empty() && term.len() <= MAX_TERM_BYTES, "{:?}", term);
                prop_assert!(term.chars().all(|c| !c.is_ascii() || matches!(c, 'a'..='z' | '0'..='9') || "_-./:#@+".contains(c)), "{:?}", term);
            }
            let asked = query_terms(&text);
            prop_assert!(asked.iter().all(|asked| asked.weight > 0.0 && asked.weight <= MAX_WEIGHT));
            prop_assert!(asked.iter().all(|asked| terms.contains(&asked.term)), "{:?} {:?}", asked, terms);
            prop_assert_eq!(terms.is_empty(), asked.is_empty());
        }
    }
}
