//! `agent-memory record`.
//!
//! **Invariant:** answers only after the events are on disk, and exits non-zero if any was refused.

use std::io::{BufRead, Read, Write};

use clap::Args;

use crate::cli::{Failure, Session, print_json};
use crate::config::Global;
use crate::domain::event::{Actor, EventDraft};
use crate::domain::{ActorType, Channel, EventKind, Invalid, Sensitivity};
use crate::service::event::{MAX_BATCH, merge};
use crate::service::{BatchItem, Error};

/// Longest line of an import, in bytes: the largest artifact with its JSON escapes.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// Flags of `record`.
#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// What happened, as text; `-` reads it from standard input
    #[arg(required_unless_present = "ndjson")]
    text: Option<String>,
    /// Read events from standard input, one JSON object a line, as POST /api/v1/events takes them
    #[arg(long, conflicts_with = "text")]
    ndjson: bool,
    /// The session it belongs to
    #[arg(long, default_value = "cli", value_name = "ID")]
    session: String,
    /// The project it belongs to
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// `message`, `tool_call`, `tool_result`, `decision`, `task_update` or `artifact`
    #[arg(long, default_value = "message", value_name = "KIND")]
    kind: String,
    /// Who did it
    #[arg(long, default_value = "user", value_name = "NAME")]
    actor: String,
    /// human, agent or tool
    #[arg(long, default_value = "human", value_name = "TYPE")]
    actor_type: String,
    /// private, public, team or agent
    #[arg(long, default_value = "private", value_name = "CHANNEL")]
    channel: String,
    /// none, low, high or secret
    #[arg(long, default_value = "none", value_name = "LEVEL")]
    sensitivity: String,
    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

pub(super) fn run(
    global: &Global,
    args: &RecordArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    if args.ndjson {
        return record_lines(&session, input, out);
    }
    let draft = draft(args, input)?;
    let items = record(&session, vec![Ok(draft)])?;
    report(&session, &items, 0, out)?;
    refused_so_far(&items).map_or(Ok(()), |failure| Err(failure.into()))
}

fn draft(args: &RecordArgs, input: &mut dyn BufRead) -> anyhow::Result<EventDraft> {
    let mut text = args.text.clone().unwrap_or_default();
    if text == "-" {
        text.clear();
        input.take(MAX_LINE_BYTES).read_to_string(&mut text)?;
    }
    if text.trim().is_empty() {
        return Err(Invalid::new("TEXT", "is empty").into());
    }
    Ok(EventDraft {
        event_id: None,
        tenant_id: None,
        project_id: args.project.clone(),
        session_id: args.session.clone(),
        ts: None,
        channel: Channel::parse("--channel", &args.channel)?,
        actor: Actor {
            actor_type: ActorType::parse("--actor-type", &args.actor_type)?,
            id: args.actor.clone(),
        },
        kind: EventKind::parse("--kind", &args.kind)?,
        sensitivity: Some(Sensitivity::parse("--sensitivity", &args.sensitivity)?),
        tags: Some(args.tags.clone()),
        content: [("text".to_owned(), serde_json::Value::from(text))]
            .into_iter()
            .collect(),
        refs: None,
    })
}

fn record_lines(
    session: &Session,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut failure = None;
    let mut done = 0;
    loop {
        let batch = read_batch(input)?;
        if batch.is_empty() {
            break;
        }
        let items = record(session, batch)?;
        report(session, &items, done, out)?;
        done += items.len();
        failure = failure.or(refused_so_far(&items));
    }
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn read_batch(input: &mut dyn BufRead) -> anyhow::Result<Vec<Result<EventDraft, Invalid>>> {
    let mut batch = Vec::new();
    while batch.len() < MAX_BATCH {
        let mut line = Vec::new();
        if input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            batch.push(
                serde_json::from_slice(&line)
                    .map_err(|error| Invalid::new("line", error.to_string())),
            );
        }
    }
    Ok(batch)
}

fn record(
    session: &Session,
    drafts: Vec<Result<EventDraft, Invalid>>,
) -> anyhow::Result<Vec<BatchItem>> {
    let (pending, refusals) = session
        .services
        .record_batch(&session.caller, drafts, None)?;
    Ok(merge(pending.wait().map_err(Error::from)?, refusals))
}

fn report(
    session: &Session,
    items: &[BatchItem],
    before: usize,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    for (index, item) in (before..).zip(items) {
        let refusal = match item {
            BatchItem::Stored(receipt) if session.json => {
                print_json(out, receipt)?;
                continue;
            }
            BatchItem::Stored(receipt) => {
                writeln!(out, "{}", receipt.event_id)?;
                continue;
            }
            BatchItem::Refused(invalid) => invalid.to_string(),
            BatchItem::Conflict => TAKEN.to_owned(),
        };
        if session.json {
            print_json(out, &serde_json::json!({"index": index, "error": refusal}))?;
        } else {
            writeln!(out, "refused event {}: {refusal}", index + 1)?;
        }
    }
    Ok(())
}

const TAKEN: &str = "another event has this id";

fn refused_so_far(items: &[BatchItem]) -> Option<Failure> {
    items.iter().find_map(|item| match item {
        BatchItem::Stored(_) => None,
        BatchItem::Refused(invalid) => Some(Failure {
            code: 2,
            message: format!("not everything was recorded: {invalid}"),
        }),
        BatchItem::Conflict => Some(Failure {
            code: 5,
            message: format!("not everything was recorded: {TAKEN}"),
        }),
    })
}
