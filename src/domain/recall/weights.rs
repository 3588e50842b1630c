//! What each feature of the ranking weighs.
//!
//! Two features were tried and taken out again, since they earned nothing: that a tool printed the passage, and BM25 of the
//! passage without what is around it.
//!
//! **Invariant:** these numbers come from `scripts/train`; whoever changes one by hand says why beside it.

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
    /// It is a decision, or records one.
    Decision,
    /// The question asks for a place, a version or a number, and the passage names one.
    Kind,
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
            Self::Decision => "decision",
            Self::Kind => "kind",
        }
    }
}

/// The table, in units of what the words are worth.
///
/// Learned by `scripts/train` on talk among people (`LoCoMo`), talk with an assistant (BEAM) and three written coding
/// projects (`tests/data`), each kind counting a third, as the sum of rec@10 and MRR. Learned on four fifths of the
/// conversations and measured on the last, rec@10 is at most 3.4 points lower than where it was learned, and MRR 4.5.
pub const WEIGHTS: [(Feature, f64); 16] = [
    (Feature::Words, 1.0),
    (Feature::Session, 1.0),
    (Feature::Near, 2.45),
    (Feature::Speaker, 1.4),
    (Feature::Asker, 1.95),
    (Feature::Opening, 0.75),
    (Feature::Agent, 4.25),
    (Feature::When, 0.7),
    (Feature::Answer, 0.25),
    (Feature::Asking, -0.65),
    (Feature::Never, 1.45),
    (Feature::Early, 0.85),
    (Feature::Late, 2.1),
    (Feature::Time, 1.85),
    (Feature::Decision, 0.9),
    (Feature::Kind, 1.0),
];
