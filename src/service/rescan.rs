//! Looking through what is stored for secrets that today's rules know and those of the day it was written did not.
//!
//! A rescan reads a tenant as an export does, page by page, and cleans each row as an import would. A row that comes out
//! another is put in the place of the stored one, by the same functions that any deletion and any write goes through: so
//! its passages, its terms, its artifact and the pages they stood on follow. It is listed under its id then, a little
//! later in the order of rows of the same millisecond. Names of sessions and projects are replaced last: what they held
//! has moved by then, and the empty ones are dropped. A second run finds nothing.
//!
//! **Invariant:** what is reported is ids and kinds; nothing here quotes a secret, the name of a session or of a project.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::content::{Cleaner, Redactions};
use crate::domain::export::{ArtifactRow, Counts, EventRow, Line, Walk};
use crate::domain::import::{How, ImportLine, Intaker, Mode};
use crate::domain::{Caller, Invalid, Name, Sensitivity, TenantId};
use crate::service::export::kind;
use crate::service::{Error, Services};

/// Findings that are listed; the others are counted.
pub const LISTED_FINDINGS: usize = 10_000;

/// A row that holds secrets.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What it is: `event`, `handoff`, ….
    #[serde(rename = "type")]
    pub what: &'static str,
    /// Its id; of sessions and projects, whose id may be the secret, the name after redaction.
    pub id: String,
    /// How many secrets of each kind.
    pub secrets: BTreeMap<&'static str, i64>,
    /// Why it could not be replaced, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
}

/// What a rescan came to, or has come to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct RescanReport {
    /// Whether nothing was replaced.
    pub dry_run: bool,
    /// Rows that were looked at.
    pub looked_at: Counts,
    /// How many secrets of each kind were found.
    pub secrets: BTreeMap<&'static str, i64>,
    /// Rows that hold some.
    pub rows: u64,
    /// Rows that were replaced.
    pub replaced: u64,
    /// Rows that were not, though they should have been.
    pub left: u64,
    /// The rows; the first ten thousand.
    pub findings: Vec<Finding>,
}

/// A rescan on its way.
#[derive(Debug)]
pub struct Rescan {
    tenant: TenantId,
    walk: Walk,
    all: u64,
    report: RescanReport,
    sessions: Vec<Name>,
    projects: Vec<Name>,
}

impl Rescan {
    /// What it has come to so far.
    pub fn report(&self) -> &RescanReport {
        &self.report
    }

    /// How far it has come, of how much; in numbers of rows, those of other tenants among them.
    pub fn progress(&self) -> (u64, u64) {
        let done = |stage: usize| self.walk.marks.iter().take(stage).sum::<i64>();
        let at = match self.walk.stage {
            Some(stage) => done(stage as usize) + self.walk.after,
            None => done(usize::MAX),
        };
        (u64::try_from(at).unwrap_or(0).min(self.all), self.all)
    }

    fn found(&mut self, finding: Finding) {
        self.report.rows += 1;
        for (kind, count) in &finding.secrets {
            *self.report.secrets.entry(kind).or_default() += count;
        }
        self.report.left += u64::from(finding.left.is_some());
        if self.report.findings.len() < LISTED_FINDINGS {
            self.report.findings.push(finding);
        }
    }
}

