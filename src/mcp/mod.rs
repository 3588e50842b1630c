//! The Model Context Protocol: what an agent calls by itself.
//!
//! Two doors lead here. `/mcp` on the server's port is stateless: each POST carries one message and is answered in JSON;
//! no session is made, so none can be stale, and there is no stream. `agent-memory mcp` ([`stdio`]) speaks the same over
//! standard input and output, on the file itself. Both hand a message to [`answer`].
//!
//! **Eras.** Up to 2025-11-25 a client begins with `initialize` and is answered a version that both know. From 2026-07-28
//! on there is no beginning: each request names its version in `_meta` (and over HTTP repeats it, the method and the name
//! in headers, which have to agree), `server/discover` says what there is, and results say `resultType`. [`era`] tells
//! which one a message is of; nothing is remembered between messages.
//!
//! **Tools.** [`tool`] is the table: what each does, *when* to call it, what it takes and answers. The whole of it stays
//! under 8 KB, since a model reads it in every session. A call reads its arguments ([`argument`]), makes one service call,
//! and answers twice the same: `structuredContent` for programs and text for models. Neither of the two is estimated
//! above `max_tokens`. What is wrong with a call (an argument, an unknown id) is a result with `isError`, in words that a
//! model can act on; an unknown tool is a protocol error, as the specification has it. What is wrong with the memory
//! (busy, unusable) is a failure of the request: the usual problem over HTTP, -32603 over stdio.
//!
//! **Why no SDK.** rmcp with rmcp-actix-web was measured: 51 crates more than the 243 that the binary is made of, and 37 s
//! more of processor time for a cold build of what is needed beside actix-web (60 s); rmcp's types alone 19 crates and
//! 15 s. What is used of the protocol without sessions and streams is a dozen messages. The official clients and the
//! conformance suite, which `scripts/test-mcp` runs, keep it honest.
//!
//! **Invariant:** no rule, no SQL and no status code: a tool does what a route does, through the same services.

use serde_json::value::RawValue;

use crate::domain::Caller;
use crate::mcp::era::Era;
use crate::mcp::message::{Incoming, Refusal};
use crate::metrics::Metrics;
use crate::service::Error;

mod argument;
mod era;
mod list;
mod message;
mod method;
mod prompt;
mod read;
mod shape;
pub mod stdio;
mod tool;
mod way;
mod write;

pub use era::Headers;
pub use message::{Reply, Standing};
pub use tool::listing;
pub use way::Way;

/// Who asks, and the way to the services.
#[derive(Debug)]
pub struct Front<'a> {
    /// The way to the services.
    pub way: Way<'a>,
    /// Whose memory.
    pub caller: Caller,
    /// The project of calls that name none.
    pub project: Option<String>,
    /// The session of writes that name none.
    pub session: String,
    /// The series, where there are any.
    pub metrics: Option<&'a Metrics>,
}

/// Answers one message. `headers` are those of a message that came over HTTP.
///
/// # Errors
/// The memory cannot be used or is too busy: `Timeout`, `Overloaded`, `Unavailable`, `Internal`. What is wrong with the
/// message is part of the answer.
pub async fn answer(
    front: &Front<'_>,
    bytes: &[u8],
    headers: Option<&Headers<'_>>,
) -> Result<Reply, Failure> {
    let request = match message::read(bytes) {
        Ok(Incoming::Request(request)) => request,
        Ok(Incoming::Other) => {
            front.count("notification");
            return Ok(Reply::nothing());
        }
        Ok(Incoming::Broken(id, refusal)) => return Ok(refusal.reply(Some(&id))),
        Err(refusal) => return Ok(refusal.reply(None)),
    };
    front.count(&request.method);
    let era = match Era::of(&request, headers) {
        Ok(era) => era,
        Err(refusal) => return Ok(refusal.reply(Some(&request.id))),
    };
    match method::call(front, &request, era).await {
        Ok(result) => Ok(Reply::result(&request.id, &result)),
        Err(Trouble::Refused(refusal)) => Ok(era.standing(refusal).reply(Some(&request.id))),
        Err(Trouble::Failed(error)) => Err(Failure {
            id: request.id,
            error,
        }),
    }
}

/// The memory could not be used for a request.
#[derive(Debug)]
pub struct Failure {
    /// The request's id, as JSON.
    id: Box<RawValue>,
    /// Why.
    pub error: Error,
}

impl Failure {
    /// It as an error of JSON-RPC, which says nothing of what lies below.
    pub fn reply(&self) -> Reply {
        Refusal::internal(&self.error).reply(Some(&self.id))
    }
}

/// Why there is no result.
#[derive(Debug)]
enum Trouble {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Front<'_> {
    fn count(&self, method: &str) {
        if let Some(metrics) = self.metrics {
            metrics.mcp_message(method);
        }
    }
}
