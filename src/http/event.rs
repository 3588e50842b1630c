//! `/api/v1/events`, chunks and artifacts.
//!
//! **Invariant:** a batch answers for each item in its place.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::event::{Artifact, Chunk, Event, EventDraft, EventFilter, EventReceipt};
use crate::domain::page::List;
use crate::domain::{ArtifactId, ChunkId, EventId, EventKind, Invalid, Name};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, Query, SESSION_ID, SINCE, Tag, UNTIL, delete, get, json,
    lines, page_of, post,
};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Media, Raw, parse};
use crate::service::{BatchItem, Error, event as batch};
use crate::store::Outcome;

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/v1/events")
                .route(web::post().to(record))
                .route(web::get().to(list)),
        )
        .service(web::resource("/api/v1/events/batch").route(web::post().to(record_batch)))
        .service(
            web::resource("/api/v1/events/{id}")
                .route(web::get().to(show))
                .route(web::delete().to(forget)),
        )
        .service(web::resource("/api/v1/chunks/{id}").route(web::get().to(show_chunk)))
        .service(web::resource("/api/v1/artifacts/{id}").route(web::get().to(show_artifact)));
}

const KIND: Query = Query::new("kind", "Only of this kind.", |schemas| {
    schemas.subschema_for::<EventKind>()
});
const LISTED_BY: &[Query] = &[SESSION_ID, KIND, SINCE, UNTIL, LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/api/v1/events", "recordEvent", "Records an event.")
            .takes(vec![json::<EventDraft>()])
            .idempotent()
            .answers(201, "Where it is found.", vec![json::<EventReceipt>()]),
        get("/api/v1/events", "listEvents", "Lists events.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Event>("events")]),
        post(
            "/api/v1/events/batch",
            "recordEvents",
            "Records up to 1000 events, the valid ones in one transaction.",
        )
        .takes(vec![json::<Batch>(), lines::<EventDraft>()])
        .idempotent()
        .answers(
            207,
            "What became of each, in its place.",
            vec![json::<BatchAnswer>()],
        ),
        get("/api/v1/events/{id}", "getEvent", "Reads an event.")
            .id_of::<EventId>()
            .answers(200, "The event.", vec![json::<Event>()]),
        delete("/api/v1/events/{id}", "forgetEvent", "Forgets an event.")
            .id_of::<EventId>()
            .answers(204, "It is gone.", vec![]),
        get(
            "/api/v1/chunks/{id}",
            "getChunk",
            "Reads a passage as recall shows it.",
        )
        .id_of::<ChunkId>()
        .answers(200, "The passage.", vec![json::<Chunk>()]),
        get(
            "/api/v1/artifacts/{id}",
            "getArtifact",
            "Reads the whole of a text that was cut in its event.",
        )
        .id_of::<ArtifactId>()
        .answers(200, "The text.", vec![json::<Artifact>()]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Events))
    .collect()
}

/// The events of a batch.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[expect(dead_code, reason = "only described: each item is read on its own")]
struct Batch(#[schemars(length(max = batch::MAX_BATCH))] Vec<EventDraft>);

async fn record(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: EventDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let outcomes = state
        .exec
        .write(size, move |services| {
            services.record_event(&caller, draft, key.as_deref())
        })
        .await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Stored(receipt)) => Ok(HttpResponse::Created().json(receipt)),
        Some(Outcome::Conflict) | None => Err(Error::Conflict("another event has this id").into()),
    }
}

/// What became of a batch.
#[derive(Serialize, JsonSchema)]
struct BatchAnswer {
    /// How many are stored.
    stored: usize,
    /// How many are not.
    failed: usize,
    /// What became of each, in its place.
    results: Vec<ItemAnswer>,
}

