//! Sessions, projects, and what a tenant holds.
//!
//! **Invariant:** a session's id is the client's, so it is percent-encoded in a path.

use std::borrow::Cow;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::domain::page::List;
use crate::domain::session::{Project, Session, SessionDraft};
use crate::domain::{Stat, TenantId};
use crate::http::State;
use crate::http::openapi::{CURSOR, LIMIT, ORDER, Operation, Query, Tag, get, json, page_of, post};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/session/start").route(web::post().to(start)))
        .service(web::resource("/api/v1/sessions").route(web::get().to(list)))
        .service(web::resource("/api/v1/projects").route(web::get().to(projects)))
        .service(web::resource("/api/v1/stats").route(web::get().to(stats)));
}

const LISTED_BY: &[Query] = &[LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/api/v1/session/start",
            "startSession",
            "Announces a session; the first write that names one does it too.",
        )
        .takes(vec![json::<SessionDraft>()])
        .answers(201, "The session.", vec![json::<Session>()]),
        get("/api/v1/sessions", "listSessions", "Lists sessions.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Session>("sessions")]),
        get("/api/v1/projects", "listProjects", "Lists projects.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Project>("projects")]),
        get("/api/v1/stats", "getStats", "Counts what the tenant holds.").answers(
            200,
            "The counts.",
            vec![json::<TenantStats>()],
        ),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Sessions))
    .collect()
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
    ask.only(LISTED_BY)?;
    let (caller, page) = (ask.caller()?, ask.page(List::Sessions)?);
    let sessions = state
        .exec
        .read(move |services| services.sessions(&caller, &page))
        .await?;
    Ok(render_list("sessions", &sessions))
}

async fn projects(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
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
    let body = TenantStats {
        tenant_id: tenant,
        counts: stats
            .into_iter()
            .filter(|(stat, _)| of_tenant(*stat))
            .collect(),
    };
    Ok(HttpResponse::Ok().json(body))
}

/// Searches, spools and copies are counted for the store alone.
fn of_tenant(stat: Stat) -> bool {
    !stat.is_of_store()
}

/// What a tenant holds: a member a fact, with a member a label where the fact is split.
struct TenantStats {
    tenant_id: TenantId,
    counts: Vec<(Stat, i64)>,
}

/// Facts by name, in their order; one that is not split has an empty label.
fn by_name<T>(
    facts: impl Iterator<Item = (Stat, T)>,
) -> Vec<(&'static str, Vec<(&'static str, T)>)> {
    let mut names: Vec<(&str, Vec<(&str, T)>)> = Vec::new();
    for (stat, value) in facts {
        let (name, label) = stat.key();
        match names.last_mut() {
            Some((last, labels)) if *last == name => labels.push((label, value)),
            _ => names.push((name, vec![(label, value)])),
        }
    }
    names
}

impl Serialize for TenantStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        body.serialize_entry("tenant_id", &self.tenant_id)?;
        for (name, counts) in by_name(self.counts.iter().copied()) {
            match counts.as_slice() {
                [("", count)] => body.serialize_entry(name, count)?,
                _ => {
                    let counts = counts.into_iter();
                    let counts = counts.map(|(label, count)| (label.to_owned(), count.into()));
                    body.serialize_entry(name, &counts.collect::<Map<_, Value>>())?;
                }
            }
        }
        body.end()
    }
}

impl JsonSchema for TenantStats {
    fn schema_name() -> Cow<'static, str> {
        "TenantStats".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        let object = |members: Map<String, Value>| {
            let names: Vec<_> = members.keys().cloned().collect();
            json!({"type": "object", "properties": members, "required": names, "additionalProperties": false})
        };
        let mut facts = Stat::all();
        facts.retain(|stat| of_tenant(*stat));
        facts.sort_unstable();
        let mut members = Map::new();
        let tenant = schemas.subschema_for::<TenantId>();
        members.insert("tenant_id".to_owned(), tenant.to_value());
        let count = json!({"type": "integer", "minimum": 0});
        for (name, labels) in by_name(facts.into_iter().map(|stat| (stat, count.clone()))) {
            let member = match labels.as_slice() {
                [("", count)] => count.clone(),
                _ => {
                    let labels = labels.into_iter();
                    object(
                        labels
                            .map(|(label, count)| (label.to_owned(), count))
                            .collect(),
                    )
                }
            };
            members.insert(name.to_owned(), member);
        }
        let mut schema = Schema::try_from(object(members)).unwrap_or_default();
        schema.insert("description".to_owned(), "What a tenant holds.".into());
        schema
    }
}
