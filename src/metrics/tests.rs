//! What a scrape says.
//!
//! **Invariant:** the series of a server do not depend on what clients send.

use super::*;

const ROUTES: &[RouteLabel] = &[
    RouteLabel {
        method: "GET",
        pattern: "/a/{id}",
        path: "/a/{id}",
    },
    RouteLabel {
        method: "POST",
        pattern: "/b",
        path: "/a",
    },
];

fn text(metrics: &Metrics) -> String {
    let stats = Stat::all().into_iter().map(|stat| (stat, 3)).collect();
    metrics.render(
        &Moment {
            now: Timestamp::from_millis(1_700_000_000_000),
            up: true,
            stats: &stats,
            pool: (4, 3, 0),
            queue: (0, 9),
            engine_bytes: 7,
            measures: &Measures::default(),
            blocking: (1, 8),
        },
        Format::Text,
    )
}

#[test]
fn every_series_is_there_before_the_first_request() {
    let metrics = Metrics::new(ROUTES, "3.0").unwrap();
    let text = text(&metrics);
    for series in [
        "agent_memory_up 1",
        "agent_memory_memory_bytes{type=\"external\"} 7",
        "agent_memory_http_requests_total{method=\"POST\",path=\"/a\",status=\"201\"} 0",
        "agent_memory_http_request_duration_seconds_count{method=\"GET\",path=\"/a/{id}\"} 0",
        "agent_memory_handoffs_total{compression_level=\"all\"} 12",
        "# TYPE agent_memory_handoffs_total untyped",
        "agent_memory_storage_bytes{type=\"text\"} 3",
        "agent_memory_db_pool_connections{state=\"idle\"} 3",
    ] {
        assert!(text.contains(series), "{series} in\n{text}");
    }
}

#[test]
fn random_paths_methods_and_statuses_add_no_series() {
    let metrics = Metrics::new(ROUTES, "3.0").unwrap();
    let before = text(&metrics).lines().count();
    for index in 0..1000u16 {
        metrics.request_begins();
        metrics.request_ends(&Answered {
            pattern: Some("/random"),
            method: &format!("M{index}"),
            status: index,
            took: Duration::from_millis(1),
            request_id: "r",
        });
    }
    let after = text(&metrics);
    assert_eq!(after.lines().count(), before);
    assert!(
        after.contains("{method=\"OTHER\",path=\"unmatched\",status=\"other\"} 991"),
        "{after}"
    );
}
