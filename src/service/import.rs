//! Putting an export in: line by line, in slices that are each one unit of work.
//!
//! An [`Import`] is fed bytes and gives blocks of whole lines; each block becomes one slice. So an import of any size
//! holds some megabytes, lets other writes get their turn, and may stop anywhere: what was stored is whole rows, and the
//! same import again goes on, since a row that is there is left as it is.
//!
//! **Invariant:** nothing is stored before the header is read, and an import is only done when the trailer agrees.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::content::Cleaner;
use crate::domain::event::Intake;
use crate::domain::export::{
    ArtifactRow, Counts, EventRow, FORMAT, Header, Kind, Line, Trailer, VERSION,
};
use crate::domain::import::{Conflict, How, ImportLine, Intaker, Mode, SliceReport};
use crate::domain::redact::redact;
use crate::domain::{Caller, Invalid, TenantId};
use crate::service::export::hex;
use crate::service::{Error, Pending, Services};
use crate::store::{Store, StoreError};

mod blocks;

use blocks::{Blocks, MAX_LINE_BYTES};

/// Most bytes of an import. From the contract.
const MAX_IMPORT_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// Conflicts that are listed; the others are counted. From the contract.
const LISTED_CONFLICTS: usize = 100;
/// How often a slice is offered to a full queue, and the pause between: a second in all.
const OFFERS: u32 = 50;
const OFFER_PAUSE: Duration = Duration::from_millis(20);

/// What an import came to, or has come to.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ImportReport {
    /// What became of rows whose id was taken.
    pub mode: Mode,
    /// Whether nothing was really stored.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// Stored now.
    pub stored: Counts,
    /// There already.
    pub unchanged: Counts,
    /// Not stored, since what is there contradicts; the first hundred.
    #[schemars(length(max = LISTED_CONFLICTS))]
    pub conflicts: Vec<Conflict>,
    /// All of them.
    pub conflict_count: u64,
    /// Secrets taken out.
    pub redacted: i64,
}

/// Why an import stopped, and what it had stored.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ImportFailure {
    /// The line, from 1, if it was a line's fault.
    pub line: Option<u64>,
    /// What was wrong.
    pub cause: ImportCause,
    /// What was stored before.
    pub report: ImportReport,
}

/// What stopped an import.
#[derive(Debug)]
pub enum ImportCause {
    /// A line is no JSON.
    Unparsable(Invalid),
    /// Something else is wrong in the file.
    Wrong(Invalid),
    /// The import could not go on.
    Failed(Box<Error>),
}

impl ImportFailure {
    fn describe(&self) -> String {
        let line = self
            .line
            .map_or(String::new(), |line| format!("line {line}: "));
        let cause = match &self.cause {
            ImportCause::Unparsable(invalid) | ImportCause::Wrong(invalid) => invalid.to_string(),
            ImportCause::Failed(error) => error.to_string(),
        };
        let stored = self.report.stored.sum();
        let again = match (self.report.dry_run, stored) {
            (true, _) => "nothing was stored, as this was a dry run".to_owned(),
            (false, 0) => "nothing was stored".to_owned(),
            (false, _) => format!(
                "{stored} rows were stored before; the same import again goes on from there"
            ),
        };
        format!("{line}{cause}; {again}")
    }
}

/// An import on its way.
#[derive(Debug)]
pub struct Import {
    /// In the hands of who imports.
    store: Store,
    tenant: TenantId,
    how: How,
    source: Option<String>,
    line: u64,
    bytes: u64,
    digest: Sha256,
    seen: Counts,
    /// An event whose artifact has not been read whole.
    open: Option<(u64, EventRow, Option<ArtifactRow>)>,
    /// Whether the trailer was read.
    ended: bool,
    /// Whether no more bytes come.
    closed: bool,
    blocks: Blocks,
    report: ImportReport,
}

type Wrong = (u64, ImportCause);

