//! What a question asks for beyond its words: who is meant, when, and what kind of sentence would answer it.
//!
//! The cues are English; in another language none is found and the words alone decide. Where they come from, and what
//! each is worth, stands in [`weights`](super::weights).
//!
//! **Invariant:** a cue changes the order of what was found and never what may be found.

use std::collections::HashSet;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use crate::domain::Timestamp;
use crate::domain::recall::time_phrase::{self, TimeRange};

/// The cues of one question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// Its words in lower case, by which a person may be named.
    pub words: Vec<String>,
    /// "What did *I* say": what the person wrote is meant.
    pub first_person: bool,
    /// "What did *you* recommend": what the agent wrote is meant.
    pub of_agent: bool,
    /// "When", "which date".
    pub asks_when: bool,
    /// "Have I ever": "never" is an answer.
    pub asks_ever: bool,
    /// "The first", "originally".
    pub asks_initial: bool,
    /// "Now", "currently".
    pub asks_latest: bool,
    /// "Where", "which file".
    pub asks_place: bool,
    /// "Which version".
    pub asks_version: bool,
    /// "How many", "what size".
    pub asks_number: bool,
    /// The time that it names.
    pub time: Option<TimeRange>,
}

impl Question {
    /// Reads the cues; words such as "yesterday" are counted from `at`.
    pub fn read(text: &str, at: Timestamp) -> Self {
        let words = words(text);
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        Self {
            first_person: has(&["i", "my", "me", "mine"]),
            of_agent: of_agent(&words),
            asks_when: has(&["when", "date", "deadline", "schedule", "scheduled"]),
            asks_ever: has(&["ever", "before"])
                || words
                    .first()
                    .is_some_and(|first| ["have", "has", "had"].contains(&first.as_str())),
            asks_initial: has(&[
                "initial",
                "initially",
                "first",
                "original",
                "originally",
                "start",
                "started",
                "beginning",
            ]),
            asks_latest: has(&[
                "now",
                "nowadays",
                "current",
                "currently",
                "latest",
                "today",
                "finally",
                "still",
                "present",
                "meanwhile",
            ]),
            asks_place: has(&PLACES),
            asks_version: has(&["version", "versions", "release", "releases"]),
            asks_number: asks_number(&words) || has(&MEASURES),
            time: time_phrase::read(&words, at),
            words,
        }
    }
}

/// "How many", "how long": any "how" with a measure.
fn asks_number(words: &[String]) -> bool {
    let measures = [
        "many", "much", "long", "often", "large", "big", "strong", "fast", "far", "old", "high",
        "deep",
    ];
    words.windows(2).any(|pair| {
        let [how, measure] = pair else { return false };
        how == "how" && measures.contains(&measure.as_str())
    })
}

/// "Did you", "you suggested", "your recommendation".
fn of_agent(words: &[String]) -> bool {
    let says = [
        "recommend",
        "suggest",
        "advise",
        "advised",
        "say",
        "said",
        "tell",
        "told",
        "mention",
        "propose",
        "provide",
        "explain",
        "give",
        "gave",
    ];
    words.windows(2).any(|pair| {
        let [first, second] = pair else { return false };
        let asked =
            ["did", "have", "had", "were", "was"].contains(&first.as_str()) && second == "you";
        asked || first == "you" && says.iter().any(|word| second.starts_with(word))
    })
}

/// The words of a text in lower case; the first few hundred, since a question is short.
fn words(text: &str) -> Vec<String> {
    /// A pasted log is no question; its cues would be chance.
    const MOST_WORDS: usize = 300;
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(MOST_WORDS)
        .map(str::to_lowercase)
        .collect()
}

/// What single words say of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// It names a day, a month, a season or a span: the words of `ref_lex2.py`, and years.
    pub(super) time: bool,
    /// It says "never" or "n't".
    pub(super) negation: bool,
}

/// What the words of a text say, in one pass over them.
pub(super) fn hints(text: &str) -> Hints {
    let mut hints = Hints {
        time: false,
        negation: text.contains("n't") || text.contains("n’t"),
    };
    let mut lower = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        // The longest of the words is "september".
        if word.len() < 3 || word.len() > 9 {
            continue;
        }
        lower.clear();
        lower.push_str(word);
        lower.make_ascii_lowercase();
        hints.time |= TIMES.contains(lower.as_str()) || is_year(&lower);
        hints.negation |= lower == "never";
    }
    hints
}

