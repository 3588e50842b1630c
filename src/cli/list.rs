//! `agent-memory list`.
//!
//! **Invariant:** newest first, and never more than asked for.

use std::io::Write;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::{Session, one_line, print_json};
use crate::config::Global;
use crate::domain::decision::{Decision, DecisionFilter};
use crate::domain::event::{Event, EventFilter};
use crate::domain::handoff::{Handoff, HandoffFilter};
use crate::domain::note::{Note, NoteFilter};
use crate::domain::page::{List, Page, Paged};
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{EventKind, Name};

/// What to list.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Events,
    Handoffs,
    Decisions,
    Knowledge,
    Reflections,
    Principles,
    Sessions,
    Projects,
}

/// Flags of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    what: What,
    /// Only this session (events, handoffs)
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only this kind (events)
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: i64,
    /// Where the last page ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// desc (newest first) or asc
    #[arg(long, value_name = "ORDER", default_value = "desc")]
    order: String,
}

pub(super) fn run(global: &Global, args: &ListArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let page = |list| {
        Page::parse(
            list,
            Some(args.limit),
            Some(&args.order),
            args.cursor.as_deref(),
        )
    };
    let (services, caller) = (&session.services, &session.caller);
    let name = Name::parse_opt("--session", args.session.as_deref())?;
    match args.what {
        What::Events => {
            let kind = args
                .kind
                .as_deref()
                .map(|word| EventKind::parse("--kind", word))
                .transpose()?;
            let filter = EventFilter {
                session: name,
                kind,
                ..EventFilter::default()
            };
            let rows = services.events(caller, &filter, &page(List::Events)?)?;
            print(&session, "events", &rows, out, event_line)
        }
        What::Handoffs => {
            let filter = HandoffFilter {
                session: name,
                ..HandoffFilter::default()
            };
            let rows = services.handoffs(caller, &filter, &page(List::Handoffs)?)?;
            print(&session, "handoffs", &rows, out, handoff_line)
        }
        What::Decisions => {
            let rows =
                services.decisions(caller, &DecisionFilter::default(), &page(List::Decisions)?)?;
            print(&session, "decisions", &rows, out, decision_line)
        }
        What::Knowledge => {
            let rows = services.notes(caller, &NoteFilter::default(), &page(List::Notes)?)?;
            print(&session, "knowledge", &rows, out, note_line)
        }
        What::Reflections => {
            let rows = services.reflections(caller, &page(List::Reflections)?)?;
            print(&session, "reflections", &rows, out, reflection_line)
        }
        What::Principles => {
            let rows = services.principles(caller, &page(List::Principles)?)?;
            print(&session, "principles", &rows, out, principle_line)
        }
        What::Sessions => {
            let rows = services.sessions(caller, &page(List::Sessions)?)?;
            print(&session, "sessions", &rows, out, |row| {
                format!(
                    "{}  {:6} events  {:3} handoffs  {}",
                    row.started_at, row.counts.events, row.counts.handoffs, row.session_id
                )
            })
        }
        What::Projects => {
            let rows = services.projects(caller, &page(List::Projects)?)?;
            print(&session, "projects", &rows, out, |row| {
                row.project_id.to_string()
            })
        }
    }
}

fn event_line(event: &Event) -> String {
    let text = one_line(event.content.get(), 100);
    format!(
        "{}  {}  {:11}  {}",
        event.event_id,
        event.ts,
        event.kind.as_str(),
        text
    )
}

fn decision_line(decision: &Decision) -> String {
    let text = one_line(&decision.statement.decision, 100);
    format!(
        "{}  {}  {:10}  {text}",
        decision.decision_id,
        decision.ts,
        decision.status.as_str()
    )
}

fn note_line(note: &Note) -> String {
    let text = one_line(&note.body.searchable(), 100);
    format!("{}  {}  {text}", note.note_id, note.created_at)
}

fn reflection_line(reflection: &Reflection) -> String {
    let body = &reflection.body;
    let (from, to) = (body.period_start.day(), body.ts().day());
    let text = one_line(&body.searchable(), 100);
    format!("{}  {from} to {to}  {text}", reflection.reflection_id)
}

fn principle_line(principle: &Principle) -> String {
    let text = one_line(&principle.body.text, 100);
    let (id, at, count) = (
        principle.principle_id,
        principle.updated_at,
        principle.body.count,
    );
    format!("{id}  {at}  {count:4} times  {text}")
}

fn handoff_line(handoff: &Handoff) -> String {
    let fields = &handoff.fields;
    let text = [
        &fields.remember,
        &fields.learned,
        &fields.experienced,
        &fields.story,
        &fields.noticed,
        &fields.becoming,
    ];
    let text = text
        .into_iter()
        .find(|text| !text.is_empty())
        .map_or("", String::as_str);
    format!(
        "{}  {}  {}  {}",
        handoff.handoff_id,
        handoff.created_at,
        handoff.with_whom,
        one_line(text, 100)
    )
}

fn print<T: Serialize>(
    session: &Session,
    name: &str,
    rows: &Paged<T>,
    out: &mut dyn Write,
    line: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if session.json {
        return print_json(
            out,
            &serde_json::json!({ name: rows.items, "next_cursor": rows.next_cursor }),
        );
    }
    for row in &rows.items {
        writeln!(out, "{}", line(row))?;
    }
    if let Some(cursor) = &rows.next_cursor {
        writeln!(out, "more: --cursor {cursor}")?;
    }
    Ok(())
}
