//! Cuts a long text into pieces that are found and shown by themselves.
//!
//! **Invariant:** a chunk is a byte range of its text, never a copy; the ranges are in order, overlap, and leave nothing
//! out, so that what one chunk lacks at its edge its neighbour has.

use std::ops::Range;

/// Half words, since two characters of a script without spaces count as one word.
const WORD: usize = 2;

/// The longest chunk. RECALL.md's neighbour damping starts at 60 words and long messages drown in their own length; 200
/// words are three paragraphs.
const MAX_WORDS: usize = 200 * WORD;

/// From here on a good place ends a chunk: three quarters of the longest, so that a paragraph's end is usually in reach.
const MIN_WORDS: usize = 150 * WORD;

/// What a chunk repeats of the one before: a long English sentence.
const OVERLAP_WORDS: usize = 30 * WORD;

/// The longest chunk of a text that has few spaces or none: 200 words of 20 bytes.
pub const MAX_CHUNK_BYTES: usize = 4_096;

/// As [`MIN_WORDS`] to [`MAX_WORDS`].
const MIN_BYTES: usize = MAX_CHUNK_BYTES / 4 * 3;

/// As [`OVERLAP_WORDS`] to [`MAX_WORDS`], rounded up; with [`MIN_BYTES`] this makes every chunk move on.
const OVERLAP_BYTES: usize = MAX_CHUNK_BYTES / 8;

/// The longest way without a place to cut, of which there must be one in every overlap.
const MAX_GAP_BYTES: usize = OVERLAP_BYTES / 2;

/// The chunks of a text as byte ranges between characters. There is at least one. A text has at most one for every 120 of
/// its words and one for every 2,048 of its bytes, and one more.
pub fn chunks(text: &str) -> Vec<Range<usize>> {
    // A word takes a letter and a space at least, so these bytes are no more words than a chunk may have.
    if text.len() < MAX_WORDS || text.trim().is_empty() {
        return std::iter::once(0..text.len()).collect();
    }
    let cuts = cuts(text);
    let mut chunks = Vec::new();
    let mut start = Cut::default();
    loop {
        let end = end_after(&cuts, start, text.len());
        chunks.push(start.at..end.at);
        if end.at >= text.len() {
            return chunks;
        }
        start = start_before(&cuts, start, end);
    }
}

/// A place where a text may be cut: always where a word begins, so that white space stays with what it follows.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    at: usize,
    /// Half words before it.
    words: usize,
    grade: Grade,
}

/// How good a place is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// Inside a word or a long run of white space.
    #[default]
    Forced,
    Word,
    Sentence,
    Line,
    Paragraph,
}

/// The best end of the chunk that starts here; of equals, the last.
fn end_after(cuts: &[Cut], start: Cut, len: usize) -> Cut {
    let from = cuts.partition_point(|cut| cut.at <= start.at);
    let fits =
        |cut: &&Cut| cut.words - start.words <= MAX_WORDS && cut.at - start.at <= MAX_CHUNK_BYTES;
    let enough = |cut: &Cut| cut.words - start.words >= MIN_WORDS || cut.at - start.at >= MIN_BYTES;
    let mut best: Option<Cut> = None;
    for cut in cuts.get(from..).unwrap_or_default().iter().take_while(fits) {
        if cut.at == len {
            return *cut;
        }
        if best.is_none_or(|best| !enough(&best) || cut.grade >= best.grade) {
            best = Some(*cut);
        }
    }
    // There always is one: the gap between two cuts is far below a chunk's bytes.
    best.unwrap_or(Cut { at: len, ..start })
}

/// Where the next chunk starts: at the earliest best place within the overlap, no further back than a sentence.
fn start_before(cuts: &[Cut], start: Cut, end: Cut) -> Cut {
    let from = cuts.partition_point(|cut| {
        cut.at <= start.at
            || cut.words + OVERLAP_WORDS < end.words
            || cut.at + OVERLAP_BYTES < end.at
    });
    let to = cuts.partition_point(|cut| cut.at < end.at);
    let overlap = cuts.get(from..to).unwrap_or_default();
    let sentence = overlap.iter().find(|cut| cut.grade >= Grade::Sentence);
    sentence.or_else(|| overlap.first()).copied().unwrap_or(end)
}

