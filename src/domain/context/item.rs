//! The items of a bundle: what the parts offer, in which order, and how an item reads.
//!
//! **Invariant:** an item names where it comes from.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::content::{Content, searchable};
use crate::domain::context::{ContextFacts, Part, StandingFacts, part_of};
use crate::domain::decision::Decision;
use crate::domain::event::Event;
use crate::domain::handoff::{Handoff, form_of};
use crate::domain::note::Note;
use crate::domain::pack::Budget;
use crate::domain::recall::Hit;
use crate::domain::{DecisionStatus, EntityType, Timestamp, token};

/// Most tokens of one item, so that a long text does not take a part for itself; a passage of recall has about 300.
const MOST_TOKENS: usize = 400;
/// Most tokens of an event of the session at hand: there are many, and they are in the agent's window for a while.
const SESSION_TOKENS: usize = 120;

/// An item of a bundle.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "BundleItem")]
pub struct Item {
    /// What it is.
    #[serde(rename = "type")]
    pub entity_type: EntityType,
    /// Where it comes from.
    pub id: String,
    /// What it says.
    pub text: String,
    /// When that was.
    pub ts: Timestamp,
    /// Where it comes from, and what that refers to.
    pub refs: Vec<String>,
    /// Whether the text was cut; the id has the whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    #[serde(skip)]
    pub(super) superseded: bool,
    /// What its line costs, in tokens.
    #[serde(skip)]
    pub(super) cost: usize,
    /// What its text is compared by.
    #[serde(skip)]
    pub(super) said: u64,
}

impl Item {
    fn new(
        entity_type: EntityType,
        id: String,
        text: &str,
        ts: Timestamp,
        refs: &[String],
        most: usize,
    ) -> Self {
        let text = text.trim();
        let cut = token::cut(text, most);
        let truncated = cut.len() < text.len();
        let text = if truncated {
            format!("{} …", cut.trim_end())
        } else {
            text.to_owned()
        };
        let refs = std::iter::once(id.clone())
            .chain(refs.iter().filter(|reference| **reference != id).cloned())
            .collect();
        let mut item = Self {
            entity_type,
            said: normal(&text),
            id,
            text,
            ts,
            refs,
            truncated,
            superseded: false,
            cost: 0,
        };
        item.cost = Budget::cost(&item.line());
        item
    }

    /// About the memory it takes, in bytes.
    fn weight(&self) -> usize {
        let refs: usize = self.refs.iter().map(String::len).sum();
        size_of::<Self>() + self.id.len() + self.text.len() + refs
    }

    /// The item in the text of a bundle.
    pub fn line(&self) -> String {
        format!("- {} [{}] {}", self.ts.day(), self.id, self.text)
    }

    fn decision(decision: &Decision) -> Self {
        let id = decision.decision_id.to_string();
        let text = decision.statement.searchable();
        let mut item = Self::new(
            EntityType::Decision,
            id,
            &text,
            decision.ts,
            &decision.refs,
            MOST_TOKENS,
        );
        item.superseded = decision.status == DecisionStatus::Superseded;
        item
    }

    fn note(note: &Note) -> Self {
        let refs: Vec<String> = note
            .body
            .source_handoffs
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = note.body.searchable();
        Self::new(
            EntityType::Knowledge,
            note.note_id.to_string(),
            &text,
            note.created_at,
            &refs,
            MOST_TOKENS,
        )
    }

    fn handoff(handoff: &Handoff) -> Self {
        let fields = &handoff.fields;
        // What must not be forgotten first, since the end may be cut off.
        let said = [
            ("Remember", &fields.remember),
            ("Learned", &fields.learned),
            ("Experienced", &fields.experienced),
            ("Noticed", &fields.noticed),
            ("Story", &fields.story),
            ("Becoming", &fields.becoming),
        ];
        let said = said.into_iter().filter(|(_, text)| !text.is_empty());
        let text = said
            .map(|(label, text)| format!("{label}: {}", text.trim()))
            .collect::<Vec<_>>()
            .join("\n");
        let id = handoff.handoff_id.to_string();
        Self::new(
            EntityType::Handoff,
            id,
            &text,
            handoff.created_at,
            &[],
            MOST_TOKENS,
        )
    }

