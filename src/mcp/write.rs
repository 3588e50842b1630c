//! The tools that change the memory.
//!
//! A session that none is named for is the caller's own: over stdio that of the process, over HTTP one a day, since
//! nothing there tells two clients apart.
//!
//! **Invariant:** answers when what was written is on disk.

use serde_json::value::RawValue;

use crate::domain::decision::DecisionDraft;
use crate::domain::event::{Actor, EventDraft};
use crate::domain::handoff::HandoffDraft;
use crate::domain::note::NoteDraft;
use crate::domain::{ActorType, Channel, DecisionId, EventKind, MemoryId};
use crate::mcp::Front;
use crate::mcp::argument;
use crate::mcp::shape::{Done, Product, structured};
use crate::service::{Error, SuccessorDraft};
use crate::store::Outcome;

type Arguments<'a> = Option<&'a RawValue>;

/// With whom a session was, if nobody says; as on the command line.
const SOMEBODY: &str = "user";
/// Who an agent is that does not say its name.
const AGENT: &str = "mcp";

fn bytes(arguments: Arguments<'_>) -> usize {
    arguments.map_or(0, |arguments| arguments.get().len())
}

fn done(id: &impl ToString, what: &str) -> Product {
    let id = id.to_string();
    Product {
        text: format!("{what} {id}."),
        structured: structured(&Done { id }),
    }
}

pub(super) async fn create_handoff(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let asked: argument::CreateHandoff = argument::read(arguments)?;
    let draft = HandoffDraft {
        handoff_id: None,
        tenant_id: None,
        project_id: asked.project_id.or_else(|| front.project.clone()),
        session_id: asked.session_id.unwrap_or_else(|| front.session.clone()),
        with_whom: asked.with_whom.unwrap_or_else(|| SOMEBODY.to_owned()),
        experienced: asked.experienced,
        noticed: asked.noticed,
        learned: asked.learned,
        story: asked.story,
        becoming: asked.becoming,
        remember: asked.remember,
        significance: asked.significance,
        tags: asked.tags,
        sensitivity: None,
        origin: None,
        created_at: None,
    };
    let caller = front.caller.clone();
    let handoff = front
        .way
        .write(bytes(arguments), move |services| {
            services.create_handoff(&caller, draft, None)
        })
        .await?;
    Ok(done(&handoff.handoff_id, "Handed over as"))
}

pub(super) async fn remember(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let asked: argument::Remember = argument::read(arguments)?;
    let draft = NoteDraft {
        note_id: None,
        tenant_id: None,
        project_id: asked.project_id.or_else(|| front.project.clone()),
        title: asked.title,
        content: asked.content,
        with_whom: asked.with_whom,
        source_handoffs: None,
        tags: asked.tags,
        confidence: None,
        pinned: asked.pinned,
    };
    let caller = front.caller.clone();
    let note = front
        .way
        .write(bytes(arguments), move |services| {
            services.create_note(&caller, draft, None)
        })
        .await?;
    Ok(done(&note.note_id, "Remembered as"))
}

pub(super) async fn record_decision(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let asked: argument::RecordDecision = argument::read(arguments)?;
    let superseded = asked
        .supersedes
        .map(|id| DecisionId::parse("supersedes", &id))
        .transpose()?;
    let draft = DecisionDraft {
        decision_id: None,
        tenant_id: None,
        project_id: asked.project_id.or_else(|| front.project.clone()),
        ts: None,
        scope: asked.scope,
        decision: asked.decision,
        rationale: asked.rationale,
        constraints: asked.constraints,
        alternatives: asked.alternatives,
        consequences: asked.consequences,
        refs: None,
    };
    let caller = front.caller.clone();
    let Some(superseded) = superseded else {
        let decision = front
            .way
            .write(bytes(arguments), move |services| {
                services.create_decision(&caller, draft, None)
            })
            .await?;
        return Ok(done(&decision.decision_id, "Recorded as"));
    };
    let successor = SuccessorDraft::New(Box::new(draft));
    let (old, new) = front
        .way
        .write(bytes(arguments), move |services| {
            services.supersede(&caller, superseded, successor, None)
        })
        .await?;
    let what = format!("{} no longer holds; recorded as", old.decision_id);
    Ok(done(&new.decision_id, &what))
}

pub(super) async fn record_event(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let asked: argument::RecordEvent = argument::read(arguments)?;
    let draft = EventDraft {
        event_id: None,
        tenant_id: None,
        project_id: asked.project_id.or_else(|| front.project.clone()),
        session_id: asked.session_id.unwrap_or_else(|| front.session.clone()),
        ts: None,
        channel: Channel::Private,
        actor: Actor {
            actor_type: asked.actor.unwrap_or(ActorType::Agent),
            id: AGENT.to_owned(),
        },
        kind: asked.kind.unwrap_or(EventKind::Message),
        sensitivity: None,
        tags: asked.tags,
        content: [("text".to_owned(), asked.text.into())]
            .into_iter()
            .collect(),
        refs: None,
    };
    let caller = front.caller.clone();
    let outcomes = front
        .way
        .write(bytes(arguments), move |services| {
            services.record_event(&caller, draft, None)
        })
        .await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Stored(receipt)) => Ok(done(&receipt.event_id, "Recorded as")),
        Some(Outcome::Conflict) | None => Err(Error::Conflict("another event has this id")),
    }
}

pub(super) async fn forget(front: &Front<'_>, arguments: Arguments<'_>) -> Result<Product, Error> {
    let asked: argument::Forget = argument::read(arguments)?;
    let id = MemoryId::parse("id", &asked.id)?;
    let caller = front.caller.clone();
    front
        .way
        .write(0, move |services| services.forget_memory(&caller, id))
        .await?;
    front.way.scrub();
    Ok(done(&asked.id, "Forgotten:"))
}
