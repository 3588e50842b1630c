//! What one route takes and answers, in a few words.
//!
//! `get(path, id, summary)` and its like describe a route of the API: it is asked in a tenant and a channel, and may be
//! refused with 401, 403, 408, 422, 429, 431, 500 or 503. What else it takes adds what else it may be refused with: a body
//! 400, 413 and 415, an id in the path 404, an `Idempotency-Key` (or an id of the client's own) 409. [`Operation::fails`] adds
//! what is left.
//!
//! **Invariant:** describes and decides nothing: no handler reads it.

use schemars::{JsonSchema, json_schema};

use crate::http::openapi::{Query, SchemaOf};
use crate::http::problem;

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Tag {
    Events,
    Handoffs,
    Decisions,
    Knowledge,
    Conclusions,
    Consolidation,
    Recall,
    Sessions,
    Transfer,
    Access,
    Agents,
    Operate,
}

impl Tag {
    pub(super) const ALL: [Self; 12] = [
        Self::Events,
        Self::Handoffs,
        Self::Decisions,
        Self::Knowledge,
        Self::Conclusions,
        Self::Consolidation,
        Self::Recall,
        Self::Sessions,
        Self::Transfer,
        Self::Access,
        Self::Agents,
        Self::Operate,
    ];

    /// Its name, and what it is.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Events => ("events", "What happened, append-only."),
            Self::Handoffs => (
                "handoffs",
                "What an agent writes at the end of a session for its next self, and the wake-up it reads first.",
            ),
            Self::Decisions => (
                "decisions",
                "Choices with their reasons; each holds until another takes its place.",
            ),
            Self::Knowledge => (
                "knowledge",
                "Facts and lessons kept on their own, which may be pinned.",
            ),
            Self::Conclusions => (
                "conclusions",
                "Reflections on periods and principles that recur; consolidation draws them.",
            ),
            Self::Consolidation => (
                "consolidation",
                "What makes old memory cheaper to load without losing any of it; for keys of scope admin.",
            ),
            Self::Recall => ("recall", "Ranked search, and context for a task."),
            Self::Sessions => (
                "sessions",
                "Sessions, projects and tenants, and what they hold.",
            ),
            Self::Transfer => ("transfer", "Everything out, and in again."),
            Self::Access => ("access", "Keys, and who did what; for keys of scope admin."),
            Self::Agents => ("agents", "What agents call by themselves."),
            Self::Operate => ("operate", "Health, metrics, and this description."),
        }
    }
}

/// A form in which a body may be.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Media {
    pub(super) kind: &'static str,
    pub(super) form: Form,
}

/// What a body of a form looks like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A value.
    Value(SchemaOf),
    /// The items under a name, and a cursor.
    Page(&'static str, SchemaOf),
    /// A value a line.
    Lines(SchemaOf),
    /// Text for people or for other programs.
    Text,
}

/// JSON of a type.
pub(in crate::http) fn json<T: JsonSchema>() -> Media {
    Media {
        kind: "application/json",
        form: Form::Value(|schemas| schemas.subschema_for::<T>()),
    }
}

/// JSON of any form.
pub(in crate::http) fn tree() -> Media {
    Media {
        kind: "application/json",
        form: Form::Value(|_| json_schema!({"type": "object"})),
    }
}

/// A page of a list, as [`crate::http::request::list`] writes it.
pub(in crate::http) fn page_of<T: JsonSchema>(name: &'static str) -> Media {
    Media {
        kind: "application/json",
        form: Form::Page(name, |schemas| schemas.subschema_for::<T>()),
    }
}

/// JSON, a value a line.
pub(in crate::http) fn lines<T: JsonSchema>() -> Media {
    Media {
        kind: "application/x-ndjson",
        form: Form::Lines(|schemas| schemas.subschema_for::<T>()),
    }
}

/// A problem, where other forms of the same refusal are described as well.
pub(in crate::http) fn problem() -> Media {
    Media {
        kind: "application/problem+json",
        form: Form::Value(problem::schema),
    }
}

