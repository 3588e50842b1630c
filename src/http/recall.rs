//! `POST /api/v1/recall`, and the same as `GET /api/v1/search?q=`.
//!
//! **Invariant:** whatever the question, the answer is a list of hits, perhaps empty.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use serde::Serialize;

use crate::domain::recall::{Hit, RecallDraft};
use crate::domain::{Caller, EntityType, Invalid};
use crate::http::State;
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/recall").route(web::post().to(recall)))
        .service(web::resource("/api/v1/search").route(web::get().to(search)));
}

#[derive(Serialize)]
struct Hits {
    hits: Vec<Hit>,
}

async fn recall(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: RecallDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), draft.channel)?;
    find(&state, caller, draft).await
}

async fn search(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[
        "q",
        "types",
        "project_id",
        "session_id",
        "tags",
        "since",
        "until",
        "limit",
        "min_score",
        "max_tokens",
        "asked_at",
    ])?;
    let caller = ask.caller()?;
    let words = |name| {
        ask.text(name).map(|text| {
            text.split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
        })
    };
    let types = words("types")
        .map(|words| words.map(|word| EntityType::parse("types", word)).collect())
        .transpose()?;
    let draft = RecallDraft {
        query: ask
            .text("q")
            .ok_or_else(|| Invalid::new("q", "is missing"))?
            .to_owned(),
        types,
        project_id: ask.text("project_id").map(str::to_owned),
        session_id: ask.text("session_id").map(str::to_owned),
        tags: words("tags").map(|words| words.map(str::to_owned).collect()),
        since: ask.time("since")?,
        until: ask.time("until")?,
        limit: ask.number("limit")?,
        min_score: ask.float("min_score")?,
        max_tokens: ask.number("max_tokens")?,
        asked_at: ask.time("asked_at")?,
        tenant_id: None,
        channel: None,
    };
    find(&state, caller, draft).await
}

async fn find(
    state: &Data<State>,
    caller: Caller,
    draft: RecallDraft,
) -> Result<HttpResponse, Problem> {
    let hits = state
        .exec
        .read(move |services| services.recall(&caller, &draft))
        .await?;
    Ok(HttpResponse::Ok().json(Hits { hits }))
}
