//! Query parameters: what a route lets through is what is said of it.
//!
//! **Invariant:** a handler hands the same list to [`crate::http::request::Ask::only`] as to its operation.

use schemars::json_schema;

use crate::domain::{Channel, Name, TenantId, Timestamp, page};
use crate::http::openapi::SchemaOf;

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Query {
    pub(in crate::http) name: &'static str,
    pub(super) says: &'static str,
    pub(super) schema: SchemaOf,
    pub(super) required: bool,
}

impl Query {
    /// One that may be left out.
    pub(in crate::http) const fn new(
        name: &'static str,
        says: &'static str,
        schema: SchemaOf,
    ) -> Self {
        Self {
            name,
            says,
            schema,
            required: false,
        }
    }

    /// One that has to be there.
    pub(in crate::http) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}

pub(in crate::http) const LIMIT: Query = Query::new("limit", "Most items of the answer.", |_| {
    json_schema!({
        "type": "integer", "minimum": 1, "maximum": page::MAX_LIMIT, "default": page::DEFAULT_LIMIT,
    })
});
pub(in crate::http) const CURSOR: Query = Query::new(
    "cursor",
    "The `next_cursor` of the page before.",
    |_| json_schema!({"type": "string"}),
);
pub(in crate::http) const ORDER: Query = Query::new(
    "order",
    "Oldest or newest first.",
    |_| json_schema!({"type": "string", "enum": ["asc", "desc"], "default": "asc"}),
);
pub(in crate::http) const SESSION_ID: Query =
    Query::new("session_id", "Only of this session.", |schemas| {
        schemas.subschema_for::<Name>()
    });
pub(in crate::http) const PROJECT_ID: Query = Query::new(
    "project_id",
    "Only of this project, and what has none.",
    |schemas| schemas.subschema_for::<Name>(),
);
pub(in crate::http) const WITH_WHOM: Query =
    Query::new("with_whom", "Only with this person.", |schemas| {
        schemas.subschema_for::<Name>()
    });
pub(in crate::http) const SINCE: Query = Query::new("since", "Not before.", |schemas| {
    schemas.subschema_for::<Timestamp>()
});
pub(in crate::http) const UNTIL: Query = Query::new("until", "Before (exclusive).", |schemas| {
    schemas.subschema_for::<Timestamp>()
});

pub(in crate::http) const TENANT_ID: Query = Query::new(
    "tenant_id",
    "The tenant; `default` if none is named.",
    |schemas| schemas.subschema_for::<TenantId>(),
);
pub(in crate::http) const CHANNEL: Query = Query::new(
    "channel",
    "Where the answer will be heard; `private` if absent.",
    |schemas| schemas.subschema_for::<Channel>(),
);
