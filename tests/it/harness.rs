//! A server in this process and a client that reads like English: `app.record(json!({…})).created()`.
//!
//! **Invariant:** every answer is held against the description of the interface, every failure that a test looks at is
//! checked to be a problem document first, and a test in which the server answered with a 5xx fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_memory::app::{self, Running};
use agent_memory::clock::Clock;
use agent_memory::config::{Access, Config, Consolidation, Log, LogFormat, Upkeep};
use agent_memory::domain::Timestamp;
use agent_memory::store::{Durability, Options, Role};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::http::{HeaderMap, Request};

use crate::contract::{Exchange, Sent};
use crate::process::wait_for;

/// Where every test's clock stands at first.
pub(crate) const NOW: &str = "2026-03-01T09:30:00.000Z";
/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server over a file of its own.
pub(crate) struct TestApp {
    /// What the server goes by.
    pub(crate) clock: Clock,
    config: Config,
    agent: ureq::Agent,
    key: Option<String>,
    // Before the directory, so that the server is done with the file when it goes.
    running: Option<Running>,
    dir: TempDir,
}

impl TestApp {
    /// On an empty file.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// On an empty file, with settings of the test's own.
    pub(crate) fn start_with(set: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path().join("memory.db"));
        set(&mut config);
        let clock = Clock::fixed(Timestamp::parse("now", NOW).unwrap());
        let running = app::start(config.clone(), clock.clone()).unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Self {
            clock,
            config,
            agent,
            key: None,
            running: Some(running),
            dir,
        }
    }

    /// The same file, under a new server.
    #[must_use]
    pub(crate) fn restarted(mut self) -> Self {
        self.running.take().unwrap().stop().unwrap();
        self.running = Some(app::start(self.config.clone(), self.clock.clone()).unwrap());
        self
    }

    /// A new key of a tenant, made by the real binary beside the running server.
    pub(crate) fn key(&self, tenant: &str, scope: &str) -> String {
        let name = format!("{scope} of {tenant}");
        let mut command = crate::process::command(self.file());
        command.args(["key", "create", &name, "--tenant", tenant, "--scope", scope]);
        let ran = command.output().unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    /// Shows a key with each request from here on, unless the request shows one itself.
    pub(crate) fn use_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// Moves the clock.
    pub(crate) fn advance_hours(&self, hours: i64) {
        self.clock.advance_millis(hours * 3_600_000);
    }

    /// Says that this server speaks TLS, so that it is not scraped in the end.
    pub(crate) fn over_tls(mut self) {
        self.running.take().unwrap().stop().unwrap();
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().address
    }

    /// The memory's file.
    pub(crate) fn file(&self) -> &Path {
        &self.config.store.path
    }

    /// The files of the memory in which these bytes stand, in whatever case.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let text = text.to_ascii_lowercase();
        let holds = |path: &PathBuf| {
            let bytes = std::fs::read(path).unwrap_or_default().to_ascii_lowercase();
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(holds)
            .collect()
    }

    /// Waits until these bytes stand in no file of the memory.
    #[track_caller]
    pub(crate) fn wait_until_erased(&self, text: &str) {
        wait_for(&format!("{text} to leave the files"), || {
            self.files_with(text).is_empty().then_some(())
        });
    }

    /// Any request.
    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let shows = |name: &str| {
            headers
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name))
        };
        if let Some(key) = self
            .key
            .as_ref()
            .filter(|_| !shows("x-api-key") && !shows("authorization"))
        {
            request = request.header("x-api-key", key);
        }
        let response = match body {
            None => self.agent.run(request.body(()).unwrap()),
            Some(body) => self.agent.run(request.body(body).unwrap()),
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let read = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_vec();
        let answer = Answer {
            what: format!("{method} {}", path.chars().take(200).collect::<String>()),
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: read.unwrap(),
        };
        let named = |(name, _): &&(&str, &str)| name.eq_ignore_ascii_case("content-type");
        let kind = headers.iter().find(named).map_or("", |(_, kind)| *kind);
        let sent = body.map_or(Sent::Nothing, |body| Sent::Body(kind, body));
        answer.check(method, path, sent);
        answer
    }

    /// A request in the very bytes given; answers when the server has closed the connection.
    pub(crate) fn send_raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let answer = Answer::read(&bytes);
        let line = String::from_utf8_lossy(request);
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        // A body in chunks still has their sizes in it; the same answer is checked where it comes whole.
        if answer.header("transfer-encoding") != "chunked" {
            answer.check(method, path, Sent::Unknown);
        }
        answer
    }

    /// GET.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// GET with headers.
    #[track_caller]
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, None)
    }

    /// DELETE.
    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None)
    }

    /// POST of JSON.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, &[], body)
    }

    /// POST of JSON with headers.
    #[track_caller]
    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let mut all = vec![("content-type", "application/json")];
        all.extend(headers);
        self.send("POST", path, &all, Some(body.to_string().as_bytes()))
    }

    /// POST of bytes that claim to be JSON.
    #[track_caller]
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            Some(body),
        )
    }

    /// Records an event: a plain one with these members on top.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    pub(crate) fn record(&self, over: Value) -> Answer {
        self.post("/api/v1/events", &event(&over))
    }

    /// Records a plain event with this text; answers its id.
    #[track_caller]
    pub(crate) fn say(&self, text: &str) -> String {
        id(
            &self.record(json!({"content": {"text": text}})).created(),
            "event_id",
        )
    }

    /// Writes a handoff: a plain one with these members on top.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    pub(crate) fn hand_off(&self, over: Value) -> Answer {
        self.post("/api/v1/handoff", &handoff(&over))
    }

    /// The ids that a search finds, best first.
    #[track_caller]
    pub(crate) fn recall(&self, query: &str) -> Vec<String> {
        self.recall_with(json!({"query": query}))
    }

    /// The ids that a search with filters finds, best first.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes its JSON in place"
    )]
    pub(crate) fn recall_with(&self, body: Value) -> Vec<String> {
        let found = self.post("/api/v1/recall", &body).ok();
        let hits = found["hits"].as_array().unwrap();
        let ids = |hit: &Value| {
            let mut ids = vec![hit["id"].as_str().unwrap().to_owned()];
            if hit.get("duplicates").is_some() {
                ids.extend(
                    hit["duplicates"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|id| id.as_str().unwrap().to_owned()),
                );
            }
            ids
        };
        hits.iter().flat_map(ids).collect()
    }

    /// Every series of a scrape.
    #[track_caller]
    pub(crate) fn scrape(&self) -> Scrape {
        let answer = self.get("/metrics/prometheus");
        answer.is(200);
        Scrape::read(&answer.text())
    }

    /// One series.
    #[track_caller]
    pub(crate) fn metric(&self, series: &str) -> f64 {
        self.scrape().value(series)
    }
}

