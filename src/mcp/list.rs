//! Browsing, and reading one memory in full.
//!
//! **Invariant:** a page that was cut to its budget goes on behind its last item: nothing between two pages is lost.

use serde_json::value::RawValue;

use crate::domain::content::{Content, searchable};
use crate::domain::decision::{Decision, DecisionFilter};
use crate::domain::event::{Event, EventFilter};
use crate::domain::handoff::{Handoff, HandoffFilter};
use crate::domain::note::{Note, NoteFilter};
use crate::domain::page::{List, Page, Paged};
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{Caller, EntityType, Invalid, MemoryId, Name};
use crate::mcp::Front;
use crate::mcp::argument::{self, DEFAULT_TOKENS, budget};
use crate::mcp::shape::{Entries, Entry, Product, fit, structured};
use crate::service::{Error, Services};

/// How much of each memory a list shows, in bytes: about 75 tokens, so that two dozen fit into the usual budget.
const PREVIEW_BYTES: usize = 300;
/// Items of a page when none are asked for.
const DEFAULT_ITEMS: i64 = 20;
/// Most items of a page.
const MAX_ITEMS: i64 = 100;

/// What a list shows.
#[derive(Debug, Clone)]
struct Wish {
    of: EntityType,
    project: Option<Name>,
    session: Option<Name>,
    cursor: Option<String>,
}

pub(super) async fn list_memories(
    front: &Front<'_>,
    arguments: Option<&RawValue>,
) -> Result<Product, Error> {
    let asked: argument::ListMemories = argument::read(arguments)?;
    let budget = budget(asked.max_tokens, DEFAULT_TOKENS)?;
    if let Some(id) = &asked.id {
        let entry = one(front, MemoryId::parse("id", id)?).await?;
        let memories = fit(vec![entry], budget);
        let text = memories.iter().map(|entry| {
            let of = entry.entity_type.as_str();
            format!("{of} {} of {}\n{}", entry.id, entry.ts, entry.text)
        });
        let text = text.collect();
        return Ok(product(text, memories, None));
    }
    let wish = wish(front, &asked)?;
    let limit = asked.limit.unwrap_or(DEFAULT_ITEMS);
    if !(1..=MAX_ITEMS).contains(&limit) {
        return Err(Invalid::new("limit", format!("is not between 1 and {MAX_ITEMS}")).into());
    }
    let mut page = fetch(front, &wish, limit).await?;
    let mut memories = fit(page.items.clone(), budget);
    if memories.len() < page.items.len() {
        // Asked for just as many, the store says where it goes on behind them.
        let fewer = i64::try_from(memories.len()).unwrap_or(1).max(1);
        page = fetch(front, &wish, fewer).await?;
        memories = fit(page.items, budget);
    }
    let mut lines: Vec<_> = memories.iter().map(Entry::line).collect();
    if lines.is_empty() {
        lines.push(format!("There is no {} here.", wish.of.as_str()));
    }
    if let Some(cursor) = &page.next_cursor {
        lines.push(format!("More with cursor {cursor}"));
    }
    Ok(product(lines.join("\n"), memories, page.next_cursor))
}

fn product(text: String, memories: Vec<Entry>, next_cursor: Option<String>) -> Product {
    Product {
        structured: structured(&Entries {
            memories,
            next_cursor,
        }),
        text,
    }
}

fn wish(front: &Front<'_>, asked: &argument::ListMemories) -> Result<Wish, Invalid> {
    let of = asked.entity_type.unwrap_or(EntityType::Handoff);
    let (by_project, by_session) = match of {
        EntityType::Event => (false, true),
        EntityType::Handoff => (true, true),
        EntityType::Decision | EntityType::Knowledge => (true, false),
        EntityType::Reflection | EntityType::Principle => (false, false),
    };
    let alone = |field: &str, given: bool, may: bool| {
        if given && !may {
            let why = format!("does not go with type {}; leave it out", of.as_str());
            return Err(Invalid::new(field, why));
        }
        Ok(())
    };
    alone("project_id", asked.project_id.is_some(), by_project)?;
    alone("session_id", asked.session_id.is_some(), by_session)?;
    let project = asked.project_id.as_ref().or(front.project.as_ref());
    Ok(Wish {
        of,
        project: Name::parse_opt("project_id", project.map(String::as_str))?.filter(|_| by_project),
        session: Name::parse_opt("session_id", asked.session_id.as_deref())?,
        cursor: asked.cursor.clone(),
    })
}

async fn fetch(front: &Front<'_>, wish: &Wish, limit: i64) -> Result<Paged<Entry>, Error> {
    let (caller, wish) = (front.caller.clone(), wish.clone());
    front
        .way
        .read(move |services| page(services, &caller, &wish, limit))
        .await
}

