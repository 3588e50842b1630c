//! `POST /api/v1/import`, streamed.
//!
//! **Invariant:** holds one block of lines and what of the next has come, however long the body is.

use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{self, Data, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::{timeout, timeout_at};

use crate::domain::Invalid;
use crate::domain::export::Line;
use crate::domain::import::{How, Mode};
use crate::http::State;
use crate::http::openapi::{Operation, Query, Tag, json, lines, post};
use crate::http::pace::Pace;
use crate::http::problem::Problem;
use crate::http::request::{Ask, Media, drain, media, next, plain};
use crate::service::{Error, Import, ImportCause, ImportReport, stopped};

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/api/v1/import").route(web::post().to(import)));
}

const MODE: Query = Query::new(
    "mode",
    "What becomes of a row whose id is taken; `merge` if absent.",
    |schemas| schemas.subschema_for::<Mode>(),
);
const TAKES: &[Query] = &[MODE];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/api/v1/import",
            "import",
            "Takes the lines of an export, streamed.",
        )
        .tagged(Tag::Transfer)
        .query(TAKES)
        .streams(lines::<Line>())
        .answers(200, "What was stored.", vec![json::<ImportReport>()]),
    ]
}

async fn import(
    state: Data<State>,
    ask: Ask,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    ask.only(TAKES)?;
    plain(&request)?;
    // A body that says nothing of its type is taken for what it should be.
    if request.headers().contains_key(CONTENT_TYPE) && media(&request)? != Media::Lines {
        return Err(Problem::Media("application/x-ndjson"));
    }
    let how = How {
        mode: Mode::parse("mode", ask.text("mode").unwrap_or("merge"))?,
        dry_run: false,
    };
    let import = state.exec.services().begin_import(&ask.caller()?, how)?;
    let _permit = state.exec.stream()?;
    let mut body = body.into_inner();
    match read(&state, &mut body, import).await {
        Ok(report) => Ok(HttpResponse::Ok().json(report)),
        Err(error) => {
            // So that the client, still sending, gets to see the answer. It has as long as for a body, unless it has had
            // that.
            if !is_late(&error) {
                drop(timeout(state.options.body_timeout, drain(&mut body)).await);
            }
            Err(error.into())
        }
    }
}

/// Whether the body came too slowly, or its rows were stored too slowly.
fn is_late(error: &Error) -> bool {
    let Error::Import(failure) = error else {
        return false;
    };
    matches!(&failure.cause, ImportCause::Failed(cause) if matches!(**cause, Error::Timeout))
}

async fn read(
    state: &State,
    body: &mut actix_web::dev::Payload,
    mut import: Import,
) -> Result<ImportReport, Error> {
    let mut pace = Pace::new(state.options.body_timeout);
    loop {
        let part = timeout_at(pace.waits(), next(body)).await;
        let part = part.map_err(|_| stopped(import.report(), Error::Timeout))?;
        let Some(part) = part else { break };
        let broke = |_| stopped(import.report(), Invalid::new("body", "broke off").into());
        let part = part.map_err(broke)?;
        pace.moves(part.len());
        import.push(&part);
        while let Some(block) = import.block() {
            import = store(state, import, block).await?;
        }
    }
    let block = import.last_block();
    Ok(store(state, import, block).await?.finish())
}

async fn store(state: &State, mut import: Import, block: Vec<u8>) -> Result<Import, Error> {
    let so_far = import.report().clone();
    let stopped = |error| stopped(&so_far, error);
    let step = move |services: &crate::service::Services| {
        let pending = services.import_block(&mut import, &block)?;
        Ok((import, pending))
    };
    let (mut import, pending) = state.exec.step(step).await.map_err(stopped)?;
    let slice = state.exec.settle(pending).await.map_err(stopped)?;
    import.note(slice);
    Ok(import)
}
