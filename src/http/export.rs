//! `GET /api/v1/export/all`, streamed, and `/export/thread`.
//!
//! A task reads the next piece when the client has room for it and hands it over by a channel of one. A client that
//! stops reading is given up after [`PATIENCE`]; meanwhile it keeps neither a connection to the file nor a snapshot of
//! it, so the log can be emptied.
//!
//! **Invariant:** an export that breaks off has no trailer, and the connection is closed in the middle of the body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use futures_core::Stream;
use schemars::json_schema;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;

use crate::domain::Name;
use crate::domain::export::Line;
use crate::domain::handoff::HandoffFilter;
use crate::domain::thread::{Form, Thread};
use crate::http::State;
use crate::http::openapi::{
    Operation, PROJECT_ID, Query, Tag, WITH_WHOM, get, json, lines, markdown,
};
use crate::http::problem::Problem;
use crate::http::request::Ask;
use crate::service::{Error, Export};

/// How long a client may read nothing.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(web::resource("/api/v1/export/all").route(web::get().to(export_all)))
        .service(web::resource("/api/v1/export/thread").route(web::get().to(export_thread)));
}

const FORMAT: Query = Query::new(
    "format",
    "In which form; if absent, as `Accept` says.",
    |_| json_schema!({"type": "string", "enum": ["json", "markdown"]}),
);
const CHOSEN_BY: &[Query] = &[FORMAT, WITH_WHOM, PROJECT_ID];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(
            "/api/v1/export/all",
            "exportAll",
            "Everything of the tenant but what is secret, streamed.",
        )
        .tagged(Tag::Transfer)
        .answers(
            200,
            "A header, a line an entity, and a trailer; one that breaks off has no trailer.",
            vec![lines::<Line>()],
        ),
        get(
            "/api/v1/export/thread",
            "exportThread",
            "The newest handoffs as one document.",
        )
        .tagged(Tag::Transfer)
        .query(CHOSEN_BY)
        .answers(200, "The document.", vec![json::<Thread>(), markdown()]),
    ]
}

async fn export_thread(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(CHOSEN_BY)?;
    let caller = ask.caller()?;
    let form = match ask.text("format") {
        Some(word) => Form::parse("format", word)?,
        None if ask.wants_markdown() => Form::Markdown,
        None => Form::Json,
    };
    let filter = HandoffFilter {
        with_whom: Name::parse_opt("with_whom", ask.text("with_whom"))?,
        project: Name::parse_opt("project_id", ask.text("project_id"))?,
        session: None,
    };
    let thread = state
        .exec
        .read(move |services| services.thread(&caller, &filter))
        .await?;
    Ok(match form {
        Form::Json => HttpResponse::Ok().json(thread),
        Form::Markdown => HttpResponse::Ok()
            .content_type("text/markdown; charset=utf-8")
            .body(thread.markdown()),
    })
}

async fn export_all(state: Data<State>, ask: Ask) -> Result<HttpResponse, Problem> {
    ask.only(&[])?;
    let caller = ask.caller()?;
    let permit = state.exec.stream()?;
    let export = state
        .exec
        .read(move |services| services.begin_export(&caller))
        .await?;
    let (pieces, body) = mpsc::channel(1);
    actix_web::rt::spawn(async move {
        produce(&state, export, &pieces).await;
        drop(permit);
    });
    Ok(HttpResponse::Ok()
        .content_type("application/x-ndjson")
        .streaming(Body {
            pieces: body,
            ended: false,
        }))
}

/// A piece of the body, or its end; a channel that closes before is a body that broke off.
type Piece = Option<Bytes>;

async fn produce(state: &State, mut export: Export, pieces: &Sender<Piece>) {
    // The next page is read only when there is room for it.
    while let Ok(Ok(room)) = timeout(PATIENCE, pieces.reserve()).await {
        let step = move |services: &crate::service::Services| {
            let piece = services.export_piece(&mut export)?;
            Ok((export, piece))
        };
        match state.exec.step(step).await {
            Ok((going_on, Some(piece))) => {
                export = going_on;
                // A part of no length would end the body.
                if !piece.is_empty() {
                    room.send(Some(piece.into()));
                }
            }
            Ok((_, None)) => {
                room.send(None);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "an export broke off");
                return;
            }
        }
    }
}

struct Body {
    pieces: Receiver<Piece>,
    ended: bool,
}

impl Stream for Body {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| match piece {
            Some(Some(bytes)) => Some(Ok(bytes)),
            Some(None) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(Error::Timeout))
            }
        })
    }
}
