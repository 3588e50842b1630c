//! `agent-memory show`.
//!
//! **Invariant:** the id's prefix says what it is.

use std::io::Write;

use clap::Args;

use crate::cli::{Session, print_json};
use crate::config::Global;
use crate::domain::{
    ArtifactId, ChunkId, DecisionId, EventId, HandoffId, Invalid, NoteId, PrincipleId, ReflectionId,
};

/// Flags of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// An id: evt_…, sh_…, dec_…, kn_…, refl_…, prin_…, chk_… or art_…
    id: String,
}

pub(super) fn run(global: &Global, args: &ShowArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let session = Session::open_existing(global)?;
    let (services, caller, id) = (&session.services, &session.caller, args.id.as_str());
    let starts = |prefix: &str| id.starts_with(prefix);
    if starts(EventId::PREFIX) {
        return print_json(out, &services.event(caller, EventId::parse("ID", id)?)?);
    }
    if starts(HandoffId::PREFIX) {
        return print_json(out, &services.handoff(caller, HandoffId::parse("ID", id)?)?);
    }
    if starts(DecisionId::PREFIX) {
        return print_json(
            out,
            &services.decision(caller, DecisionId::parse("ID", id)?)?,
        );
    }
    if starts(NoteId::PREFIX) {
        return print_json(out, &services.note(caller, NoteId::parse("ID", id)?)?);
    }
    if starts(ReflectionId::PREFIX) {
        let id = ReflectionId::parse("ID", id)?;
        return print_json(out, &services.reflection(caller, id)?);
    }
    if starts(PrincipleId::PREFIX) {
        let id = PrincipleId::parse("ID", id)?;
        return print_json(out, &services.principle(caller, id)?);
    }
    if starts(ChunkId::PREFIX) {
        return print_json(out, &services.chunk(caller, ChunkId::parse("ID", id)?)?);
    }
    if starts(ArtifactId::PREFIX) {
        return print_json(
            out,
            &services.artifact(caller, ArtifactId::parse("ID", id)?)?,
        );
    }
    Err(Invalid::new(
        "ID",
        "does not begin with evt_, sh_, dec_, kn_, refl_, prin_, chk_ or art_",
    )
    .into())
}
