//! Sessions, projects, and what a tenant holds.
//!
//! **Invariant:** a session's id is the client's, so it is percent-encoded in a path.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use schemars::{JsonSchema, Schema, SchemaGenerator};
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

/// Searches are counted for the store alone.
fn of_tenant(stat: Stat) -> bool {
    !matches!(stat, Stat::Recalls | Stat::RecallsEmpty)
}

/// What a tenant holds: a member a fact, with a member a label where the fact is split.
struct TenantStats {
    tenant_id: TenantId,
    counts: Vec<(Stat, i64)>,
}

impl TenantStats {
    /// Arranges what is known of each fact by its name and label.
    fn arrange(
        facts: impl Iterator<Item = (Stat, Value)>,
        nest: impl Fn(Map<String, Value>) -> Value,
    ) -> Map<String, Value> {
        let mut splits: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        let mut plain = Map::new();
        for (stat, value) in facts {
            match stat.key() {
                (name, "") => drop(plain.insert(name.to_owned(), value)),
                (name, label) => {
                    let split = splits.entry(name).or_default();
                    split.insert(label.to_owned(), value);
                }
            }
        }
        let splits = splits.into_iter();
        plain.extend(splits.map(|(name, split)| (name.to_owned(), nest(split))));
        plain
    }
}

impl Serialize for TenantStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self
            .counts
            .iter()
            .map(|(stat, count)| (*stat, (*count).into()));
        let mut body = Map::new();
        body.insert("tenant_id".to_owned(), self.tenant_id.as_str().into());
        body.extend(Self::arrange(counts, Value::Object));
        body.serialize(serializer)
    }
}

impl JsonSchema for TenantStats {
    fn schema_name() -> Cow<'static, str> {
        "TenantStats".into()
    }

    fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
        fn object(members: Map<String, Value>) -> Value {
            let names: Vec<_> = members.keys().cloned().collect();
            json!({"type": "object", "properties": members, "required": names, "additionalProperties": false})
        }
        let facts = Stat::all().into_iter().filter(|stat| of_tenant(*stat));
        let count = json!({"type": "integer", "minimum": 0});
        let mut members = Map::new();
        let tenant = schemas.subschema_for::<TenantId>();
        members.insert("tenant_id".to_owned(), tenant.to_value());
        members.extend(Self::arrange(
            facts.map(|stat| (stat, count.clone())),
            object,
        ));
        let mut schema = Schema::try_from(object(members)).unwrap_or_default();
        schema.insert("description".to_owned(), "What a tenant holds.".into());
        schema
    }
}
