//! The tools that an agent is given, by name.
//!
//! **Invariant:** the set is closed and small: a model reads all of it before it does anything.

/// One tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// Reads what a session reads first.
    WakeUp,
    /// Searches.
    Recall,
    /// Packs what a task needs.
    BuildContext,
    /// Writes the handoff of a session.
    CreateHandoff,
    /// Keeps a note.
    Remember,
    /// Records a choice.
    RecordDecision,
    /// Records what happened.
    RecordEvent,
    /// Lists, or reads one in full.
    ListMemories,
    /// Forgets one for good.
    Forget,
    /// Says how much there is.
    MemoryStatus,
}

impl Tool {
    /// Every tool, in the order in which a model reads them.
    pub const ALL: [Self; 10] = [
        Self::WakeUp,
        Self::Recall,
        Self::BuildContext,
        Self::CreateHandoff,
        Self::Remember,
        Self::RecordDecision,
        Self::RecordEvent,
        Self::ListMemories,
        Self::Forget,
        Self::MemoryStatus,
    ];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WakeUp => "wake_up",
            Self::Recall => "recall",
            Self::BuildContext => "build_context",
            Self::CreateHandoff => "create_handoff",
            Self::Remember => "remember",
            Self::RecordDecision => "record_decision",
            Self::RecordEvent => "record_event",
            Self::ListMemories => "list_memories",
            Self::Forget => "forget",
            Self::MemoryStatus => "memory_status",
        }
    }

    /// The tool of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// Whether it changes the memory.
    pub fn writes(self) -> bool {
        match self {
            Self::WakeUp
            | Self::Recall
            | Self::BuildContext
            | Self::ListMemories
            | Self::MemoryStatus => false,
            Self::CreateHandoff
            | Self::Remember
            | Self::RecordDecision
            | Self::RecordEvent
            | Self::Forget => true,
        }
    }
}
