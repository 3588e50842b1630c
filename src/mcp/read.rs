//! The tools that look for something.
//!
//! **Invariant:** an answer fits its budget in both of its forms.

use serde_json::value::RawValue;

use crate::domain::context::ContextDraft;
use crate::domain::recall::{Hit, RecallDraft};
use crate::domain::wake_up::WakeUpQuery;
use crate::domain::{Stat, token};
use crate::mcp::Front;
use crate::mcp::argument::{self, DEFAULT_BUNDLE_TOKENS, DEFAULT_TOKENS, budget};
use crate::mcp::shape::{Entries, Entry, Product, Status, Text, fit, structured};
use crate::service::Error;

type Arguments<'a> = Option<&'a RawValue>;

/// How often a text is asked for again, smaller, because what stands around it in JSON came on top.
const TRIES: usize = 4;

/// How much of a budget a text may take at first. As JSON it also has quotes, escapes and two or three members.
fn first_room(budget: usize) -> usize {
    (budget * 7 / 8).saturating_sub(24).max(1)
}

/// A smaller room, after what was made for one cost too much.
fn less_room(room: usize, cost: usize, budget: usize) -> usize {
    (room * budget / cost.max(1) * 15 / 16).max(1)
}

pub(super) async fn wake_up(front: &Front<'_>, arguments: Arguments<'_>) -> Result<Product, Error> {
    let asked: argument::WakeUp = argument::read(arguments)?;
    let budget = budget(asked.max_tokens, DEFAULT_TOKENS)?;
    let project = asked.project_id.or_else(|| front.project.clone());
    let mut room = first_room(budget);
    let mut tries = 0;
    loop {
        let query = WakeUpQuery::parse(
            asked.with_whom.as_deref(),
            project.as_deref(),
            None,
            None,
            asked.topic.clone(),
            i64::try_from(room).ok(),
        )?;
        let caller = front.caller.clone();
        let wake_up = front
            .way
            .point(move |services| services.wake_up(&caller, &query))
            .await?;
        let product = text(&wake_up.context, Some(wake_up.first_session));
        tries += 1;
        if product.cost() <= budget || tries == TRIES {
            return Ok(within(product, budget, Some(wake_up.first_session)));
        }
        room = less_room(room, product.cost(), budget);
    }
}

pub(super) async fn build_context(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let asked: argument::BuildContext = argument::read(arguments)?;
    let budget = budget(asked.max_tokens, DEFAULT_BUNDLE_TOKENS)?;
    let project = asked.project_id.or_else(|| front.project.clone());
    let mut room = first_room(budget);
    let mut tries = 0;
    loop {
        let draft = ContextDraft {
            tenant_id: None,
            session_id: asked.session_id.clone(),
            agent_id: None,
            project_id: project.clone(),
            channel: None,
            intent: None,
            query_text: asked.task.clone(),
            max_tokens: i64::try_from(room).ok(),
        };
        let caller = front.caller.clone();
        let bundle = front
            .way
            .read(move |services| services.context(&caller, &draft))
            .await?;
        let product = text(&bundle.markdown(), None);
        tries += 1;
        if product.cost() <= budget || tries == TRIES {
            return Ok(within(product, budget, None));
        }
        room = less_room(room, product.cost(), budget);
    }
}

/// Markdown as an answer.
fn text(context: &str, first_session: Option<bool>) -> Product {
    let said = if context.trim().is_empty() {
        "Nothing is remembered yet."
    } else {
        context
    };
    Product {
        structured: structured(&Text {
            context: context.to_owned(),
            estimated_tokens: token::estimate(context),
            first_session,
        }),
        text: said.to_owned(),
    }
}

/// The same, cut if it still costs too much: a text all of escapes.
fn within(product: Product, budget: usize, first_session: Option<bool>) -> Product {
    let mut product = product;
    let mut room = budget / 2;
    while product.cost() > budget && room > 0 {
        let context = token::cut(&product.text, room).to_owned();
        product = text(&context, first_session);
        room /= 2;
    }
    product
}

pub(super) async fn recall(front: &Front<'_>, arguments: Arguments<'_>) -> Result<Product, Error> {
    let asked: argument::Recall = argument::read(arguments)?;
    let budget = budget(asked.max_tokens, DEFAULT_TOKENS)?;
    let draft = RecallDraft {
        query: asked.query,
        types: asked.types,
        project_id: asked.project_id.or_else(|| front.project.clone()),
        session_id: asked.session_id,
        tags: asked.tags,
        since: asked.since,
        until: asked.until,
        limit: asked.limit,
        ..RecallDraft::default()
    };
    let caller = front.caller.clone();
    let hits = front
        .way
        .read(move |services| services.recall(&caller, &draft))
        .await?;
    let found = hits.len();
    let memories = fit(hits.into_iter().map(entry).collect(), budget);
    let mut lines: Vec<_> = memories.iter().map(Entry::line).collect();
    match found - memories.len() {
        0 if found == 0 => lines.push("Nothing that is remembered is about this.".to_owned()),
        0 => {}
        more => lines.push(format!("{more} more did not fit into max_tokens.")),
    }
    Ok(Product {
        structured: structured(&Entries {
            memories,
            next_cursor: None,
        }),
        text: lines.join("\n"),
    })
}

fn entry(hit: Hit) -> Entry {
    Entry {
        id: hit.id,
        entity_type: hit.entity_type,
        ts: hit.ts,
        text: hit.text,
        // More digits would be noise that costs tokens.
        score: Some((hit.score * 1_000.0).round() / 1_000.0),
        status: hit.status,
    }
}

pub(super) async fn memory_status(
    front: &Front<'_>,
    arguments: Arguments<'_>,
) -> Result<Product, Error> {
    let argument::MemoryStatus {} = argument::read(arguments)?;
    let caller = front.caller.clone();
    let stats = front
        .way
        .read(move |services| services.tenant_stats(&caller))
        .await?;
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Status::default()
    };
    for (stat, count) in stats {
        let sum = match stat {
            Stat::Events(_) => &mut status.events,
            Stat::Handoffs(_) => &mut status.handoffs,
            Stat::Decisions(_) => &mut status.decisions,
            Stat::Notes => &mut status.knowledge,
            Stat::Reflections => &mut status.reflections,
            Stat::Principles => &mut status.principles,
            Stat::Sessions => &mut status.sessions,
            Stat::TextBytes => &mut status.text_bytes,
            _ => continue,
        };
        *sum += count;
    }
    let text = format!(
        "{} events, {} handoffs, {} decisions, {} notes, {} reflections and {} principles of {} sessions; {} bytes of text.",
        status.events,
        status.handoffs,
        status.decisions,
        status.knowledge,
        status.reflections,
        status.principles,
        status.sessions,
        status.text_bytes
    );
    Ok(Product {
        structured: structured(&status),
        text,
    })
}