/// Markdown.
pub(in crate::http) fn markdown() -> Media {
    Media {
        kind: "text/markdown",
        form: Form::Text,
    }
}

/// Plain text.
pub(in crate::http) fn text() -> Media {
    Media {
        kind: "text/plain",
        form: Form::Text,
    }
}

/// `OpenMetrics`.
pub(in crate::http) fn open_metrics() -> Media {
    Media {
        kind: "application/openmetrics-text",
        form: Form::Text,
    }
}

/// What one route takes and answers.
#[derive(Debug, Clone)]
pub(in crate::http) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) tag: Tag,
    /// Whether it is asked in a tenant and a channel.
    pub(super) scoped: bool,
    pub(super) path_id: Option<SchemaOf>,
    pub(super) query: &'static [Query],
    pub(super) idempotent: bool,
    pub(super) body: Vec<Media>,
    pub(super) answers: Vec<Answer>,
    pub(super) failures: Vec<u16>,
}

/// What it answers when it did as it was told, or said how it feels.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) says: &'static str,
    pub(super) media: Vec<Media>,
}

/// A route that reads.
pub(in crate::http) fn get(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("GET", path, id, summary)
}

/// A route that makes something.
pub(in crate::http) fn post(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("POST", path, id, summary)
}

/// A route that changes something.
pub(in crate::http) fn patch(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("PATCH", path, id, summary)
}

/// A route that takes something away.
pub(in crate::http) fn delete(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation::new("DELETE", path, id, summary)
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            tag: Tag::Operate,
            scoped: true,
            path_id: None,
            query: &[],
            idempotent: false,
            body: Vec::new(),
            answers: Vec::new(),
            failures: vec![401, 403, 408, 422, 429, 431, 500, 503],
        }
    }

    /// What it is about.
    pub(in crate::http) fn tagged(self, tag: Tag) -> Self {
        Self { tag, ..self }
    }

    /// It touches no tenant's memory: it takes no tenant, and refuses nothing but a wrong host or origin.
    pub(in crate::http) fn open(self) -> Self {
        Self {
            scoped: false,
            failures: vec![403, 431],
            ..self
        }
    }

    /// The `{id}` in its path.
    pub(in crate::http) fn id_of<T: JsonSchema>(self) -> Self {
        Self {
            path_id: Some(|schemas| schemas.subschema_for::<T>()),
            ..self
        }
        .fails(&[404])
    }

    /// The parameters that its handler lets through.
    pub(in crate::http) fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    /// It honours an `Idempotency-Key`.
    pub(in crate::http) fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
        .fails(&[409])
    }

    /// The forms of its body.
    pub(in crate::http) fn takes(self, body: Vec<Media>) -> Self {
        Self { body, ..self }.fails(&[400, 413, 415])
    }

    /// The form of a body that is read as it comes, however long it is.
    pub(in crate::http) fn streams(self, body: Media) -> Self {
        Self {
            body: vec![body],
            ..self
        }
        .fails(&[400, 415])
    }

    /// An answer; an empty list of forms is one without a body.
    pub(in crate::http) fn answers(
        mut self,
        status: u16,
        says: &'static str,
        media: Vec<Media>,
    ) -> Self {
        self.answers.push(Answer {
            status,
            says,
            media,
        });
        self
    }

    /// Refusals that do not follow from what it takes.
    pub(in crate::http) fn fails(mut self, statuses: &[u16]) -> Self {
        self.failures.extend(statuses);
        self.failures.sort_unstable();
        self.failures.dedup();
        self
    }

    /// The same under another path.
    pub(in crate::http) fn alias(&self, path: &'static str, id: &'static str) -> Self {
        Self {
            path,
            id,
            ..self.clone()
        }
    }

    /// The same with HEAD, without the bodies.
    pub(in crate::http) fn head(&self, id: &'static str) -> Self {
        let mut head = Self {
            method: "HEAD",
            id,
            ..self.clone()
        };
        for answer in &mut head.answers {
            answer.media.clear();
        }
        head
    }
}
