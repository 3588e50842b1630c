//! Who may talk, beside keys: pages of other origins that were named, proxies, a listener for metrics alone, TLS, and how
//! often.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{TestApp, event, texts};
use crate::process::{Server, command, wait_for};

const PAGE: &str = "https://app.example";

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/tls")
        .join(name)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_page_of_a_named_origin_may_ask_and_no_other() {
    let app = TestApp::start_with(|config| config.access.cors_origins = vec![PAGE.to_owned()]);
    let asks = |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        app.send("OPTIONS", "/api/v1/events", &headers, None)
    };
    let allowed = asks(PAGE);
    allowed.is(204);
    assert_eq!(allowed.header("access-control-allow-origin"), PAGE);
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("x-api-key")
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("DELETE")
    );
    let headers = [("origin", PAGE), ("content-type", "application/json")];
    let body = event(&json!({})).to_string();
    let answer = app.send("POST", "/api/v1/events", &headers, Some(body.as_bytes()));
    answer.created();
    let read = app.get_with("/api/v1/events", &[("origin", PAGE)]);
    assert_eq!(read.header("access-control-allow-origin"), PAGE);
    assert!(read.header("vary").contains("origin"));
    // The page gets to read why it was refused as well.
    let missing = app.get_with("/nowhere", &[("origin", PAGE)]);
    missing.problem(404);
    assert_eq!(missing.header("access-control-allow-origin"), PAGE);
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil",
        "null",
        "https://APP.example",
    ] {
        asks(origin).problem(403);
        let refused = app.get_with("/api/v1/events", &[("origin", origin)]);
        refused.problem(403);
        assert!(
            !refused.headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
        app.get_with("/health", &[("origin", origin)]).problem(403);
    }
}

#[test]
fn without_a_named_origin_there_is_nothing_to_ask() {
    let app = TestApp::start();
    let headers = [("origin", PAGE), ("access-control-request-method", "POST")];
    app.send("OPTIONS", "/api/v1/events", &headers, None)
        .problem(403);
    let plain = app.get("/api/v1/events");
    assert!(!plain.headers.contains_key("access-control-allow-origin"));
    assert_eq!(plain.header("x-content-type-options"), "nosniff");
}

#[test]
fn what_a_proxy_puts_in_front_is_taken_off() {
    let app = TestApp::start_with(|config| config.access.base_path = "/memory".to_owned());
    app.record(json!({})).created();
    let raw = |path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    for path in [
        "/memory/api/v1/events?limit=1",
        "/api/v1/events?limit=1",
        "/memory/health",
    ] {
        assert!(raw(path).starts_with("HTTP/1.1 200"), "{path}");
    }
    for path in [
        "/memoryapi/v1/events",
        "/memory",
        "/memory/memory/health",
        "/memory?x",
    ] {
        assert!(raw(path).starts_with("HTTP/1.1 404"), "{path}");
    }
    assert_eq!(app.scrape().answers("GET", "/api/v1/events", "200"), 2.0);
}

#[test]
fn a_key_that_asks_too_often_is_told_to_wait_and_another_is_not() {
    let app = TestApp::start_with(|config| config.access.rate_limit = Some(1));
    let keys = ["a", "b"].map(|tenant| app.key(tenant, "write"));
    let asked = |key: &str| app.get_with("/api/v1/events", &[("x-api-key", key)]);
    let statuses: Vec<_> = (0..20).map(|_| asked(&keys[0])).collect();
    let refused: Vec<_> = statuses
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    // Two at once, and one a second.
    assert!((10..=18).contains(&refused.len()), "{}", refused.len());
    assert_eq!(refused[0].problem(429)["code"], "rate_limited");
    assert_eq!(refused[0].header("retry-after"), "1");
    asked(&keys[1]).ok();
    // Health and metrics are no requests of anybody's.
    for _ in 0..10 {
        app.get("/health").is(200);
    }
    let counted = app.metric("agent_memory_http_rejected_total{reason=\"rate_limited\"}");
    assert_eq!(counted, f64::from(u32::try_from(refused.len()).unwrap()));
}

