//! The handoffs of a tenant as one readable document.
//!
//! **Invariant:** oldest first, and if older ones are left out it says so.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::handoff::{Handoff, IdentityStatement};
use crate::domain::page::Paged;
use crate::domain::{ChunkField, Invalid, TenantId};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For programs.
    Json,
    /// For people.
    Markdown,
}

impl Form {
    /// Reads the word; `field` names it in the refusal.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(field: &str, word: &str) -> Result<Self, Invalid> {
        match word {
            "json" => Ok(Self::Json),
            "markdown" => Ok(Self::Markdown),
            _ => Err(Invalid::new(field, "is not one of json markdown")),
        }
    }
}

/// Handoffs in time, and what they say of who the agent is becoming.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "HandoffThread")]
pub struct Thread {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The handoffs, oldest first.
    pub handoffs: Vec<Handoff>,
    /// Their statements, oldest first.
    pub identity_thread: Vec<IdentityStatement>,
    /// Whether older handoffs are left out.
    pub cut: bool,
}

impl Thread {
    /// The thread of the newest handoffs, newest first as the store gives them.
    pub fn new(tenant_id: TenantId, newest: Paged<Handoff>) -> Self {
        let mut handoffs = newest.items;
        handoffs.reverse();
        let says = |handoff: &&Handoff| !handoff.fields.becoming.is_empty();
        let statement = |handoff: &Handoff| IdentityStatement {
            handoff_id: handoff.handoff_id,
            becoming: handoff.fields.becoming.clone(),
            significance: handoff.significance,
            created_at: handoff.created_at,
        };
        Self {
            tenant_id,
            identity_thread: handoffs.iter().filter(says).map(statement).collect(),
            handoffs,
            cut: newest.next_cursor.is_some(),
        }
    }

    /// The document.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Handoffs of {}\n", self.tenant_id);
        if self.cut {
            let count = self.handoffs.len();
            text.push_str(&format!(
                "\nOlder handoffs are left out: these are the newest {count}.\n"
            ));
        }
        if self.handoffs.is_empty() {
            text.push_str("\nThere are none.\n");
        }
        for handoff in &self.handoffs {
            let (day, person) = (handoff.created_at.day(), &handoff.with_whom);
            let session = &handoff.session_id;
            text.push_str(&format!("\n## {day} with {person} (session {session})\n"));
            for (field, said) in handoff.fields.each() {
                if !said.is_empty() {
                    let (label, said) = (label(field), said.trim());
                    text.push_str(&format!("\n**{label}:** {said}\n"));
                }
            }
        }
        if !self.identity_thread.is_empty() {
            text.push_str("\n## Identity thread\n\n");
        }
        for statement in &self.identity_thread {
            let words: Vec<_> = statement.becoming.split_whitespace().collect();
            let (day, words) = (statement.created_at.day(), words.join(" "));
            text.push_str(&format!("- {day}: {words}\n"));
        }
        text
    }
}

fn label(field: ChunkField) -> &'static str {
    match field {
        ChunkField::Experienced => "Experienced",
        ChunkField::Noticed => "Noticed",
        ChunkField::Learned => "Learned",
        ChunkField::Story => "Story",
        ChunkField::Becoming => "Becoming",
        ChunkField::Remember => "Remember",
        ChunkField::Content
        | ChunkField::Decision
        | ChunkField::Note
        | ChunkField::Reflection
        | ChunkField::Principle => "",
    }
}
