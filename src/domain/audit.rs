//! Who did what: the rows of the audit.
//!
//! A row tells the action, the door, the key and the address, how many and the ids of the first and the last, and when;
//! it never holds anything of what was written. Writes of one kind that a caller made and that were committed together
//! are one row, and so are the refusals of one kind and address within a minute. The id of a forgotten session or tenant
//! is that of the job, since its own name may be what is to be forgotten.
//!
//! **Invariant:** nothing a client wrote stands in the audit, but the name of a key.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::{
    Actor, AuditAction, DecisionId, EventId, HandoffId, JobId, KeyId, Name, NoteId, PrincipleId,
    ReflectionId, TenantId, Timestamp, Via,
};

/// Addresses whose refusals are told apart between two times of writing them down; others share a row.
const MOST_DENIED: usize = 16;

/// A row of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditRow {
    /// When it was committed; for refusals, when they were written down.
    pub ts: Timestamp,
    /// What was done.
    pub action: AuditAction,
    /// In which tenant; absent where a request was refused before that was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// Through which door.
    pub via: Via,
    /// With which key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// What that key was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many.
    pub count: i64,
    /// The id of what it was done to, or of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_id: Option<String>,
    /// The id of the last of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
}

/// Which rows of the audit are asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this tenant; of all, where none is named.
    pub tenant: Option<TenantId>,
    /// Of this kind.
    pub action: Option<AuditAction>,
    /// Done with this key.
    pub key: Option<KeyId>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl AuditAction {
    /// Whether many of them are one row. What takes away or changes rights has a row each.
    pub fn is_summed(self) -> bool {
        matches!(
            self,
            Self::EventRecord
                | Self::SessionStart
                | Self::Import
                | Self::DeniedKey
                | Self::DeniedForbidden
                | Self::DeniedRate
        )
    }

    /// An id of what it is done to, in its wire form.
    pub fn id(self, bytes: [u8; 16]) -> String {
        let prefix = match self {
            Self::EventRecord | Self::EventForget => EventId::PREFIX,
            Self::HandoffCreate | Self::HandoffForget => HandoffId::PREFIX,
            Self::DecisionCreate | Self::DecisionSupersede | Self::DecisionForget => {
                DecisionId::PREFIX
            }
            Self::NoteCreate | Self::NoteChange | Self::NoteForget => NoteId::PREFIX,
            Self::ReflectionWrite | Self::ReflectionForget => ReflectionId::PREFIX,
            Self::PrincipleWrite | Self::PrincipleForget => PrincipleId::PREFIX,
            Self::SessionForget
            | Self::TenantForget
            | Self::Consolidate
            | Self::ConsolidationUndo => JobId::PREFIX,
            Self::KeyCreate | Self::KeyRevoke => KeyId::PREFIX,
            // These have none.
            Self::SessionStart
            | Self::Import
            | Self::Export
            | Self::KeysEnable
            | Self::KeysDisable
            | Self::DeniedKey
            | Self::DeniedForbidden
            | Self::DeniedRate => "",
        };
        format!("{prefix}{}", Uuid::from_bytes(bytes).simple())
    }
}

/// Refusals that are still to be written down.
#[derive(Debug, Default)]
pub struct Denials {
    counts: BTreeMap<Denial, i64>,
    others: BTreeMap<AuditAction, i64>,
}

/// What a refusal was, and whose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denial {
    /// Why.
    pub action: AuditAction,
    /// The tenant of the key, if one was known.
    pub tenant: Option<TenantId>,
    /// Who.
    pub actor: Actor,
}

impl Denials {
    /// Counts one.
    pub fn add(&mut self, denial: Denial) {
        if let Some(count) = self.counts.get_mut(&denial) {
            *count += 1;
        } else if self.counts.len() < MOST_DENIED {
            self.counts.insert(denial, 1);
        } else {
            *self.others.entry(denial.action).or_default() += 1;
        }
    }

    /// Takes them out: each with how many there were, and in the end those of all other addresses together.
    pub fn take(&mut self) -> Vec<(Denial, i64)> {
        let others = std::mem::take(&mut self.others).into_iter();
        let others = others.map(|(action, count)| {
            let actor = Actor {
                via: Via::Http,
                key: None,
                address: None,
            };
            let tenant = None;
            (
                Denial {
                    action,
                    tenant,
                    actor,
                },
                count,
            )
        });
        let counts = std::mem::take(&mut self.counts);
        counts.into_iter().chain(others).collect()
    }
}

impl Actor {
    /// A refused caller, of whom no more may be known than where it is.
    pub fn remote(key: Option<std::sync::Arc<(KeyId, Name)>>, address: Option<IpAddr>) -> Self {
        Self {
            via: Via::Http,
            key,
            address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_summed_and_bounded() {
        let mut denials = Denials::default();
        for round in 0..3_u8 {
            for host in 0..40_u8 {
                let address = IpAddr::from([10, 0, 0, host]);
                denials.add(Denial {
                    action: AuditAction::DeniedKey,
                    tenant: None,
                    actor: Actor::remote(None, Some(address)),
                });
            }
            assert!(round < 3);
        }
        let taken = denials.take();
        assert_eq!(taken.len(), MOST_DENIED + 1);
        assert!(taken.iter().take(MOST_DENIED).all(|(_, count)| *count == 3));
        let (last, count) = taken.last().unwrap();
        assert_eq!((last.actor.address, *count), (None, 3 * 24));
        assert!(denials.take().is_empty());
    }
}
