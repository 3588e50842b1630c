//! Which kind of task a bundle is for, and what that means for its parts.
//!
//! **Invariant:** the shares of each mode add up to a hundred.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// The kind of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Something is to be made or changed.
    Task,
    /// Something is to be found out or compared.
    Exploration,
    /// Something is broken.
    Debugging,
    /// Something is to be understood.
    Learning,
    /// None of these, or all.
    General,
}

/// A part of a bundle, in the order in which they are filled and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Pinned notes and decisions of scope policy and global: always first.
    Standing,
    /// The last handoffs.
    Handoffs,
    /// Decisions that hold: those found, then the newest.
    Decisions,
    /// Notes found, and what was concluded: reflections and principles.
    Knowledge,
    /// Events and older handoffs found.
    Evidence,
    /// What has just happened in the session.
    Session,
}

impl Part {
    /// Every part, in order.
    pub const ALL: [Self; 6] = [
        Self::Standing,
        Self::Handoffs,
        Self::Decisions,
        Self::Knowledge,
        Self::Evidence,
        Self::Session,
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Handoffs => "handoffs",
            Self::Decisions => "decisions",
            Self::Knowledge => "knowledge",
            Self::Evidence => "evidence",
            Self::Session => "session",
        }
    }

    /// Its heading in the text.
    pub fn heading(self) -> String {
        let words = match self {
            Self::Standing => "Always",
            Self::Handoffs => "Last sessions",
            Self::Decisions => "Decisions that hold",
            Self::Knowledge => "Notes and conclusions",
            Self::Evidence => "From memory",
            Self::Session => "In this session",
        };
        format!("## {words}")
    }
}

/// Words that speak for a mode. Chosen by hand from what people call such tasks; a sentence of none is general.
const SIGNS: &[(Mode, &[&str])] = &[
    (
        Mode::Debugging,
        &[
            "debug",
            "debugging",
            "bug",
            "error",
            "errors",
            "fix",
            "fails",
            "failing",
            "failed",
            "failure",
            "crash",
            "crashes",
            "panic",
            "broken",
            "wrong",
            "trace",
            "regression",
            "timeout",
            "why",
        ],
    ),
    (
        Mode::Task,
        &[
            "task",
            "implement",
            "add",
            "build",
            "write",
            "create",
            "change",
            "refactor",
            "rename",
            "migrate",
            "update",
            "remove",
            "finish",
            "deploy",
            "release",
            "make",
        ],
    ),
    (
        Mode::Exploration,
        &[
            "exploration",
            "explore",
            "compare",
            "options",
            "alternatives",
            "overview",
            "survey",
            "research",
            "which",
            "find",
            "search",
            "investigate",
            "possible",
        ],
    ),
    (
        Mode::Learning,
        &[
            "learning",
            "learn",
            "explain",
            "understand",
            "teach",
            "tutorial",
            "concept",
            "meaning",
            "how",
            "what",
        ],
    ),
];

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Task,
        Self::Exploration,
        Self::Debugging,
        Self::Learning,
        Self::General,
    ];

    /// The mode of an intent: its name, or what its words (and, weighing half, the query's) speak for.
    pub fn of(intent: &str, query: &str) -> (Self, f64) {
        let named = match intent.trim().to_ascii_uppercase().as_str() {
            "TASK" => Some(Self::Task),
            "EXPLORATION" => Some(Self::Exploration),
            "DEBUGGING" => Some(Self::Debugging),
            "LEARNING" => Some(Self::Learning),
            "GENERAL" => Some(Self::General),
            _ => None,
        };
        if let Some(mode) = named {
            return (mode, 1.0);
        }
        let weigh = |signs: &[&str]| 2 * count(intent, signs) + count(query, signs);
        let weights: Vec<(Self, u32)> = SIGNS
            .iter()
            .map(|(mode, signs)| (*mode, weigh(signs)))
            .collect();
        let sum: u32 = weights.iter().map(|(_, weight)| weight).sum();
        // The first of equals: what is broken goes before what is to be made.
        match weights.into_iter().rev().max_by_key(|(_, weight)| *weight) {
            Some((mode, weight)) if weight > 0 => {
                let certainty = f64::from(weight) / f64::from(sum + 1);
                (mode, (certainty * 100.0).round() / 100.0)
            }
            _ => (Self::General, 0.5),
        }
    }

    /// Of a hundred tokens, how many a part gets first. By hand: what is broken wants evidence and what has just
    /// happened, what is to be made wants the decisions and the last handoff, what is to be understood wants notes.
    pub fn share(self, part: Part) -> usize {
        let shares: [usize; 6] = match self {
            Self::Task => [15, 20, 20, 10, 20, 15],
            Self::Exploration => [10, 15, 15, 20, 35, 5],
            Self::Debugging => [10, 10, 10, 10, 40, 20],
            Self::Learning => [10, 15, 10, 35, 25, 5],
            Self::General => [15, 20, 15, 15, 25, 10],
        };
        let place = Part::ALL.iter().position(|known| *known == part);
        place
            .and_then(|place| shares.get(place))
            .copied()
            .unwrap_or(0)
    }

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "TASK",
            Self::Exploration => "EXPLORATION",
            Self::Debugging => "DEBUGGING",
            Self::Learning => "LEARNING",
            Self::General => "GENERAL",
        }
    }
}

fn count(text: &str, signs: &[&str]) -> u32 {
    // The first words say what is wanted; a pasted log says anything.
    let words = text
        .split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(64);
    let found = words
        .filter(|word| signs.contains(&word.to_lowercase().as_str()))
        .count();
    u32::try_from(found).unwrap_or(u32::MAX)
}

impl JsonSchema for Mode {
    fn schema_name() -> Cow<'static, str> {
        "TaskMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words("The kind of a task.", Self::ALL.map(Self::as_str))
    }
}

impl JsonSchema for Part {
    fn schema_name() -> Cow<'static, str> {
        "BundlePart".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        words("A part of a bundle.", Self::ALL.map(Self::as_str))
    }
}

fn words<const N: usize>(description: &str, words: [&str; N]) -> Schema {
    json_schema!({"description": description, "type": "string", "enum": words.as_slice()})
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_hundred() {
        for mode in Mode::ALL {
            assert_eq!(
                Part::ALL
                    .iter()
                    .map(|part| mode.share(*part))
                    .sum::<usize>(),
                100,
                "{mode:?}"
            );
        }
    }

    #[test]
    fn a_name_is_certain_and_a_sentence_is_not() {
        assert_eq!(Mode::of("debugging", ""), (Mode::Debugging, 1.0));
        let (mode, certainty) = Mode::of("fix the failing test", "why does the build crash?");
        assert!(mode == Mode::Debugging && (0.5..1.0).contains(&certainty));
        assert_eq!(Mode::of("implement the export", "").0, Mode::Task);
        assert_eq!(
            Mode::of("", "explain how the turn is taken").0,
            Mode::Learning
        );
        assert_eq!(Mode::of("", "prometheus"), (Mode::General, 0.5));
    }
}
