//! The context bundle: what an agent should have before it for one task, under a hard budget of tokens.
//!
//! The intent of the task sets a [`Mode`], the mode sets the *shares* of the budget for the [`Part`]s, and the shares
//! scale with the budget. A part takes its items best first; one that does not fit is passed over, not the end of the
//! part; what a part leaves goes to the next; what is left in the end goes to what was passed over, in order. A text that
//! stands in the bundle already does not enter it again. Whatever was considered and is not in the bundle is named in
//! [`Bundle::omissions`] with the reason.
//!
//! **Invariant:** the same facts give the same bundle, and its text never exceeds the budget.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::decision::Decision;
use crate::domain::event::Event;
use crate::domain::event::check_tenant;
use crate::domain::handoff::Handoff;
use crate::domain::note::Note;
use crate::domain::pack::Budget;
use crate::domain::recall::{Hit, MAX_QUERY_BYTES, RecallDraft, RecallQuery};
use crate::domain::{BundleId, Channel, EntityType, Invalid, Name, TenantId, Timestamp, page};

mod item;
mod mode;

pub use item::{Item, Standing};
pub use mode::{Mode, Part};

/// Tokens of a bundle when none are asked for. From the contract.
pub const DEFAULT_MAX_TOKENS: u32 = 65_000;
/// Most tokens that can be asked for.
pub const MAX_MAX_TOKENS: u32 = 1_000_000;
/// Hits of the search that a bundle is made of.
pub const SEARCH_HITS: usize = 60;
/// Handoffs, decisions and notes that are considered without having been found by the search.
pub const MOST_RECENT: u32 = 10;
/// Events of the session at hand that are considered.
pub const SESSION_EVENTS: u32 = 30;
/// Of a hundred tokens, how many are filled: the estimate may be up to 7 % below a real tokenizer (traditional Chinese),
/// and the bundle must not exceed its budget there either.
const FILLED_PERCENT: usize = 92;

/// A bundle as a client asks for it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextDraft {
    /// The tenant; it has to agree with the caller's.
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// The session at hand.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub session_id: Option<String>,
    /// The agent that asks; noted in the provenance.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub agent_id: Option<String>,
    /// Only this project, and what has none.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// Where the bundle will be heard.
    pub channel: Option<Channel>,
    /// The kind of task: a mode's name, or a sentence.
    pub intent: Option<String>,
    /// What the task is about.
    #[schemars(length(max = MAX_QUERY_BYTES))]
    pub query_text: String,
    /// Most tokens of the bundle.
    #[schemars(range(min = 1, max = MAX_MAX_TOKENS))]
    pub max_tokens: Option<i64>,
}

/// A bundle ready to be made.
#[derive(Debug, Clone)]
pub struct ContextQuery {
    /// The session at hand.
    pub session: Option<Name>,
    /// The agent that asks.
    pub agent: Option<Name>,
    /// Only this project, and what has none.
    pub project: Option<Name>,
    /// What to search for.
    pub search: RecallQuery,
    /// The kind of task, and how sure that is.
    pub mode: (Mode, f64),
    /// Most tokens.
    pub max_tokens: usize,
}

impl ContextQuery {
    /// Validates a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: &ContextDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let search = RecallDraft {
            query: draft.query_text.clone(),
            project_id: draft.project_id.clone(),
            // The budget is there to be used, and what came first in it is the most relevant.
            min_score: Some(0.0),
            ..RecallDraft::default()
        };
        let mut search =
            RecallQuery::parse(&search, tenant, now).map_err(|invalid| {
                match invalid.field.as_str() {
                    "query" => Invalid::new("query_text", invalid.reason),
                    _ => invalid,
                }
            })?;
        search.limit = SEARCH_HITS;
        // A bundle tells of everything that it leaves out, and of nothing why it was found.
        search.collapse = false;
        search.explain = false;
        let max_tokens = page::parse_limit(
            "max_tokens",
            draft.max_tokens,
            DEFAULT_MAX_TOKENS,
            MAX_MAX_TOKENS,
        )?;
        Ok(Self {
            session: Name::parse_opt("session_id", draft.session_id.as_deref())?,
            agent: Name::parse_opt("agent_id", draft.agent_id.as_deref())?,
            project: search.filter.project.clone(),
            mode: Mode::of(
                draft.intent.as_deref().unwrap_or_default(),
                &draft.query_text,
            ),
            search,
            max_tokens: usize::try_from(max_tokens).unwrap_or(usize::MAX),
        })
    }
}