impl Drop for TestApp {
    /// Whatever a test sent, no answer may have been a fault of the server's.
    fn drop(&mut self) {
        if std::thread::panicking() || self.running.is_none() {
            return;
        }
        for (series, count) in self.scrape().series {
            let fault = series.contains("status=\"5") || series.contains("status=\"other\"");
            assert!(!fault || count == 0.0, "{series} {count}");
        }
    }
}

/// The settings of a test's server.
fn config(path: PathBuf) -> Config {
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        store: Options {
            path,
            role: Role::Server,
            readers: 2,
            reader_wait: Duration::from_secs(2),
            read_time: Some(Duration::from_secs(30)),
            // No test pulls the plug of the machine.
            durability: Durability::Normal,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(10),
        },
        max_connections: 1024,
        request_timeout: Duration::from_secs(30),
        max_body_bytes: 10 * 1024 * 1024 + 64 * 1024,
        max_artifact_bytes: 16 * 1024 * 1024,
        allowed_hosts: Vec::new(),
        access: Access::default(),
        upkeep: Upkeep::default(),
        // A test that is about it switches it on.
        consolidation: Consolidation::default(),
        log: Log {
            format: LogFormat::Text,
            file: None,
            filter: "error".to_owned(),
        },
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    what: String,
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body's bytes.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads an answer whose connection was closed; it may come in chunks.
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let name: ureq::http::HeaderName = name.parse().unwrap();
            headers.append(name, value.trim().parse().unwrap());
        }
        Self {
            what: "a raw request".to_owned(),
            status: status.parse().unwrap(),
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// Insists that it is as described.
    #[track_caller]
    fn check(&self, method: &str, path: &str, sent: Sent<'_>) {
        let mut plain = self.body.clone();
        if self.header("content-encoding") == "gzip" {
            plain.clear();
            let mut decoder = flate2::read::GzDecoder::new(self.body.as_slice());
            decoder.read_to_end(&mut plain).unwrap();
        }
        let exchange = Exchange {
            method,
            path,
            sent,
            status: self.status,
            kind: self.header("content-type"),
            request_id: self.header("x-request-id"),
            body: &plain,
        };
        exchange.check();
    }

    /// A header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error} in {}", self.what, self.lossy()))
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .take(2000)
            .collect()
    }

    /// Insists on a status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.lossy());
        self
    }

    /// 200, and the body.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        self.is(200).json()
    }

    /// 201, and the body.
    #[track_caller]
    pub(crate) fn created(&self) -> Value {
        self.is(201).json()
    }

    /// 202, and the body.
    #[track_caller]
    pub(crate) fn accepted(&self) -> Value {
        self.is(202).json()
    }

    /// 207, and the body.
    #[track_caller]
    pub(crate) fn itemised(&self) -> Value {
        self.is(207).json()
    }

    /// 204 without a body.
    #[track_caller]
    pub(crate) fn forgotten(&self) {
        self.is(204);
        assert!(self.body.is_empty(), "{}", self.what);
    }

    /// A problem document of this status: what every refusal has to be. Answers the document.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        self.is(status);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.what
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{}", self.what);
        let code = problem["code"].as_str().unwrap();
        assert_eq!(
            problem["type"],
            format!("/problems/{code}"),
            "{}",
            self.what
        );
        assert!(
            !problem["title"].as_str().unwrap().is_empty(),
            "{}",
            self.what
        );
        assert!(
            !problem["detail"].as_str().unwrap().is_empty(),
            "{}",
            self.what
        );
        assert_eq!(problem["error"], problem["detail"], "{}", self.what);
        let request_id = self.header("x-request-id");
        assert!(!request_id.is_empty(), "{}", self.what);
        assert_eq!(problem["request_id"], request_id, "{}", self.what);
        problem
    }

    /// A problem document that names this field.
    #[track_caller]
    pub(crate) fn blames(&self, status: u16, field: &str) {
        let problem = self.problem(status);
        assert_eq!(
            problem["errors"][0]["field"], field,
            "{}: {problem}",
            self.what
        );
        assert!(!problem["errors"][0]["reason"].as_str().unwrap().is_empty());
    }
}

