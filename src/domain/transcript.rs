//! What a coding agent's session file says, in our own words.
//!
//! Coding agents keep each session as a file of JSON lines and let a hook know its path. [`mod@line`] reads one line of
//! such a file into [`Entry`]s, whatever client wrote it; [`draft`] makes an event of an entry, capped and with an id
//! that follows from the line, so that reading the same line twice records it once; [`digest`] keeps what the automatic
//! handoff of a session is made of, bounded and added to line by line, so that nobody reads a long session twice.
//!
//! These formats are the clients' own and change without notice. A line that is not understood is skipped and counted
//! by its reason; nothing of the session is refused for it.
//!
//! **Invariant:** reads no file and keeps no text that was not redacted first: a cut must never part a secret from what
//! it is known by.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::event::NewEvent;
use crate::domain::handoff::NewHandoff;
use crate::domain::{Invalid, Name, Timestamp};

pub mod digest;
pub mod draft;
pub mod line;
pub mod sentence;

pub use digest::Digest;

/// The coding agents whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Client {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// Codex of `OpenAI`.
    Codex,
    /// Cursor.
    Cursor,
}

impl Client {
    /// Its name on the command line, and as the actor of what it says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Cursor => "cursor",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// It names no client whose files are read.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        [Self::ClaudeCode, Self::Codex, Self::Cursor]
            .into_iter()
            .find(|client| client.as_str() == text)
            .ok_or_else(|| Invalid::new(field, "is not claude-code, codex or cursor"))
    }
}

/// How much of a session is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Nothing: no events and no automatic handoff.
    Off,
    /// What the person and the agent say, and the handoff.
    Messages,
    /// Tool calls and their capped results as well.
    All,
}

/// One thing that happened in a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What makes its id: the line's own id and its place in the line.
    pub key: String,
    /// When, if the line says so.
    pub ts: Option<Timestamp>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// The person said something.
    Human(String),
    /// The agent said something.
    Agent(String),
    /// The agent used a tool.
    Call {
        /// The tool.
        tool: String,
        /// What it was given.
        input: serde_json::Value,
        /// The client's id of the call.
        call: String,
    },
    /// A tool answered.
    Result {
        /// The client's id of the call.
        call: String,
        /// What it answered.
        text: String,
        /// Whether the client marks it as failed.
        failed: bool,
    },
}

/// Why a line says nothing that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skipped {
    /// It is no JSON object, or not of the form the client writes.
    Broken,
    /// It is longer than a line may be.
    TooLong,
    /// It belongs to a subagent's side conversation.
    Subagent,
    /// It is the client's own bookkeeping.
    Bookkeeping,
    /// The service refused the event.
    Refused,
}

impl Skipped {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "not readable",
            Self::TooLong => "longer than 32 MiB",
            Self::Subagent => "of a subagent",
            Self::Bookkeeping => "bookkeeping of the client",
            Self::Refused => "refused",
        }
    }
}

/// Which file, by a hash of its path.
pub type PathHash = [u8; 16];

/// How far a file was read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// The file's number in its file system.
    pub inode: i64,
    /// A hash of its first bytes.
    pub head: [u8; 16],
    /// Octets read, up to the end of a line.
    pub position: i64,
    /// What the session came to so far.
    pub digest: Digest,
}

/// A stretch of a session file ready to be stored, in one transaction.
#[derive(Debug, Clone)]
pub struct Part {
    /// The session.
    pub session: Name,
    /// The file.
    pub path: PathHash,
    /// How far it was read with this.
    pub mark: Mark,
    /// What is new.
    pub events: Vec<NewEvent>,
    /// The session's handoff as it stands now.
    pub handoff: Option<NewHandoff>,
    /// Whether this waited in the spool, and what was lost there.
    pub spooled: Option<Spooled>,
}

/// What a stretch from the spool adds to the counts of spooling.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spooled {
    /// Items that were in it.
    pub replayed: i64,
    /// Items that could not be read or were refused.
    pub dropped: i64,
}

/// What became of a [`Part`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Events that were not there before.
    pub stored: i64,
    /// Events that were.
    pub known: i64,
}

/// Sixteen bytes of a SHA-256, for ids and for what a file is known by.
pub fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(hash.finalize())
        .for_each(|(to, from)| *to = from);
    bytes
}
