//! Forgetting a session or a tenant: 404 for its readers at once, 202 with the job that does the rest.
//!
//! **Invariant:** a tenant is forgotten only under its own name, never as a side effect of a header.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};

use crate::domain::event::check_tenant;
use crate::domain::session::Job;
use crate::domain::{Name, TenantId};
use crate::http::State;
use crate::http::openapi::{Operation, Tag, delete, json};
use crate::http::problem::Problem;
use crate::http::request::Ask;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/sessions/{id}").route(web::delete().to(session)))
        .service(web::resource("/api/v1/tenants/{id}").route(web::delete().to(tenant)));
}

pub(super) fn operations() -> Vec<Operation> {
    let says = "It is gone for readers; the job does the rest.";
    vec![
        delete(
            "/api/v1/sessions/{id}",
            "forgetSession",
            "Forgets a session with all it holds.",
        )
        .tagged(Tag::Sessions)
        .id_of::<Name>()
        .answers(202, says, vec![json::<Job>()]),
        delete(
            "/api/v1/tenants/{id}",
            "forgetTenant",
            "Forgets a tenant with all it holds.",
        )
        .tagged(Tag::Sessions)
        .id_of::<TenantId>()
        .answers(202, says, vec![json::<Job>()]),
    ]
}

async fn session(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, Name::parse("id", &id)?);
    let job = state
        .exec
        .write(0, move |services| services.forget_session(&caller, id))
        .await?;
    Ok(accepted(&state, &job))
}

async fn tenant(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let id = TenantId::parse("id", &id)?;
    let caller = ask.caller_in(&id)?;
    if ask.names_tenant() {
        check_tenant(Some(ask.caller()?.tenant.as_str()), &id)?;
    }
    let job = state
        .exec
        .write(0, move |services| services.forget_tenant(&caller))
        .await?;
    Ok(accepted(&state, &job))
}

fn accepted(state: &State, job: &Job) -> HttpResponse {
    state.exec.services().bell().ring();
    HttpResponse::Accepted().json(job)
}
