//! What agents ask for over `/mcp`.
//!
//! Every call is a POST to one path, so the series of requests say nothing of what was called; these do.
//!
//! **Invariant:** a name that is none of ours is counted under the one value that stands for all of them.

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, Registry};

use crate::domain::Tool;
use crate::metrics::counter::{self, Counters};
use crate::metrics::distribution::Distribution;
use crate::metrics::encode::{Body, Kind};

/// The value that stands for all other methods.
const OTHER: &str = "other";
/// What a client may send, by method; a notification is one whatever it says.
const METHODS: &[&str] = &[
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "prompts/list",
    "prompts/get",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "notification",
    OTHER,
];
/// The buckets of requests, without those that a local call does not tell apart.
const DURATIONS: &[f64] = &[0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// How a call of a tool ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Called {
    /// It did what it was called for.
    Ok,
    /// It was told what is wrong with its arguments, or that there is no such thing.
    Refused,
    /// The memory could not be used, or was too busy.
    Failed,
}

impl Called {
    const ALL: [Self; 3] = [Self::Ok, Self::Refused, Self::Failed];

    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The series of `/mcp`.
#[derive(Debug)]
pub(super) struct Mcp {
    messages: Counters,
    calls: IntCounterVec,
    tools: Vec<(Tool, [IntCounter; 3], Distribution)>,
}

impl Mcp {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let calls = counter::family(
            registry,
            "agent_memory_mcp_tool_calls_total",
            "Calls of tools by how they ended: ok, refused (the caller was told what is wrong) or failed.",
            &["tool", "outcome"],
        )?;
        let tools = Tool::ALL.map(|tool| {
            let count = |called: Called| {
                calls.get_metric_with_label_values(&[tool.as_str(), called.label()])
            };
            let [ok, refused, failed] = Called::ALL.map(count);
            Ok((
                tool,
                [ok?, refused?, failed?],
                Distribution::of_nanos(DURATIONS),
            ))
        });
        Ok(Self {
            messages: Counters::split(
                registry,
                "agent_memory_mcp_messages_total",
                "Messages that came in over /mcp, by method.",
                "method",
                METHODS,
            )?,
            tools: tools.into_iter().collect::<prometheus::Result<_>>()?,
            calls,
        })
    }

    pub(super) fn message(&self, method: &str) {
        let known = METHODS.iter().find(|known| **known == method);
        self.messages.inc(known.copied().unwrap_or(OTHER));
    }

    pub(super) fn called(&self, tool: Tool, how: Called, took: Duration) {
        let Some((_, [ok, refused, failed], durations)) =
            self.tools.iter().find(|(known, _, _)| *known == tool)
        else {
            return;
        };
        match how {
            Called::Ok => ok.inc(),
            Called::Refused => refused.inc(),
            Called::Failed => failed.inc(),
        }
        durations.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Writes every family, as it is now.
    pub(super) fn expose(&self, body: &mut Body) {
        self.messages.expose(body, &self.messages.freeze());
        counter::announce(body, &self.calls);
        for (tool, counts, _) in &self.tools {
            for (called, count) in Called::ALL.iter().zip(counts) {
                let labels = [("tool", tool.as_str()), ("outcome", called.label())];
                body.sample(&labels, count.get());
            }
        }
        body.family(
            "agent_memory_mcp_tool_call_duration_seconds",
            Kind::Histogram,
            "How long calls of tools took, by tool.",
        );
        for (tool, _, durations) in &self.tools {
            body.histogram(&[("tool", tool.as_str())], durations.freeze().snapshot());
        }
    }
}
