//! `POST /api/v1/recall`, and the same as `GET /api/v1/search?q=`.
//!
//! **Invariant:** whatever the question, the answer is a list of hits, perhaps empty.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use schemars::{JsonSchema, json_schema};
use serde::Serialize;

use crate::domain::content::MAX_TAGS;
use crate::domain::recall::{
    DEFAULT_HITS, Hit, MAX_HITS, MAX_QUERY_BYTES, MAX_TOKENS, RecallDraft,
};
use crate::domain::{Caller, EntityType, Invalid, Timestamp};
use crate::http::State;
use crate::http::openapi::{
    Operation, PROJECT_ID, Query, SESSION_ID, SINCE, Tag, UNTIL, get, json, post,
};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/recall").route(web::post().to(recall)))
        .service(web::resource("/api/v1/search").route(web::get().to(search)));
}

const QUESTION: Query = Query::new(
    "q",
    "What to look for, in plain words.",
    |_| json_schema!({"type": "string", "maxLength": MAX_QUERY_BYTES}),
)
.required();
const TYPES: Query = Query::new("types", "Only these types of memory.", |schemas| {
    let words = schemas.subschema_for::<EntityType>();
    json_schema!({"type": "array", "items": words, "maxItems": EntityType::ALL.len()})
});
const TAGS: Query = Query::new(
    "tags",
    "Only what has all of these tags.",
    |_| json_schema!({"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MAX_TAGS}),
);
const HITS: Query = Query::new(
    "limit",
    "Most hits.",
    |_| json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_HITS, "default": DEFAULT_HITS}),
);
const MIN_SCORE: Query = Query::new(
    "min_score",
    "Drop hits below this score. If absent, a question that nothing is about is answered with nothing.",
    |_| json_schema!({"type": "number", "minimum": 0, "maximum": 1}),
);
const TOKENS: Query = Query::new(
    "max_tokens",
    "Leave out what would make the hits' texts exceed this many tokens.",
    |_| json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_TOKENS}),
);
const ASKED_AT: Query = Query::new(
    "asked_at",
    "When it is asked: what \"yesterday\" counts from. Now, if absent.",
    |schemas| schemas.subschema_for::<Timestamp>(),
);
const ASKED_BY: &[Query] = &[
    QUESTION, TYPES, PROJECT_ID, SESSION_ID, TAGS, SINCE, UNTIL, HITS, MIN_SCORE, TOKENS, ASKED_AT,
];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/api/v1/recall",
            "recall",
            "Searches all that is remembered.",
        )
        .tagged(Tag::Recall)
        .takes(vec![json::<RecallDraft>()])
        .answers(200, "The hits, best first.", vec![json::<Hits>()]),
        get(
            "/api/v1/search",
            "search",
            "Searches all that is remembered.",
        )
        .tagged(Tag::Recall)
        .query(ASKED_BY)
        .answers(200, "The hits, best first.", vec![json::<Hits>()]),
    ]
}

/// What was found.
#[derive(Serialize, JsonSchema)]
struct Hits {
    /// The hits, best first.
    #[schemars(length(max = MAX_HITS))]
    hits: Vec<Hit>,
}

async fn recall(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: RecallDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), draft.channel)?;
    find(&state, caller, draft).await
}

async fn search(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(ASKED_BY)?;
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
