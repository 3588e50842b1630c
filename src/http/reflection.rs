//! `/api/v1/reflections` and `/api/v1/principles`.
//!
//! **Invariant:** they are read and forgotten here; only consolidation and an import write them.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};

use crate::domain::page::List;
use crate::domain::principle::Principle;
use crate::domain::reflection::Reflection;
use crate::domain::{PrincipleId, ReflectionId};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, Query, Tag, delete, get, json, page_of,
};
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

const LISTED_BY: &[Query] = &[LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/reflections",
            "listReflections",
            "Lists reflections.",
        )
        .query(LISTED_BY)
        .answers(200, "A page.", vec![page_of::<Reflection>("reflections")]),
        get(
            "/api/v1/reflections/{id}",
            "getReflection",
            "Reads a reflection.",
        )
        .id_of::<ReflectionId>()
        .answers(200, "The reflection.", vec![json::<Reflection>()]),
        delete(
            "/api/v1/reflections/{id}",
            "forgetReflection",
            "Forgets a reflection.",
        )
        .id_of::<ReflectionId>()
        .answers(204, "It is gone.", vec![]),
        get("/api/v1/principles", "listPrinciples", "Lists principles.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Principle>("principles")]),
        get(
            "/api/v1/principles/{id}",
            "getPrinciple",
            "Reads a principle.",
        )
        .id_of::<PrincipleId>()
        .answers(200, "The principle.", vec![json::<Principle>()]),
        delete(
            "/api/v1/principles/{id}",
            "forgetPrinciple",
            "Forgets a principle.",
        )
        .id_of::<PrincipleId>()
        .answers(204, "It is gone.", vec![]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Conclusions))
    .collect()
}

async fn reflections(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
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
    ask.only(LISTED_BY)?;
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
