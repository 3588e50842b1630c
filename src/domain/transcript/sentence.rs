//! Whole sentences out of a message, and how much each says about what was learned.
//!
//! **Invariant:** a sentence is chosen or not; none is cut.

/// Longest sentence that is chosen, in bytes: two lines of prose.
pub const MAX_BYTES: usize = 400;

/// Words that mark a sentence as a finding or a choice.
const FINDINGS: [&str; 30] = [
    "because",
    "turned out",
    "turns out",
    "root cause",
    "the cause",
    "the problem was",
    "the issue was",
    "the fix",
    "fixed",
    "decided",
    "decision",
    "instead of",
    "rather than",
    "so that",
    "must ",
    "never ",
    "always ",
    "only when",
    "note that",
    "important",
    "requires",
    "the reason",
    "works now",
    "in the end",
    "found that",
    "learned",
    "it needs",
    "cannot ",
    "chose ",
    "we use ",
];
/// Words by which a person states what holds from now on.
const WISHES: [&str; 14] = [
    "always ",
    "never ",
    "remember",
    "from now on",
    "prefer",
    "don't ",
    "do not ",
    "must ",
    "make sure",
    "please use",
    "we use ",
    "i want ",
    "should ",
    "keep in mind",
];

/// The sentences of a text, without code blocks, headings' marks and lists' bullets.
pub fn split(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut code = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        if code || line.is_empty() || line.starts_with('|') {
            continue;
        }
        let line = line.trim_start_matches(['#', '>', '-', '*', '•', ' ']);
        let mut rest = line;
        while let Some(end) = sentence_end(rest) {
            let (sentence, next) = rest.split_at(end);
            found.push(sentence.trim());
            rest = next;
        }
        found.push(rest.trim());
    }
    found.retain(|sentence| !sentence.is_empty());
    found
}

/// What a full stop after it does not end.
const ABBREVIATIONS: [&str; 14] = [
    "Dr", "Mr", "Mrs", "Ms", "Prof", "St", "vs", "approx", "cf", "Fig", "e.g", "i.e", "z.B", "bzw",
];
/// What may stand between the end of a sentence and the space after it.
const CLOSING: [char; 9] = ['"', '\'', ')', ']', '*', '”', '’', '»', '`'];
/// The same after a full stop that needs no space.
const CLOSING_WIDE: [char; 5] = ['」', '』', '）', '”', '’'];

/// Where the first sentence ends, if something follows it.
fn sentence_end(text: &str) -> Option<usize> {
    for (at, char) in text.char_indices() {
        let after = text.get(at + char.len_utf8()..).unwrap_or_default();
        let closed = match char {
            '。' | '！' | '？' | '．' | '｡' | '।' | '॥' | '۔' => {
                after.trim_start_matches(CLOSING_WIDE)
            }
            '.' | '!' | '?' | '؟' | '…' => {
                let closed = after.trim_start_matches(CLOSING);
                // "e.g. x" and "v1.2" go on; a sentence's successor does not begin in lower case.
                let next = closed.trim_start();
                let begins = next.len() < closed.len() && !next.starts_with(char::is_lowercase);
                if !begins
                    || char == '.' && is_abbreviated(text.get(..at).unwrap_or_default(), next)
                {
                    continue;
                }
                closed
            }
            _ => continue,
        };
        return Some(text.len() - closed.len());
    }
    None
}

/// Whether a full stop after this is part of its last word: a title, an initial, a "No." with its number.
fn is_abbreviated(before: &str, next: &str) -> bool {
    let word = before
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    let mut letters = word.chars();
    let initial =
        letters.next().is_some_and(|c| c.is_uppercase() && c != 'I') && letters.next().is_none();
    let number = matches!(word, "No" | "no" | "Nr" | "p" | "pp")
        && next.starts_with(|c: char| c.is_ascii_digit());
    initial || number || ABBREVIATIONS.contains(&word)
}

/// The sentences that are short enough to be chosen.
pub fn choosable(text: &str) -> impl Iterator<Item = &str> {
    split(text)
        .into_iter()
        .filter(|sentence| sentence.len() <= MAX_BYTES && sentence.split_whitespace().count() >= 2)
}

/// The first sentences of a text, within `most` bytes.
pub fn lead(text: &str, most: usize) -> String {
    let mut lead = String::new();
    for sentence in split(text) {
        let room = most.saturating_sub(lead.len() + 1);
        if sentence.len() > room {
            break;
        }
        if !lead.is_empty() {
            lead.push(' ');
        }
        lead.push_str(sentence);
    }
    lead
}

/// How much a sentence says of what was found or chosen; 0 if nothing.
pub fn finding(sentence: &str) -> usize {
    cues(sentence, &FINDINGS)
}

/// How much a sentence says of what a person wants to hold; 0 if nothing.
pub fn wish(sentence: &str) -> usize {
    if sentence.ends_with('?') {
        return 0;
    }
    cues(sentence, &WISHES)
}

fn cues(sentence: &str, words: &[&str]) -> usize {
    let lower = sentence.to_lowercase();
    words.iter().filter(|word| lower.contains(**word)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_prose_and_leaves_code_out() {
        let text = "It works. See v1.2 of src/main.rs, e.g. the top! Next?\n```rust\nlet x = 1;\n```\n- a point\n";
        assert_eq!(
            split(text),
            [
                "It works.",
                "See v1.2 of src/main.rs, e.g. the top!",
                "Next?",
                "a point"
            ]
        );
        assert_eq!(split("终于好了。下一步"), ["终于好了。", "下一步"]);
    }

    #[test]
    fn knows_what_ends_no_sentence_and_what_closes_one() {
        for (text, sentences) in [
            (
                "Ask Dr. Weber. He knows.",
                vec!["Ask Dr. Weber.", "He knows."],
            ),
            (
                "J. Smith left. So did I. Then it rained.",
                vec!["J. Smith left.", "So did I.", "Then it rained."],
            ),
            ("See No. 5. It holds.", vec!["See No. 5.", "It holds."]),
            ("Is it? No. It is not.", vec!["Is it?", "No.", "It is not."]),
            (
                "He said \"go.\" We went (slowly). Why?",
                vec!["He said \"go.\"", "We went (slowly).", "Why?"],
            ),
            (
                "彼は「行け。」と言った。次へ",
                vec!["彼は「行け。」", "と言った。", "次へ"],
            ),
            ("यह ठीक है। अब चलो।", vec!["यह ठीक है।", "अब चलो।"]),
            ("هل انتهى؟ نعم۔ حسنا", vec!["هل انتهى؟", "نعم۔", "حسنا"]),
            (
                "Es geht, z.B. Montag. Danach nicht.",
                vec!["Es geht, z.B. Montag.", "Danach nicht."],
            ),
            (
                "It took 1.5 s... Then it worked!",
                vec!["It took 1.5 s...", "Then it worked!"],
            ),
        ] {
            assert_eq!(split(text), sentences, "{text}");
        }
    }

    #[test]
    fn a_lead_holds_whole_sentences() {
        assert_eq!(
            lead("One two. Three four. Five six.", 20),
            "One two. Three four."
        );
        assert_eq!(lead("One two. Three four. Five six.", 19), "One two.");
        assert_eq!(lead("toolong", 3), "");
    }
}
