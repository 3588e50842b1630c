//! Packing text under a hard budget of tokens.
//!
//! Pieces are offered in order of importance; one that does not fit is skipped, not the end, and said so.
//!
//! **Invariant:** the packed text never exceeds its budget, as [`token::estimate`] counts the whole of it.

use crate::domain::token;

/// What a line of packed text costs.
#[derive(Debug)]
pub struct Budget;

impl Budget {
    /// The tokens of a line and its end, counted so that a text never costs more than its lines do one by one.
    pub fn cost(line: &str) -> usize {
        token::estimate(line) + LINE_END_TOKENS
    }
}

/// A text that grows up to a budget.
#[derive(Debug)]
pub struct Packer {
    text: String,
    left: usize,
    skipped: usize,
}

impl Packer {
    /// An empty text with room for `max_tokens`.
    pub fn new(max_tokens: usize) -> Self {
        Self {
            text: String::new(),
            left: max_tokens,
            skipped: 0,
        }
    }

    /// Appends `line` and a line end if both fit; counts it as skipped if not.
    pub fn line(&mut self, line: &str) -> bool {
        let cost = Budget::cost(line);
        if cost > self.left {
            self.skipped += 1;
            return false;
        }
        self.left -= cost;
        self.text.push_str(line);
        self.text.push('\n');
        true
    }

    /// Appends a heading and what `fill` puts under it; takes the heading back if that is nothing.
    pub fn section(&mut self, heading: &str, fill: impl FnOnce(&mut Self)) {
        let (length, left) = (self.text.len(), self.left);
        if !self.line(heading) {
            return;
        }
        let after_heading = self.text.len();
        fill(self);
        if self.text.len() == after_heading {
            self.text.truncate(length);
            self.left = left;
        }
    }

    /// Appends `label` and as much of `text` as fits, cut at a word with an ellipsis; at least `least` tokens of it,
    /// or nothing.
    pub fn passage(&mut self, label: &str, text: &str, least: usize) {
        let whole = format!("{label}{text}");
        if Budget::cost(&whole) <= self.left {
            self.line(&whole);
            return;
        }
        let room = self
            .left
            .saturating_sub(Budget::cost(label) + ELLIPSIS_TOKENS);
        let cut = token::cut(text, room);
        if room < least || cut.is_empty() || !self.line(&format!("{label}{} …", cut.trim_end())) {
            self.skipped += 1;
        }
    }

    /// The packed text.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// Tokens that " …" may add beyond the cut text, with a margin for a word that the cut split.
const ELLIPSIS_TOKENS: usize = 4;

/// What a line's end may cost, and what rounding each line by itself may have taken off its estimate.
const LINE_END_TOKENS: usize = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn never_exceeds_its_budget(lines in prop::collection::vec("\\PC{0,200}", 0..20), budget in 0usize..400) {
            let mut packer = Packer::new(budget);
            for (index, line) in lines.iter().enumerate() {
                if index % 2 == 0 { packer.line(line); } else { packer.passage("- ", line, 3); }
            }
            prop_assert!(token::estimate(&packer.into_text()) <= budget);
        }
    }

    #[test]
    fn an_empty_section_leaves_no_heading() {
        let mut packer = Packer::new(100);
        packer.section("## Empty", |_| {});
        packer.section("## Full", |packer| {
            packer.line("- one");
        });
        assert_eq!(packer.into_text(), "## Full\n- one\n");
    }

    #[test]
    fn what_does_not_fit_is_skipped_not_the_end() {
        let mut packer = Packer::new(7);
        assert!(!packer.line("far too long a line to fit into a budget of seven tokens"));
        assert!(packer.line("short"));
    }
}
