//! Sessions and projects: where events and handoffs belong.
//!
//! **Invariant:** neither has to be announced; the first write that names one makes it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::content::{Cleaner, Redactions};
use crate::domain::event::check_tenant;
use crate::domain::{Invalid, JobId, JobType, Name, TenantId, Timestamp};

/// The start of a session as a client announces it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionDraft {
    /// The client's name of the session.
    #[schemars(with = "crate::domain::Name")]
    pub session_id: String,
    /// The tenant; it has to agree with the caller's.
    #[schemars(with = "Option<TenantId>")]
    pub tenant_id: Option<String>,
    /// The project, if any.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub project_id: Option<String>,
    /// With whom, if known.
    #[schemars(with = "Option<crate::domain::Name>")]
    pub with_whom: Option<String>,
    /// When it started; now, if absent.
    pub started_at: Option<Timestamp>,
}

/// A session ready to be stored.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// The client's name of it.
    pub session: Name,
    /// The project.
    pub project: Option<Name>,
    /// With whom.
    pub with_whom: Option<Name>,
    /// When it started.
    pub started_at: Timestamp,
    /// What was taken out.
    pub redactions: Redactions,
}

impl NewSession {
    /// Validates and cleans a draft.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn parse(draft: &SessionDraft, tenant: &TenantId, now: Timestamp) -> Result<Self, Invalid> {
        check_tenant(draft.tenant_id.as_deref(), tenant)?;
        let mut cleaner = Cleaner::default();
        let mut name =
            |field, text: Option<&str>| Name::parse_opt(field, cleaner.text_opt(text).as_deref());
        let project = name("project_id", draft.project_id.as_deref())?;
        let with_whom = name("with_whom", draft.with_whom.as_deref())?;
        let session = Name::parse("session_id", &cleaner.text(&draft.session_id))?;
        Ok(Self {
            session,
            project,
            with_whom,
            started_at: draft.started_at.unwrap_or(now),
            redactions: cleaner.into_redactions(),
        })
    }
}

/// A session as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Session {
    /// The client's name of it.
    pub session_id: Name,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// Its project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Name>,
    /// With whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_whom: Option<Name>,
    /// When it started, or when its first event happened.
    pub started_at: Timestamp,
    /// When something last happened in it.
    pub last_seen_at: Timestamp,
    /// What it holds.
    pub counts: SessionCounts,
}

/// What a session holds.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct SessionCounts {
    /// Events.
    pub events: i64,
    /// Handoffs.
    pub handoffs: i64,
}

/// A project as it is read back.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Project {
    /// The client's id of it.
    pub project_id: Name,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// What to call it.
    pub name: String,
    /// Other ids that mean it.
    pub aliases: Vec<String>,
}

/// Work that goes on after its answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Job {
    /// Its id.
    pub job_id: JobId,
    /// What it does.
    pub job_type: JobType,
}
