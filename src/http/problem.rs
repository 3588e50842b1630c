//! Errors on the wire: RFC 9457 problem details.
//!
//! The only place that knows status codes. What a client may read is written for the client; the chain of causes below
//! a 5xx is logged here, once, and never sent.
//!
//! **Invariant:** every variant decides its own status: there is no catch-all.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::domain::Invalid;
use crate::metrics::Refusal;
use crate::service::{Error, ImportCause, ImportFailure, ImportReport, chain};

/// Seconds after which a busy server is worth another try: a full queue drains in a fraction of one.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request was not answered as it wished.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// A service said so.
    #[error(transparent)]
    Service(#[from] Error),
    /// The body, a parameter or the path cannot be read at all.
    #[error("{0}")]
    Unparsable(Invalid),
    /// The body is of a type that the route does not take.
    #[error("the body has to be {0}")]
    Media(&'static str),
    /// There is no such route.
    #[error("there is no such route")]
    Route,
    /// The route does not take this method.
    #[error("the route does not take this method")]
    Method,
    /// actix refused it with this status before a handler saw it.
    #[error("the request was refused")]
    Refused(StatusCode),
    /// The handler panicked; the hook has said why.
    #[error("internal error")]
    Panicked,
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self::Service(Error::Invalid(invalid))
    }
}

/// An RFC 9457 problem.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct Body<'a> {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    problem_type: String,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What was wrong, for people.
    detail: &'a str,
    /// What was wrong, for programs.
    code: &'a str,
    /// The detail again, for clients of the older API.
    error: &'a str,
    /// The id of the request, as in `X-Request-Id` and the server's log.
    #[serde(skip_serializing_if = "str::is_empty")]
    request_id: &'a str,
    /// The field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
    /// The line of an import that was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// What an import had come to.
    #[serde(flatten)]
    import: Option<&'a ImportReport>,
}

/// A field that is wrong.
#[derive(Serialize, JsonSchema)]
struct FieldError<'a> {
    /// Its name, or its path in the body.
    field: &'a str,
    /// What is wrong with it.
    reason: &'a str,
}

/// The schema of a problem.
pub(super) fn schema(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<Body<'_>>()
}

/// A way to be refused, as it is described.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) codes: &'static [&'static str],
}

/// Every status that a route refuses with; a 405 is none of a route's.
pub(super) const FAILURES: &[Failure] = &[
    Failure {
        status: 400,
        name: "Unparsable",
        says: "The body cannot be read at all.",
        codes: &["unparsable"],
    },
    Failure {
        status: 401,
        name: "Unauthenticated",
        says: "The server asks for a key, and none that is good was shown.",
        codes: &["unauthenticated"],
    },
    Failure {
        status: 403,
        name: "Forbidden",
        says: "The key does not allow it or opens another tenant, the Host is none of the server's names, or the Origin is another's.",
        codes: &["forbidden"],
    },
    Failure {
        status: 404,
        name: "NotFound",
        says: "There is no such thing, or it is another tenant's.",
        codes: &["not_found"],
    },
    Failure {
        status: 408,
        name: "Timeout",
        says: "The body took too long to come, or the answer to be made. A write may still reach the disk.",
        codes: &["timeout"],
    },
    Failure {
        status: 409,
        name: "Conflict",
        says: "It contradicts what is stored.",
        codes: &["conflict"],
    },
    Failure {
        status: 413,
        name: "TooLarge",
        says: "More than is accepted at once.",
        codes: &["too_large"],
    },
    Failure {
        status: 415,
        name: "UnsupportedMediaType",
        says: "The body is of another type than those accepted.",
        codes: &["unsupported_media_type"],
    },
    Failure {
        status: 422,
        name: "Invalid",
        says: "A field, a parameter or a header is wrong.",
        codes: &["invalid"],
    },
    Failure {
        status: 429,
        name: "RateLimited",
        says: "More requests than the key or the address may make.",
        codes: &["rate_limited"],
    },
    Failure {
        status: 431,
        name: "HeadTooLarge",
        says: "The request's line and headers are over 128 KiB.",
        codes: &["refused"],
    },
    Failure {
        status: 500,
        name: "Internal",
        says: "A fault of the server's; its log has it under the request's id.",
        codes: &["internal"],
    },
    Failure {
        status: 503,
        name: "Unavailable",
        says: "The server is busy, or its store cannot be used.",
        codes: &["overloaded", "unavailable"],
    },
];

