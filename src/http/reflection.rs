//! `/api/v1/reflections` and `/api/v1/principles`.
//!
//! **Invariant:** they are read and forgotten here; only consolidation and an import write them.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};

use crate::domain::page::List;
use crate::domain::{PrincipleId, ReflectionId};
use crate::http::State;
use crate::http::problem::Problem;
use crate::http::request::{Ask, list as render_list};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/reflections").route(web::get().to(reflections)))
        .service(
            web::resource("/api/v1/reflections/{id}")
                .route(web::get().to(reflection))
                .route(web::delete().to(forget_reflection)),
        )
        .service(web::resource("/api/v1/principles").route(web::get().to(principles)))
        .service(
            web::resource("/api/v1/principles/{id}")
                .route(web::get().to(principle))
                .route(web::delete().to(forget_principle)),
        );
}

async fn reflections(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["limit", "cursor", "order"])?;
    let (caller, page) = (ask.caller()?, ask.page(List::Reflections)?);
    let reflections = state
        .exec
        .read(move |services| services.reflections(&caller, &page))
        .await?;
    Ok(render_list("reflections", &reflections))
}

async fn reflection(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, ReflectionId::parse("id", &id)?);
    let reflection = state
        .exec
        .point(move |services| services.reflection(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(reflection))
}

async fn forget_reflection(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, ReflectionId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_reflection(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn principles(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["limit", "cursor", "order"])?;
    let (caller, page) = (ask.caller()?, ask.page(List::Principles)?);
    let principles = state
        .exec
        .read(move |services| services.principles(&caller, &page))
        .await?;
    Ok(render_list("principles", &principles))
}

async fn principle(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, PrincipleId::parse("id", &id)?);
    let principle = state
        .exec
        .point(move |services| services.principle(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(principle))
}

async fn forget_principle(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, PrincipleId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_principle(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
