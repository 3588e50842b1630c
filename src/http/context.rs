//! `POST /api/v1/context`, and the same as `/acb/build`, the older API's name.
//!
//! **Invariant:** `Accept: text/markdown` gives the text that the budget was counted for.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use crate::domain::context::{Bundle, ContextDraft};
use crate::http::State;
use crate::http::openapi::{Operation, Tag, json, markdown, post};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/context").route(web::post().to(build)))
        .service(web::resource("/api/v1/acb/build").route(web::post().to(build)));
}

pub(super) fn operations() -> Vec<Operation> {
    let build = post(
        "/api/v1/context",
        "buildContext",
        "Packs what is relevant for a task under a budget of tokens.",
    )
    .tagged(Tag::Recall)
    .takes(vec![json::<ContextDraft>()])
    .answers(
        200,
        "The bundle; its text alone if `Accept` asks for Markdown.",
        vec![json::<Bundle>(), markdown()],
    );
    let alias = build.alias("/api/v1/acb/build", "buildAcb");
    vec![build, alias]
}

async fn build(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: ContextDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), draft.channel)?;
    let bundle = state
        .exec
        .read(move |services| services.context(&caller, &draft))
        .await?;
    if ask.wants_markdown() {
        return Ok(HttpResponse::Ok()
            .content_type("text/markdown; charset=utf-8")
            .body(bundle.markdown()));
    }
    Ok(HttpResponse::Ok().json(bundle))
}