    /// A handoff in a shorter form.
    fn form(handoff: &Handoff, form: &str) -> Self {
        let id = handoff.handoff_id.to_string();
        Self::new(
            EntityType::Handoff,
            id,
            form,
            handoff.created_at,
            &[],
            MOST_TOKENS,
        )
    }

    fn event(event: &Event) -> Self {
        let content: Content = serde_json::from_str(event.content.get()).unwrap_or_default();
        let text = format!("{}: {}", event.actor.id, searchable(&content));
        Self::new(
            EntityType::Event,
            event.event_id.to_string(),
            &text,
            event.ts,
            &event.refs,
            SESSION_TOKENS,
        )
    }

    fn hit(hit: &Hit) -> Self {
        let mut item = Self::new(
            hit.entity_type,
            hit.id.clone(),
            &hit.text,
            hit.ts,
            &hit.refs,
            MOST_TOKENS,
        );
        item.superseded = hit.status == Some(DecisionStatus::Superseded);
        item
    }
}

/// What is offered whatever the task, ready to enter bundles.
#[derive(Debug, Default)]
pub struct Standing {
    /// What comes before what was found for the task.
    before: Vec<(Part, Item)>,
    /// What comes after.
    after: Vec<(Part, Item)>,
}

impl Standing {
    /// Out of these facts.
    pub fn of(facts: &StandingFacts) -> Self {
        let pinned = facts.pinned.iter().map(Item::note);
        let decrees = facts.decrees.iter().map(Item::decision);
        // A handoff that is shown whole comes first, so that its passages do not enter for themselves. One that is shown in a
        // shorter form comes last, so that a passage of it that bears on the task enters instead. The last one is always whole:
        // it is where the work was left, however long ago.
        let (mut whole, mut brief) = (Vec::new(), Vec::new());
        for (place, handoff) in facts.handoffs.iter().enumerate() {
            match form_of(handoff).filter(|_| place > 0) {
                None => whole.push((Part::Handoffs, Item::handoff(handoff))),
                Some(form) => brief.push((Part::Handoffs, Item::form(handoff, form))),
            }
        }
        let decisions = facts.decisions.iter().map(Item::decision);
        Self {
            before: pinned
                .chain(decrees)
                .map(|item| (Part::Standing, item))
                .chain(whole)
                .collect(),
            after: decisions
                .map(|item| (Part::Decisions, item))
                .chain(brief)
                .collect(),
        }
    }

    /// How many items it offers.
    pub fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Whether it offers none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About the memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let items = self.before.iter().chain(&self.after);
        items.map(|(_, item)| item.weight()).sum()
    }
}

/// Everything that may enter, each for its part, best first.
pub(super) fn offer(facts: &ContextFacts) -> Vec<(Part, Item)> {
    let mut offered = facts.standing.before.clone();
    offered.extend(facts.hits.iter().map(|hit| (part_of(hit), Item::hit(hit))));
    offered.extend(facts.standing.after.iter().cloned());
    let session = facts.session.iter().map(Item::event);
    offered.extend(session.map(|item| (Part::Session, item)));
    offered.retain(|(_, item)| !item.text.is_empty());
    offered
}

/// FNV-1a, over characters.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// What a text is compared by: the hash of its words alone, in lower case. Of the some hundred texts of a bundle, two are
/// taken for the same by chance once in 10^15 bundles.
pub(super) fn normal(text: &str) -> u64 {
    let mut hash = FNV_START;
    let mut put = |char: u32| hash = (hash ^ u64::from(char)).wrapping_mul(FNV_PRIME);
    // The place between two words; what stands before the first and after the last is none.
    let (mut begun, mut between) = (false, false);
    for char in text.chars() {
        if !char.is_alphanumeric() {
            between = begun;
            continue;
        }
        if std::mem::take(&mut between) {
            put(' '.into());
        }
        begun = true;
        if char.is_ascii() {
            put(char.to_ascii_lowercase().into());
        } else {
            char.to_lowercase().for_each(|lower| put(lower.into()));
        }
    }
    hash
}
