//! The closed sets of words: what the wire may say, what the store keeps as a small integer.
//!
//! Each set is one `enum` with its wire word and its store code; the codes stand in the file format and are never
//! renumbered.
//!
//! **Invariant:** there is no "other": a word outside a set is refused with the list of those inside.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::domain::Invalid;

macro_rules! vocabulary {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $code:literal $word:literal,)+ })*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$word_doc])* $variant,)+ }

        impl $name {
            /// Every member, in the order of the store codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// The small integer in the store.
            pub fn code(self) -> i64 {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The member with this store code.
            pub fn from_code(code: i64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }

            /// Reads the word; `field` names it in the refusal.
            pub fn parse(field: &str, word: &str) -> Result<Self, Invalid> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Invalid::new(field, concat!("is not one of", $(" ", $word),+))),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "description": concat!($($doc),*).trim(),
                    "type": "string",
                    "enum": [$($word),+],
                })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse("", &word).map_err(|invalid| D::Error::custom(invalid.reason))
            }
        }
    )*};
}

vocabulary! {
    /// Who may hear what is said: both where an event was said and where a reader stands.
    Channel {
        /// The user's own.
        Private = 0 "private",
        /// Anybody.
        Public = 1 "public",
        /// The user's team.
        Team = 2 "team",
        /// Other agents.
        Agent = 3 "agent",
    }
    /// What did something.
    ActorType {
        /// A person.
        Human = 0 "human",
        /// An agent.
        Agent = 1 "agent",
        /// A tool that an agent called.
        Tool = 2 "tool",
    }
    /// What kind of thing happened.
    EventKind {
        /// Something was said.
        Message = 0 "message",
        /// A tool was called.
        ToolCall = 1 "tool_call",
        /// A tool answered.
        ToolResult = 2 "tool_result",
        /// A choice was made.
        Decision = 3 "decision",
        /// A task moved on.
        TaskUpdate = 4 "task_update",
        /// Something was produced.
        Artifact = 5 "artifact",
    }
    /// How carefully a thing must be handled; the order of the variants is the order of care.
    Sensitivity {
        /// Nothing to protect.
        None = 0 "none",
        /// Of no use to strangers.
        Low = 1 "low",
        /// Not for the public nor for other agents.
        High = 2 "high",
        /// Read by its id alone.
        Secret = 3 "secret",
    }
    /// Who wrote a handoff.
    Origin {
        /// The agent itself.
        Agent = 0 "agent",
        /// A hook, out of the session's events.
        Automatic = 1 "automatic",
    }
    /// In which form a handoff is shown to a later session.
    CompressionLevel {
        /// As it was written.
        Full = 0 "full",
        /// A few sentences.
        Summary = 1 "summary",
        /// One dated line.
        QuickRef = 2 "quick_ref",
        /// Part of a reflection.
        Integrated = 3 "integrated",
    }
    /// Whether a decision holds.
    DecisionStatus {
        /// It holds.
        Active = 0 "active",
        /// Another took its place.
        Superseded = 1 "superseded",
    }
    /// How far a decision reaches.
    DecisionScope {
        /// The session it was made in.
        Session = 0 "session",
        /// One user.
        User = 1 "user",
        /// One project.
        Project = 2 "project",
        /// Every project of the tenant, as a rule.
        Policy = 3 "policy",
        /// Everything.
        Global = 4 "global",
    }
    /// What an artifact is.
    ArtifactKind {
        /// What a tool printed.
        ToolOutput = 0 "tool_output",
        /// Any other long text.
        Blob = 1 "blob",
    }
    /// The types of memory that recall finds.
    EntityType {
        /// An event.
        Event = 0 "event",
        /// A handoff.
        Handoff = 1 "handoff",
        /// A decision.
        Decision = 2 "decision",
        /// A knowledge note.
        Knowledge = 3 "knowledge",
        /// A reflection on a period.
        Reflection = 4 "reflection",
        /// What recurs in the identity thread.
        Principle = 5 "principle",
    }
    /// The parts of an entity that are indexed on their own.
    ChunkField {
        /// The text of an event's content.
        Content = 0 "content",
        /// A handoff's account of what happened.
        Experienced = 1 "experienced",
        /// What was noticed.
        Noticed = 2 "noticed",
        /// What was learned.
        Learned = 3 "learned",
        /// The story of the session.
        Story = 4 "story",
        /// Who the agent is becoming.
        Becoming = 5 "becoming",
        /// What must not be forgotten.
        Remember = 6 "remember",
        /// A decision with its reasons.
        Decision = 7 "decision",
        /// A note with its title.
        Note = 8 "note",
        /// A reflection with its insights.
        Reflection = 9 "reflection",
        /// A principle.
        Principle = 10 "principle",
    }
    /// What a key allows; each includes those before it.
    Scope {
        /// To read, but nothing that is secret.
        Read = 0 "read",
        /// To write and forget, and to read what is secret by its id.
        Write = 1 "write",
        /// To manage keys, read the audit and forget the tenant.
        Admin = 2 "admin",
    }
    /// Through which door a call came.
    Via {
        /// The HTTP API.
        Http = 0 "http",
        /// The command line, with the permissions of the file.
        Cli = 1 "cli",
        /// A job of the process itself.
        Job = 2 "job",
        /// The Model Context Protocol on standard input, with the permissions of the file.
        Mcp = 3 "mcp",
    }
    /// What was done, as the audit has it.
    AuditAction {
        /// Events were recorded.
        EventRecord = 0 "event_record",
        /// An event was forgotten.
        EventForget = 1 "event_forget",
        /// A handoff was written.
        HandoffCreate = 2 "handoff_create",
        /// A handoff was forgotten.
        HandoffForget = 3 "handoff_forget",
        /// A decision was recorded.
        DecisionCreate = 4 "decision_create",
        /// A decision took the place of another; the id is that of the one replaced.
        DecisionSupersede = 5 "decision_supersede",
        /// A decision was forgotten.
        DecisionForget = 6 "decision_forget",
        /// A note was kept.
        NoteCreate = 7 "note_create",
        /// A note was changed.
        NoteChange = 8 "note_change",
        /// A note was forgotten.
        NoteForget = 9 "note_forget",
        /// A reflection was written.
        ReflectionWrite = 10 "reflection_write",
        /// A reflection was forgotten.
        ReflectionForget = 11 "reflection_forget",
        /// A principle was written.
        PrincipleWrite = 12 "principle_write",
        /// A principle was forgotten.
        PrincipleForget = 13 "principle_forget",
        /// A session was announced.
        SessionStart = 14 "session_start",
        /// A session was forgotten with all it held; the id is that of the job.
        SessionForget = 15 "session_forget",
        /// A tenant was forgotten with all it held; the id is that of the job.
        TenantForget = 16 "tenant_forget",
        /// Rows of an export were put in.
        Import = 17 "import",
        /// An export of the tenant was begun.
        Export = 18 "export",
        /// A key was made.
        KeyCreate = 19 "key_create",
        /// A key was revoked.
        KeyRevoke = 20 "key_revoke",
        /// Keys are asked for from here on.
        KeysEnable = 21 "keys_enable",
        /// Keys are no longer asked for.
        KeysDisable = 22 "keys_disable",
        /// Requests without a valid key were refused.
        DeniedKey = 23 "denied_key",
        /// Requests that were not allowed were refused.
        DeniedForbidden = 24 "denied_forbidden",
        /// Requests beyond the rate were refused.
        DeniedRate = 25 "denied_rate",
        /// Consolidation changed what is shown; the id is that of the job.
        Consolidate = 26 "consolidate",
        /// What a job of consolidation did was undone; the id is that of the job.
        ConsolidationUndo = 27 "consolidation_undo",
    }
    /// Work that goes on after its answer.
    JobType {
        /// Forgetting a whole tenant.
        ForgetTenant = 0 "forget_tenant",
        /// Forgetting a session with all it holds.
        ForgetSession = 1 "forget_session",
    }
    /// What consolidation does, each for itself, in this order.
    ConsolidationType {
        /// Gives old handoffs shorter forms, and shows those.
        HandoffCompression = 0 "handoff_compression",
        /// Draws principles from what recurs in the identity thread.
        IdentityConsolidation = 1 "identity_consolidation",
        /// Takes old decisions that no search found out of the wake-up.
        DecisionArchival = 2 "decision_archival",
        /// Writes what periods came to.
        Reflection = 3 "reflection",
        /// Shows what was noted again and again once.
        Deduplication = 4 "deduplication",
        /// Keeps the file in order; of no tenant.
        Maintenance = 5 "maintenance",
    }
    /// How a job of consolidation stands.
    JobStatus {
        /// It is at work.
        Running = 0 "running",
        /// It did what there was to do.
        Completed = 1 "completed",
        /// It was cut off or met a fault; the next run goes on.
        Failed = 2 "failed",
        /// There was too little to do it with.
        Skipped = 3 "skipped",
    }
    /// Why a job of consolidation ran.
    JobCause {
        /// It was due.
        Scheduled = 0 "scheduled",
        /// Somebody asked for it.
        Asked = 1 "asked",
        /// It was due while no server ran.
        CaughtUp = 2 "caught_up",
    }
}

impl Channel {
    /// The highest sensitivity that a list, a search or a wake-up may show on this channel.
    /// `secret` is never reached this way.
    pub fn clearance(self) -> Sensitivity {
        match self {
            Self::Private | Self::Team => Sensitivity::High,
            Self::Public | Self::Agent => Sensitivity::Low,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_round_trip() {
        for (code, kind) in (0..).zip(EventKind::ALL) {
            assert_eq!(kind.code(), code);
            assert_eq!(EventKind::from_code(code), Some(*kind));
            assert_eq!(EventKind::parse("kind", kind.as_str()).unwrap(), *kind);
        }
        assert_eq!(EventKind::from_code(99), None);
    }

    #[test]
    fn a_refusal_lists_what_is_allowed() {
        let invalid = Channel::parse("channel", "secret").unwrap_err();
        assert_eq!(
            invalid.to_string(),
            "channel: is not one of private public team agent"
        );
    }

    #[test]
    fn nothing_clears_a_secret() {
        assert!(
            Channel::ALL
                .iter()
                .all(|channel| channel.clearance() < Sensitivity::Secret)
        );
    }
}
