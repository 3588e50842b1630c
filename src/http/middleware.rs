//! Around every request: its id, the Host and Origin checks, one shape for errors, room for the answer, and the
//! counting.
//!
//! **Invariant:** whatever happens inside, a request is counted exactly once and its answer carries its id.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix_web::Error as ActixError;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;

use crate::http::State;
use crate::http::answer::Answer;
use crate::http::connection::{Answering, Course};
use crate::http::problem::{Problem, keep_allow, of_status};
use crate::metrics::{Answered, Metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
///
/// # Errors
/// None of its own; what a handler fails with has become an answer by the time it is seen here.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, ActixError> {
    let begun = Instant::now();
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("no state"));
    };
    let counting = Counting::begin(&state.metrics);
    let answering = request.conn_data::<Rc<Course>>().map(Course::begin);
    let request_id = request_id(&request);
    let method = request.method().clone();
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    // The request itself must not be kept: actix wants the only handle to it.
    let mut response = match state.options.hosts.check(request.request()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => request.into_response(problem.render(&request_id)),
    };
    if is_bare_failure(&response) {
        response = in_words(response, &request_id);
    }
    // A body that was to come in chunks has an end only if it was read.
    let is_unread = is_chunked && response.status().is_client_error();
    if is_unread || response.status() == StatusCode::REQUEST_TIMEOUT {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
        answering.iter().for_each(Answering::is_last);
    }
    let mut response = with_room(response, &state, answering, &request_id);
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let pattern = response.request().match_pattern();
    counting.end(Answered {
        pattern: pattern.as_deref(),
        method: method.as_str(),
        status,
        took: begun.elapsed(),
        request_id: &request_id,
    });
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
            let refusal = Problem::from(error).render(request_id);
            (response.into_response(refusal), None)
        }
    };
    response.map_body(|_, body| BoxBody::new(Answer::new(body, answering, room)))
}

/// The failure as a problem.
fn in_words(response: ServiceResponse<BoxBody>, request_id: &str) -> ServiceResponse<BoxBody> {
    let problem = response
        .response()
        .error()
        .and_then(|error| error.as_error::<Problem>());
    let mut rendered = match problem {
        Some(problem) => problem.render(request_id),
        None => of_status(response.status()).render(request_id),
    };
    keep_allow(response.headers(), &mut rendered);
    response.into_response(rendered)
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

    fn end(mut self, answered: Answered<'_>) {
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
