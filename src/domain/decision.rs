//! Decisions: choices with their reasons, `active` until another takes their place.
//!
//! **Invariant:** a decision's words are never changed; what changes is whether it holds, and what took its place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::content::{Cleaner, Fingerprint, MAX_REF_BYTES, MAX_REFS, Redactions};
use crate::domain::event::check_tenant;
use crate::domain::time::MAX_AHEAD_MS;
use crate::domain::{
    ChunkField, DecisionId, DecisionScope, DecisionStatus, Invalid, Name, NewChunk, TenantId,
    Timestamp,
};

/// Longest statement of a decision, in bytes.
pub const MAX_DECISION_BYTES: usize = 16 * 1024;
/// Most items of each of its lists.
pub const MAX_ITEMS: usize = 64;
/// Longest item, in bytes.
pub const MAX_ITEM_BYTES: usize = 4 * 1024;

/// A decision as a client writes it; it has 16 KiB at most, each item of its lists 4 KiB.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionDraft {
    /// The client's own id, which makes the write idempotent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DecisionId>")]
    pub decision_id: Option<String>,
    /// The tenant; it has to agree with the caller's.
    #[serde(default, skip_serializing)]
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// The project, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// When it was made; now, if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts: Option<Timestamp>,
    /// How far it reaches; `project` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<DecisionScope>,
    /// What was decided.
    #[schemars(length(min = 1), regex(pattern = r"\S"))]
    pub decision: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub rationale: Option<Vec<String>>,
    /// Within which bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub constraints: Option<Vec<String>>,
    /// Instead of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub alternatives: Option<Vec<String>>,
    /// With which effects.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub consequences: Option<Vec<String>>,
    /// Ids, paths or addresses it refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_REFS), inner(length(min = 1), regex(pattern = r"\S")))]
    pub refs: Option<Vec<String>>,
}

/// The words of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Statement {
    /// What was decided.
    pub decision: String,
    /// Why.
    pub rationale: Vec<String>,
    /// Within which bounds.
    pub constraints: Vec<String>,
    /// Instead of what.
    pub alternatives: Vec<String>,
    /// With which effects.
    pub consequences: Vec<String>,
}

impl Statement {
    /// The text it is searched by and shown as: what was decided, then each reason and the like on a line of its own
    /// that says which it is, so that an alternative is not taken for the choice.
    pub fn searchable(&self) -> String {
        let mut text = self.decision.clone();
        for (label, items) in [
            ("Because", &self.rationale),
            ("Within", &self.constraints),
            ("Instead of", &self.alternatives),
            ("So", &self.consequences),
        ] {
            for item in items {
                text.push('\n');
                text.push_str(label);
                text.push_str(": ");
                text.push_str(item);
            }
        }
        text
    }
}

/// A decision ready to be stored.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// Its id, the client's or ours.
    pub id: DecisionId,
    /// Set when the client made the id: what a repetition has to equal.
    pub fingerprint: Option<Fingerprint>,
    /// The project.
    pub project: Option<Name>,
    /// When it was made.
    pub ts: Timestamp,
    /// How far it reaches.
    pub scope: DecisionScope,
    /// Its words.
    pub statement: Statement,
    /// Ids, paths or addresses.
    pub refs: Vec<String>,
    /// What is searched.
    pub chunks: Vec<NewChunk>,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewDecision {
    /// Validates, cleans and indexes a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: DecisionDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let mut cleaner = Cleaner::default();
        let clean = clean_draft(draft, &mut cleaner)?;
        let client_id = clean
            .decision_id
            .as_deref()
            .map(|text| DecisionId::parse("decision_id", text))
            .transpose()?;
        let fingerprint = client_id.map(|_| Fingerprint::of_request(&clean));
        let ts = clean.ts.unwrap_or(now);
        if ts > now.plus_millis(MAX_AHEAD_MS) {
            return Err(Invalid::new(
                "ts",
                "is more than a day ahead of the server's clock",
            ));
        }
        let project = Name::parse_opt("project_id", clean.project_id.as_deref())?;
        let statement = Statement {
            decision: clean.decision,
            rationale: clean.rationale.unwrap_or_default(),
            constraints: clean.constraints.unwrap_or_default(),
            alternatives: clean.alternatives.unwrap_or_default(),
            consequences: clean.consequences.unwrap_or_default(),
        };
        if statement.decision.trim().is_empty() || statement.decision.len() > MAX_DECISION_BYTES {
            return Err(Invalid::new("decision", "is not 1 byte to 16 KiB of text"));
        }
        Ok(Self {
            id: client_id.unwrap_or_else(|| DecisionId::generate(now)),
            fingerprint,
            project,
            ts,
            scope: clean.scope.unwrap_or(DecisionScope::Project),
            chunks: chunks_of(&statement, ts),
            statement,
            refs: clean.refs.unwrap_or_default(),
            redactions: cleaner.into_redactions(),
        })
    }
}

