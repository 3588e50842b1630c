//! Sessions, projects, and what a tenant holds.
//!
//! **Invariant:** a session's id is the client's, so it is percent-encoded in a path.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use serde_json::{Map, Value};

use crate::domain::Stat;
use crate::domain::page::List;
use crate::domain::session::SessionDraft;
use crate::http::State;
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/session/start").route(web::post().to(start)))
        .service(web::resource("/api/v1/sessions").route(web::get().to(list)))
        .service(web::resource("/api/v1/projects").route(web::get().to(projects)))
        .service(web::resource("/api/v1/stats").route(web::get().to(stats)));
}

async fn start(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: SessionDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let session = state
        .exec
        .write(body.bytes.len(), move |services| {
            services.start_session(&caller, &draft)
        })
        .await?;
    Ok(HttpResponse::Created().json(session))
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["limit", "cursor", "order"])?;
    let (caller, page) = (ask.caller()?, ask.page(List::Sessions)?);
    let sessions = state
        .exec
        .read(move |services| services.sessions(&caller, &page))
        .await?;
    Ok(render_list("sessions", &sessions))
}

async fn projects(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&["limit", "cursor", "order"])?;
    let (caller, page) = (ask.caller()?, ask.page(List::Projects)?);
    let projects = state
        .exec
        .read(move |services| services.projects(&caller, &page))
        .await?;
    Ok(render_list("projects", &projects))
}

async fn stats(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let caller = ask.caller()?;
    let tenant = caller.tenant.clone();
    let stats = state
        .exec
        .read(move |services| services.tenant_stats(&caller))
        .await?;
    let mut body = Map::new();
    body.insert("tenant_id".to_owned(), tenant.as_str().into());
    // Searches are counted for the store alone.
    let of_tenant = |stat: &Stat| !matches!(stat, Stat::Recalls | Stat::RecallsEmpty);
    for (stat, value) in stats.into_iter().filter(|(stat, _)| of_tenant(stat)) {
        match stat.key() {
            (name, "") => drop(body.insert(name.to_owned(), value.into())),
            (name, label) => {
                let split = body
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(split) = split {
                    split.insert(label.to_owned(), value.into());
                }
            }
        }
    }
    Ok(HttpResponse::Ok().json(body))
}
