//! What is wrong with an input, said so that the caller can mend it.
//!
//! **Invariant:** never carries text of a lower layer; `reason` is written for the client.

use std::fmt;

/// One field that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Path of the field as the caller wrote it (`events[3].kind`), or `body` when no field can be named.
    pub field: String,
    /// One sentence without a full stop, in the caller's terms.
    pub reason: String,
}

impl Invalid {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

impl std::error::Error for Invalid {}
