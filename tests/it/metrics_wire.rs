//! The metrics as a scraper gets them: which format, which encoding, always the same series, whatever clients send.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use flate2::read::GzDecoder;
use serde_json::json;

use crate::harness::{Answer, Scrape, TestApp, made_id};
use crate::process::wait_for;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What Prometheus 2.42 sends.
const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
    text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
/// What Prometheus 3 sends.
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
    application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
    text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
/// What it sends when it would rather have native histograms.
const PROTOBUF_FIRST: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
    application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

fn ask(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = app.get_with(path, headers);
    answer.is(200);
    answer
}

/// The series of an exposition in either format, without exemplars.
fn series(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let line = line.split(" # ").next().unwrap();
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    samples.map(read).collect()
}

#[test]
fn a_scraper_is_answered_in_the_format_it_asks_for_and_always_with_a_type() {
    let app = TestApp::start();
    for path in ["/metrics", "/metrics/prometheus"] {
        for (accept, expected) in [
            (None, TEXT),
            (Some("*/*"), TEXT),
            (Some(PROMETHEUS_2), OPEN_METRICS),
            (Some(PROMETHEUS_3), OPEN_METRICS),
            (Some(PROTOBUF_FIRST), OPEN_METRICS),
            (
                Some("application/openmetrics-text;version=1.0.0;q=0,*/*"),
                TEXT,
            ),
            (Some("application/json"), TEXT),
            (Some("\u{7}nonsense;;q=x"), TEXT),
        ] {
            // What is no header value cannot be sent.
            let accept = accept.map(|accept| accept.trim_start_matches('\u{7}'));
            let headers: Vec<_> = accept.iter().map(|accept| ("accept", *accept)).collect();
            for method in ["GET", "HEAD"] {
                let answer = app.send(method, path, &headers, None);
                answer.is(200);
                assert_eq!(
                    answer.header("content-type"),
                    expected,
                    "{method} {accept:?}"
                );
                assert_eq!(answer.header("cache-control"), "no-store");
                assert_eq!(answer.header("vary"), "Accept, Accept-Encoding");
                assert_eq!(answer.body.is_empty(), method == "HEAD");
            }
        }
    }
}

#[test]
fn both_formats_have_the_same_series_and_only_one_of_them_ends() {
    let app = TestApp::start();
    app.say("hello");
    app.recall("hello");
    let text = ask(&app, "/metrics", &[]).text();
    let open = ask(&app, "/metrics", &[("accept", PROMETHEUS_2)]).text();
    let again = ask(&app, "/metrics", &[]).text();
    let (before, between, after) = (series(&text), series(&open), series(&again));
    assert!(before.keys().eq(between.keys()) && before.keys().eq(after.keys()));
    // The scrapes and an idle writer count while this looks on: what grew was in between, and all else is the same.
    for (name, value) in &before {
        let to_and_fro = [
            "process_",
            "agent_memory_memory_bytes",
            "agent_memory_allocator",
            "agent_memory_sqlite_memory",
            "agent_memory_metrics_",
        ];
        if to_and_fro.iter().all(|start| !name.starts_with(start)) {
            let range = value.min(after[name])..=value.max(after[name]);
            assert!(
                range.contains(&between[name]),
                "{name} {} {range:?}",
                between[name]
            );
        }
    }
    assert!(open.ends_with("\n# EOF\n"));
    assert_eq!(open.matches("# EOF").count(), 1);
    assert!(!text.contains("# EOF") && !text.contains(" # {"));
    assert!(open.contains("# TYPE agent_memory_http_requests counter\n"));
    assert!(text.contains("# TYPE agent_memory_http_requests_total counter\n"));
    for name in ["handoffs_total", "decisions_total", "knowledge_notes_total"] {
        assert!(open.contains(&format!("# TYPE agent_memory_{name} unknown\n")));
        assert!(text.contains(&format!("# TYPE agent_memory_{name} untyped\n")));
    }
}

