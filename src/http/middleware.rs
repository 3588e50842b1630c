//! Around every request: its id, who may ask, one shape for errors, room for the answer, and the
//! counting.
//!
//! **Invariant:** whatever happens inside, a request is counted exactly once and its answer carries its id.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use actix_web::http::{ConnectionType, StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error as ActixError, HttpMessage as _, HttpResponse, ResponseError};
use futures_core::Stream;

use crate::domain::audit::Denial;
use crate::domain::{Actor, AuditAction};
use crate::http::answer::Answer;
use crate::http::auth::Guest;
use crate::http::connection::{Answering, Course};
use crate::http::problem::{Problem, keep_allow, of_status};
use crate::http::{State, cors};
use crate::metrics::{Answered, Begun, Metrics};
use crate::service::Admission;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
///
/// # Errors
/// None of its own; what a handler fails with has become an answer by the time it is seen here.
pub async fn observe(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let begun = Begun::now();
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no state"));
    };
    let counting = Counting::begin(&state.metrics);
    let answering = request.conn_data::<Rc<Course>>().map(Course::begin);
    let request_id = request_id(&request);
    let method = request.method().clone();
    let gate = &state.options.gate;
    take_off(&gate.base_path, &mut request);
    let origin = gate.origins.of(&request);
    let preflight = origin.as_ref().and_then(|_| cors::preflight(&request));
    // A question about a route is no request of the route's.
    let pattern = request.match_pattern().filter(|_| preflight.is_none());
    let (request, sent) = Sent::watch(request);
    // The request itself must not be kept: actix wants the only handle to it.
    let admitted = gate.admit(&request, pattern.as_deref(), &state);
    let address = gate.address(request.request());
    let mut response = match admitted {
        _ if let Some(answer) = preflight => request.into_response(answer),
        Ok(()) => match unless_it_panics(next.call(request)).await {
            Ok(outcome) => outcome?.map_into_boxed_body(),
            Err(Panic) => {
                answering.iter().for_each(Answering::is_last);
                let fault = Fault::new(request_id);
                counting.end(&Answered {
                    pattern: pattern.as_deref(),
                    method: method.as_str(),
                    status: fault.status_code().as_u16(),
                    took: begun.elapsed(),
                    request_id: &fault.request_id,
                });
                state.metrics.request_had(sent.bytes());
                state.metrics.response_had(fault.body_bytes());
                return Err(fault.into());
            }
        },
        Err(problem) => {
            note(&problem, &state.metrics);
            request.into_response(problem.render(&request_id))
        }
    };
    if is_bare_failure(&response) {
        response = in_words(response, &state.metrics, &request_id);
    }
    // A body that was to come in chunks has an end only if it was read.
    let is_unread = sent.in_chunks() && response.status().is_client_error();
    if is_unread || response.status() == StatusCode::REQUEST_TIMEOUT {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        answering.iter().for_each(Answering::is_last);
    }
    let mut response = with_room(response, &state, answering, &request_id);
    label(response.headers_mut(), &request_id, origin);
    note_denial(&response, &state, address);
    let status = response.status().as_u16();
    counting.end(&Answered {
        pattern: pattern.as_deref(),
        method: method.as_str(),
        status,
        took: begun.elapsed(),
        request_id: &request_id,
    });
    state.metrics.request_had(sent.bytes());
    tracing::debug!(request_id, %method, path = pattern.as_deref().unwrap_or("unmatched"), status,
        duration_ms = begun.elapsed().as_secs_f64() * 1e3, "answered");
    Ok(response)
}

/// The answer as it goes out, or 503 if there is no room for it.
fn with_room(
    response: ServiceResponse<BoxBody>,
    state: &State,
    answering: Option<Answering>,
    request_id: &str,
) -> ServiceResponse<BoxBody> {
    let room = match response.response().body().size() {
        BodySize::Sized(bytes) => state.room.outgoing(bytes),
        BodySize::None | BodySize::Stream => Ok(None),
    };
    let (response, room) = match room {
        Ok(room) => (response, room),
        Err(error) => {
            let problem = Problem::from(error);
            note(&problem, &state.metrics);
            (response.into_response(problem.render(request_id)), None)
        }
    };
    let metrics = Arc::clone(&state.metrics);
    response.map_body(|_, body| BoxBody::new(Answer::new(body, answering, room, metrics)))
}

/// The failure as a problem.
fn in_words(
    response: ServiceResponse<BoxBody>,
    metrics: &Metrics,
    request_id: &str,
) -> ServiceResponse<BoxBody> {
    let problem = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>());
    let bare;
    let problem = match problem {
        Some(problem) => problem,
        None => {
            bare = of_status(response.status());
            &bare
        }
    };
    note(problem, metrics);
    let mut rendered = problem.render(request_id);
    keep_allow(response.headers(), &mut rendered);
    response.into_response(rendered)
}