impl Problem {
    fn verdict(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Service(error) => verdict(error),
            Self::Unparsable(_) => (StatusCode::BAD_REQUEST, "unparsable"),
            Self::Media(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::Route => (StatusCode::NOT_FOUND, "no_such_route"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Refused(status) => (*status, "refused"),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    fn import(&self) -> Option<&ImportFailure> {
        match self {
            Self::Service(Error::Import(failure)) => Some(failure),
            _ => None,
        }
    }

    fn invalid(&self) -> Option<&Invalid> {
        match self {
            Self::Service(Error::Import(failure)) => match &failure.cause {
                ImportCause::Unparsable(invalid) | ImportCause::Wrong(invalid) => Some(invalid),
                ImportCause::Failed(_) => None,
            },
            Self::Service(Error::Invalid(invalid)) | Self::Unparsable(invalid) => Some(invalid),
            Self::Service(_)
            | Self::Media(_)
            | Self::Route
            | Self::Method
            | Self::Refused(_)
            | Self::Panicked => None,
        }
    }

    /// Why it was refused, if not for what it says.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let error = match self {
            Self::Service(Error::Import(failure)) => match &failure.cause {
                ImportCause::Failed(error) => &**error,
                ImportCause::Unparsable(_) | ImportCause::Wrong(_) => return None,
            },
            Self::Service(error) => error,
            Self::Refused(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::PAYLOAD_TOO_LARGE,
            ) => return Some(Refusal::TooLarge),
            Self::Refused(StatusCode::REQUEST_TIMEOUT) => return Some(Refusal::Timeout),
            Self::Unparsable(_)
            | Self::Media(_)
            | Self::Route
            | Self::Method
            | Self::Panicked
            | Self::Refused(_) => return None,
        };
        match error {
            Error::TooLarge(_) => Some(Refusal::TooLarge),
            Error::Timeout => Some(Refusal::Timeout),
            Error::Forbidden(_) => Some(Refusal::Forbidden),
            Error::Unauthenticated => Some(Refusal::Unauthenticated),
            Error::RateLimited => Some(Refusal::RateLimited),
            Error::Overloaded => Some(Refusal::Overloaded),
            Error::Unavailable(_) => Some(Refusal::Unavailable),
            Error::Invalid(_)
            | Error::NotFound(_)
            | Error::Conflict(_)
            | Error::Depends(_)
            | Error::Import(_)
            | Error::Internal(_) => None,
        }
    }

    /// The answer, for the request of this id.
    pub(super) fn render(&self, request_id: &str) -> HttpResponse {
        let (status, code) = self.verdict();
        self.log(status, request_id);
        let detail = self.to_string();
        let errors = self.invalid().map(|invalid| FieldError {
            field: &invalid.field,
            reason: &invalid.reason,
        });
        let body = Body {
            problem_type: format!("/problems/{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &detail,
            code,
            error: &detail,
            request_id,
            errors: errors.into_iter().collect(),
            line: self.import().and_then(|failure| failure.line),
            import: self.import().map(|failure| &failure.report),
        };
        let mut response = HttpResponse::build(status);
        response.content_type("application/problem+json");
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            response.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header(("WWW-Authenticate", "Bearer"));
        }
        response.body(serde_json::to_string(&body).unwrap_or_default())
    }

    fn log(&self, status: StatusCode, request_id: &str) {
        let below = match self {
            Self::Service(Error::Import(failure)) => match &failure.cause {
                ImportCause::Failed(error) => Some(&**error),
                ImportCause::Unparsable(_) | ImportCause::Wrong(_) => None,
            },
            Self::Service(error) => Some(error),
            _ => None,
        };
        match below {
            Some(Error::Unavailable(cause) | Error::Internal(cause)) => {
                tracing::error!(request_id, status = status.as_u16(), error = %chain(cause.as_ref()), "request failed");
            }
            Some(Error::Overloaded) => {
                tracing::warn!(request_id, "request refused: the server is busy")
            }
            _ => {}
        }
    }
}

/// Each service error's status and code. 422 for what is wrong in a readable request, 404 for what is another
/// tenant's as for what is not there.
fn verdict(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        Error::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Error::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
        Error::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        Error::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        Error::Conflict(_) | Error::Depends(_) => (StatusCode::CONFLICT, "conflict"),
        Error::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
        Error::Import(failure) => match &failure.cause {
            ImportCause::Unparsable(_) => (StatusCode::BAD_REQUEST, "unparsable"),
            ImportCause::Wrong(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            ImportCause::Failed(error) => verdict(error),
        },
        Error::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        Error::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.verdict().0
    }

    fn error_response(&self) -> HttpResponse {
        // The middleware renders it, with the request's id.
        HttpResponse::new(self.status_code())
    }
}

/// The answer to what matches no route.
pub(super) async fn no_such_route() -> Result<HttpResponse, Problem> {
    Err(Problem::Route)
}

/// What actix answered by itself, as a problem.
pub(super) fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Problem::Method,
        StatusCode::NOT_FOUND => Problem::Route,
        other => Problem::Refused(other),
    }
}

/// Keeps the `Allow` header of a 405 that actix made.
pub(super) fn keep_allow(from: &actix_web::http::header::HeaderMap, to: &mut HttpResponse) {
    if let Some(allow) = from.get(ALLOW) {
        to.headers_mut().insert(ALLOW, allow.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Cause;

    #[test]
    fn what_is_wrong_with_a_request_is_no_refusal_and_what_it_would_cost_is() {
        let cause = || -> Cause { "below".into() };
        for (problem, expected) in [
            (Problem::from(Error::Overloaded), Some(Refusal::Overloaded)),
            (
                Problem::from(Error::Unavailable(cause())),
                Some(Refusal::Unavailable),
            ),
            (Problem::from(Error::Timeout), Some(Refusal::Timeout)),
            (Problem::from(Error::Internal(cause())), None),
            (Problem::from(Invalid::new("a", "b")), None),
            (Problem::Panicked, None),
            (Problem::Route, None),
            (
                Problem::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
                Some(Refusal::TooLarge),
            ),
            (
                Problem::Refused(StatusCode::REQUEST_TIMEOUT),
                Some(Refusal::Timeout),
            ),
            (Problem::Refused(StatusCode::NOT_FOUND), None),
        ] {
            assert_eq!(problem.refusal(), expected, "{problem:?}");
        }
    }
}