fn clean_draft(draft: DecisionDraft, cleaner: &mut Cleaner) -> Result<DecisionDraft, Invalid> {
    let mut items = |field: &str, items: Option<Vec<String>>| {
        items
            .map(|items| cleaner.list(field, &items, MAX_ITEMS, MAX_ITEM_BYTES))
            .transpose()
    };
    let rationale = items("rationale", draft.rationale)?;
    let constraints = items("constraints", draft.constraints)?;
    let alternatives = items("alternatives", draft.alternatives)?;
    let consequences = items("consequences", draft.consequences)?;
    Ok(DecisionDraft {
        project_id: cleaner.text_opt(draft.project_id.as_deref()),
        decision: cleaner.text(&draft.decision).trim().to_owned(),
        refs: draft
            .refs
            .map(|refs| cleaner.list("refs", &refs, MAX_REFS, MAX_REF_BYTES))
            .transpose()?,
        decision_id: draft.decision_id,
        tenant_id: draft.tenant_id,
        ts: draft.ts,
        scope: draft.scope,
        rationale,
        constraints,
        alternatives,
        consequences,
    })
}

/// The chunks of a decision with these words and this time.
pub fn chunks_of(statement: &Statement, ts: Timestamp) -> Vec<NewChunk> {
    NewChunk::cut(ChunkField::Decision, &statement.searchable(), ts, &[])
}

/// How a decision is superseded: by one that is made in the same breath, or by one that is there.
#[derive(Debug, Clone)]
pub enum Successor {
    /// This new one.
    New(Box<NewDecision>),
    /// The one with this id, which has to be active.
    Existing(DecisionId),
}

/// A decision as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Decision {
    /// Its id.
    pub decision_id: DecisionId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// When it was made.
    pub ts: Timestamp,
    /// Whether it holds.
    pub status: DecisionStatus,
    /// How far it reaches.
    pub scope: DecisionScope,
    /// Its words.
    #[serde(flatten)]
    pub statement: Statement,
    /// Ids, paths or addresses it refers to.
    pub refs: Vec<String>,
    /// What took its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<DecisionId>,
    /// Since when it is left out of wake-ups; lists and searches have it all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
}

/// Which decisions a list shows.
#[derive(Debug, Clone, Default)]
pub struct DecisionFilter {
    /// Of this status alone.
    pub status: Option<DecisionStatus>,
    /// Of this scope alone.
    pub scope: Option<DecisionScope>,
    /// Of this project, and those of none.
    pub project: Option<Name>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(extra: &serde_json::Value) -> Result<NewDecision, Invalid> {
        let mut draft = json!({"decision": "WAL, synchronous full"});
        draft
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let draft = serde_json::from_value(draft).unwrap();
        NewDecision::parse(
            draft,
            &TenantId::default_tenant(),
            Timestamp::from_millis(0),
        )
    }

    #[test]
    fn reasons_are_searched_with_the_decision() {
        let decision =
            parse(&json!({"rationale": ["survives power loss"], "alternatives": ["normal"]}))
                .unwrap();
        assert_eq!(
            decision.statement.searchable(),
            "WAL, synchronous full\nBecause: survives power loss\nInstead of: normal"
        );
        assert_eq!(decision.scope, DecisionScope::Project);
    }

    #[test]
    fn refuses_what_is_out_of_bounds() {
        for (field, extra) in [
            ("decision", json!({"decision": " "})),
            (
                "decision",
                json!({"decision": "x".repeat(MAX_DECISION_BYTES + 1)}),
            ),
            ("rationale[0]", json!({"rationale": [""]})),
            (
                "constraints",
                json!({"constraints": vec!["c"; MAX_ITEMS + 1]}),
            ),
            ("decision_id", json!({"decision_id": "dec_1"})),
        ] {
            assert_eq!(parse(&extra).unwrap_err().field, field);
        }
    }
}
