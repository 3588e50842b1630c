//! What each feature of the ranking weighs.
//!
//! **Invariant:** these numbers come from `scripts/train` or are named as judgement; nothing else in the ranking is tuned.

/// A feature's part in a score. All are shares of what the question's words are worth together, so that they add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// BM25 of the question's words in the passage and, if it is short, the two before and after it in its session.
    Words,
    /// BM25 of the session's best three passages: what it was about.
    Session,
    /// Words that are neighbours in the question stand together in the passage.
    Near,
    /// The one person that the question names says it.
    Speaker,
    /// The question says "I", and a person said it.
    Asker,
    /// This is how a person began a message, where agents or tools answered.
    Opening,
    /// The question says "you", and the agent said it.
    Agent,
    /// The question asks when, and the passage names a time.
    When,
    /// The passage before it is a question that holds the words.
    Answer,
    /// The passage is itself a question.
    Asking,
    /// The question asks "ever", and the passage says "never".
    Never,
    /// The question asks what was first, and this came early.
    Early,
    /// The question asks what holds now, and this came late.
    Late,
    /// It happened when the question says.
    Time,
    /// A tool printed it, where people and agents also spoke.
    Tool,
}

impl Feature {
    /// The name in a hit's `why`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Session => "session",
            Self::Near => "near",
            Self::Speaker => "speaker",
            Self::Asker => "asker",
            Self::Opening => "opening",
            Self::Agent => "agent",
            Self::When => "when",
            Self::Answer => "answer",
            Self::Asking => "asking",
            Self::Never => "never",
            Self::Early => "early",
            Self::Late => "late",
            Self::Time => "time",
            Self::Tool => "tool",
        }
    }
}

/// The table. Learned on conversations of `LoCoMo` and BEAM by coordinate ascent on rec@10 + MRR.
pub const WEIGHTS: [(Feature, f64); 15] = [
    (Feature::Words, 1.0),
    (Feature::Session, 1.05),
    (Feature::Near, 0.8),
    (Feature::Speaker, 1.55),
    (Feature::Asker, 0.95),
    (Feature::Opening, 1.1),
    (Feature::Agent, 1.6),
    (Feature::When, 0.7),
    (Feature::Answer, 0.45),
    (Feature::Asking, -0.5),
    (Feature::Never, 0.6),
    (Feature::Early, 0.5),
    (Feature::Late, 0.1),
    (Feature::Time, 0.5),
    (Feature::Tool, -0.2),
];