fn is_year(word: &str) -> bool {
    word.len() == 4
        && (word.starts_with("19") || word.starts_with("20"))
        && word.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text holds a path, a file's name or an address: a word with a slash inside, or with an ending.
pub(super) fn names_a_place(text: &str) -> bool {
    let between = |c: char| {
        matches!(
            c,
            '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | '`' | ',' | ';'
        ) || c.is_whitespace()
    };
    text.split(between).any(|word| {
        let word = word.trim_end_matches(['.', ':', '?', '!']);
        if !word.bytes().any(|b| matches!(b, b'/' | b'.' | b'~')) {
            return false;
        }
        let named = word.bytes().filter(u8::is_ascii_alphabetic).count() >= 3;
        let (stem, ending) = word.rsplit_once('.').unwrap_or_default();
        let ends = !stem.is_empty()
            && (1..=5).contains(&ending.len())
            && ending
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && ending.bytes().any(|b| b.is_ascii_lowercase());
        let inside =
            word.trim_matches('/').contains('/') || word.starts_with(['/', '~']) && word.len() > 3;
        named && (inside || ends)
    })
}

/// Whether a text holds digits, a point and digits.
pub(super) fn names_a_version(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|window| matches!(window, [a, b'.', b] if a.is_ascii_digit() && b.is_ascii_digit()))
}

/// What a question asks by that is answered with a path or an address.
const PLACES: [&str; 13] = [
    "where",
    "file",
    "files",
    "path",
    "document",
    "script",
    "folder",
    "directory",
    "module",
    "url",
    "page",
    "link",
    "branch",
];

/// What a question asks by that is answered with a number.
const MEASURES: [&str; 17] = [
    "number",
    "port",
    "size",
    "limit",
    "rate",
    "timeout",
    "percent",
    "percentage",
    "interval",
    "threshold",
    "budget",
    "duration",
    "latency",
    "accuracy",
    "score",
    "average",
    "total",
];

/// The same, looked up once for each word that is written.
static TIMES: LazyLock<HashSet<&str, FixedState>> =
    LazyLock::new(|| TIME_WORDS.into_iter().collect());

/// Words that name a time, in three letters or more.
const TIME_WORDS: [&str; 55] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "yesterday",
    "today",
    "tomorrow",
    "tonight",
    "week",
    "weeks",
    "weekend",
    "month",
    "months",
    "year",
    "years",
    "ago",
    "last",
    "next",
    "day",
    "days",
    "morning",
    "afternoon",
    "evening",
    "night",
    "recently",
    "soon",
    "earlier",
    "later",
    "since",
    "summer",
    "winter",
    "spring",
    "fall",
    "autumn",
    "christmas",
    "birthday",
    "noon",
    "midnight",
    "deadline",
    "due",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Question {
        Question::read(text, Timestamp::from_millis(0))
    }

    #[test]
    fn finds_who_and_what_is_meant() {
        assert!(read("What did I say about it?").first_person);
        assert!(!read("What is it in Iceland?").first_person);
        assert!(read("How did you recommend doing it?").of_agent);
        assert!(read("what you suggested").of_agent);
        assert!(!read("Do you know it?").of_agent);
        assert!(read("When was it?").asks_when);
        assert!(read("Have I used Bootstrap?").asks_ever);
        assert!(read("the original port").asks_initial);
        assert!(read("Which port do we use now?").asks_latest);
        assert_eq!(
            read("港口"),
            Question {
                words: vec!["港口".to_owned()],
                ..Question::default()
            }
        );
    }

    #[test]
    fn tells_places_and_versions() {
        for text in [
            "see src/lib.rs",
            "in Cargo.toml.",
            "https://x.dev/a",
            "~/.ssh",
            "`mod.rs`",
        ] {
            assert!(names_a_place(text), "{text}");
        }
        for text in ["It works. Really", "e.g. this", "3/4", "p99 3.5 ms", ""] {
            assert!(!names_a_place(text), "{text}");
        }
        assert!(names_a_version("v0.3") && !names_a_version("3. 4"));
        assert!(read("Where is it?").asks_place && read("How many are there?").asks_number);
        assert!(read("Which release?").asks_version && !read("How is it?").asks_number);
    }

    #[test]
    fn tells_times_and_negations() {
        assert!(hints("on Friday").time && hints("in 2023").time && !hints("port 3456").time);
        assert!(
            hints("I've never").negation
                && hints("doesn't").negation
                && !hints("nevertheless").negation
        );
    }
}
