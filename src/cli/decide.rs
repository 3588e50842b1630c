//! `agent-memory decide`.
//!
//! **Invariant:** prints the id of a decision that is on disk.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::decision::DecisionDraft;
use crate::domain::{DecisionId, DecisionScope};
use crate::service::{Error, SuccessorDraft};

/// Flags of `decide`.
#[derive(Debug, Args)]
pub(super) struct DecideArgs {
    /// What was decided
    decision: String,
    /// The project it belongs to
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// session, user, project, policy or global
    #[arg(long, default_value = "project", value_name = "SCOPE")]
    scope: String,
    /// Why; may be repeated
    #[arg(long, value_name = "TEXT")]
    because: Vec<String>,
    /// Within which bounds; may be repeated
    #[arg(long, value_name = "TEXT")]
    constraint: Vec<String>,
    /// Instead of what; may be repeated
    #[arg(long, value_name = "TEXT")]
    alternative: Vec<String>,
    /// With which effect; may be repeated
    #[arg(long, value_name = "TEXT")]
    consequence: Vec<String>,
    /// The decision whose place it takes
    #[arg(long, value_name = "ID")]
    supersedes: Option<String>,
}

pub(super) fn run(global: &Global, args: &DecideArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open(global)?;
    let draft = DecisionDraft {
        decision_id: None,
        tenant_id: None,
        project_id: args.project.clone(),
        ts: None,
        scope: Some(DecisionScope::parse("--scope", &args.scope)?),
        decision: args.decision.clone(),
        rationale: Some(args.because.clone()),
        constraints: Some(args.constraint.clone()),
        alternatives: Some(args.alternative.clone()),
        consequences: Some(args.consequence.clone()),
        refs: None,
    };
    let (services, caller) = (&session.services, &session.caller);
    let decision = match &args.supersedes {
        None => services
            .create_decision(caller, draft, None)?
            .wait()
            .map_err(Error::from)?,
        Some(id) => {
            let old = DecisionId::parse("--supersedes", id)?;
            let pending =
                services.supersede(caller, old, SuccessorDraft::New(Box::new(draft)), None)?;
            pending.wait().map_err(Error::from)?.1
        }
    };
    if session.json {
        return print_json(out, &decision);
    }
    Ok(writeln!(out, "{}", decision.decision_id)?)
}
