//! `/api/v1/handoff`, `/api/v1/handoffs` and the identity thread.
//!
//! **Invariant:** `handoff` and `handoffs` are one resource; the first is the older API's name for writing.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::handoff::{Handoff, HandoffDraft, HandoffFilter, IdentityThread};
use crate::domain::page::{self, List};
use crate::domain::{HandoffId, Name, Timestamp};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, PROJECT_ID, Query, SESSION_ID, Tag, WITH_WHOM, delete, get,
    json, page_of, post,
};
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

const LAST_OF: &[Query] = &[WITH_WHOM, PROJECT_ID, SESSION_ID];
const LISTED_BY: &[Query] = &[WITH_WHOM, PROJECT_ID, SESSION_ID, LIMIT, CURSOR, ORDER];
const THREAD_OF: &[Query] = &[LIMIT];

pub(super) fn operations() -> Vec<Operation> {
    let create = post("/api/v1/handoffs", "createHandoff", "Writes a handoff.")
        .takes(vec![json::<HandoffDraft>()])
        .idempotent()
        .answers(201, "The handoff.", vec![json::<Created>()]);
    vec![
        create.alias("/api/v1/handoff", "writeHandoff"),
        create,
        get("/api/v1/handoffs", "listHandoffs", "Lists handoffs.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Handoff>("handoffs")]),
        get(
            "/api/v1/handoffs/last",
            "getLastHandoff",
            "Reads the newest handoff.",
        )
        .query(LAST_OF)
        .fails(&[404])
        .answers(200, "The handoff.", vec![json::<Handoff>()]),
        get("/api/v1/handoffs/{id}", "getHandoff", "Reads a handoff.")
            .id_of::<HandoffId>()
            .answers(200, "The handoff.", vec![json::<Handoff>()]),
        delete(
            "/api/v1/handoffs/{id}",
            "forgetHandoff",
            "Forgets a handoff.",
        )
        .id_of::<HandoffId>()
        .answers(204, "It is gone.", vec![]),
        get(
            "/api/v1/identity-thread",
            "getIdentityThread",
            "Reads who the agent is becoming, in time.",
        )
        .query(THREAD_OF)
        .answers(
            200,
            "The newest statements, oldest first.",
            vec![json::<IdentityThread>()],
        ),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Handoffs))
    .collect()
}

/// What was written.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HandoffCreated")]
struct Created {
    /// Always true.
    #[schemars(extend("const" = true))]
    success: bool,
    /// Its id.
    handoff_id: HandoffId,
    /// When it was made.
    created_at: Timestamp,
    /// The whole of it.
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
    ask.only(LISTED_BY)?;
    let (caller, filter, page) = (ask.caller()?, filter(&ask)?, ask.page(List::Handoffs)?);
    let handoffs = state
        .exec
        .read(move |services| services.handoffs(&caller, &filter, &page))
        .await?;
    Ok(render_list("handoffs", &handoffs))
}

async fn last(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LAST_OF)?;
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
    ask.only(THREAD_OF)?;
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