/// What a bundle is made of, as the store keeps it.
#[derive(Debug, Default)]
pub struct ContextFacts {
    /// What the search may answer with.
    pub hits: Vec<Hit>,
    /// What is offered whatever the task.
    pub standing: Arc<Standing>,
    /// The newest events of the session at hand, oldest first.
    pub session: Vec<Event>,
}

/// What is offered whatever the task, as the store keeps it.
#[derive(Debug, Default)]
pub struct StandingFacts {
    /// Pinned notes.
    pub pinned: Vec<Note>,
    /// Active decisions of scope policy and global.
    pub decrees: Vec<Decision>,
    /// The newest active decisions.
    pub decisions: Vec<Decision>,
    /// The last handoffs.
    pub handoffs: Vec<Handoff>,
}

/// A bundle.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Bundle {
    /// Names this bundle; it is not stored.
    pub acb_id: BundleId,
    /// What was asked for.
    pub budget_tokens: usize,
    /// What it takes, as estimated.
    pub token_used_est: usize,
    /// Its parts, those without items left out.
    pub sections: Vec<Section>,
    /// What was considered and left out.
    pub omissions: Vec<Omission>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The kind of task it was made for.
    pub mode: Mode,
    /// How sure that is, 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub mode_confidence: f64,
}

/// A part of a bundle.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BundleSection")]
pub struct Section {
    /// Which part.
    pub name: Part,
    /// Its items, best first.
    pub items: Vec<Item>,
    /// What it takes, its heading included.
    pub token_est: usize,
}

/// Something that was considered and left out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Omission {
    /// What.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub entity_type: EntityType,
    /// The part it was considered for.
    pub section: Part,
    /// Why it is not there.
    pub reason: Reason,
}

/// Why something was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OmissionReason")]
pub enum Reason {
    /// It did not fit.
    Budget,
    /// The same text, or the same thing, stands in the bundle already.
    Duplicate,
    /// Another decision took its place.
    Superseded,
}

/// Where a bundle comes from.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Provenance {
    /// When it was made.
    pub built_at: Timestamp,
    /// The session it was asked in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Name>,
    /// The agent that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<Name>,
    /// The project it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// Where it will be heard.
    pub channel: Channel,
    /// The terms that were searched for.
    pub terms: Vec<String>,
    /// How many things were considered, by part.
    pub considered: BTreeMap<&'static str, usize>,
    /// Of a hundred tokens, how many each part was given first.
    pub shares: BTreeMap<&'static str, usize>,
}

/// Puts a bundle together.
pub fn assemble(
    query: &ContextQuery,
    facts: &ContextFacts,
    channel: Channel,
    now: Timestamp,
) -> Bundle {
    let offered = item::offer(facts);
    let mut filling = Filling::new(query, offered);
    filling.fill();
    let terms = query
        .search
        .terms
        .iter()
        .map(|term| term.term.clone())
        .collect();
    let shares = Part::ALL
        .iter()
        .map(|part| (part.as_str(), query.mode.0.share(*part)))
        .collect();
    let considered = filling.considered.clone();
    let (sections, omissions) = filling.finish();
    Bundle {
        acb_id: BundleId::generate(now),
        budget_tokens: query.max_tokens,
        token_used_est: sections.iter().map(|section| section.token_est).sum(),
        sections,
        omissions,
        provenance: Provenance {
            built_at: now,
            session_id: query.session.clone(),
            agent_id: query.agent.clone(),
            project_id: query.project.clone(),
            channel,
            terms,
            considered,
            shares,
        },
        mode: query.mode.0,
        mode_confidence: query.mode.1,
    }
}

