//! Taking a tenant out: JSON lines in bounded pieces.
//!
//! **Invariant:** what is secret leaves this way by the command line alone, which reads with the file's permissions.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::domain::export::{
    Counts, ExportPage, FORMAT, Header, Kind, LeftOut, Line, Trailer, VERSION, Walk,
};
use crate::domain::{Caller, Sensitivity, Via};
use crate::service::{Error, Services};
use crate::store::StoreError;
use crate::store::sqlite::schema_version;

/// How often a page is asked for; each time waits for a connection as long as any read does.
const TRIES: u32 = 5;

/// An export on its way.
#[derive(Debug)]
pub struct Export {
    caller: Caller,
    most: Sensitivity,
    walk: Walk,
    digest: Sha256,
    counts: Counts,
    secret: u64,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Header,
    Rows,
    Done,
}

impl Export {
    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.counts.sum()
    }
}

/// The highest sensitivity that this caller's export holds.
fn most(caller: &Caller) -> Sensitivity {
    match caller.actor.via {
        Via::Cli => Sensitivity::Secret,
        Via::Http | Via::Mcp | Via::Job => caller.clearance(),
    }
}

impl Services {
    /// Begins an export of what the caller's tenant holds now; [`Services::export_piece`] goes on with it.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn begin_export(&self, caller: &Caller) -> Result<Export, Error> {
        self.note_export(caller);
        Ok(Export {
            caller: caller.clone(),
            most: most(caller),
            walk: self.store.begin_export(self.wait, &caller.tenant)?,
            digest: Sha256::new(),
            counts: Counts::default(),
            secret: 0,
            step: Step::Header,
        })
    }

    /// Has it written down that an export begins. Reading goes on where nothing can be written, so nobody waits for it.
    pub(super) fn note_export(&self, caller: &Caller) {
        if let Err(error) = self.store.by(caller).note_export(&caller.tenant) {
            tracing::warn!(%error, "an export could not be written down");
        }
    }

    /// The next lines of an export; none after the last. A piece may be empty, where the rows of others are passed over.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`.
    pub fn export_piece(&self, export: &mut Export) -> Result<Option<Vec<u8>>, Error> {
        let mut piece = Vec::new();
        match export.step {
            Step::Header => {
                write_line(&mut piece, &Line::Header(self.header(export)))?;
                export.step = Step::Rows;
            }
            Step::Rows if export.walk.stage.is_some() => {
                let page = self.next_page(export)?;
                export.secret += page.secret;
                for line in page.lines {
                    write_row(&mut piece, line, &mut export.counts)?;
                }
            }
            Step::Rows => {
                write_line(&mut piece, &Line::Trailer(trailer(export)))?;
                export.step = Step::Done;
            }
            Step::Done => return Ok(None),
        }
        export.digest.update(&piece);
        Ok(Some(piece))
    }

    /// Breaking off would lose what has been sent, so a busy store is asked again.
    fn next_page(&self, export: &mut Export) -> Result<ExportPage, Error> {
        let tenant = &export.caller.tenant;
        let mut tries = 1;
        loop {
            let page = self
                .store
                .export_page(self.wait, tenant, export.most, &mut export.walk);
            match page {
                Err(StoreError::Overloaded) if tries < TRIES => tries += 1,
                other => return Ok(other?),
            }
        }
    }

    fn header(&self, export: &Export) -> Header {
        Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            tenant_id: export.caller.tenant.to_string(),
            created_at: self.clock.now(),
            schema: schema_version(),
            up_to: export.most,
        }
    }
}

fn trailer(export: &Export) -> Trailer {
    // How much there is that a channel may not see is not for that channel either.
    let may_know = export.most >= Sensitivity::High;
    Trailer {
        counts: export.counts,
        left_out: may_know.then_some(LeftOut {
            secret: export.secret,
        }),
        sha256: hex(&export.digest),
    }
}

/// The digest so far, in hex.
pub(super) fn hex(digest: &Sha256) -> String {
    let digest = digest.clone().finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_row(piece: &mut Vec<u8>, line: Line, counts: &mut Counts) -> Result<(), Error> {
    if let Some(kind) = kind(&line) {
        counts.add(kind);
    }
    let Line::Artifact(artifact) = line else {
        return write_line(piece, &line);
    };
    let mut parts = artifact.parts().into_iter().map(Line::Artifact);
    parts.try_for_each(|part| write_line(piece, &part))
}

/// What a line counts as.
pub(super) fn kind(line: &Line) -> Option<Kind> {
    match line {
        Line::Header(_) | Line::Trailer(_) => None,
        Line::Project(_) => Some(Kind::Project),
        Line::Session(_) => Some(Kind::Session),
        Line::Event(_) => Some(Kind::Event),
        Line::Artifact(_) => Some(Kind::Artifact),
        Line::Handoff(_) => Some(Kind::Handoff),
        Line::Decision(_) => Some(Kind::Decision),
        Line::Knowledge(_) => Some(Kind::Knowledge),
        Line::Reflection(_) => Some(Kind::Reflection),
        Line::Principle(_) => Some(Kind::Principle),
    }
}

fn write_line(piece: &mut Vec<u8>, line: &impl Serialize) -> Result<(), Error> {
    serde_json::to_writer(&mut *piece, line).map_err(|error| Error::Internal(Box::new(error)))?;
    piece.push(b'\n');
    Ok(())
}
