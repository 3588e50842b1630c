//! Which version of the protocol a message is of.
//!
//! **Invariant:** the message alone says it: nothing is remembered from one to the next.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mcp::message::{Refusal, Request, Standing};

/// The version in which each request stands for itself.
const MODERN: &str = "2026-07-28";
/// The versions that begin with `initialize`, newest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// All that are spoken, newest first.
pub(super) const SUPPORTED: [&str; 5] = [
    MODERN,
    "2025-11-25",
    "2025-06-18",
    "2025-03-26",
    "2024-11-05",
];

/// Where a request names its version, and what its client can do.
const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES_KEY: &str = "io.modelcontextprotocol/clientCapabilities";

/// The headers of a message that say what it is, so that what stands between need not read the message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
}

/// What a message is to be answered like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Up to 2025-11-25.
    Legacy,
    /// From 2026-07-28 on.
    Modern,
}

impl Era {
    /// The era of a request, if it is one that can be answered.
    pub(super) fn of(
        request: &Request<'_>,
        headers: Option<&Headers<'_>>,
    ) -> Result<Self, Refusal> {
        if request.method == "initialize" {
            return Ok(Self::Legacy);
        }
        let meta = request.params.meta.as_ref();
        let version = meta.and_then(|meta| meta.get(VERSION_KEY)?.as_str());
        let announced = headers.and_then(|headers| headers.version);
        let is_modern = version.is_some()
            || request.method == "server/discover"
            || announced.is_some_and(|announced| announced >= MODERN);
        if !is_modern {
            return match announced {
                Some(announced) if !LEGACY.contains(&announced) => {
                    Err(Refusal::unsupported_version(announced, &SUPPORTED))
                }
                _ => Ok(Self::Legacy),
            };
        }
        let Some(version) = version else {
            return Err(Refusal::missing_meta(
                "`_meta` lacks io.modelcontextprotocol/protocolVersion",
            ));
        };
        if let Some(headers) = headers {
            headers.check_version(version)?;
        }
        if LEGACY.contains(&version) {
            return Ok(Self::Legacy);
        }
        if version != MODERN {
            return Err(Refusal::unsupported_version(version, &SUPPORTED));
        }
        let capabilities = meta.and_then(|meta| meta.get(CAPABILITIES_KEY));
        if !capabilities.is_some_and(serde_json::Value::is_object) {
            return Err(Refusal::missing_meta(
                "`_meta` lacks io.modelcontextprotocol/clientCapabilities",
            ));
        }
        if let Some(headers) = headers {
            headers.check_names(request)?;
        }
        Ok(Self::Modern)
    }

    /// A refusal as this era has it: an unknown method is no failure of the transport before 2026-07-28.
    pub(super) fn standing(self, mut refusal: Refusal) -> Refusal {
        if self == Self::Legacy && refusal.standing == Standing::NoMethod {
            refusal.standing = Standing::Answer;
        }
        refusal
    }
}

/// The version to go on with, for a client that begins with this one.
pub(super) fn negotiated(requested: Option<&str>) -> &'static str {
    let known = LEGACY
        .into_iter()
        .find(|version| requested == Some(*version));
    known.unwrap_or("2025-11-25")
}

impl Headers<'_> {
    fn check_version(&self, version: &str) -> Result<(), Refusal> {
        match self.version {
            None => Err(Refusal::header_mismatch(
                "the header MCP-Protocol-Version is missing",
            )),
            Some(header) if header != version => Err(Refusal::header_mismatch(
                "the header MCP-Protocol-Version differs from `_meta`",
            )),
            Some(_) => Ok(()),
        }
    }

    fn check_names(&self, request: &Request<'_>) -> Result<(), Refusal> {
        if self.method != Some(&request.method) {
            return Err(Refusal::header_mismatch(
                "the header Mcp-Method is missing or differs from `method`",
            ));
        }
        let name = match &*request.method {
            "tools/call" | "prompts/get" => request.params.name.as_deref(),
            "resources/read" => request.params.uri.as_deref(),
            _ => return Ok(()),
        };
        // What lacks its name is refused for that.
        let Some(name) = name else { return Ok(()) };
        if self.name.and_then(decoded).as_deref() == Some(name) {
            return Ok(());
        }
        Err(Refusal::header_mismatch(
            "the header Mcp-Name is missing or differs from the message",
        ))
    }
}

/// A header's value; what no header can carry comes as `=?base64?…?=`.
fn decoded(value: &str) -> Option<String> {
    let packed = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match packed {
        None => Some(value.to_owned()),
        Some(packed) => String::from_utf8(STANDARD.decode(packed).ok()?).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::mcp::message::{self, Incoming};

    fn era(message: &Value, headers: Option<Headers<'_>>) -> Result<Era, Value> {
        let text = message.to_string();
        let Ok(Incoming::Request(request)) = message::read(text.as_bytes()) else {
            panic!("{message} is no request");
        };
        Era::of(&request, headers.as_ref()).map_err(|refusal| {
            let body = refusal.reply(None).body.unwrap();
            serde_json::from_str::<Value>(&body).unwrap()["error"]["code"].clone()
        })
    }

    fn modern(method: &str, mut params: Value) -> Value {
        params["_meta"] = json!({VERSION_KEY: MODERN, CAPABILITIES_KEY: {}});
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    }

    #[test]
    fn a_message_says_what_it_is() {
        let plain = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        assert_eq!(era(&plain, None), Ok(Era::Legacy));
        for version in LEGACY {
            let headers = Headers {
                version: Some(version),
                ..Headers::default()
            };
            assert_eq!(era(&plain, Some(headers)), Ok(Era::Legacy));
        }
        assert_eq!(era(&modern("tools/list", json!({})), None), Ok(Era::Modern));
        let headers = Headers {
            version: Some(MODERN),
            method: Some("tools/call"),
            name: Some("=?base64?cmVjYWxs?="),
        };
        let call = modern("tools/call", json!({"name": "recall"}));
        assert_eq!(era(&call, Some(headers)), Ok(Era::Modern));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let call = modern("tools/call", json!({"name": "recall"}));
        let good = Headers {
            version: Some(MODERN),
            method: Some("tools/call"),
            name: Some("recall"),
        };
        for headers in [
            Headers::default(),
            Headers {
                version: Some("2025-11-25"),
                ..good
            },
            Headers {
                method: Some("tools/list"),
                ..good
            },
            Headers { name: None, ..good },
            Headers {
                name: Some("forget"),
                ..good
            },
            Headers {
                name: Some("=?base64?!?="),
                ..good
            },
        ] {
            assert_eq!(era(&call, Some(headers)), Err(json!(-32020)), "{headers:?}");
        }
        let mut other = call.clone();
        other["params"]["_meta"][VERSION_KEY] = json!("2031-01-01");
        assert_eq!(era(&other, None), Err(json!(-32022)));
        let mut bare = call.clone();
        bare["params"]["_meta"] = json!({VERSION_KEY: MODERN});
        assert_eq!(era(&bare, None), Err(json!(-32602)));
        let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover"});
        assert_eq!(era(&discover, None), Err(json!(-32602)));
        let old = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let headers = Headers {
            version: Some("1.0"),
            ..Headers::default()
        };
        assert_eq!(era(&old, Some(headers)), Err(json!(-32022)));
    }
}
