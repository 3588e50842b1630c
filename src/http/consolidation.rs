//! `/api/v1/consolidation`: preview, run, how it stands, its history, undo.
//!
//! A run is answered before it is done (202): a memory that was never consolidated may take minutes. What came of it is in
//! the history, under the ids of the answer.
//!
//! **Invariant:** nothing is run here that the operator switched off.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::consolidation::ConsolidationJob;
use crate::domain::page::List;
use crate::domain::{ConsolidationType, JobId};
use crate::http::State;
use crate::http::openapi::{CURSOR, LIMIT, ORDER, Operation, Query, Tag, get, json, page_of, post};
use crate::http::problem::Problem;
use crate::http::request::{Ask, Raw, list as render_list};
use crate::service::{ConsolidationStatus, PlanReport};

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/consolidation/run").route(web::post().to(run)))
        .service(web::resource("/api/v1/consolidation/status").route(web::get().to(status)))
        .service(web::resource("/api/v1/consolidation/jobs").route(web::get().to(jobs)))
        .service(web::resource("/api/v1/consolidation/jobs/{id}/undo").route(web::post().to(undo)));
}

const LISTED_BY: &[Query] = &[LIMIT, CURSOR, ORDER];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(
            "/api/v1/consolidation/run",
            "runConsolidation",
            "Consolidates the tenant's memory, or says what that would change.",
        )
        .takes(vec![json::<RunDraft>()])
        .fails(&[409])
        .answers(200, "What it would change.", vec![json::<Preview>()])
        .answers(202, "The jobs that were begun.", vec![json::<Begun>()]),
        get(
            "/api/v1/consolidation/status",
            "getConsolidationStatus",
            "When it runs, and the last job of each type.",
        )
        .answers(200, "How it stands.", vec![json::<ConsolidationStatus>()]),
        get(
            "/api/v1/consolidation/jobs",
            "listConsolidationJobs",
            "Lists the jobs that ran.",
        )
        .query(LISTED_BY)
        .answers(200, "A page.", vec![page_of::<ConsolidationJob>("jobs")]),
        post(
            "/api/v1/consolidation/jobs/{id}/undo",
            "undoConsolidation",
            "Puts back what a job changed, unless something later depends on it.",
        )
        .id_of::<JobId>()
        .fails(&[409])
        .answers(200, "The job, undone.", vec![json::<ConsolidationJob>()]),
    ]
    .into_iter()
    .map(|operation| operation.tagged(Tag::Consolidation))
    .collect()
}

/// What to run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConsolidationRun")]
struct RunDraft {
    /// This type alone; all, if absent.
    job_type: Option<ConsolidationType>,
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// The tenant; it has to agree with the caller's.
    #[schemars(with = "Option<crate::domain::TenantId>")]
    tenant_id: Option<String>,
}

/// What a run would change.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsolidationPreview")]
struct Preview {
    /// Always `true`: nothing was changed.
    #[schemars(extend("const" = true))]
    dry_run: bool,
    /// A plan for each type.
    plans: Vec<PlanReport>,
}

/// The jobs that were begun.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ConsolidationBegun")]
struct Begun {
    /// In the order in which they are done.
    jobs: Vec<ConsolidationJob>,
}

async fn run(state: Data<State>, ask: Ask, body: Raw) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let draft: RunDraft = if body.bytes.is_empty() {
        RunDraft::default()
    } else {
        body.parse()?
    };
    let caller = ask.caller_of(draft.tenant_id.as_deref(), None)?;
    let job_type = draft.job_type;
    if draft.dry_run {
        let plans = state
            .exec
            .read(move |services| services.preview_consolidation(&caller, job_type))
            .await?;
        return Ok(HttpResponse::Ok().json(Preview {
            dry_run: true,
            plans,
        }));
    }
    let jobs = state
        .exec
        .read(move |services| services.start_consolidation(&caller, job_type))
        .await?;
    Ok(HttpResponse::Accepted().json(Begun { jobs }))
}

async fn status(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let caller = ask.caller()?;
    let status = state
        .exec
        .read(move |services| services.consolidation_status(&caller))
        .await?;
    Ok(HttpResponse::Ok().json(status))
}

async fn jobs(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(LISTED_BY)?;
    let (caller, page) = (ask.caller()?, ask.page(List::Jobs)?);
    let jobs = state
        .exec
        .read(move |services| services.consolidation_jobs(&caller, &page))
        .await?;
    Ok(render_list("jobs", &jobs))
}

async fn undo(state: Data<State>, ask: Ask, id: Path<String>) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let (caller, id) = (ask.caller()?, JobId::parse("id", &id)?);
    let job = state
        .exec
        .read(move |services| services.undo_consolidation(&caller, id))
        .await?;
    Ok(HttpResponse::Ok().json(job))
}