#[test]
fn an_exemplar_leads_from_a_bucket_to_a_request() {
    let app = TestApp::start();
    let id = "tide-4711";
    let headers = [("content-type", "application/json"), ("x-request-id", id)];
    let body = crate::harness::event(&json!({})).to_string();
    app.send("POST", "/api/v1/events", &headers, Some(body.as_bytes()))
        .created();
    let open = ask(&app, "/metrics", &[("accept", PROMETHEUS_3)]).text();
    let with: Vec<_> = open
        .lines()
        .filter(|line| line.contains(&format!("# {{request_id=\"{id}\"}} ")))
        .collect();
    assert_eq!(with.len(), 1, "{with:?}");
    let (sample, exemplar) = with[0].split_once(" # ").unwrap();
    assert!(sample.starts_with(
        "agent_memory_http_request_duration_seconds_bucket{method=\"POST\",path=\"/api/v1/events\",le="
    ));
    let bound = sample
        .split("le=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let mut words = exemplar.split(' ').skip(1);
    let value: f64 = words.next().unwrap().parse().unwrap();
    let at: f64 = words.next().unwrap().parse().unwrap();
    assert!(
        value > 0.0 && value <= bound.parse().unwrap(),
        "{exemplar} in {bound}"
    );
    // The test's clock stands at 2026-03-01T09:30:00Z.
    assert!((at - 1_772_357_400.0).abs() < 30.0, "{at}");
}

#[test]
fn a_long_scrape_is_compressed_for_who_can_read_it_and_says_the_same() {
    let app = TestApp::start();
    for (format, kind) in [("*/*", TEXT), (PROMETHEUS_2, OPEN_METRICS)] {
        let plain = ask(&app, "/metrics", &[("accept", format)]);
        assert_eq!(plain.header("content-encoding"), "");
        let headers = [("accept", format), ("accept-encoding", "gzip, deflate")];
        let packed = ask(&app, "/metrics", &headers);
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert_eq!(packed.header("content-type"), kind);
        assert!(packed.body.len() * 5 < plain.body.len());
        let mut text = String::new();
        GzDecoder::new(packed.body.as_slice())
            .read_to_string(&mut text)
            .unwrap();
        assert!(series(&text).keys().eq(series(&plain.text()).keys()));
        let refused = [("accept-encoding", "gzip;q=0")];
        let answer = ask(&app, "/metrics", &refused);
        assert_eq!(answer.header("content-encoding"), "");
    }
}

#[test]
fn what_has_no_series_is_folded_and_counted() {
    let app = TestApp::start();
    let folded = |label: &str| {
        app.metric(&format!(
            "agent_memory_label_overflow_total{{label=\"{label}\"}}"
        ))
    };
    assert_eq!((folded("path"), folded("method")), (0.0, 0.0));
    app.get("/nowhere").problem(404);
    app.send("BREW", "/api/v1/wake-up", &[], None).problem(405);
    assert_eq!((folded("path"), folded("method")), (2.0, 1.0));
    assert_eq!(folded("status"), 0.0);
    // What would break a line of the exposition, in a path and a method, as far as HTTP lets it through.
    let before = app.scrape();
    for request in [
        "GET /%22%0A%5C%00{} HTTP/1.1",
        "GET /api/v1/events/\"\\ HTTP/1.1",
        "!#$%&'*+-.^_`|~ /x HTTP/1.1",
        &format!("GET /{} HTTP/1.1", "x".repeat(10_000)),
        "GET /\u{fffd}\u{1f980} HTTP/1.1",
    ] {
        let text = format!("{request}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = app.send_raw(text.as_bytes());
        assert!((400..500).contains(&answer.status), "{request}");
    }
    assert_eq!(app.scrape().names(), before.names());
}

#[test]
fn neither_paths_nor_tenants_nor_sessions_make_series_and_a_scrape_stays_small() {
    // With all that has series of its own.
    let app =
        TestApp::start_with(|config| config.consolidation.schedule = "02:00".parse().unwrap());
    let before = app.scrape().series.len();
    let mut dice = Dice(4_711);
    for _ in 0..10_000 {
        let method = match dice.below(3) {
            0 => dice.word(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_!#$", 20),
            _ => ["GET", "POST", "PUT", "DELETE"][dice.below(4)].to_owned(),
        };
        let start = ["/", "/api/v1/", "/api/v1/events/", "/health/"][dice.below(4)];
        let end = dice.word(
            b"abcdefghijklmnopqrstuvwxyz0123456789-._~/:@!$&'()*+,;=",
            60,
        );
        let octet = dice.below(256);
        app.send(&method, &format!("{start}{end}%{octet:02X}"), &[], None);
    }
    for index in 0..1_000 {
        app.record(
            json!({"tenant_id": format!("t{index}"), "session_id": format!("s{index}"),
            "actor": {"type": "agent", "id": format!("a{index}")}}),
        )
        .created();
    }
    // Each route and bucket may have its exemplar, of the longest id there can be. Some answers never take ten seconds: what
    // those would name is added.
    let id = "i".repeat(64);
    let routes = app.scrape();
    let asked = "agent_memory_http_request_duration_seconds_count{method=\"";
    for name in routes
        .series
        .keys()
        .filter_map(|name| name.strip_prefix(asked))
    {
        let (method, path) = name.split_once("\",path=\"").unwrap();
        let (method, path) = (
            if method == "other" { "BREW" } else { method },
            path.trim_end_matches("\"}"),
        );
        let path = if path.starts_with('/') {
            path
        } else {
            "/nowhere"
        };
        let path = path.replace("{id}", &made_id("evt", 1));
        app.send(method, &path, &[("x-request-id", &id)], None);
    }
    let text = ask(&app, "/metrics", &[("accept", PROMETHEUS_3)]).text();
    let bucket = "agent_memory_http_request_duration_seconds_bucket{";
    let buckets = text.lines().filter(|line| line.starts_with(bucket));
    let (named, bare): (Vec<_>, Vec<_>) = buckets.partition(|line| line.contains(" # {"));
    // Health checks and scrapes have none.
    let can = |line: &&&str| !line.contains("path=\"/health") && !line.contains("path=\"/metrics");
    assert!(named.iter().all(|line| can(&line)));
    let bare = bare.iter().filter(can).count();
    let exemplars = named
        .iter()
        .map(|line| line.len() - line.find(" # {").unwrap());
    let with_id = named.iter().filter(|line| line.contains(&id)).count();
    assert!(with_id > 20 && bare > 200, "{with_id} of {bare}");
    let most = text.len() + bare * (exemplars.max().unwrap() + 8);
    let count = series(&text).len();
    assert_eq!(count, before);
    assert!(count < 3_000, "{count}");
    assert!(text.len() < 300 * 1024, "{}", text.len());
    // An id is of its caller's length: what a scrape could come to if each bucket had one of the longest.
    assert!(most < 384 * 1024, "{most}");
    let says = app.metric("agent_memory_metrics_series");
    assert_eq!(says, before as f64);
}

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn word(&mut self, letters: &[u8], most: usize) -> String {
        let length = 1 + self.below(most);
        (0..length)
            .map(|_| char::from(letters[self.below(letters.len())]))
            .collect()
    }
}

#[test]
fn scrapers_that_hang_up_in_the_middle_leave_the_server_as_it_was() {
    let app = TestApp::start();
    let before = app.scrape();
    let answered = |scrape: &Scrape| {
        scrape.answers("GET", "/metrics/prometheus", "200")
            + scrape.value("agent_memory_http_requests_abandoned_total")
    };
    for _ in 0..50 {
        let mut stream = TcpStream::connect(app.address()).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let mut start = [0; 1_000];
        stream.read_exact(&mut start).unwrap();
        assert!(start.starts_with(b"HTTP/1.1 200"));
        // What was not read makes this a reset.
        drop(stream);
    }
    let mut looks = 0.0;
    let after = wait_for("their connections to end", || {
        let scrape = app.scrape();
        looks += 1.0;
        (scrape.value("agent_memory_http_connections") == 1.0).then_some(scrape)
    });
    // A scrape is counted when it is answered, so the last look is not in it, and the first one is.
    assert_eq!(answered(&after) - answered(&before), 50.0 + looks);
    assert_eq!(after.value("agent_memory_http_requests_in_flight"), 1.0);
    assert_eq!(
        after.value("agent_memory_panics_total"),
        before.value("agent_memory_panics_total")
    );
    assert_eq!(after.names(), before.names());
}

#[test]
fn every_request_is_counted_once_however_it_ends() {
    let app = TestApp::start();
    app.say("one");
    app.get("/nowhere").problem(404);
    app.send("PUT", "/api/v1/events", &[], None).problem(405);
    app.post_bytes("/api/v1/events", b"{").problem(400);
    app.post_bytes("/api/v1/events", &vec![b' '; 11 << 20])
        .problem(413);
    app.record(json!({"kind": "dream"})).problem(422);
    app.get_with("/api/v1/wake-up", &[("host", "evil.example")])
        .problem(403);
    let mut stream = TcpStream::connect(app.address()).unwrap();
    let head = "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{";
    stream.write_all(head.as_bytes()).unwrap();
    let in_flight = "agent_memory_http_requests_in_flight";
    wait_for("the request to begin", || {
        (app.metric(in_flight) == 2.0).then_some(())
    });
    drop(stream);
    wait_for("the request to end", || {
        (app.metric(in_flight) == 1.0).then_some(())
    });
    let scrape = app.scrape();
    assert_eq!(
        scrape.value("agent_memory_http_requests_abandoned_total"),
        0.0
    );
    // Who leaves in the middle of a body gets the answer to half a body, and does not read it.
    assert_eq!(scrape.answers("POST", "/api/v1/events", "400"), 2.0);
    for (reason, count) in [
        ("too_large", 1.0),
        ("forbidden", 1.0),
        ("timeout", 0.0),
        ("overloaded", 0.0),
        ("unavailable", 0.0),
    ] {
        let series = format!("agent_memory_http_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(scrape.value(&series), count, "{reason}");
    }
    let totals = |scrape: &Scrape| {
        let mut by_route: BTreeMap<String, [f64; 3]> = BTreeMap::new();
        for (name, value) in &scrape.series {
            let route = |text: &str| {
                let end = text.find("\",status=").or_else(|| text.find("\",le="));
                end.map_or(text.trim_end_matches("\"}"), |end| &text[..end])
                    .to_owned()
            };
            if let Some(rest) = name.strip_prefix("agent_memory_http_requests_total{") {
                by_route.entry(route(rest)).or_default()[0] += value;
            }
            let timed = "agent_memory_http_request_duration_seconds_";
            if let Some(rest) = name.strip_prefix(&format!("{timed}count{{")) {
                by_route.entry(route(rest)).or_default()[1] = *value;
            }
            if let Some(rest) = name.strip_prefix(&format!("{timed}bucket{{"))
                && rest.contains("le=\"+Inf\"")
            {
                by_route.entry(route(rest)).or_default()[2] = *value;
            }
        }
        by_route
    };
    let routes = totals(&scrape);
    assert!(routes.len() > 50);
    let mut all = 0.0;
    for (route, [requests, count, infinite]) in &routes {
        assert_eq!((requests, requests), (count, infinite), "{route}");
        all += requests;
    }
    // Each answer's body was measured as well, but for this scrape's, which is not given yet.
    assert_eq!(scrape.value("agent_memory_http_response_bytes_count"), all);
    assert_eq!(scrape.value("agent_memory_http_request_bytes_count"), all);
}

#[test]
fn the_octets_of_bodies_are_counted_whole_or_in_chunks() {
    let app = TestApp::start();
    let sum = |of: &str| app.metric(&format!("agent_memory_http_{of}_bytes_sum"));
    let before = (sum("request"), sum("response"));
    let scrape = app.get("/metrics").body.len() as f64;
    let event = crate::harness::event(&json!({})).to_string();
    let answer = app.post_bytes("/api/v1/events", event.as_bytes());
    answer.created();
    let chunked = format!(
        "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
         connection: close\r\n\r\n{:x}\r\n{event}\r\n0\r\n\r\n",
        event.len()
    );
    app.send_raw(chunked.as_bytes()).is(201);
    assert_eq!(sum("request") - before.0, 2.0 * event.len() as f64);
    let given = sum("response") - before.1;
    // Two events, and three scrapes, of which each is a little longer or shorter.
    let expected = 2.0 * answer.body.len() as f64 + 3.0 * scrape;
    assert!((given - expected).abs() < 2_000.0, "{given} of {expected}");
}

#[test]
fn fifty_scrapers_at_once_all_see_counters_that_only_grow() {
    let app = TestApp::start();
    let address = app.address();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let client = crate::process::client();
                let mut last = 0.0;
                for _ in 0..10 {
                    let mut answer = client
                        .get(format!("http://{address}/metrics"))
                        .call()
                        .unwrap();
                    assert_eq!(answer.status(), 200);
                    let text = answer.body_mut().read_to_string().unwrap();
                    let name = "agent_memory_http_requests_total{method=\"GET\",path=\"/metrics/prometheus\",status=\"200\"}";
                    let seen = series(&text)[name];
                    assert!(seen >= last, "{seen} after {last}");
                    last = seen;
                }
            });
        }
    });
    let scrape = app.scrape();
    assert_eq!(scrape.answers("GET", "/metrics/prometheus", "200"), 500.0);
}
