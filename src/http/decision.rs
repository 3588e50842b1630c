//! `/api/v1/decisions`.
//!
//! **Invariant:** superseding answers both decisions, so that a client sees which one holds.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::decision::{Decision, DecisionDraft, DecisionFilter};
use crate::domain::page::List;
use crate::domain::{DecisionId, DecisionScope, DecisionStatus, Name, TenantId, Timestamp};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, PROJECT_ID, Query, Tag, delete, get, json, page_of, post,
};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};
use crate::service::SuccessorDraft;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/v1/decisions")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/api/v1/decisions/{id}")
                .route(web::get().to(show))
                .route(web::delete().to(forget)),
        )
        .service(
            web::resource("/api/v1/decisions/{id}/supersede").route(web::post().to(supersede)),
        );
}

const STATUS: Query = Query::new("status", "Only of this status.", |schemas| {
    schemas.subschema_for::<DecisionStatus>()
});
const SCOPE: Query = Query::new("scope", "Only of this scope.", |schemas| {
    schemas.subschema_for::<DecisionScope>()
});
const LISTED_BY: &[Query] = &[STATUS, SCOPE, PROJECT_ID, LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/api/v1/decisions", "createDecision", "Records a decision.")
            .takes(vec![json::<DecisionDraft>()])
            .idempotent()
            .answers(201, "The decision.", vec![json::<Created>()]),
        get("/api/v1/decisions", "listDecisions", "Lists decisions.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Decision>("decisions")]),
        get("/api/v1/decisions/{id}", "getDecision", "Reads a decision.")
            .id_of::<DecisionId>()
            .answers(200, "The decision.", vec![json::<Decision>()]),
        delete(
            "/api/v1/decisions/{id}",
            "forgetDecision",
            "Forgets a decision.",
        )
        .id_of::<DecisionId>()
        .answers(204, "It is gone.", vec![]),
        post(
            "/api/v1/decisions/{id}/supersede",
            "supersedeDecision",
            "Puts another decision in the place of one.",
        )
        .id_of::<DecisionId>()
        .takes(vec![json::<Successor>()])
        .idempotent()
        .answers(201, "Both decisions.", vec![json::<Superseded>()]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Decisions))
    .collect()
}

/// What was written.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DecisionCreated")]
struct Created {
    /// Always true.
    #[schemars(extend("const" = true))]
    success: bool,
    /// Its id.
    decision_id: DecisionId,
    /// When it was made.
    ts: Timestamp,
    /// The whole of it.
    decision: Decision,
}

async fn create(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: DecisionDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let decision = state
        .exec
        .write(size, move |services| {
            services.create_decision(&caller, draft, key.as_deref())
        })
        .await?;
    let created = Created {
        success: true,
        decision_id: decision.decision_id,
        ts: decision.ts,
        decision,
    };
    Ok(HttpResponse::Created().json(created))
}

/// A decision that is there.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExistingSuccessor")]
struct Existing {
    /// The decision that holds from now on.
    superseded_by: DecisionId,
    /// The tenant; it has to agree with the caller's.
    #[schemars(with = "Option<TenantId>")]
    tenant_id: Option<String>,
}

/// Another decision that is there, or a new one.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(
    dead_code,
    reason = "only described: which of the two it is shows before it is read, so that a refusal names the right field"
)]
enum Successor {
    Existing(Existing),
    New(DecisionDraft),
}

/// What took whose place.
#[derive(Serialize, JsonSchema)]
struct Superseded {
    /// Always true.
    #[schemars(extend("const" = true))]
    success: bool,
    /// The one that holds.
    decision: Decision,
    /// The one that no longer does.
    superseded: Decision,
}

async fn supersede(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
    body: Raw,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let id = DecisionId::parse("id", &id)?;
    let names_one = body
        .parse::<serde_json::Map<String, serde_json::Value>>()?
        .contains_key("superseded_by");
    let (successor, tenant) = if names_one {
        let existing: Existing = body.parse()?;
        (
            SuccessorDraft::Existing(existing.superseded_by),
            existing.tenant_id,
        )
    } else {
        let draft: DecisionDraft = body.parse()?;
        let tenant = draft.tenant_id.clone();
        (SuccessorDraft::New(Box::new(draft)), tenant)
    };
    let caller = ask.caller_of(tenant.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let (superseded, decision) = state
        .exec
        .write(size, move |services| {
            services.supersede(&caller, id, successor, key.as_deref())
        })
        .await?;
    Ok(HttpResponse::Created().json(Superseded {
        success: true,
        decision,
        superseded,
    }))
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
    let filter = DecisionFilter {
        status: ask
            .text("status")
            .map(|word| DecisionStatus::parse("status", word))
            .transpose()?,
        scope: ask
            .text("scope")
            .map(|word| DecisionScope::parse("scope", word))
            .transpose()?,
        project: Name::parse_opt("project_id", ask.text("project_id"))?,
    };
    let (caller, page) = (ask.caller()?, ask.page(List::Decisions)?);
    let decisions = state
        .exec
        .read(move |services| services.decisions(&caller, &filter, &page))
        .await?;
    Ok(render_list("decisions", &decisions))
}

async fn show(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, DecisionId::parse("id", &id)?);
    let decision = state
        .exec
        .point(move |services| services.decision(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(decision))
}

async fn forget(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, DecisionId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_decision(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