/// What became of one event: its receipt, or why there is none.
#[derive(Serialize, JsonSchema)]
struct ItemAnswer {
    /// Its place in the batch, from 0.
    index: usize,
    /// The status it would have been answered with alone: 201, 409 or 422.
    #[schemars(extend("enum" = [201, 409, 422]))]
    status: u16,
    #[serde(flatten)]
    receipt: Option<EventReceipt>,
    /// Why it is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

async fn record_batch(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let items = items(&body)?;
    let first = items
        .iter()
        .find_map(|item| item.as_ref().ok()?.tenant_id.clone());
    let caller = ask.caller_of(first.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let (pending, refusals) = state
        .exec
        .submit(size, move |services| {
            services.record_batch(&caller, items, key.as_deref())
        })
        .await?;
    let outcomes = state.exec.settle(pending).await?;
    let results: Vec<_> = batch::merge(outcomes, refusals)
        .into_iter()
        .enumerate()
        .map(item_answer)
        .collect();
    let stored = results.iter().filter(|item| item.receipt.is_some()).count();
    let answer = BatchAnswer {
        stored,
        failed: results.len() - stored,
        results,
    };
    Ok(HttpResponse::build(StatusCode::MULTI_STATUS).json(answer))
}

/// The drafts of a batch; an item that cannot be read is refused in its place.
fn items(body: &Raw) -> Result<Vec<Result<EventDraft, Invalid>>, Problem> {
    let draft = |bytes: &[u8]| {
        parse::<EventDraft>(bytes).map_err(|problem| match problem {
            Problem::Service(Error::Invalid(invalid)) | Problem::Unparsable(invalid) => invalid,
            other => Invalid::new("body", other.to_string()),
        })
    };
    match body.media {
        Media::Json => {
            let items: Vec<&RawValue> = serde_json::from_slice(&body.bytes).map_err(|_| {
                Problem::Unparsable(Invalid::new("body", "is not a JSON array of events"))
            })?;
            Ok(items
                .into_iter()
                .map(|item| draft(item.get().as_bytes()))
                .collect())
        }
        Media::Lines => {
            let lines = body
                .bytes
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::trim_ascii);
            Ok(lines
                .filter(|line| !line.is_empty())
                .take(batch::MAX_BATCH + 1)
                .map(draft)
                .collect())
        }
    }
}

fn item_answer((index, item): (usize, BatchItem)) -> ItemAnswer {
    let refused = |status: StatusCode, error: String, field: Option<String>| ItemAnswer {
        index,
        status: status.as_u16(),
        receipt: None,
        error: Some(error),
        field,
    };
    match item {
        BatchItem::Stored(receipt) => ItemAnswer {
            index,
            status: StatusCode::CREATED.as_u16(),
            receipt: Some(receipt),
            error: None,
            field: None,
        },
        BatchItem::Refused(invalid) => refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            invalid.to_string(),
            Some(invalid.field),
        ),
        BatchItem::Conflict => refused(
            StatusCode::CONFLICT,
            "another event has this id".to_owned(),
            None,
        ),
    }
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
    let caller = ask.caller()?;
    let filter = EventFilter {
        session: Name::parse_opt("session_id", ask.text("session_id"))?,
        kind: ask
            .text("kind")
            .map(|word| EventKind::parse("kind", word))
            .transpose()?,
        since: ask.time("since")?,
        until: ask.time("until")?,
    };
    let page = ask.page(List::Events)?;
    let events = state
        .exec
        .read(move |services| services.events(&caller, &filter, &page))
        .await?;
    Ok(super::request::list("events", &events))
}

async fn show(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, EventId::parse("id", &id)?);
    let event = state
        .exec
        .point(move |services| services.event(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(event))
}

async fn forget(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, EventId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_event(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn show_chunk(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, ChunkId::parse("id", &id)?);
    let chunk = state
        .exec
        .point(move |services| services.chunk(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(chunk))
}

async fn show_artifact(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, ArtifactId::parse("id", &id)?);
    let artifact = state
        .exec
        .read(move |services| services.artifact(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(artifact))
}