impl Import {
    /// Takes bytes of the export as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.blocks.push(bytes);
    }

    /// A block of lines for [`Services::import_block`], if there is one.
    pub fn block(&mut self) -> Option<Vec<u8>> {
        self.blocks.take()
    }

    /// The last block, when no more bytes come.
    pub fn last_block(&mut self) -> Vec<u8> {
        self.closed = true;
        self.blocks.rest()
    }

    /// Counts what became of a block.
    pub fn note(&mut self, slice: SliceReport) {
        self.report.stored.merge(&slice.stored);
        self.report.unchanged.merge(&slice.unchanged);
        self.report.conflict_count += u64::try_from(slice.conflicts.len()).unwrap_or(0);
        let room = LISTED_CONFLICTS - self.report.conflicts.len().min(LISTED_CONFLICTS);
        self.report
            .conflicts
            .extend(slice.conflicts.into_iter().take(room));
    }

    /// What it has come to so far.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// What it came to.
    pub fn finish(self) -> ImportReport {
        self.report
    }

    fn read_block(&mut self, block: &[u8], intake: Intake) -> Result<Vec<ImportLine>, Wrong> {
        let mut rows = Vec::new();
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            self.line += 1;
            self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
            let row = self
                .read_line(line, intake)
                .map_err(|cause| (self.line, cause))?;
            rows.extend(row);
        }
        if self.closed && !self.ended {
            let what = if self.line == 0 {
                "is empty"
            } else {
                "breaks off: the trailer is missing"
            };
            return Err((self.line + 1, wrong("body", what)));
        }
        Ok(rows)
    }

    fn read_line(
        &mut self,
        line: &[u8],
        intake: Intake,
    ) -> Result<Option<ImportLine>, ImportCause> {
        if line.len() > MAX_LINE_BYTES {
            return Err(wrong("line", "is longer than 32 MiB"));
        }
        if self.bytes > MAX_IMPORT_BYTES {
            return Err(wrong("body", "is larger than 64 GiB"));
        }
        if line.trim_ascii().is_empty() {
            self.digest.update(line);
            return Ok(None);
        }
        if self.ended {
            return Err(wrong("line", "stands after the trailer"));
        }
        if self.source.is_none() {
            self.source = Some(read_header(line)?.tenant_id);
            self.digest.update(line);
            return Ok(None);
        }
        let read = parse(line)?;
        if let Line::Trailer(trailer) = &read {
            self.check_trailer(trailer)?;
            self.ended = true;
            return Ok(None);
        }
        self.digest.update(line);
        self.check_tenant(&read)?;
        self.read_row(read, intake).map_err(ImportCause::Wrong)
    }

    fn check_tenant(&self, line: &Line) -> Result<(), ImportCause> {
        let tenant = match line {
            Line::Header(_) => return Err(wrong("type", "is a second header")),
            Line::Trailer(_) => return Ok(()),
            Line::Project(row) => &row.tenant_id,
            Line::Session(row) => &row.tenant_id,
            Line::Event(row) => &row.tenant_id,
            Line::Artifact(row) => &row.tenant_id,
            Line::Handoff(row) => &row.tenant_id,
            Line::Decision(row) => &row.tenant_id,
            Line::Knowledge(row) => &row.tenant_id,
            Line::Reflection(row) => &row.tenant_id,
            Line::Principle(row) => &row.tenant_id,
        };
        if self.source.as_ref() == Some(tenant) {
            Ok(())
        } else {
            Err(wrong("tenant_id", "is not the tenant of the header"))
        }
    }

    fn read_row(&mut self, line: Line, intake: Intake) -> Result<Option<ImportLine>, Invalid> {
        let tenant = self.tenant.clone();
        let intaker = Intaker {
            tenant: &tenant,
            intake,
            cleaner: Cleaner::default(),
        };
        let at = self.line;
        if let Line::Artifact(part) = line {
            return self.artifact(part, intaker);
        }
        if self.open.is_some() {
            return Err(Invalid::new(
                "type",
                "is not artifact, but the event before has one",
            ));
        }
        let (kind, row) = match line {
            Line::Project(row) => (Kind::Project, intaker.project(&row, at)?),
            Line::Session(row) => (Kind::Session, intaker.session(&row, at)?),
            Line::Event(row) if row.artifact_id.is_some() => {
                // What is wrong with the event is said of its own line, not of its artifact's.
                intaker.event(row.clone(), None, at)?;
                self.seen.add(Kind::Event);
                self.open = Some((at, row, None));
                return Ok(None);
            }
            Line::Event(row) => (Kind::Event, intaker.event(row, None, at)?),
            Line::Handoff(row) => (Kind::Handoff, intaker.handoff(row, at)?),
            Line::Decision(row) => (Kind::Decision, intaker.decision(row, at)?),
            Line::Knowledge(row) => (Kind::Knowledge, intaker.knowledge(row, at)?),
            Line::Reflection(row) => (Kind::Reflection, intaker.reflection(row, at)?),
            Line::Principle(row) => (Kind::Principle, intaker.principle(row, at)?),
            Line::Header(_) | Line::Artifact(_) | Line::Trailer(_) => return Ok(None),
        };
        self.seen.add(kind);
        Ok(Some(self.counted(row)))
    }

    /// A part of the open event's artifact; answers the event with the last one.
    fn artifact(
        &mut self,
        mut part: ArtifactRow,
        intaker: Intaker<'_>,
    ) -> Result<Option<ImportLine>, Invalid> {
        let Some((at, event, so_far)) = self.open.take() else {
            return Err(Invalid::new(
                "type",
                "is artifact, but no event before it has one",
            ));
        };
        if event.artifact_id != Some(part.artifact_id) || event.event_id != part.event_id {
            return Err(Invalid::new(
                "artifact_id",
                "is not the artifact of the event before",
            ));
        }
        let (text, offset) = (std::mem::take(&mut part.text), part.offset);
        let mut whole = so_far.unwrap_or(ArtifactRow { offset: 0, ..part });
        if offset != whole.text.len() {
            return Err(Invalid::new(
                "offset",
                "does not go on where the part before ended",
            ));
        }
        if whole.bytes > intaker.intake.max_artifact_bytes {
            let most = intaker.intake.max_artifact_bytes;
            return Err(Invalid::new(
                "bytes",
                format!("is more than the {most} that an artifact may have here"),
            ));
        }
        whole.text.push_str(&text);
        if whole.text.len() < whole.bytes && !text.is_empty() {
            self.open = Some((at, event, Some(whole)));
            return Ok(None);
        }
        if whole.text.len() != whole.bytes {
            return Err(Invalid::new("bytes", "is not the length of the text"));
        }
        self.seen.add(Kind::Artifact);
        let row = intaker.event(event, Some(whole), at)?;
        Ok(Some(self.counted(row)))
    }

    fn counted(&mut self, row: ImportLine) -> ImportLine {
        self.report.redacted += row.redactions.values().sum::<i64>();
        row
    }

    fn check_trailer(&self, trailer: &Trailer) -> Result<(), ImportCause> {
        if self.open.is_some() {
            return Err(wrong(
                "type",
                "is trailer, but the artifact of the event before is missing",
            ));
        }
        if trailer.counts != self.seen {
            return Err(wrong(
                "counts",
                "are not what stands above; lines are missing or doubled",
            ));
        }
        if trailer.sha256 != hex(&self.digest) {
            return Err(wrong(
                "sha256",
                "is not that of the lines above; they were changed",
            ));
        }
        Ok(())
    }
}

