//! A plan for a person to read.
//!
//! **Invariant:** says what the plan says and leaves nothing out but lines, which it counts.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::consolidate::reflection::Month;
use crate::domain::consolidate::{Change, Plan, counted};

/// Lines of a table; what is beyond is counted.
pub const MAX_TABLE_ROWS: usize = 100;

/// A change as a line of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Line {
    /// What changes, by its id.
    pub id: String,
    /// What it is.
    pub from: String,
    /// What it becomes.
    pub to: String,
    /// Why, in words.
    pub why: String,
    /// Tokens to load it now.
    pub tokens_before: u64,
    /// Tokens to load it then.
    pub tokens_after: u64,
}

impl Change {
    /// The change for a person to read.
    pub fn line(&self) -> Line {
        let (tokens_before, tokens_after) = self.tokens();
        let (id, from, to, why) = self.words();
        Line {
            id,
            from: from.to_owned(),
            to,
            why,
            tokens_before,
            tokens_after,
        }
    }

    fn words(&self) -> (String, &'static str, String, String) {
        let written = |known: bool| if known { "known" } else { "none" };
        match self {
            Self::Compress(it) => (
                it.handoff_id.to_string(),
                it.from.as_str(),
                it.to.as_str().to_owned(),
                format!("{} old", counted(it.age_days, "day")),
            ),
            Self::Archive(it) => (
                it.decision_id.to_string(),
                "in the wake-up",
                "not in the wake-up".to_owned(),
                format!("{} old and never recalled", counted(it.age_days, "day")),
            ),
            Self::Fold(it) => (
                it.note_id.to_string(),
                if it.from.is_some() {
                    "with another"
                } else {
                    "on its own"
                },
                it.into
                    .map_or("on its own".to_owned(), |into| format!("with {into}")),
                match (it.into, it.exact) {
                    (None, _) => "what it was shown with says it no longer".to_owned(),
                    (Some(_), true) => "says the same".to_owned(),
                    (Some(_), false) => "says nearly the same".to_owned(),
                },
            ),
            Self::WritePrinciple(it) => (
                it.principle_id.to_string(),
                written(it.known),
                "principle".to_owned(),
                format!("said in {}", counted(it.body.count, "handoff")),
            ),
            Self::RetirePrinciple(it) => (
                it.principle_id.to_string(),
                "principle",
                "none".to_owned(),
                "what it was drawn from no longer says it often enough".to_owned(),
            ),
            Self::WriteReflection(it) => (
                it.reflection_id.to_string(),
                written(it.known),
                "reflection".to_owned(),
                format!(
                    "{} in {}",
                    counted(it.body.session_count, "session"),
                    Month::of(it.body.period_start)
                ),
            ),
            Self::RetireReflection(it) => (
                it.reflection_id.to_string(),
                "reflection",
                "none".to_owned(),
                "its month has no handoffs left".to_owned(),
            ),
        }
    }
}

/// The plan as a table with a last line that sums it up; at most [`MAX_TABLE_ROWS`] changes are shown.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<Line> = self
            .changes
            .iter()
            .take(MAX_TABLE_ROWS)
            .map(Change::line)
            .collect();
        let width = |of: fn(&Line) -> &str, head: &str| {
            let widest = lines.iter().map(|line| of(line).chars().count()).max();
            widest.unwrap_or(0).max(head.len())
        };
        let (id, from, to, why) = (
            width(|line| &line.id, "id"),
            width(|line| &line.from, "from"),
            width(|line| &line.to, "to"),
            width(|line| &line.why, "why"),
        );
        if !lines.is_empty() {
            writeln!(
                f,
                "{:id$}  {:from$}  {:to$}  {:why$}  tokens",
                "id", "from", "to", "why"
            )?;
        }
        for line in &lines {
            let Line {
                id: name,
                from: was,
                to: becomes,
                why: reason,
                ..
            } = line;
            let (before, after) = (line.tokens_before, line.tokens_after);
            writeln!(
                f,
                "{name:id$}  {was:from$}  {becomes:to$}  {reason:why$}  {before} to {after}"
            )?;
        }
        let more = self.changes.len() - lines.len();
        if more > 0 {
            writeln!(f, "and {more} more")?;
        }
        let (before, after) = (self.tokens_before(), self.tokens_after());
        let (job, seen, all) = (
            self.job_type.as_str(),
            self.items_processed,
            self.changes.len(),
        );
        write!(
            f,
            "{job}: {all} of {seen} change, {before} tokens to {after}"
        )?;
        if self.items_left_out > 0 {
            write!(
                f,
                "; {} left as they are, since they are more than one run holds",
                self.items_left_out
            )?;
        }
        Ok(())
    }
}
