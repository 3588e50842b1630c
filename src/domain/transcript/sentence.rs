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

/// Where the first sentence ends, if something follows it.
fn sentence_end(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let end = at + char.len_utf8();
        match char {
            '。' | '！' | '？' => return Some(end),
            '.' | '!' | '?' => {
                let next = chars.peek().map(|(_, next)| *next);
                // "e.g. x" and "v1.2" go on; a sentence's successor does not begin in lower case.
                let after = text.get(end..).unwrap_or_default().trim_start();
                let begins = after
                    .chars()
                    .next()
                    .is_some_and(|char| !char.is_lowercase());
                if next.is_some_and(char::is_whitespace) && begins {
                    return Some(end);
                }
            }
            _ => {}
        }
    }
    None
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
    fn a_lead_holds_whole_sentences() {
        assert_eq!(
            lead("One two. Three four. Five six.", 20),
            "One two. Three four."
        );
        assert_eq!(lead("One two. Three four. Five six.", 19), "One two.");
        assert_eq!(lead("toolong", 3), "");
    }
}
