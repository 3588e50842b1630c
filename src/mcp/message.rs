//! JSON-RPC 2.0: one message in, at most one out.
//!
//! **Invariant:** a batch is refused: only the revision 2025-03-26 had them, and no client sends any.

use std::borrow::Cow;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::service::Error;

/// What came in.
#[derive(Debug)]
pub(super) enum Incoming<'a> {
    /// Something to be answered.
    Request(Request<'a>),
    /// A request of this id whose parameters cannot be read.
    Broken(Box<RawValue>, Refusal),
    /// A notification, or the answer to a question that was never put: nothing is done about either.
    Other,
}

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// Its id as JSON: a number or a text.
    pub(super) id: Box<RawValue>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Params<'a>,
}

/// What the methods take, all of them together. Unknown members are left alone, as the protocol wants it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params<'a> {
    pub(super) name: Option<String>,
    pub(super) uri: Option<String>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    pub(super) protocol_version: Option<String>,
    #[serde(rename = "_meta")]
    pub(super) meta: Option<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(default, borrow, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Any value that is read whole and of which nothing is kept. What is passed over otherwise, or sent back as it came, could be
/// nested without an end, or hold a number or half of a character that no client can read.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Tells `null` from nothing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a message.
pub(super) fn read(bytes: &[u8]) -> Result<Incoming<'_>, Refusal> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'[') => {
            return Err(Refusal::invalid_request(
                "a batch is not supported; send one message at a time",
            ));
        }
        _ => return Err(Refusal::parse_error()),
    }
    serde_json::from_slice::<Readable>(bytes).map_err(|_| Refusal::parse_error())?;
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Refusal::invalid_request("this is no JSON-RPC message")
        } else {
            Refusal::parse_error()
        }
    })?;
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err(Refusal::invalid_request("`jsonrpc` is not \"2.0\""));
    }
    let Some(method) = envelope.method else {
        if envelope.result.is_some() || envelope.error.is_some() {
            return Ok(Incoming::Other);
        }
        return Err(Refusal::invalid_request("there is no `method`"));
    };
    let Some(id) = envelope.id else {
        return Ok(Incoming::Other);
    };
    if !matches!(id.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9')) {
        return Err(Refusal::invalid_request(
            "`id` is neither a number nor a text",
        ));
    }
    let params = envelope.params.map_or("{}", RawValue::get);
    let params = match params.as_bytes().first() {
        Some(b'{') => serde_json::from_str(params).map_err(|error| error.to_string()),
        _ => Err("it is no object".to_owned()),
    };
    match params {
        Ok(params) => Ok(Incoming::Request(Request {
            id: id.to_owned(),
            method,
            params,
        })),
        Err(why) => Ok(Incoming::Broken(
            id.to_owned(),
            Refusal::invalid_params(format!("`params` cannot be read: {why}")),
        )),
    }
}

/// What kind of refusal it is, for the transports that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An answer like any other.
    Answer,
    /// The message is malformed, or of a version that is not spoken.
    Malformed,
    /// There is no such method.
    NoMethod,
}

/// A refusal in the terms of JSON-RPC.
#[derive(Debug)]
pub(super) struct Refusal {
    code: i32,
    message: Cow<'static, str>,
    data: Option<Value>,
    pub(super) standing: Standing,
}

impl Refusal {
    fn new(code: i32, message: impl Into<Cow<'static, str>>, standing: Standing) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
            standing,
        }
    }

    fn parse_error() -> Self {
        Self::new(-32700, "this is not JSON", Standing::Malformed)
    }

    pub(super) fn invalid_request(why: &'static str) -> Self {
        Self::new(-32600, why, Standing::Malformed)
    }

    pub(super) fn no_method(method: &str) -> Self {
        let method: String = method.chars().take(64).collect();
        Self::new(
            -32601,
            format!("there is no method {method}"),
            Standing::NoMethod,
        )
    }

    pub(super) fn invalid_params(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, why, Standing::Answer)
    }

    /// The `_meta` that each request has from 2026-07-28 on.
    pub(super) fn missing_meta(why: &'static str) -> Self {
        Self::new(-32602, why, Standing::Malformed)
    }

    /// -32002 was MCP's own code until 2026-07-28 took the general one.
    pub(super) fn no_resource(uri: &str, is_modern: bool) -> Self {
        let uri: String = uri.chars().take(200).collect();
        let code = if is_modern { -32602 } else { -32002 };
        Self {
            data: Some(serde_json::json!({ "uri": uri })),
            ..Self::new(code, "there is no such resource", Standing::Answer)
        }
    }

    pub(super) fn header_mismatch(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32020, why, Standing::Malformed)
    }

    pub(super) fn unsupported_version(requested: &str, supported: &[&str]) -> Self {
        let requested: String = requested.chars().take(64).collect();
        Self {
            data: Some(serde_json::json!({"supported": supported, "requested": requested})),
            ..Self::new(
                -32022,
                "the protocol version is not supported",
                Standing::Malformed,
            )
        }
    }

    pub(super) fn internal(error: &Error) -> Self {
        Self::new(-32603, error.to_string(), Standing::Answer)
    }

    /// The answer to the request of this id; to none if it could not be read.
    pub(super) fn reply(&self, id: Option<&RawValue>) -> Reply {
        #[derive(Serialize)]
        struct Error<'a> {
            code: i32,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a Value>,
        }
        #[derive(Serialize)]
        struct Answer<'a> {
            jsonrpc: &'static str,
            // MCP leaves it out where JSON-RPC would have null.
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a RawValue>,
            error: Error<'a>,
        }
        let error = Error {
            code: self.code,
            message: &self.message,
            data: self.data.as_ref(),
        };
        Reply {
            standing: self.standing,
            body: serde_json::to_string(&Answer {
                jsonrpc: "2.0",
                id,
                error,
            })
            .ok(),
        }
    }
}

/// What goes back.
#[derive(Debug)]
pub struct Reply {
    /// What kind of answer it is.
    pub standing: Standing,
    /// The message as JSON on one line, unless there is nothing to say.
    pub body: Option<String>,
}

impl Reply {
    pub(super) fn nothing() -> Self {
        Self {
            standing: Standing::Answer,
            body: None,
        }
    }

    pub(super) fn result(id: &RawValue, result: &Value) -> Self {
        #[derive(Serialize)]
        struct Answer<'a> {
            jsonrpc: &'static str,
            id: &'a RawValue,
            result: &'a Value,
        }
        let answer = Answer {
            jsonrpc: "2.0",
            id,
            result,
        };
        Self {
            standing: Standing::Answer,
            body: serde_json::to_string(&answer).ok(),
        }
    }
}