impl Services {
    /// Begins an import into the caller's tenant.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn begin_import(&self, caller: &Caller, how: How) -> Result<Import, Error> {
        Ok(Import {
            store: self.writer(caller)?,
            tenant: caller.tenant.clone(),
            how,
            source: None,
            line: 0,
            bytes: 0,
            digest: Sha256::new(),
            seen: Counts::default(),
            open: None,
            ended: false,
            closed: false,
            blocks: Blocks::default(),
            report: ImportReport {
                mode: how.mode,
                dry_run: how.dry_run,
                stored: Counts::default(),
                unchanged: Counts::default(),
                conflicts: Vec::new(),
                conflict_count: 0,
                redacted: 0,
            },
        })
    }

    /// Reads a block and stores its rows; [`Import::note`] the answer.
    ///
    /// # Errors
    /// `Import`, which names the line; pending: `Unavailable`.
    pub fn import_block(
        &self,
        import: &mut Import,
        block: &[u8],
    ) -> Result<Pending<SliceReport>, Error> {
        let intake = self.intake();
        let rows = import
            .read_block(block, intake)
            .map_err(|wrong| refuse(&import.report, wrong))?;
        if rows.is_empty() {
            return Ok(Pending::done(Ok(SliceReport::default())));
        }
        let rows = Arc::new(rows);
        for _ in 1..OFFERS {
            let offer = Arc::clone(&rows);
            match import
                .store
                .import_slice(&import.tenant, offer, import.how, intake.now)
            {
                Err(StoreError::Overloaded) => thread::sleep(OFFER_PAUSE),
                other => return other.map_err(|error| stopped(&import.report, error.into())),
            }
        }
        Err(stopped(&import.report, Error::Overloaded))
    }
}

/// An import that could not go on, with what it had stored.
pub fn stopped(report: &ImportReport, error: Error) -> Error {
    if matches!(error, Error::Import(_)) {
        return error;
    }
    Error::Import(Box::new(ImportFailure {
        line: None,
        cause: ImportCause::Failed(Box::new(error)),
        report: report.clone(),
    }))
}

fn refuse(report: &ImportReport, (line, cause): Wrong) -> Error {
    Error::Import(Box::new(ImportFailure {
        line: Some(line),
        cause,
        report: report.clone(),
    }))
}

fn wrong(field: &str, reason: &str) -> ImportCause {
    ImportCause::Wrong(Invalid::new(field, reason))
}

fn read_header(line: &[u8]) -> Result<Header, ImportCause> {
    let value: serde_json::Value = serde_json::from_slice(line)
        .map_err(|_| ImportCause::Unparsable(Invalid::new("line", "is not JSON")))?;
    let is =
        |key: &str, word: &str| value.get(key).and_then(serde_json::Value::as_str) == Some(word);
    if !is("type", "header") {
        return Err(wrong(
            "type",
            "is not header; the first line has to be the header of an export",
        ));
    }
    if !is("format", FORMAT) {
        return Err(wrong("format", "is not agent-memory"));
    }
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version.is_none_or(|version| version == 0) {
        return Err(wrong("version", "is not a version"));
    }
    if version > Some(u64::from(VERSION)) {
        let reason = format!(
            "is newer than the {VERSION} that this agent-memory reads; import it with a newer one"
        );
        return Err(wrong("version", &reason));
    }
    match parse(line)? {
        Line::Header(header) => Ok(header),
        _ => Err(wrong("type", "is not header")),
    }
}

/// What serde says of a line quotes it, so secrets are taken out.
fn parse(line: &[u8]) -> Result<Line, ImportCause> {
    serde_json::from_slice(line).map_err(|error| {
        if error.is_data() {
            let text = error.to_string();
            let text = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(text, _)| text);
            let reason: String = redact(text).text.chars().take(300).collect();
            wrong("line", &reason)
        } else {
            let reason = format!("is not valid JSON (column {})", error.column());
            ImportCause::Unparsable(Invalid::new("line", reason))
        }
    })
}
