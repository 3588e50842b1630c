//! Requests in shapes that make two readers of one stream disagree, and bodies that are larger than they look.
//!
//! **Invariant:** whatever is answered, nothing hidden in such a request is carried out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::{TestApp, event};

/// A write that must not happen, as the request that is hidden in another.
fn hidden() -> String {
    let body = event(&json!({"content": {"text": "smuggled"}})).to_string();
    format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn stored(app: &TestApp) -> usize {
    app.get("/api/v1/events").ok()["events"]
        .as_array()
        .unwrap()
        .len()
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let app = TestApp::start();
    let (inner, head) = (
        hidden(),
        "POST /api/v1/recall HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n",
    );
    let length = inner.len();
    // A broken head is no request of any route; a broken body is one of its own.
    let refused = |app: &TestApp| {
        let scrape = app.scrape();
        scrape.answers("OTHER", "unmatched", "400")
            + scrape.answers("POST", "/api/v1/recall", "400")
    };
    let before = refused(&app);
    let shapes = [
        (
            "two lengths",
            format!("{head}content-length: 0\r\ncontent-length: {length}\r\n\r\n{inner}"),
        ),
        (
            "a list of lengths",
            format!("{head}content-length: 0, {length}\r\n\r\n{inner}"),
        ),
        (
            "a length and chunks",
            format!(
                "{head}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "chunks and a length",
            format!(
                "{head}transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "two encodings",
            format!(
                "{head}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "an unknown encoding",
            format!("{head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "chunks that are not last",
            format!("{head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{inner}"),
        ),
        (
            "a folded header",
            format!("{head}x-one: a\r\n content-length: 3\r\ncontent-length: 0\r\n\r\n{inner}"),
        ),
        (
            "a folded encoding",
            format!(
                "{head}transfer-encoding:\r\n chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n{inner}"
            ),
        ),
        (
            "a space before the colon",
            format!("{head}content-length : 0\r\ncontent-length: {length}\r\n\r\n{inner}"),
        ),
        (
            "a signed length",
            format!("{head}content-length: +0\r\n\r\n{inner}"),
        ),
        (
            "a length in hex",
            format!("{head}content-length: 0x0\r\n\r\n{inner}"),
        ),
        (
            "a negative chunk",
            format!("{head}transfer-encoding: chunked\r\n\r\n-1\r\n\r\n{inner}"),
        ),
        (
            "a chunk of any size",
            format!("{head}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{inner}"),
        ),
        (
            "a NUL in a header",
            format!("{head}x-one: a\0b\r\ncontent-length: 0\r\n\r\n{inner}"),
        ),
        (
            "a bare CR",
            format!("{head}x-one: a\rcontent-length: 5\r\ncontent-length: 0\r\n\r\n{inner}"),
        ),
    ];
    let mut carried_out = Vec::new();
    for (name, shape) in &shapes {
        let answer = app.send_raw(shape.as_bytes());
        let status = answer.status;
        if status != 400 || stored(&app) > 0 {
            carried_out.push((name, status, stored(&app)));
        }
    }
    assert!(carried_out.is_empty(), "{carried_out:?}");
    let counted = refused(&app) - before;
    assert!(
        counted >= shapes.len() as f64,
        "{counted} of {} are counted",
        shapes.len()
    );
    // The same hidden request, sent openly, is carried out: the test could fail.
    app.send_raw(inner.as_bytes()).is(201);
    assert_eq!(stored(&app), 1);
}

/// Lines that end with a LF alone. RFC 9112 (2.2) lets a reader take them in a head, and this one does, in one way; between
/// chunks they are the means of a smuggler.
#[test]
fn lines_that_end_with_a_bare_lf_are_read_in_one_way_or_refused() {
    let app = TestApp::start();
    let inner = hidden();
    let head =
        "POST /api/v1/recall HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let shapes = [
        ("a chunk's size", format!("{chunked}0\n\r\n{inner}")),
        (
            "a chunk's size and the end",
            format!("{chunked}0\n\n{inner}"),
        ),
        (
            "an extension",
            format!("{chunked}1;\nx\r\n0\r\n\r\n{inner}"),
        ),
        (
            "an extension's value",
            format!("{chunked}1;a=b\nx\r\n0\r\n\r\n{inner}"),
        ),
        (
            "the end of a chunk",
            format!("{chunked}1\r\nx\n0\r\n\r\n{inner}"),
        ),
    ];
    let mut carried_out = Vec::new();
    for (name, shape) in &shapes {
        let answer = app.send_raw(shape.as_bytes());
        if answer.status != 400 || stored(&app) > 0 {
            carried_out.push((name, answer.status, stored(&app)));
        }
    }
    assert!(carried_out.is_empty(), "{carried_out:?}");
    // In a head: the length that stands on such a line holds, so that what follows is the body and no request.
    let length = inner.len();
    for head in [
        head.replace("\r\n", "\n") + &format!("content-length: {length}\n\n"),
        format!("{head}x-one: a\ncontent-length: {length}\r\n\r\n"),
        format!("{head}content-length: {length}\n\r\n"),
    ] {
        let head = head.replace("host: localhost", "host: localhost\r\nconnection: close");
        // The body is no JSON.
        app.send_raw(format!("{head}{inner}").as_bytes())
            .problem(400);
        assert_eq!(stored(&app), 0, "{head:?}");
    }
    let twice = format!("{head}content-length: 0\ncontent-length: {length}\r\n\r\n{inner}");
    app.send_raw(twice.as_bytes()).is(400);
    assert_eq!(stored(&app), 0);
}

#[test]
fn a_head_of_any_size_is_refused_and_counted() {
    let app = TestApp::start();
    let many: String = (0..20_000)
        .map(|number| format!("x-{number}: a\r\n"))
        .collect();
    let long = format!("x-long: {}\r\n", "a".repeat(1 << 20));
    for headers in [many, long] {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let head = format!("GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        // The server answers and closes before it has all of it, so that both may fail here.
        let _sent = stream.write_all(head.as_bytes());
        let _read = stream.read_to_end(&mut Vec::new());
    }
    let counted: f64 = ["400", "431"]
        .iter()
        .map(|status| app.scrape().answers("OTHER", "unmatched", status))
        .sum();
    assert!(counted >= 2.0);
    app.get("/health").ok();
}

#[test]
fn a_compressed_body_is_refused_before_it_is_looked_into() {
    let app = TestApp::start();
    // 10 MiB of zeroes in gzip, by hand: a stored-block stream would not be small, so this is deflate's longest repetition.
    let bomb = [
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..],
        &[0xed, 0xc1, 0x01, 0x0d, 0, 0, 0, 0xc2, 0xa0],
        &[0; 10_000],
    ]
    .concat();
    for coding in [
        "gzip",
        "deflate",
        "br",
        "zstd",
        "gzip, gzip",
        "GZIP",
        "x-gzip",
    ] {
        for (path, kind) in [
            ("/api/v1/events", "application/json"),
            ("/api/v1/recall", "application/json"),
            ("/api/v1/import", "application/x-ndjson"),
        ] {
            let headers = [("content-type", kind), ("content-encoding", coding)];
            let refused = app.send("POST", path, &headers, Some(&bomb)).problem(415);
            assert!(
                refused["detail"]
                    .as_str()
                    .unwrap()
                    .contains("content-encoding"),
                "{refused}"
            );
        }
    }
    let headers = [
        ("content-type", "application/json"),
        ("content-encoding", "identity"),
    ];
    app.send(
        "POST",
        "/api/v1/events",
        &headers,
        Some(event(&json!({})).to_string().as_bytes()),
    )
    .created();
    assert_eq!(app.scrape().answers("POST", "/api/v1/events", "415"), 7.0);
}