#[test]
fn an_address_is_limited_by_what_a_trusted_proxy_says_and_stands_in_the_audit() {
    let app = TestApp::start_with(|config| {
        config.access.rate_limit = Some(1);
        config.access.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let from = |address: &str| {
        app.get_with("/api/v1/events", &[("x-forwarded-for", address)])
            .status
    };
    let burst: Vec<_> = (0..10).map(|_| from("192.0.2.1")).collect();
    assert!(
        burst.contains(&429) && burst[..2] == [200, 200],
        "{burst:?}"
    );
    assert_eq!(from("192.0.2.2"), 200);
    // This machine itself is not limited.
    assert!((0..20).all(|_| app.get("/api/v1/events").status == 200));
    let app = app.restarted();
    let ran = command(app.file())
        .args(["audit", "--json", "--action", "denied_rate"])
        .output()
        .unwrap();
    let rows: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(texts(&rows["audit"], "address"), ["192.0.2.1"]);
    let refused = burst.iter().filter(|status| **status == 429).count();
    assert_eq!(rows["audit"][0]["count"], refused);
}

#[test]
fn metrics_and_health_have_a_listener_of_their_own_without_content() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let address = format!("127.0.0.1:{}", free_port());
    let server = Server::start_with(&db, &["--metrics-listen", &address]);
    let ask = |path: &str, host: &str| {
        let mut stream = wait_for("the listener", || TcpStream::connect(&address).ok());
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let body = event(&json!({"tenant_id": "whispering-gallery"}));
    let agent = crate::process::client();
    let told = agent
        .post(server.url("/api/v1/events"))
        .send_json(&body)
        .unwrap();
    assert_eq!(told.status(), 201);
    for path in [
        "/metrics",
        "/metrics/prometheus",
        "/health",
        "/health/ready",
        "/health/detailed",
    ] {
        let answer = ask(path, "metrics.example");
        assert!(answer.starts_with("HTTP/1.1 200"), "{path} {answer}");
        assert!(
            !answer.contains("whispering-gallery") && !answer.contains("hello"),
            "{path}"
        );
    }
    for path in [
        "/api/v1/events",
        "/openapi.json",
        "/api/v1/recall",
        "/mcp",
        "/",
    ] {
        let answer = ask(path, "localhost");
        assert!(answer.starts_with("HTTP/1.1 404"), "{path} {answer}");
    }
}

fn trust() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(data("cert.pem")).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[test]
fn with_a_certificate_the_server_speaks_tls_alone() {
    let app = TestApp::start_with(|config| {
        config.access.tls = Some(agent_memory::config::Tls {
            cert: data("cert.pem"),
            key: data("key.pem"),
        });
    });
    let name = ServerName::try_from("localhost").unwrap();
    let ask = |request: &str| {
        let client = ClientConnection::new(trust(), name.clone()).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(app.address()).unwrap());
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        // The server ends without a word of TLS's own, which a client may take for a cut.
        drop(stream.read_to_end(&mut text));
        String::from_utf8(text).unwrap()
    };
    let body = event(&json!({"content": {"text": "x".repeat(300_000)}})).to_string();
    let told = ask(&format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(told.starts_with("HTTP/1.1 201"), "{told}");
    // Two requests on one connection.
    let two = ask(
        "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\nGET /api/v1/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    );
    assert_eq!(two.matches("HTTP/1.1 200").count(), 2, "{two}");
    assert!(two.len() > 60_000, "{}", two.len());
    let garbage = ask("nonsense\r\n\r\n");
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    // In the clear it understands nothing and says nothing that could be taken for an answer.
    let mut plain = TcpStream::connect(app.address()).unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut heard = Vec::new();
    drop(plain.read_to_end(&mut heard));
    assert!(
        !heard.windows(4).any(|window| window == b"HTTP"),
        "{heard:?}"
    );
    app.over_tls();
}

/// What a client says first, for a server of this name.
fn client_hello() -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(trust(), name).unwrap();
    let mut said = Vec::new();
    client.write_tls(&mut said).unwrap();
    said
}

#[test]
fn who_does_not_come_to_an_agreement_on_tls_is_cut_off_and_the_others_do_not_notice() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let metrics = format!("127.0.0.1:{}", free_port());
    let app = TestApp::start_with(|config| {
        config.request_timeout = TIMEOUT;
        config.access.metrics_listen = Some(metrics.parse().unwrap());
        config.access.tls = Some(agent_memory::config::Tls {
            cert: data("cert.pem"),
            key: data("key.pem"),
        });
    });
    let series = |name: &str| -> f64 {
        let mut stream = TcpStream::connect(&metrics).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let hello = client_hello();
    let half = &hello[..hello.len() / 2];
    // More than there are workers, and each of them silent in its own way.
    let ways = [
        ("nothing", &[][..]),
        ("a byte", &hello[..1]),
        ("half a hello", half),
        ("a hello, and no answer to what comes back", &hello),
    ];
    let mut silent = Vec::new();
    for (what, said) in ways.iter().cycle().take(40) {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream.write_all(said).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        silent.push((*what, stream));
    }
    let begun = Instant::now();
    let name = ServerName::try_from("localhost").unwrap();
    let mut asked = 0;
    while begun.elapsed() < TIMEOUT / 2 {
        let client = ClientConnection::new(trust(), name.clone()).unwrap();
        let mut stream = StreamOwned::new(client, TcpStream::connect(app.address()).unwrap());
        let request = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = Vec::new();
        drop(stream.read_to_end(&mut text));
        assert!(text.starts_with(b"HTTP/1.1 200"), "{text:?}");
        asked += 1;
    }
    assert!(asked > 0);
    for (what, mut stream) in silent {
        // The end, in whatever form; what came before it is TLS and not ours to read.
        let ended = std::io::copy(&mut stream, &mut std::io::sink());
        let waited_in_vain = ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        assert!(!waited_in_vain, "{what}: the connection is kept");
        let took = begun.elapsed();
        assert!(took >= TIMEOUT.mul_f32(0.9), "{what}: cut after {took:?}");
    }
    let cut = series("agent_memory_http_connections_cut_total{reason=\"slow_head\"}");
    assert_eq!(cut, 40.0);
    wait_for("the connections to be gone", || {
        // The scrape is one.
        (series("agent_memory_http_connections ") <= 1.0).then_some(())
    });
    app.over_tls();
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let (cert, key) = (data("cert.pem"), data("key.pem"));
    let missing = dir.path().join("missing.pem");
    for (cert, key) in [(&missing, &key), (&cert, &missing), (&key, &cert)] {
        let mut command = command(&db);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--tls-cert"])
            .arg(cert)
            .arg("--tls-key")
            .arg(key);
        let ran = command.output().unwrap();
        assert!(!ran.status.success());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(said.contains("TLS") && said.contains(".pem"), "{said}");
    }
    let ran = command(&db)
        .args(["serve", "--tls-cert"])
        .arg(&cert)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2));
}
