//! What coding agents bring: stretches of their session files, and projects by other names.
//!
//! **Invariant:** a stretch is stored as a whole or not at all; an event of it that is refused is left out and counted.

use crate::domain::event::{EventDraft, NewEvent};
use crate::domain::handoff::{HandoffDraft, NewHandoff};
use crate::domain::session::Project;
use crate::domain::transcript::{Mark, Part, PartReport, PathHash, Spooled};
use crate::domain::{Caller, Name};
use crate::service::{Error, Pending, Services};

/// A stretch of a session file as it was read.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The session.
    pub session: String,
    /// The file.
    pub path: PathHash,
    /// How far it was read with this.
    pub mark: Mark,
    /// What is new.
    pub events: Vec<EventDraft>,
    /// The session's handoff as it stands now.
    pub handoff: Option<HandoffDraft>,
    /// Set for what waited in the spool: how many lines of it could not be read.
    pub spooled: Option<u64>,
}

/// A stretch on its way: its write, and how many of its events were refused.
pub type Recording = (Pending<PartReport>, u64);

impl Services {
    /// Stores a stretch of a session file.
    ///
    /// # Errors
    /// `Invalid` when the session has no name; `Overloaded`; pending: `Unavailable`.
    pub fn record_stretch(&self, caller: &Caller, stretch: Stretch) -> Result<Recording, Error> {
        let intake = self.intake();
        let session = Name::parse("session_id", &stretch.session)?;
        let mut refused = 0;
        let mut events = Vec::with_capacity(stretch.events.len());
        for draft in stretch.events {
            match NewEvent::parse(draft, &caller.tenant, intake) {
                Ok(event) => events.push(event),
                Err(_) => refused += 1,
            }
        }
        let handoff = stretch
            .handoff
            .map(|draft| NewHandoff::parse(draft, &caller.tenant, intake.now))
            .transpose()?;
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let items = events.len() + usize::from(handoff.is_some());
        let spooled = stretch.spooled.map(|broken| Spooled {
            replayed: i64::try_from(items).unwrap_or(i64::MAX),
            dropped: count(broken).saturating_add(count(refused)),
        });
        let part = Part {
            session,
            path: stretch.path,
            mark: stretch.mark,
            events,
            handoff,
            spooled,
        };
        let pending = self.store.record_part(&caller.tenant, part, intake.now)?;
        Ok((pending, refused))
    }

    /// How far a session file was read.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn mark(&self, caller: &Caller, path: &PathHash) -> Result<Option<Mark>, Error> {
        Ok(self.store.mark(self.wait, &caller.tenant, path)?)
    }

    /// Counts a line of a spool that cannot be read.
    ///
    /// # Errors
    /// `Overloaded`; pending: `Unavailable`.
    pub fn count_lost_spool(&self) -> Result<Pending<()>, Error> {
        Ok(self.store.count_lost_spool()?)
    }

    /// Makes another id mean a project, and moves what was stored under it; takes as long as there is something to move.
    ///
    /// # Errors
    /// `Conflict` when the id is the project's own or another's already; `Unavailable`.
    pub fn alias_project(
        &self,
        caller: &Caller,
        project: &Name,
        alias: &Name,
    ) -> Result<Project, Error> {
        let now = self.clock.now();
        Ok(self
            .store
            .alias_project(&caller.tenant, project, alias, now)?)
    }
}
