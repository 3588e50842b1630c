//! `GET /api/v1/wake-up`.
//!
//! **Invariant:** an unknown tenant is 200 and empty: a first session is no error.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use schemars::json_schema;

use crate::domain::wake_up::{
    DEFAULT_MAX_TOKENS, DEFAULT_RECENT, Layer, MAX_MAX_TOKENS, MAX_RECENT, WakeUp, WakeUpQuery,
};
use crate::http::State;
use crate::http::openapi::{Operation, PROJECT_ID, Query, Tag, WITH_WHOM, get, json, markdown};
use crate::http::problem::Problem;
use crate::http::request::Ask;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/api/v1/wake-up").route(web::get().to(wake_up)));
}

const LAYERS: Query = Query::new("layers", "Which layers to fill; all if absent.", |_| {
    json_schema!({
        "type": "array",
        "items": {"type": "string", "enum": Layer::ALL.map(Layer::as_str).as_slice()},
    })
});
const RECENT_COUNT: Query = Query::new(
    "recent_count",
    "Handoffs in *recent*.",
    |_| json_schema!({"type": "integer", "minimum": 1, "maximum": MAX_RECENT, "default": DEFAULT_RECENT}),
);
const TOPIC: Query = Query::new(
    "topic",
    "What *progressive* should be about; the newest if absent.",
    |_| json_schema!({"type": "string"}),
);
const TOKENS: Query = Query::new("max_tokens", "Most tokens of `context`.", |_| {
    json_schema!({
        "type": "integer", "minimum": 1, "maximum": MAX_MAX_TOKENS, "default": DEFAULT_MAX_TOKENS,
    })
});
const ASKED_BY: &[Query] = &[WITH_WHOM, PROJECT_ID, LAYERS, RECENT_COUNT, TOPIC, TOKENS];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/wake-up",
            "wakeUp",
            "Reads what a session reads first.",
        )
        .tagged(Tag::Handoffs)
        .query(ASKED_BY)
        .answers(
            200,
            "The wake-up; its `context` alone if `Accept` asks for Markdown.",
            vec![json::<WakeUp>(), markdown()],
        ),
    ]
}

async fn wake_up(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(ASKED_BY)?;
    let caller = ask.caller()?;
    let query = WakeUpQuery::parse(
        ask.text("with_whom"),
        ask.text("project_id"),
        ask.text("layers"),
        ask.number("recent_count")?,
        ask.text("topic").map(str::to_owned),
        ask.number("max_tokens")?,
    )?;
    let wake_up = state
        .exec
        .point(move |services| services.wake_up(&caller, &query))
        .await?;
    if ask.wants_markdown() {
        return Ok(HttpResponse::Ok()
            .content_type("text/markdown; charset=utf-8")
            .body(wake_up.context.clone()));
    }
    Ok(HttpResponse::Ok().json(&*wake_up))
}
