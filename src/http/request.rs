//! Reading requests: query parameters, bodies, ids in paths. What is wrong is said with the name of the field.
//!
//! **Invariant:** a body is never buffered beyond the limit, and a parameter is never ignored: an unknown one is
//! refused, since a mistyped filter would answer with too much.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use actix_web::web::{self, Bytes, BytesMut, Data};
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::domain::page::{List, Page, Paged};
use crate::domain::redact::redact;
use crate::domain::{Caller, Channel, Invalid, TenantId, Timestamp};
use crate::http::openapi::{CHANNEL, Query, TENANT_ID};
use crate::http::problem::Problem;
use crate::http::room::FREE_BYTES;
use crate::http::{State, auth};
use crate::service::Error;

/// How much of a refused body is read and thrown away, so that the client, still sending, gets to see the answer.
const DRAIN_BYTES: usize = 64 * 1024 * 1024;
/// The parameters that every route of the API takes.
pub(super) const COMMON: &[Query] = &[TENANT_ID, CHANNEL];

/// A request without its body: its parameters and its caller.
#[derive(Debug)]
pub(super) struct Ask {
    request: HttpRequest,
    pairs: Vec<(String, String)>,
}

impl FromRequest for Ask {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map(web::Query::into_inner)
            .map_err(|_| Problem::Unparsable(Invalid::new("query", "cannot be read")));
        ready(pairs.map(|pairs| Self {
            request: request.clone(),
            pairs,
        }))
    }
}

impl Ask {
    /// Refuses parameters other than these and the common ones, and those given twice.
    pub(super) fn only(&self, known: &[Query]) -> Result<(), Problem> {
        for (index, (name, _)) in self.pairs.iter().enumerate() {
            if !known.iter().chain(COMMON).any(|query| query.name == name) {
                return Err(Invalid::new(clip(name), "is not a parameter of this route").into());
            }
            if self
                .pairs
                .iter()
                .skip(index + 1)
                .any(|(other, _)| other == name)
            {
                return Err(Invalid::new(name.as_str(), "is given twice").into());
            }
        }
        Ok(())
    }

    /// A parameter as it was written.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Invalid::new(name, "is not a whole number").into())
            })
            .transpose()
    }

    /// A number.
    pub(super) fn float(&self, name: &str) -> Result<Option<f64>, Problem> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Invalid::new(name, "is not a number").into())
            })
            .transpose()
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Invalid::new(name, "is neither true nor false").into())
            })
            .transpose()
    }

    /// A time.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        Ok(self
            .text(name)
            .map(|text| Timestamp::parse(name, text))
            .transpose()?)
    }

    /// The part of a list that is asked for.
    pub(super) fn page(&self, list: List) -> Result<Page, Problem> {
        Ok(Page::parse(
            list,
            self.number("limit")?,
            self.text("order"),
            self.text("cursor"),
        )?)
    }

    /// The caller of a request without a body.
    pub(super) fn caller(&self) -> Result<Caller, Problem> {
        self.caller_of(None, None)
    }

    /// The caller of a request whose body names a tenant or a channel.
    pub(super) fn caller_of(
        &self,
        tenant: Option<&str>,
        channel: Option<Channel>,
    ) -> Result<Caller, Problem> {
        let named = self.tenant()?;
        let asked = self
            .text("channel")
            .map(|word| Channel::parse("channel", word))
            .transpose()?;
        auth::caller(&self.request, named.as_ref(), tenant, channel.or(asked))
    }

    /// The caller in a tenant that the path names.
    pub(super) fn caller_in(&self, tenant: &TenantId) -> Result<Caller, Problem> {
        auth::caller(&self.request, Some(tenant), None, None)
    }

    /// Whether the query or a header names a tenant.
    pub(super) fn names_tenant(&self) -> bool {
        self.text("tenant_id").is_some() || self.request.headers().contains_key(auth::TENANT_HEADER)
    }

    fn tenant(&self) -> Result<Option<TenantId>, Problem> {
        auth::tenant(&self.request, self.text("tenant_id"))
    }

    /// The client's `Idempotency-Key`.
    pub(super) fn idempotency_key(&self) -> Result<Option<String>, Problem> {
        let Some(value) = self.request.headers().get("idempotency-key") else {
            return Ok(None);
        };
        let text = value
            .to_str()
            .map_err(|_| Invalid::new("Idempotency-Key", "is not plain text"))?;
        Ok(Some(text.to_owned()))
    }

    /// Whether the client would rather have Markdown.
    pub(super) fn wants_markdown(&self) -> bool {
        let accept = self
            .request
            .headers()
            .get("accept")
            .and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| {
            accept
                .split(',')
                .any(|kind| kind.trim().starts_with("text/markdown"))
        })
    }
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// What kind of text a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Lines,
}

/// A body, read whole.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) media: Media,
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl FromRequest for Raw {
    type Error = Problem;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<Data<State>>().cloned();
        let media = plain(request).and_then(|()| media(request));
        let announced = request
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let payload = payload.take();
        Box::pin(async move {
            let state = state.ok_or_else(|| Error::Internal("no state".into()))?;
            let body = collect(payload, announced.unwrap_or(0), &state);
            let body = timeout(state.options.body_timeout, body).await;
            let (bytes, room) = body.map_err(|_| Error::Timeout)??;
            Ok(Self {
                media: media?,
                bytes,
                _room: room,
            })
        })
    }
}

