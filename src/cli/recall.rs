//! `agent-memory recall`.
//!
//! **Invariant:** nothing found is said, and is no failure.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, one_line, print_json};
use crate::config::Global;
use crate::domain::recall::{FeatureShare, Hit, RecallDraft};
use crate::domain::{DecisionStatus, EntityType, Timestamp};

/// Flags of `recall`.
#[derive(Debug, Args)]
pub(super) struct RecallArgs {
    /// What to look for, in plain words
    #[arg(required = true)]
    query: Vec<String>,
    /// Only this type: event, handoff, decision, knowledge, reflection or principle; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only this project, and what has none
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only what has this tag; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Not before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Most hits
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: i64,
    /// Say of each hit why it was found
    #[arg(long)]
    why: bool,
}

pub(super) fn run(global: &Global, args: &RecallArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    let types = args
        .types
        .iter()
        .map(|word| EntityType::parse("--type", word));
    let time = |field, text: &Option<String>| {
        text.as_deref()
            .map(|text| Timestamp::parse(field, text))
            .transpose()
    };
    let draft = RecallDraft {
        query: args.query.join(" "),
        types: Some(types.collect::<Result<_, _>>()?),
        project_id: args.project.clone(),
        session_id: args.session.clone(),
        tags: Some(args.tags.clone()),
        since: time("--since", &args.since)?,
        until: time("--until", &args.until)?,
        limit: Some(args.limit),
        ..RecallDraft::default()
    };
    let hits = session.services.recall(&session.caller, &draft)?;
    print(&session, &hits, args.why, out)?;
    out.flush()?;
    // The answer is out; a count that cannot be written now is not worth a failure.
    if let Err(error) = session.services.flush_counts() {
        tracing::warn!(%error, "the search was not counted");
    }
    Ok(())
}

fn print(session: &Session, hits: &[Hit], why: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if session.json {
        return print_json(out, &serde_json::json!({ "hits": hits }));
    }
    if hits.is_empty() {
        writeln!(out, "nothing relevant")?;
    }
    for hit in hits {
        let text = one_line(&hit.text, 160);
        let note = match hit.status {
            Some(DecisionStatus::Superseded) => "(superseded) ",
            Some(DecisionStatus::Active) | None => "",
        };
        writeln!(
            out,
            "{:6.2}  {}  {}  {note}{text}",
            hit.score,
            hit.ts.day(),
            hit.id
        )?;
        match hit.duplicate_count {
            0 => {}
            1 => writeln!(out, "        said once more")?,
            count => writeln!(out, "        said {count} times more")?,
        }
        if why {
            writeln!(out, "        {}", reasons(hit))?;
        }
    }
    Ok(())
}

/// The shares of a score and the words that were found, on one line.
fn reasons(hit: &Hit) -> String {
    let share =
        |feature: &FeatureShare| format!("{} {:.0} %", feature.feature, 100.0 * feature.share);
    let features: Vec<String> = hit.why.features.iter().map(share).collect();
    let words: Vec<&str> = hit
        .why
        .matched
        .iter()
        .map(|term| term.term.as_str())
        .collect();
    format!("{}; found: {}", features.join(", "), words.join(", "))
}
