//! The closed sets of labels that measurements are split by.
//!
//! **Invariant:** no value comes from a request or from the text of an error.

/// A closed set of words.
pub trait Label: Copy + 'static {
    /// All of them, in order.
    const ALL: &'static [Self];

    /// Its place among all.
    fn index(self) -> usize;

    /// Its word.
    fn as_str(self) -> &'static str;
}

/// Declares an enum with a word for each value.
macro_rules! labels {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

labels! {
    /// What a unit of work is about. By entity, and reads and writes apart; each has a histogram, so there are not more
    /// of them than somebody looks at.
    Op {
        /// Events, chunks and artifacts, one or a page.
        EventRead = "event_read",
        /// Handoffs, one or a page, and the identity thread.
        HandoffRead = "handoff_read",
        /// Decisions, one or a page.
        DecisionRead = "decision_read",
        /// Notes, one or a page.
        NoteRead = "note_read",
        /// Reflections and principles, one or a page.
        ReflectionRead = "reflection_read",
        /// Sessions and projects, and what a tenant has.
        SessionRead = "session_read",
        /// Whether a tenant has written since something was kept.
        Version = "version",
        /// What a wake-up is made of.
        WakeUp = "wake_up",
        /// A search.
        Recall = "recall",
        /// What a context bundle is made of.
        Context = "context",
        /// A page of an export.
        Export = "export",
        /// The audit, a page.
        AuditRead = "audit_read",
        /// Looking the file over.
        Look = "look",
        /// Events recorded.
        EventWrite = "event_write",
        /// A handoff created.
        HandoffWrite = "handoff_write",
        /// A decision made or superseded.
        DecisionWrite = "decision_write",
        /// A note taken or changed.
        NoteWrite = "note_write",
        /// A reflection or principle written.
        ReflectionWrite = "reflection_write",
        /// A session started.
        SessionWrite = "session_write",
        /// Something forgotten, or a slice of it.
        Forget = "forget",
        /// A slice of an import.
        Import = "import",
        /// A key made or revoked.
        KeyWrite = "key_write",
        /// What was refused, written down, and old rows of the audit taken out.
        AuditWrite = "audit_write",
        /// What a group writes once for all of its units: their terms and counts.
        Flush = "flush",
        /// A slice of consolidation, or a job of it begun or ended.
        Consolidate = "consolidate",
        /// A slice of making one segment of the index's many.
        Settle = "settle",
        /// A slice of what is too old, or of giving free pages back.
        Expire = "expire",
        /// A write that proves that one can be made, or writes counts alone.
        Probe = "probe",
    }
}

impl Op {
    /// Whether the store does it for itself, and nobody waits for it.
    pub fn is_upkeep(self) -> bool {
        matches!(
            self,
            Self::Consolidate | Self::Settle | Self::Expire | Self::Probe | Self::AuditWrite
        )
    }

    /// Whether it runs on a connection of the pool.
    pub fn reads(self) -> bool {
        match self {
            Self::EventRead
            | Self::HandoffRead
            | Self::DecisionRead
            | Self::NoteRead
            | Self::ReflectionRead
            | Self::SessionRead
            | Self::Version
            | Self::WakeUp
            | Self::Recall
            | Self::Context
            | Self::Export
            | Self::AuditRead
            | Self::Look => true,
            Self::EventWrite
            | Self::HandoffWrite
            | Self::DecisionWrite
            | Self::NoteWrite
            | Self::ReflectionWrite
            | Self::SessionWrite
            | Self::Forget
            | Self::Import
            | Self::KeyWrite
            | Self::AuditWrite
            | Self::Flush
            | Self::Consolidate
            | Self::Settle
            | Self::Expire
            | Self::Probe => false,
        }
    }
}

labels! {
    /// How a group of writes ended.
    Batch {
        /// It is on the disk.
        Committed = "committed",
        /// Nothing of it was stored; another try may be.
        Failed = "failed",
        /// It met a damaged page.
        Damaged = "damaged",
    }
}

labels! {
    /// Why a write was not taken in.
    Refusal {
        /// As many wait as can.
        QueueFull = "queue_full",
        /// As much text waits as can.
        BytesFull = "bytes_full",
        /// The log is at its bound, since somebody reads without an end.
        LogFull = "log_full",
        /// The writer has stopped.
        Stopped = "stopped",
    }
}

labels! {
    /// Why a write that was taken in was not stored.
    Loss {
        /// Its group met a fault of the disk, or found the file locked or gone; another try may be stored.
        Failed = "failed",
        /// Its group met a damaged page.
        Damaged = "damaged",
    }
}

labels! {
    /// How the log is moved into the file.
    Move {
        /// What is not in anybody's way.
        Passive = "passive",
        /// All of it, and the log is cut back.
        Truncate = "truncate",
    }
}

labels! {
    /// How such a move ended.
    Ended {
        /// All of the log is in the file.
        Complete = "complete",
        /// A part of it is.
        Partial = "partial",
        /// Somebody was in the way.
        Busy = "busy",
        /// It failed.
        Error = "error",
    }
}

labels! {
    /// The engine's faults by their primary code.
    ErrorCode {
        /// Another connection holds a lock.
        Busy = "busy",
        /// This process holds it.
        Locked = "locked",
        /// No memory.
        NoMemory = "nomem",
        /// It may not be written.
        ReadOnly = "readonly",
        /// It was stopped, as a read that takes too long is.
        Interrupt = "interrupt",
        /// The disk failed.
        Io = "ioerr",
        /// A page is damaged.
        Corrupt = "corrupt",
        /// The disk is full.
        Full = "full",
        /// It cannot be opened.
        CannotOpen = "cantopen",
        /// The locks of the log could not be had.
        Protocol = "protocol",
        /// A rule of the schema was broken.
        Constraint = "constraint",
        /// It is no database.
        NotADatabase = "notadb",
        /// Any other.
        Other = "other",
    }
}
