//! `GET /api/v1/wake-up`.
//!
//! **Invariant:** an unknown tenant is 200 and empty: a first session is no error.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use crate::domain::wake_up::WakeUpQuery;
use crate::http::State;
use crate::http::problem::Problem;
use crate::http::request::Ask;

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/api/v1/wake-up").route(web::get().to(wake_up)));
}

async fn wake_up(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[
        "with_whom",
        "project_id",
        "layers",
        "recent_count",
        "topic",
        "max_tokens",
    ])?;
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
            .body(wake_up.context));
    }
    Ok(HttpResponse::Ok().json(wake_up))
}
