//! Who may call: the names in `Host`, the pages in `Origin`.

use crate::harness::{Answer, TestApp};

fn ask(app: &TestApp, path: &str, headers: &str) -> Answer {
    app.send_raw(format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n").as_bytes())
}

#[test]
fn a_strangers_host_gets_no_content_and_the_open_paths_all_the_same() {
    let app = TestApp::start();
    app.say("hello");
    for host in [
        "evil.example",
        "localhost.evil.example",
        "10.0.0.1:3456",
        "127.0.0.1.nip.io",
        "",
        "local host",
        "[fe80::1]",
    ] {
        let headers = format!("host: {host}\r\n");
        for path in [
            "/api/v1/events",
            "/api/v1/wake-up",
            "/nowhere",
            "/",
            "/healthy",
            "/metricsx",
        ] {
            let answer = ask(&app, path, &headers);
            assert_eq!(answer.problem(403)["code"], "forbidden", "{host} {path}");
        }
        for path in [
            "/metrics",
            "/metrics/prometheus",
            "/health",
            "/health/live",
            "/health/ready",
            "/health/detailed",
        ] {
            ask(&app, path, &headers).is(200);
        }
    }
}

#[test]
fn a_request_that_names_no_host_gets_no_content() {
    let app = TestApp::start();
    let answer = app.send_raw(b"GET /api/v1/events HTTP/1.0\r\n\r\n");
    assert!([400, 403].contains(&answer.status), "{}", answer.status);
}

#[test]
fn the_loopback_names_are_known() {
    let app = TestApp::start();
    for host in [
        "localhost",
        "LOCALHOST:3456",
        "127.0.0.1",
        "127.1.2.3:80",
        "[::1]",
        "[::1]:3456",
    ] {
        ask(&app, "/api/v1/events", &format!("host: {host}\r\n")).ok();
    }
}

#[test]
fn a_name_that_the_operator_allowed_is_known() {
    let app =
        TestApp::start_with(|config| config.allowed_hosts = vec!["Memory.example".to_owned()]);
    ask(&app, "/api/v1/events", "host: memory.EXAMPLE:3456\r\n").ok();
    ask(&app, "/api/v1/events", "host: other.example\r\n").problem(403);
}

#[test]
fn a_page_of_another_origin_is_refused_everywhere() {
    let app = TestApp::start();
    for origin in [
        "https://evil.example",
        "http://localhost:5173",
        "http://127.0.0.1:3456",
        "null",
        "",
        "file://",
        "localhost:3456",
        "http://localhost:3456.evil.example",
    ] {
        let headers = format!("host: localhost:3456\r\norigin: {origin}\r\n");
        for path in [
            "/api/v1/events",
            "/health",
            "/metrics",
            "/metrics/prometheus",
            "/health/ready",
            "/nowhere",
        ] {
            let answer = ask(&app, path, &headers);
            assert_eq!(answer.problem(403)["code"], "forbidden", "{origin} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
}

#[test]
fn a_page_of_the_servers_own_origin_is_welcome() {
    let app = TestApp::start();
    for (host, origin) in [
        ("localhost:3456", "http://localhost:3456"),
        ("127.0.0.1:3456", "http://127.0.0.1:3456"),
        ("localhost", "https://localhost"),
    ] {
        ask(
            &app,
            "/api/v1/events",
            &format!("host: {host}\r\norigin: {origin}\r\n"),
        )
        .ok();
    }
}

#[test]
fn a_write_from_a_strangers_page_stores_nothing() {
    let app = TestApp::start();
    let body = r#"{"session_id":"s","channel":"private","actor":{"type":"human","id":"a"},"kind":"message","content":{}}"#;
    for headers in [
        "host: localhost\r\norigin: https://evil.example\r\n",
        "host: evil.example\r\n",
    ] {
        let request = format!(
            "POST /api/v1/events HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        app.send_raw(request.as_bytes()).problem(403);
    }
    let page = "OPTIONS /api/v1/events HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\norigin: https://evil.example\r\n\
                access-control-request-method: POST\r\n\r\n";
    app.send_raw(page.as_bytes()).problem(403);
    assert_eq!(
        app.metric("agent_memory_events_total{kind=\"message\"}"),
        0.0
    );
}