/// Takes what a proxy has put in front of the path off again. A proxy may have done so itself.
fn take_off(base: &str, request: &mut ServiceRequest) {
    if base.is_empty() {
        return;
    }
    let uri = request.uri();
    let rest = uri.path_and_query().and_then(|whole| {
        let rest = whole.as_str().strip_prefix(base)?;
        match rest.chars().next() {
            None => Some("/".to_owned()),
            Some('/') => Some(rest.to_owned()),
            Some('?') => Some(format!("/{rest}")),
            Some(_) => None,
        }
    });
    let Some(Ok(rest)) = rest.map(TryInto::try_into) else {
        return;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(rest);
    if let Ok(uri) = Uri::from_parts(parts) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// Puts what every answer has on its head.
fn label(headers: &mut HeaderMap, request_id: &str, origin: Option<HeaderValue>) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    cors::secure(headers);
    if let Some(origin) = origin {
        cors::let_read(headers, origin);
    }
}

/// Notes a refusal for the audit.
fn note_denial(response: &ServiceResponse<BoxBody>, state: &State, address: Option<IpAddr>) {
    let action = match response.status() {
        StatusCode::UNAUTHORIZED => AuditAction::DeniedKey,
        StatusCode::FORBIDDEN => AuditAction::DeniedForbidden,
        StatusCode::TOO_MANY_REQUESTS => AuditAction::DeniedRate,
        _ => return,
    };
    let extensions = response.request().extensions();
    let key = extensions
        .get::<Guest>()
        .and_then(|guest| match &guest.admission {
            Admission::Key(key) => Some(key),
            Admission::Open => None,
        });
    state.exec.services().note_denial(Denial {
        action,
        tenant: key.map(|key| key.tenant.clone()),
        actor: Actor::remote(key.map(|key| key.known_as.clone()), address),
    });
}

/// Counts a problem that is a refusal.
fn note(problem: &Problem, metrics: &Metrics) {
    if let Some(why) = problem.refusal() {
        metrics.request_refused(why);
    }
}

/// A failure that no handler has put into words: one that actix made, or a `Problem` that still wants rendering.
fn is_bare_failure(response: &ServiceResponse<BoxBody>) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response
            .headers()
            .get(CONTENT_TYPE)
            .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// The client's own id if it is a sane one, else a new one.
fn request_id(http: &ServiceRequest) -> String {
    let sane = |text: &&str| {
        (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let given = http
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    given
        .filter(sane)
        .map_or_else(|| uuid::Uuid::now_v7().simple().to_string(), str::to_owned)
}

/// Counts a request in, and out again even if its client goes away.
struct Counting {
    metrics: Option<Arc<Metrics>>,
}

impl Counting {
    fn begin(metrics: &Arc<Metrics>) -> Self {
        metrics.request_begins();
        Self {
            metrics: Some(Arc::clone(metrics)),
        }
    }

    fn end(mut self, answered: &Answered<'_>) {
        if let Some(metrics) = self.metrics.take() {
            metrics.request_ends(answered);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if let Some(metrics) = self.metrics.take() {
            metrics.request_abandoned();
        }
    }
}

/// How much of a request's body there is.
enum Sent {
    /// As much as it said.
    Whole(u64),
    /// As much as was read so far.
    InChunks(Rc<Cell<u64>>),
}

impl Sent {
    /// Watches a body that does not say how long it is; the others cost nothing.
    fn watch(mut request: ServiceRequest) -> (ServiceRequest, Self) {
        if !request.headers().contains_key(TRANSFER_ENCODING) {
            let length = request.headers().get(CONTENT_LENGTH);
            let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
            return (request, Self::Whole(length.unwrap_or(0)));
        }
        let bytes = Rc::new(Cell::new(0));
        let payload = Watched {
            payload: request.take_payload(),
            bytes: Rc::clone(&bytes),
        };
        request.set_payload(Payload::Stream {
            payload: Box::pin(payload),
        });
        (request, Self::InChunks(bytes))
    }

    fn in_chunks(&self) -> bool {
        matches!(self, Self::InChunks(_))
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Whole(bytes) => *bytes,
            Self::InChunks(bytes) => bytes.get(),
        }
    }
}

/// A body whose octets are counted as they come.
struct Watched {
    payload: Payload,
    bytes: Rc<Cell<u64>>,
}

impl Stream for Watched {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.payload).poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &next {
            let bytes = self.bytes.get() + u64::try_from(piece.len()).unwrap_or(0);
            self.bytes.set(bytes);
        }
        next
    }
}

/// A handler panicked.
struct Panic;

/// What the future comes to, unless it panics: then it is dropped, and the connection's task lives on to say so.
async fn unless_it_panics<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    let mut future = pin!(future);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panic)),
        },
    )
    .await
}

/// The answer to a request that is gone with the handler that panicked, so that actix has to render it.
#[derive(Debug)]
struct Fault {
    request_id: String,
}

impl Fault {
    fn new(request_id: String) -> Self {
        Self { request_id }
    }

    fn body_bytes(&self) -> u64 {
        match self.error_response().body().size() {
            BodySize::Sized(bytes) => bytes,
            BodySize::None | BodySize::Stream => 0,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Problem::Panicked.fmt(f)
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        Problem::Panicked.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = Problem::Panicked.render(&self.request_id);
        if let Ok(value) = HeaderValue::from_str(&self.request_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        let head = response.head_mut();
        head.set_connection_type(ConnectionType::Close);
        response
    }
}
