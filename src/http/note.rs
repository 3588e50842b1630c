//! `/api/v1/knowledge`.
//!
//! **Invariant:** the one resource that can be changed in place, by PATCH.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::{JsonSchema, json_schema};
use serde::Serialize;

use crate::domain::note::{Note, NoteDraft, NoteFilter, NotePatch};
use crate::domain::page::List;
use crate::domain::{Name, NoteId, Timestamp};
use crate::http::State;
use crate::http::openapi::{
    CURSOR, LIMIT, ORDER, Operation, PROJECT_ID, Query, Tag, delete, get, json, page_of, patch,
    post,
};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/v1/knowledge")
                .route(web::post().to(create))
                .route(web::get().to(list)),
        )
        .service(
            web::resource("/api/v1/knowledge/{id}")
                .route(web::get().to(show))
                .route(web::patch().to(change))
                .route(web::delete().to(forget)),
        );
}

const PINNED: Query = Query::new(
    "pinned",
    "Only pinned ones, or only those that are not.",
    |_| json_schema!({"type": "boolean"}),
);
const LISTED_BY: &[Query] = &[PINNED, PROJECT_ID, LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/api/v1/knowledge", "createNote", "Keeps a note.")
            .takes(vec![json::<NoteDraft>()])
            .idempotent()
            .answers(201, "The note.", vec![json::<Created>()]),
        get("/api/v1/knowledge", "listNotes", "Lists notes.")
            .query(LISTED_BY)
            .answers(200, "A page.", vec![page_of::<Note>("knowledge")]),
        get("/api/v1/knowledge/{id}", "getNote", "Reads a note.")
            .id_of::<NoteId>()
            .answers(200, "The note.", vec![json::<Note>()]),
        patch("/api/v1/knowledge/{id}", "changeNote", "Changes a note.")
            .id_of::<NoteId>()
            .takes(vec![json::<NotePatch>()])
            .answers(200, "The note as it is now.", vec![json::<Note>()]),
        delete("/api/v1/knowledge/{id}", "forgetNote", "Forgets a note.")
            .id_of::<NoteId>()
            .answers(204, "It is gone.", vec![]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Knowledge))
    .collect()
}

/// What was written.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NoteCreated")]
struct Created {
    /// Always true.
    #[schemars(extend("const" = true))]
    success: bool,
    /// Its id.
    note_id: NoteId,
    /// When it was made.
    created_at: Timestamp,
    /// The whole of it.
    note: Note,
}

async fn create(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: NoteDraft = body.parse()?;
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let key = ask.idempotency_key()?;
    let size = body.bytes.len();
    let note = state
        .exec
        .write(size, move |services| {
            services.create_note(&caller, draft, key.as_deref())
        })
        .await?;
    let created = Created {
        success: true,
        note_id: note.note_id,
        created_at: note.created_at,
        note,
    };
    Ok(HttpResponse::Created().json(created))
}

async fn list(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
    let filter = NoteFilter {
        pinned: ask.flag("pinned")?,
        project: Name::parse_opt("project_id", ask.text("project_id"))?,
    };
    let (caller, page) = (ask.caller()?, ask.page(List::Notes)?);
    let notes = state
        .exec
        .read(move |services| services.notes(&caller, &filter, &page))
        .await?;
    Ok(render_list("knowledge", &notes))
}

async fn show(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, NoteId::parse("id", &id)?);
    let note = state
        .exec
        .point(move |services| services.note(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(note))
}

async fn change(
    state: Data<State>,
    ask: Ask,
    id: Path<String>,
    body: Raw,
) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let id = NoteId::parse("id", &id)?;
    let patch: NotePatch = body.parse()?;
    let caller = ask.caller_of(patch.tenant_id.as_deref(), None)?;
    let note = state
        .exec
        .write(body.bytes.len(), move |services| {
            services.patch_note(&caller, id, patch)
        })
        .await?;
    Ok(HttpResponse::Ok().json(note))
}

async fn forget(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, NoteId::parse("id", &id)?);
    state
        .exec
        .write(0, move |services| services.forget_note(&caller, id))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
