//! `agent-memory forget`.
//!
//! **Invariant:** returns when what was forgotten is gone from the tables and the index, and from the log as soon as
//! nobody reads it.

use std::io::Write;

use clap::Args;

use crate::cli::{Failure, Session, print_json};
use crate::config::Global;
use crate::domain::{MemoryId, Name};
use crate::service::Error;
use crate::store::Slice;

/// Flags of `forget`.
#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// An id: evt_…, sh_…, dec_…, kn_…, refl_… or prin_…
    #[arg(required_unless_present_any = ["session", "whole_tenant"])]
    id: Option<String>,
    /// Forget this session with all it holds
    #[arg(long, value_name = "ID", conflicts_with = "id")]
    session: Option<String>,
    /// Forget everything of the tenant (see --tenant)
    #[arg(long, conflicts_with_all = ["id", "session"])]
    whole_tenant: bool,
    /// Do not ask back; needed for --whole-tenant
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(global: &Global, args: &ForgetArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let (services, caller) = (&session.services, &session.caller);
    if args.whole_tenant {
        if !args.yes {
            let message = format!(
                "this forgets everything of tenant {}; add --yes to do it",
                caller.tenant
            );
            return Err(Failure { code: 2, message }.into());
        }
        services
            .forget_tenant(caller)?
            .wait()
            .map_err(Error::from)?;
        finish(&session)?;
    } else if let Some(name) = &args.session {
        services
            .forget_session(caller, Name::parse("--session", name)?)?
            .wait()
            .map_err(Error::from)?;
        finish(&session)?;
    } else {
        forget_one(&session, args.id.as_deref().unwrap_or_default())?;
    }
    // A running server empties the log within a second or two.
    let log_emptied = services.scrub().is_ok();
    if session.json {
        return print_json(
            out,
            &serde_json::json!({"forgotten": true, "log_emptied": log_emptied}),
        );
    }
    if log_emptied {
        writeln!(out, "forgotten")?;
    } else {
        writeln!(
            out,
            "forgotten; the log is in use and will be emptied by the server"
        )?;
    }
    Ok(())
}

fn forget_one(session: &Session, id: &str) -> anyhow::Result<()> {
    let id = MemoryId::parse("ID", id)?;
    let pending = session.services.forget_memory(&session.caller, id)?;
    Ok(pending.wait().map_err(Error::from)?)
}

fn finish(session: &Session) -> Result<(), Error> {
    while session.services.forget_slice()? == Slice::More {}
    Ok(())
}