/// Every place to cut, and the end of the text.
fn cuts(text: &str) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::with_capacity(text.len() / 6 + 1);
    let (mut words, mut last_cut) = (0, 0);
    // Of the white space before this character: its newlines, if any, and of the text before that: its last character.
    let (mut space, mut newlines, mut before) = (true, 0, ' ');
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            newlines = if space { newlines } else { 0 } + usize::from(c == '\n');
            space = true;
            if at - last_cut >= MAX_GAP_BYTES {
                cuts.push(Cut {
                    at,
                    words,
                    grade: Grade::Forced,
                });
                last_cut = at;
            }
            continue;
        }
        let dense = is_dense(c);
        let begins = space || dense || is_dense(before);
        if begins || at - last_cut >= MAX_GAP_BYTES {
            if at > 0 {
                let grade = if begins {
                    grade(space, newlines, before)
                } else {
                    Grade::Forced
                };
                cuts.push(Cut { at, words, grade });
                last_cut = at;
            }
            words += if dense { WORD / 2 } else { WORD };
        }
        (space, newlines, before) = (false, 0, c);
    }
    cuts.push(Cut {
        at: text.len(),
        words,
        grade: Grade::Paragraph,
    });
    cuts
}

fn grade(space: bool, newlines: usize, before: char) -> Grade {
    match (newlines, before) {
        (2.., _) => Grade::Paragraph,
        (1, _) => Grade::Line,
        (_, '。' | '！' | '？' | '…' | '｡') => Grade::Sentence,
        (_, '.' | '!' | '?' | '"' | ')' | '”' | '’') if space => Grade::Sentence,
        _ => Grade::Word,
    }
}

/// Scripts that put no spaces between words: Thai to Khmer, kana, Han, Hangul. The blocks of Unicode 16, whole: here a
/// punctuation mark among them may count.
fn is_dense(c: char) -> bool {
    matches!(u32::from(c), 0xe00..=0xeff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3005..=0x9fff | 0xac00..=0xd7a3
        | 0xf900..=0xfaff | 0xff66..=0xff9f | 0x20000..=0x3ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(range: std::ops::RangeInclusive<usize>) -> String {
        range.map(|n| format!("w{n} ")).collect()
    }

    #[test]
    fn a_short_text_is_one_chunk() {
        for text in [
            "",
            " \n",
            "one",
            &words(1..=200),
            &"猫".repeat(400),
            &" ".repeat(10_000),
        ] {
            let chunks = chunks(text);
            assert!(chunks.len() == 1 && chunks[0] == (0..text.len()));
        }
    }

    #[test]
    fn a_long_text_is_cut_with_an_overlap() {
        let text = words(1..=1_000);
        let pieces: Vec<&str> = chunks(&text)
            .into_iter()
            .map(|range| &text[range])
            .collect();
        assert_eq!(pieces.len(), 6);
        assert!(pieces[0].starts_with("w1 ") && pieces[0].ends_with("w200 "));
        assert!(pieces[1].starts_with("w171 ") && pieces[1].ends_with("w370 "));
    }

    #[test]
    fn prefers_to_cut_at_a_paragraph_then_a_line_then_a_sentence() {
        for (mark, next) in [("\n\n", "\n"), ("\n", "end. "), ("end. ", "")] {
            let text = words(1..=160) + mark + &words(161..=190) + next + &words(191..=400);
            let first = &text[chunks(&text)[0].clone()];
            assert!(first.ends_with(&format!("w160 {mark}")), "{first}");
        }
        let text = "猫".repeat(350) + "。" + &"犬".repeat(400);
        assert_eq!(chunks(&text)[0], 0..351 * 3);
    }

    #[test]
    fn a_text_without_spaces_is_cut_by_bytes() {
        for text in [
            "x".repeat(20_000),
            "é".repeat(10_000),
            format!("a{}b", " ".repeat(20_000)),
        ] {
            let chunks = chunks(&text);
            assert!((5..=8).contains(&chunks.len()), "{chunks:?}");
        }
    }

    proptest! {
        // Long texts are the point here, and slow to make.
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn chunks_cover_the_text_in_order(
            pieces in proptest::collection::vec(("[a-z]{1,12}|[猫犬。]{1,40}|[é.]{1,3}|x{400}", "[ \n]{0,3}| {300}|\\. "), 0..900)
        ) {
            let text: String = pieces.into_iter().map(|(word, gap)| word + &gap).collect();
            let chunks = chunks(&text);
            prop_assert_eq!(chunks[0].start, 0);
            prop_assert_eq!(chunks[chunks.len() - 1].end, text.len());
            let words = cuts(&text).last().unwrap().words / WORD;
            prop_assert!(chunks.len() <= 1 + words / 120 + text.len() / 2_048, "{} of {}", chunks.len(), words);
            for range in &chunks {
                prop_assert!(text.get(range.clone()).is_some());
                prop_assert!(range.len() <= MAX_CHUNK_BYTES);
            }
            for pair in chunks.windows(2) {
                prop_assert!(pair[0].start < pair[1].start && pair[0].end < pair[1].end);
                prop_assert!(pair[1].start <= pair[0].end);
                prop_assert!(pair[0].end - pair[1].start <= OVERLAP_BYTES);
            }
        }
    }
}
