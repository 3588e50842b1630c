//! `agent-memory doctor`.
//!
//! **Invariant:** changes nothing; exits 1 if something is wrong.

use std::io::Write;

use crate::cli::{Failure, Session, print_json};
use crate::config::Global;

pub(super) fn run(global: &Global, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let findings = session.services.examine()?;
    if session.json {
        print_json(out, &findings)?;
    } else {
        for finding in &findings {
            writeln!(
                out,
                "{:5} {:12} {}",
                if finding.ok { "ok" } else { "WRONG" },
                finding.check,
                finding.detail
            )?;
        }
    }
    match findings.iter().filter(|finding| !finding.ok).count() {
        0 => Ok(()),
        wrong => Err(Failure {
            code: 1,
            message: format!("{wrong} of {} checks found something wrong", findings.len()),
        }
        .into()),
    }
}
