//! `/api/v1/keys` and `/api/v1/audit`, for keys of scope admin.
//!
//! **Invariant:** a key is in one answer, that of its making.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, HeaderValue};
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::audit::{AuditFilter, AuditRow};
use crate::domain::key::{ApiKey, KeyDraft};
use crate::domain::page::List;
use crate::domain::{AuditAction, KeyId};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, Query, SINCE, Tag, UNTIL, delete, get, json, page_of, post,
};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};
use crate::service::MadeKey;
use crate::store::KeyChoice;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/v1/keys")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(web::resource("/api/v1/keys/{id}").route(web::delete().to(revoke)))
        .service(web::resource("/api/v1/audit").route(web::get().to(audit)));
}

const ACTION: Query = Query::new("action", "Only what was done so.", |schemas| {
    schemas.subschema_for::<AuditAction>()
});
const KEY: Query = Query::new("key_id", "Only what was done with this key.", |schemas| {
    schemas.subschema_for::<KeyId>()
});
const LISTED_BY: &[Query] = &[ACTION, KEY, SINCE, UNTIL, LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/api/v1/keys",
            "createKey",
            "Makes a key for the tenant of the key that asks.",
        )
        .takes(vec![json::<KeyDraft>()])
        .fails(&[409])
        .answers(
            201,
            "The key, which is not shown again.",
            vec![json::<MadeKey>()],
        ),
        get(
            "/api/v1/keys",
            "listKeys",
            "Lists the tenant's keys, revoked ones among them.",
        )
        .answers(200, "The keys.", vec![json::<Keys>()]),
        delete(
            "/api/v1/keys/{id}",
            "revokeKey",
            "Revokes a key; it opens nothing from the answer on.",
        )
        .id_of::<KeyId>()
        .answers(204, "It is revoked.", vec![]),
        get(
            "/api/v1/audit",
            "listAudit",
            "Lists who did what in the tenant.",
        )
        .query(LISTED_BY)
        .answers(200, "A page.", vec![page_of::<AuditRow>("audit")]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Access))
    .collect()
}

/// The keys of a tenant.
#[derive(Serialize, JsonSchema)]
struct Keys {
    /// In the order they were made in; a thousand at most.
    keys: Vec<ApiKey>,
}

async fn create(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: KeyDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let (key, pending) = state
        .exec
        .submit(body.bytes.len(), move |services| {
            services.create_key(&caller, &draft)
        })
        .await?;
    let about = state.exec.settle(pending).await?;
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .json(MadeKey { key, about }))
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let caller = ask.caller()?;
    let keys = state
        .exec
        .read(move |services| services.keys(&caller))
        .await?;
    Ok(HttpResponse::Ok().json(Keys { keys }))
}

async fn revoke(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, KeyId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| {
            services.revoke_key(&caller, KeyChoice::Id(id))
        })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn audit(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
    let caller = ask.caller()?;
    let filter = AuditFilter {
        tenant: Some(caller.tenant.clone()),
        action: ask
            .text("action")
            .map(|word| AuditAction::parse("action", word))
            .transpose()?,
        key: ask
            .text("key_id")
            .map(|text| KeyId::parse("key_id", text))
            .transpose()?,
        since: ask.time("since")?,
        until: ask.time("until")?,
    };
    let page = ask.page(List::Audit)?;
    let rows = state
        .exec
        .read(move |services| services.audit(&caller, &filter, &page))
        .await?;
    Ok(render_list("audit", &rows))
}