fn page(
    services: &Services,
    caller: &Caller,
    wish: &Wish,
    limit: i64,
) -> Result<Paged<Entry>, Error> {
    let part = |list| Page::parse(list, Some(limit), Some("desc"), wish.cursor.as_deref());
    let (project, session) = (wish.project.clone(), wish.session.clone());
    match wish.of {
        EntityType::Event => {
            let filter = EventFilter {
                session,
                ..EventFilter::default()
            };
            let rows = services.events(caller, &filter, &part(List::Events)?)?;
            Ok(previews(rows, Entry::from))
        }
        EntityType::Handoff => {
            let filter = HandoffFilter {
                with_whom: None,
                project,
                session,
            };
            let rows = services.handoffs(caller, &filter, &part(List::Handoffs)?)?;
            Ok(previews(rows, Entry::from))
        }
        EntityType::Decision => {
            let filter = DecisionFilter {
                project,
                ..DecisionFilter::default()
            };
            let rows = services.decisions(caller, &filter, &part(List::Decisions)?)?;
            Ok(previews(rows, Entry::from))
        }
        EntityType::Knowledge => {
            let filter = NoteFilter {
                project,
                ..NoteFilter::default()
            };
            let rows = services.notes(caller, &filter, &part(List::Notes)?)?;
            Ok(previews(rows, Entry::from))
        }
        EntityType::Reflection => {
            let rows = services.reflections(caller, &part(List::Reflections)?)?;
            Ok(previews(rows, Entry::from))
        }
        EntityType::Principle => {
            let rows = services.principles(caller, &part(List::Principles)?)?;
            Ok(previews(rows, Entry::from))
        }
    }
}

fn previews<T>(rows: Paged<T>, entry: impl Fn(T) -> Entry) -> Paged<Entry> {
    let preview = |row| {
        let mut entry = entry(row);
        if entry.text.len() > PREVIEW_BYTES {
            let cut = entry.text.floor_char_boundary(PREVIEW_BYTES);
            entry.text.truncate(cut);
            entry.text.push('…');
        }
        entry
    };
    Paged {
        items: rows.items.into_iter().map(preview).collect(),
        next_cursor: rows.next_cursor,
    }
}

/// One memory in full.
pub(super) async fn one(front: &Front<'_>, id: MemoryId) -> Result<Entry, Error> {
    let caller = front.caller.clone();
    front
        .way
        .point(move |services| {
            Ok(match id {
                MemoryId::Event(id) => services.event(&caller, id)?.into(),
                MemoryId::Handoff(id) => services.handoff(&caller, id)?.into(),
                MemoryId::Decision(id) => services.decision(&caller, id)?.into(),
                MemoryId::Note(id) => services.note(&caller, id)?.into(),
                MemoryId::Reflection(id) => services.reflection(&caller, id)?.into(),
                MemoryId::Principle(id) => services.principle(&caller, id)?.into(),
            })
        })
        .await
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        let content: Content = serde_json::from_str(event.content.get()).unwrap_or_default();
        Self {
            id: event.event_id.to_string(),
            entity_type: EntityType::Event,
            ts: event.ts,
            text: searchable(&content),
            score: None,
            status: None,
        }
    }
}

impl From<Handoff> for Entry {
    fn from(handoff: Handoff) -> Self {
        let mut said: Vec<_> = handoff
            .fields
            .each()
            .into_iter()
            .filter(|(_, text)| !text.trim().is_empty())
            .map(|(field, text)| format!("{}: {text}", field.as_str()))
            .collect();
        // What must not be forgotten comes first; it is the last of the fields.
        said.reverse();
        Self {
            id: handoff.handoff_id.to_string(),
            entity_type: EntityType::Handoff,
            ts: handoff.created_at,
            text: said.join("\n"),
            score: None,
            status: None,
        }
    }
}

impl From<Decision> for Entry {
    fn from(decision: Decision) -> Self {
        Self {
            id: decision.decision_id.to_string(),
            entity_type: EntityType::Decision,
            ts: decision.ts,
            text: decision.statement.searchable(),
            score: None,
            status: Some(decision.status),
        }
    }
}

impl From<Note> for Entry {
    fn from(note: Note) -> Self {
        Self {
            id: note.note_id.to_string(),
            entity_type: EntityType::Knowledge,
            ts: note.created_at,
            text: note.body.searchable(),
            score: None,
            status: None,
        }
    }
}

impl From<Reflection> for Entry {
    fn from(reflection: Reflection) -> Self {
        Self {
            id: reflection.reflection_id.to_string(),
            entity_type: EntityType::Reflection,
            ts: reflection.body.ts(),
            text: reflection.body.searchable(),
            score: None,
            status: None,
        }
    }
}

impl From<Principle> for Entry {
    fn from(principle: Principle) -> Self {
        Self {
            id: principle.principle_id.to_string(),
            entity_type: EntityType::Principle,
            ts: principle.updated_at,
            text: principle.body.text,
            score: None,
            status: None,
        }
    }
}
