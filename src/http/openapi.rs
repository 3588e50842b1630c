//! `GET /openapi.json`: the interface described in OpenAPI 3.1.
//!
//! Each module of handlers says of each of its routes what it takes and answers ([`operation`]), with the very types
//! that are read and written and the very lists of parameters that are let through. The schemas follow from the types
//! ([`schema`]); [`document`] puts it all together, once, when it is first asked for.
//!
//! A new route is a line in [`crate::http::ROUTES`], a resource in its module's `routes` and an entry in its module's
//! `operations`; a test fails while one of the first two lacks the other.
//!
//! **Invariant:** every route has an operation and every operation a route; every answer of every black-box test is
//! held against the document.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig};

use crate::http::{
    access, consolidation, context, decision, event, export, forget, handoff, import, mcp, note,
    operate, recall, reflection, session, wake_up,
};

mod document;
mod operation;
mod query;
mod schema;

pub(super) use operation::{
    Operation, Tag, delete, get, json, lines, markdown, open_metrics, page_of, patch, post,
    problem, text, tree,
};
pub(super) use query::{
    CHANNEL, CURSOR, LIMIT, ORDER, PROJECT_ID, Query, SESSION_ID, SINCE, TENANT_ID, UNTIL,
    WITH_WHOM,
};
pub(super) use schema::SchemaOf;

static DOCUMENT: LazyLock<Box<str>> = LazyLock::new(|| {
    // On a thread that ends, so that the allocator keeps nothing at hand of the thousands of pieces it takes.
    let made = std::thread::spawn(|| document::render(&operations()));
    made.join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
});

pub(super) fn routes(config: &mut ServiceConfig) {
    config.service(web::resource("/openapi.json").route(web::get().to(show)));
}

fn own_operations() -> Vec<Operation> {
    vec![
        get("/openapi.json", "describe", "This document.")
            .tagged(Tag::Operate)
            .open()
            .answers(200, "OpenAPI 3.1.", vec![tree()]),
    ]
}

/// What every route takes and answers.
fn operations() -> Vec<Operation> {
    [
        event::operations(),
        handoff::operations(),
        wake_up::operations(),
        decision::operations(),
        note::operations(),
        reflection::operations(),
        recall::operations(),
        context::operations(),
        session::operations(),
        forget::operations(),
        consolidation::operations(),
        export::operations(),
        import::operations(),
        access::operations(),
        mcp::operations(),
        operate::operations(),
        own_operations(),
    ]
    .concat()
}

/// The description of the interface in OpenAPI 3.1, as JSON. It is made at the first call.
pub fn openapi() -> &'static str {
    &DOCUMENT
}

async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(Bytes::from_static(openapi().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::ROUTES;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let operations = operations();
        let described: BTreeSet<_> = operations.iter().map(|op| (op.method, op.path)).collect();
        assert_eq!(described.len(), operations.len(), "one is described twice");
        let served: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.method, route.pattern))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_an_answer() {
        let operations = operations();
        let names: BTreeSet<_> = operations.iter().map(|op| op.id).collect();
        assert_eq!(names.len(), operations.len());
        for operation in &operations {
            assert!(!operation.answers.is_empty(), "{}", operation.id);
            assert_eq!(
                operation.path.contains("{id}"),
                operation.path_id.is_some(),
                "{}",
                operation.id
            );
        }
    }
}