impl Services {
    /// The tenants that there are, for commands that act with the file's permissions.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn tenants(&self) -> Result<Vec<TenantId>, Error> {
        Ok(self.store.tenants(self.wait)?)
    }

    /// Begins a rescan of what the caller's tenant holds now; [`Services::rescan_piece`] goes on with it.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn begin_rescan(&self, caller: &Caller, dry_run: bool) -> Result<Rescan, Error> {
        let walk = self.store.begin_export(self.wait, &caller.tenant)?;
        let report = RescanReport {
            dry_run,
            ..RescanReport::default()
        };
        Ok(Rescan {
            tenant: caller.tenant.clone(),
            all: u64::try_from(walk.marks.iter().sum::<i64>()).unwrap_or(0),
            walk,
            report,
            sessions: Vec::new(),
            projects: Vec::new(),
        })
    }

    /// Looks through the next rows, and replaces those that hold a secret; answers whether there are more. Blocks.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`; what was replaced before stays so, and the same again goes on.
    pub fn rescan_piece(&self, rescan: &mut Rescan) -> Result<bool, Error> {
        if rescan.walk.stage.is_none() {
            self.drop_names(rescan)?;
            return Ok(false);
        }
        let (wait, most) = (self.wait, Sensitivity::Secret);
        let page = self
            .store
            .export_page(wait, &rescan.tenant, most, &mut rescan.walk)?;
        let mut lines = page.lines.into_iter().peekable();
        while let Some(line) = lines.next() {
            if let Some(kind) = kind(&line) {
                rescan.report.looked_at.add(kind);
            }
            let artifact = match lines.peek() {
                Some(Line::Artifact(_)) => lines.next(),
                _ => None,
            };
            let artifact = match artifact {
                Some(Line::Artifact(row)) => Some(row),
                _ => None,
            };
            self.rescan_row(rescan, line, artifact)?;
        }
        Ok(true)
    }

    fn rescan_row(
        &self,
        rescan: &mut Rescan,
        line: Line,
        artifact: Option<ArtifactRow>,
    ) -> Result<(), Error> {
        let Some((what, id)) = what_and_id(&line) else {
            return Ok(());
        };
        // Cleaned by itself first: a row that is refused today for another reason is not to hide what it holds.
        let mut secrets = secrets_of(&line);
        if let Some(artifact) = &artifact {
            rescan.report.looked_at.artifacts += 1;
            for (kind, count) in secrets_of(&Line::Artifact(artifact.clone())) {
                *secrets.entry(kind).or_default() += count;
            }
        }
        if secrets.is_empty() {
            return Ok(());
        }
        let mut finding = Finding {
            what,
            id,
            secrets: secrets
                .iter()
                .map(|(kind, count)| (kind.as_str(), *count))
                .collect(),
            left: None,
        };
        if !rescan.report.dry_run {
            match &line {
                Line::Session(row) => rescan.sessions.extend(unclean(&row.session_id)),
                Line::Project(row) => {
                    // The other names first: they stand for it.
                    let names = row.aliases.iter().chain([&row.project_id]);
                    rescan
                        .projects
                        .extend(names.filter_map(|name| unclean(name)));
                }
                _ => (),
            }
            match self.clean(&rescan.tenant, line, artifact) {
                Err(invalid) => finding.left = Some(invalid.to_string()),
                Ok(None) => (),
                Ok(Some(row)) => {
                    finding.left = self.replace(&rescan.tenant, row)?;
                    rescan.report.replaced += u64::from(finding.left.is_none());
                }
            }
        }
        rescan.found(finding);
        Ok(())
    }

    fn clean(
        &self,
        tenant: &TenantId,
        line: Line,
        artifact: Option<ArtifactRow>,
    ) -> Result<Option<ImportLine>, Invalid> {
        let mut intake = self.intake();
        // What was stored under another limit is not to be refused now.
        intake.max_artifact_bytes = usize::MAX;
        let intaker = Intaker {
            tenant,
            intake,
            cleaner: Cleaner::default(),
        };
        Ok(Some(match line {
            Line::Project(row) => intaker.project(&row, 0)?,
            Line::Session(row) => intaker.session(&row, 0)?,
            Line::Event(row) => intaker.event(row, artifact, 0)?,
            Line::Handoff(row) => intaker.handoff(row, 0)?,
            Line::Decision(row) => intaker.decision(row, 0)?,
            Line::Knowledge(row) => intaker.knowledge(row, 0)?,
            Line::Reflection(row) => intaker.reflection(row, 0)?,
            Line::Principle(row) => intaker.principle(row, 0)?,
            Line::Header(_) | Line::Artifact(_) | Line::Trailer(_) => return Ok(None),
        }))
    }

    /// Puts a cleaned row in the place of the stored one; answers why not, if so.
    fn replace(&self, tenant: &TenantId, row: ImportLine) -> Result<Option<String>, Error> {
        let how = How {
            mode: Mode::Replace,
            dry_run: false,
        };
        let now = self.clock.now();
        let pending = self
            .store
            .import_slice(tenant, Arc::new(vec![row]), how, now)?;
        let report = pending.wait()?;
        Ok(report
            .conflicts
            .first()
            .map(|conflict| conflict.reason.to_owned()))
    }

    fn drop_names(&self, rescan: &mut Rescan) -> Result<(), Error> {
        if rescan.report.dry_run || rescan.report.rows == 0 {
            return Ok(());
        }
        let sessions = std::mem::take(&mut rescan.sessions);
        let projects = std::mem::take(&mut rescan.projects);
        let pending = self.store.drop_names(&rescan.tenant, sessions, projects)?;
        rescan.report.left += pending.wait()?;
        Ok(())
    }
}

/// The name, if it holds a secret.
fn unclean(name: &str) -> Option<Name> {
    let mut cleaner = Cleaner::default();
    (cleaner.text(name) != name).then(|| Name::stored(name.to_owned()))
}

/// What cleaning would take out of a row. Ids and times hold nothing that could be taken for a secret.
fn secrets_of(line: &Line) -> Redactions {
    let mut cleaner = Cleaner::default();
    match line {
        Line::Event(row) => {
            event_texts(&mut cleaner, row);
        }
        Line::Artifact(row) => {
            match row.meta.get("format").and_then(serde_json::Value::as_str) {
                Some("json") => {
                    drop(serde_json::from_str(&row.text).map(|whole| cleaner.value(whole)))
                }
                _ => drop(cleaner.text(&row.text)),
            }
            cleaner.value(row.meta.clone());
        }
        other => {
            cleaner.value(serde_json::to_value(other).unwrap_or_default());
        }
    }
    cleaner.into_redactions()
}

fn event_texts(cleaner: &mut Cleaner, row: &EventRow) {
    cleaner.content(row.content.clone());
    let names = [
        Some(&row.session_id),
        row.project_id.as_ref(),
        Some(&row.actor.id),
    ];
    let texts = names
        .into_iter()
        .flatten()
        .chain(&row.tags)
        .chain(&row.refs);
    for text in texts {
        cleaner.text(text);
    }
}

fn what_and_id(line: &Line) -> Option<(&'static str, String)> {
    let shown = |name: &str| Cleaner::default().text(name);
    Some(match line {
        Line::Project(row) => ("project", shown(&row.project_id)),
        Line::Session(row) => ("session", shown(&row.session_id)),
        Line::Event(row) => ("event", row.event_id.to_string()),
        Line::Handoff(row) => ("handoff", row.handoff_id.to_string()),
        Line::Decision(row) => ("decision", row.decision_id.to_string()),
        Line::Knowledge(row) => ("knowledge", row.note_id.to_string()),
        Line::Reflection(row) => ("reflection", row.reflection_id.to_string()),
        Line::Principle(row) => ("principle", row.principle_id.to_string()),
        Line::Header(_) | Line::Artifact(_) | Line::Trailer(_) => return None,
    })
}