/// The series of a scrape and the types of its families.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scrape {
    /// Each series with its value.
    pub(crate) series: BTreeMap<String, f64>,
    /// Each family with its type.
    pub(crate) types: BTreeMap<String, String>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let (mut series, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let again = types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(again, None, "{name} has two types");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let again = series.insert(name.to_owned(), value.parse().unwrap());
                assert_eq!(again, None, "{name} stands twice");
            }
        }
        Self { series, types }
    }

    /// A series, which has to be there.
    #[track_caller]
    pub(crate) fn value(&self, series: &str) -> f64 {
        let value = self.series.get(series);
        *value.unwrap_or_else(|| panic!("no series {series}"))
    }

    /// The names of all series.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.series.keys().map(String::as_str).collect()
    }

    /// How often a route was answered with a status.
    #[track_caller]
    pub(crate) fn answers(&self, method: &str, path: &str, status: &str) -> f64 {
        self.value(&format!(
            "agent_memory_http_requests_total{{method=\"{method}\",path=\"{path}\",status=\"{status}\"}}"
        ))
    }
}

/// A plain event with these members on top.
pub(crate) fn event(over: &Value) -> Value {
    merged(
        json!({
            "session_id": "s1", "channel": "private", "actor": {"type": "human", "id": "ada"}, "kind": "message",
            "content": {"text": "hello"},
        }),
        over,
    )
}

/// A plain handoff with these members on top.
pub(crate) fn handoff(over: &Value) -> Value {
    merged(
        json!({"session_id": "s1", "with_whom": "Ada", "experienced": "We set the tide gauge up."}),
        over,
    )
}

fn merged(mut base: Value, over: &Value) -> Value {
    for (key, value) in over.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// A text member.
#[track_caller]
pub(crate) fn id(value: &Value, key: &str) -> String {
    value[key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {value}"))
        .to_owned()
}

/// The same text member of each item.
#[track_caller]
pub(crate) fn texts(items: &Value, key: &str) -> Vec<String> {
    items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| id(item, key))
        .collect()
}

/// Indented JSON in which ids that the server made are replaced by their prefix, and what each run or
/// version has of its own.
pub(crate) fn settled(value: &Value) -> String {
    fn settle(value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some((prefix, hex)) = text.rsplit_once('_')
                    && hex.len() == 32
                    && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
                {
                    *text = format!("{prefix}_…");
                }
            }
            Value::Array(items) => items.iter_mut().for_each(settle),
            Value::Object(map) => {
                for (key, item) in map.iter_mut() {
                    match key.as_str() {
                        "uptime_seconds" => *item = json!(0),
                        "request_id" | "version" => *item = json!("…"),
                        _ => settle(item),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut value = value.clone();
    settle(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

/// A client-made id.
pub(crate) fn made_id(prefix: &str, number: u32) -> String {
    format!("{prefix}_{number:032x}")
}

/// A path's parameter in percent-encoding.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
