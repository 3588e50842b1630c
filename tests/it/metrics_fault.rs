//! What no route of the server does, on routes of the test's own: panic, fail inside, never end.
//!
//! **Invariant:** the middleware is the server's; only the routes are not.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_web::body::to_bytes;
use actix_web::dev::Service as _;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse};
use agent_memory::clock::Clock;
use agent_memory::exec::Exec;
use agent_memory::http::{Gate, Options, Room, State, observe};
use agent_memory::metrics::{Format, Metrics, Moment, RouteLabel};
use agent_memory::service::{Limits, Services};
use agent_memory::store::measure::{Histogram, Measures, WAIT};
use agent_memory::store::{self, Durability, Role, Store};

const ROUTES: &[RouteLabel] = &[
    route("/panic/{id}"),
    route("/broken"),
    route("/slow"),
    route("/sixty"),
];

const fn route(pattern: &'static str) -> RouteLabel {
    RouteLabel {
        method: "GET",
        pattern,
        path: pattern,
    }
}

struct Bench {
    state: Data<State>,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = store::Options {
            path: dir.path().join("m.db"),
            role: Role::Command,
            readers: 1,
            reader_wait: Duration::from_secs(1),
            read_time: None,
            durability: Durability::Normal,
            max_log_bytes: u64::MAX,
            write_wait: Duration::from_secs(1),
        };
        let limits = Limits {
            max_artifact_bytes: 0,
        };
        let store = Store::open(&options, Clock::System.now()).unwrap();
        let services = Services::new(store, Clock::System, limits);
        let state = Data::new(State {
            exec: Exec::new(services, 1, Duration::from_secs(1)),
            metrics: Arc::new(Metrics::new(ROUTES, "3").unwrap()),
            options: Options {
                gate: Gate::default(),
                max_body_bytes: 1024,
                body_timeout: Duration::from_secs(1),
            },
            room: Room::new(1024),
        });
        Self { state, _dir: dir }
    }

    fn value(&self, series: &str) -> String {
        let stats = self.state.exec.services().stats();
        let moment = Moment {
            now: self.state.exec.services().now(),
            up: true,
            stats: &stats,
            pool: (0, 0, 0),
            queueing: &(Histogram::new(&WAIT).read(), 0),
            queue: (0, 0),
            engine_bytes: 0,
            measures: &Measures::default(),
            blocking: (0, 0),
            consolidation: None,
        };
        let text = self.state.metrics.render(&moment, Format::Text);
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("no {series}"))
            .trim()
            .to_owned()
    }

    fn answers(&self, path: &str, status: u16) -> String {
        self.value(&format!(
            "agent_memory_http_requests_total{{method=\"GET\",path=\"{path}\",status=\"{status}\"}}"
        ))
    }

    fn refused(&self, reason: &str) -> String {
        self.value(&format!(
            "agent_memory_http_rejected_total{{reason=\"{reason}\"}}"
        ))
    }
}

/// The server's middleware around routes that it does not have.
macro_rules! app {
    ($bench:expr) => {
        init_service(
            App::new()
                .wrap(from_fn(observe))
                .app_data($bench.state.clone())
                .route("/panic/{id}", web::get().to(panics))
                .route("/broken", web::get().to(fails))
                .route("/sixty", web::get().to(takes_sixty_millis))
                .route("/slow", web::get().to(std::future::pending::<HttpResponse>)),
        )
    };
}

async fn panics() -> HttpResponse {
    tokio::task::yield_now().await;
    panic!("on purpose")
}

async fn fails() -> Result<HttpResponse, actix_web::Error> {
    let words = "a lower layer's words";
    Err(actix_web::error::ErrorInternalServerError(words))
}

async fn takes_sixty_millis() -> HttpResponse {
    tokio::time::sleep(Duration::from_millis(60)).await;
    HttpResponse::Ok().finish()
}

fn get(path: &str) -> TestRequest {
    TestRequest::get()
        .uri(path)
        .insert_header(("host", "localhost"))
}

#[actix_web::test]
async fn a_panic_is_a_500_of_its_route_and_says_nothing_of_its_cause() {
    let bench = Bench::new();
    let app = app!(bench).await;
    let request = get("/panic/7").insert_header(("x-request-id", "r7"));
    let error = app.call(request.to_request()).await.unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers().get("x-request-id").unwrap(), "r7");
    assert_eq!(
        response.headers().get("content-type").unwrap(),
        "application/problem+json"
    );
    let body = to_bytes(response.into_body()).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("\"code\":\"internal\"") && text.contains("\"request_id\":\"r7\""));
    assert!(!text.contains("purpose"), "{text}");
    assert_eq!(bench.answers("/panic/{id}", 500), "1");
    assert_eq!(bench.value("agent_memory_http_requests_in_flight"), "0");
    assert_eq!(
        bench.value("agent_memory_http_requests_abandoned_total"),
        "0"
    );
    assert_eq!(
        bench.value("agent_memory_http_response_bytes_sum"),
        text.len().to_string()
    );
    // The next one is answered.
    let response = call_service(&app, get("/broken").to_request()).await;
    assert_eq!(response.status(), 500);
}

#[actix_web::test]
async fn a_failure_inside_is_a_500_of_its_route_and_no_refusal() {
    let bench = Bench::new();
    let app = app!(bench).await;
    for _ in 0..2 {
        let response = call_service(&app, get("/broken").to_request()).await;
        let body = to_bytes(response.into_body()).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("lower layer"));
    }
    assert_eq!(bench.answers("/broken", 500), "2");
    for reason in [
        "overloaded",
        "unavailable",
        "timeout",
        "forbidden",
        "too_large",
    ] {
        assert_eq!(bench.refused(reason), "0", "{reason}");
    }
}

#[actix_web::test]
async fn a_client_that_leaves_while_it_is_answered_is_counted_as_that_alone() {
    let bench = Bench::new();
    let app = app!(bench).await;
    let mut answer = Box::pin(app.call(get("/slow").to_request()));
    let pending = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx).is_pending())).await;
    assert!(pending);
    assert_eq!(bench.value("agent_memory_http_requests_in_flight"), "1");
    drop(answer);
    assert_eq!(bench.value("agent_memory_http_requests_in_flight"), "0");
    assert_eq!(
        bench.value("agent_memory_http_requests_abandoned_total"),
        "1"
    );
    assert_eq!(bench.answers("/slow", 200), "0");
    let timed = "agent_memory_http_request_duration_seconds_count{method=\"GET\",path=\"/slow\"}";
    assert_eq!(bench.value(timed), "0");
}

#[actix_web::test]
async fn a_request_falls_into_the_bucket_of_the_time_it_took() {
    let bench = Bench::new();
    let app = app!(bench).await;
    let begun = std::time::Instant::now();
    let response = call_service(&app, get("/sixty").to_request()).await;
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(response.status(), 200);
    let of = |part: &str, more: &str| -> f64 {
        let family = "agent_memory_http_request_duration_seconds";
        let series = format!("{family}_{part}{{method=\"GET\",path=\"/sixty\"{more}}}");
        bench.value(&series).parse().unwrap()
    };
    assert_eq!(of("bucket", ",le=\"0.05\""), 0.0);
    assert_eq!(of("bucket", ",le=\"10.0\""), 1.0);
    assert_eq!(of("count", ""), 1.0);
    let sum = of("sum", "");
    assert!((0.06..=took).contains(&sum), "{sum} of {took}");
}
