//! `/api/v1/handoff`, `/api/v1/handoffs` and the identity thread.
//!
//! **Invariant:** `handoff` and `handoffs` are one resource; the first is the older API's name for writing.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use serde::Serialize;

use crate::domain::handoff::{Handoff, HandoffDraft, HandoffFilter};
use crate::domain::page::{self, List};
use crate::domain::{HandoffId, Name, Timestamp};
use crate::http::State;
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/handoff").route(web::post().to(create)))
        .service(
            web::resource("/api/v1/handoffs")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(web::resource("/api/v1/handoffs/last").route(web::get().to(last)))
        .service(
            web::resource("/api/v1/handoffs/{id}")
                .route(web::get().to(show))
                .route(web::delete().to(forget)),
        )
        .service(web::resource("/api/v1/identity-thread").route(web::get().to(identity_thread)));
}

#[derive(Serialize)]
struct Created {
    success: bool,
    handoff_id: HandoffId,
    created_at: Timestamp,
    handoff: Handoff,
}

async fn create(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: HandoffDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let handoff = state
        .exec
        .write(size, move |services| {
            services.create_handoff(&caller, draft, key.as_deref())
        })
        .await?;
    let created = Created {
        success: true,
        handoff_id: handoff.handoff_id,
        created_at: handoff.created_at,
        handoff,
    };
    Ok(HttpResponse::Created().json(created))
}

fn filter(ask: &Ask) -> Result<HandoffFilter, Problem> {
    Ok(HandoffFilter {
        with_whom: Name::parse_opt("with_whom", ask.text("with_whom"))?,
        project: Name::parse_opt("project_id", ask.text("project_id"))?,
        session: Name::parse_opt("session_id", ask.text("session_id"))?,
    })
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[
        "with_whom",
        "project_id",
        "session_id",
        "limit",
        "cursor",
        "order",
    ])?;
    let (caller, filter, page) = (ask.caller()?, filter(&ask)?, ask.page(List::Handoffs)?);
    let handoffs = state
        .exec
        .read(move |services| services.handoffs(&caller, &filter, &page))
        .await?;
    Ok(render_list("handoffs", &handoffs))
}

async fn last(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["with_whom", "project_id", "session_id"])?;
    let (caller, filter) = (ask.caller()?, filter(&ask)?);
    let handoff = state
        .exec
        .point(move |services| services.last_handoff(&caller, &filter))
        .await?;
    Ok(HttpResponse::Ok().json(handoff))
}

async fn show(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, HandoffId::parse("id", &id)?);
    let handoff = state
        .exec
        .point(move |services| services.handoff(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(handoff))
}

async fn forget(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, HandoffId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_handoff(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn identity_thread(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["limit"])?;
    let caller = ask.caller()?;
    let limit = page::parse_limit(
        "limit",
        ask.number("limit")?,
        page::DEFAULT_LIMIT,
        page::MAX_LIMIT,
    )?;
    let thread = state
        .exec
        .read(move |services| services.identity_thread(&caller, limit))
        .await?;
    Ok(HttpResponse::Ok().json(thread))
}