/// A bundle being filled.
struct Filling {
    mode: Mode,
    budget: usize,
    parts: Vec<(Part, Vec<Offer>, usize)>,
    omissions: Vec<Omission>,
    considered: BTreeMap<&'static str, usize>,
}

/// An item that may enter, and whether it has.
struct Offer {
    item: Item,
    taken: bool,
}

impl Filling {
    /// Sorts out what can never enter, so that the budget is spent on the rest.
    fn new(query: &ContextQuery, offered: Vec<(Part, Item)>) -> Self {
        let mut filling = Self {
            mode: query.mode.0,
            budget: query.max_tokens * FILLED_PERCENT / 100,
            parts: Part::ALL
                .iter()
                .map(|part| (*part, Vec::new(), 0))
                .collect(),
            omissions: Vec::new(),
            considered: BTreeMap::new(),
        };
        let mut ids = HashSet::new();
        let mut texts = HashSet::new();
        for (part, item) in offered {
            *filling.considered.entry(part.as_str()).or_default() += 1;
            // The same thing may be offered by two parts; that is no omission.
            if !ids.insert(item.id.clone()) {
                continue;
            }
            if item.superseded {
                filling.omit(part, &item, Reason::Superseded);
            } else if !texts.insert(item.said) {
                filling.omit(part, &item, Reason::Duplicate);
            } else if let Some((_, offers, _)) = filling
                .parts
                .iter_mut()
                .find(|(known, _, _)| *known == part)
            {
                offers.push(Offer { item, taken: false });
            }
        }
        filling
    }

    fn omit(&mut self, part: Part, item: &Item, reason: Reason) {
        self.omissions.push(Omission {
            id: item.id.clone(),
            entity_type: item.entity_type,
            section: part,
            reason,
        });
    }

    /// Each part with its share and what the ones before it left; then what is left, over all.
    fn fill(&mut self) {
        let mut carried = 0;
        for (part, offers, spent) in &mut self.parts {
            let share = self.budget * self.mode.share(*part) / 100 + carried;
            carried = share - take(*part, offers, spent, share);
        }
        for (part, offers, spent) in &mut self.parts {
            carried -= take(*part, offers, spent, carried);
        }
    }

    fn finish(mut self) -> (Vec<Section>, Vec<Omission>) {
        let mut sections = Vec::new();
        for (part, offers, token_est) in std::mem::take(&mut self.parts) {
            let mut items = Vec::new();
            for offer in offers {
                if offer.taken {
                    items.push(offer.item);
                } else {
                    self.omit(part, &offer.item, Reason::Budget);
                }
            }
            if !items.is_empty() {
                sections.push(Section {
                    name: part,
                    items,
                    token_est,
                });
            }
        }
        (sections, self.omissions)
    }
}

/// Takes what fits into `share`, in order, and answers what that cost. A part's heading is paid with its first item.
fn take(part: Part, offers: &mut [Offer], spent: &mut usize, share: usize) -> usize {
    let before = *spent;
    for offer in offers.iter_mut().filter(|offer| !offer.taken) {
        let heading = if *spent == 0 {
            Budget::cost(&part.heading())
        } else {
            0
        };
        let cost = offer.item.cost + heading;
        if *spent - before + cost <= share {
            offer.taken = true;
            *spent += cost;
        }
    }
    *spent - before
}

impl Bundle {
    /// The bundle as text to put in a prompt (Markdown).
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for section in &self.sections {
            text.push_str(&section.name.heading());
            text.push('\n');
            for item in &section.items {
                text.push_str(&item.line());
                text.push('\n');
            }
        }
        text
    }
}

/// Hits in the part that shows their type.
fn part_of(hit: &Hit) -> Part {
    match hit.entity_type {
        EntityType::Event | EntityType::Handoff => Part::Evidence,
        EntityType::Decision => Part::Decisions,
        EntityType::Knowledge | EntityType::Reflection | EntityType::Principle => Part::Knowledge,
    }
}

#[cfg(test)]
mod tests;