/// Refuses a compressed body: the limits are of what is sent, and nothing here inflates.
pub(super) fn plain(request: &HttpRequest) -> Result<(), Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(CONTENT_ENCODING).all(plain) {
        Ok(())
    } else {
        Err(Problem::Media("a body without a content-encoding"))
    }
}

/// What kind of text the body says it is.
pub(super) fn media(request: &HttpRequest) -> Result<Media, Problem> {
    let Some(value) = request.headers().get(CONTENT_TYPE) else {
        return Ok(Media::Json);
    };
    let text = value.to_str().unwrap_or_default();
    match text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "application/json" => Ok(Media::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Media::Lines),
        _ => Err(Problem::Media("application/json")),
    }
}

async fn collect(
    mut payload: Payload,
    announced: usize,
    state: &State,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Problem> {
    let limit = state.options.max_body_bytes;
    let mut room = state.room.incoming();
    // What was announced may never come.
    let mut body = BytesMut::with_capacity(announced.min(FREE_BYTES));
    let mut seen = 0usize;
    while let Some(part) = next(&mut payload).await {
        let part = part.map_err(|_| Problem::Unparsable(Invalid::new("body", "broke off")))?;
        seen = seen.saturating_add(part.len());
        if seen <= limit && announced <= limit {
            room.to(seen)?;
            body.extend_from_slice(&part);
        } else if seen > DRAIN_BYTES {
            break;
        }
    }
    if seen > limit || announced > limit {
        return Err(Error::TooLarge(format!("the body is larger than {limit} bytes")).into());
    }
    Ok((body.freeze(), room.keep()))
}

/// Throws away what a client still sends after it was refused, within reason.
pub(super) async fn drain(payload: &mut Payload) {
    let mut seen = 0usize;
    while let Some(Ok(part)) = next(payload).await {
        seen = seen.saturating_add(part.len());
        if seen > DRAIN_BYTES {
            break;
        }
    }
}

/// The next part of a body.
pub(super) async fn next(
    payload: &mut Payload,
) -> Option<Result<Bytes, actix_web::error::PayloadError>> {
    use actix_web::dev::Payload as Stream;
    match payload {
        Stream::None => None,
        other => {
            std::future::poll_fn(|cx| {
                futures_core::Stream::poll_next(std::pin::Pin::new(&mut *other), cx)
            })
            .await
        }
    }
}

impl Raw {
    /// The body as a value.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if self.media != Media::Json {
            return Err(Problem::Media("application/json"));
        }
        parse(&self.bytes)
    }
}

/// Reads JSON: 400 if it is none, 422 with the path of the field if it is not what was asked for.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Without this, serde would take an array for an object, its items for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let other: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(bytes);
        return Err(match other {
            Ok(_) => Invalid::new("body", "is not a JSON object").into(),
            Err(error) => {
                Problem::Unparsable(Invalid::new("body", position("is not valid JSON", &error)))
            }
        });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| refusal(&error))?;
    reader.end().map_err(|error| {
        Problem::Unparsable(Invalid::new(
            "body",
            position("goes on after the JSON value", &error),
        ))
    })?;
    Ok(value)
}

fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let below = error.inner();
    if below.is_data() {
        let path = error.path().to_string();
        let field = if path == "." {
            "body".to_owned()
        } else {
            clip(&path)
        };
        return Invalid::new(field, reason(below)).into();
    }
    Problem::Unparsable(Invalid::new("body", position("is not valid JSON", below)))
}

/// What serde says of a value that is of the wrong shape, without the position it adds. It quotes the value, so secrets
/// are taken out.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    redact(text).text.chars().take(300).collect()
}

fn position(what: &str, error: &serde_json::Error) -> String {
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// A page of a list under the entity's name.
pub(super) fn list<T: serde::Serialize>(name: &'static str, page: &Paged<T>) -> HttpResponse {
    let mut body = std::collections::BTreeMap::new();
    body.insert(name, Listed::Items(&page.items));
    if let Some(cursor) = &page.next_cursor {
        body.insert("next_cursor", Listed::Cursor(cursor));
    }
    HttpResponse::Ok().json(body)
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Listed<'a, T> {
    Items(&'a [T]),
    Cursor(&'a str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventDraft;

    fn refused(body: &str) -> String {
        match parse::<EventDraft>(body.as_bytes()).unwrap_err() {
            Problem::Unparsable(invalid) => format!("400 {invalid}"),
            Problem::Service(Error::Invalid(invalid)) => format!("422 {invalid}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn says_where_and_what() {
        let deep = "[".repeat(200);
        for (body, start) in [
            ("{", "400 body: is not valid JSON (line 1"),
            ("{} x", "422 body: missing field `session_id`"),
            (deep.as_str(), "400 body"),
            ("[]", "422 body: is not a JSON object"),
            (
                r#"{"session_id": "s", "actor": ["human", "u"]}"#,
                "422 actor: invalid type: sequence",
            ),
            (r#"{"session_id": 5}"#, "422 session_id: invalid type"),
            (
                r#"{"session_id": "s", "kind": "dream"}"#,
                "422 kind: is not one of message",
            ),
            (
                r#"{"session_id": "s", "actor": {"type": "human", "id": 1}}"#,
                "422 actor.id",
            ),
            (r#"{"session_id": "\ud800"}"#, "400 body"),
            (r#"{"sesion_id": "s"}"#, "422 sesion_id: unknown field"),
        ] {
            assert!(
                refused(body).starts_with(start),
                "{} for {body}",
                refused(body)
            );
        }
    }
}
