//! What a scrape says.
//!
//! **Invariant:** the series of a server do not depend on what clients send.

use super::*;
use crate::store::measure::{Histogram, WAIT};

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
            queueing: &(Histogram::new(&WAIT).read(), 0),
            queue: (0, 9),
            engine_bytes: 7,
            measures: &Measures::default(),
            blocking: (1, 8),
            consolidation: None,
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
        after.contains("{method=\"OTHER\",path=\"unmatched\",status=\"other\"} 988"),
        "{after}"
    );
}

#[test]
fn one_moment_is_the_same_in_both_formats() {
    let metrics = Metrics::new(ROUTES, "3.0").unwrap();
    for millis in [0, 1, 3, 700, 20_000] {
        metrics.request_begins();
        metrics.request_ends(&Answered {
            pattern: Some("/b"),
            method: "POST",
            status: 201,
            took: Duration::from_millis(millis),
            request_id: "r",
        });
        metrics.request_had(millis);
    }
    let (stats, measures) = (
        Stat::all().into_iter().zip(1..).collect(),
        Measures::default(),
    );
    let moment = Moment {
        now: Timestamp::from_millis(1_700_000_000_000),
        up: false,
        stats: &stats,
        pool: (4, 3, 2),
        queueing: &(Histogram::new(&WAIT).read(), 0),
        queue: (1, 9),
        engine_bytes: 7,
        measures: &measures,
        blocking: (1, 8),
        consolidation: None,
    };
    let frozen = metrics.freeze(&moment);
    let samples = |format| {
        let (text, series) = frozen.write(format);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples: Vec<_> = lines
            .map(|line| line.split(" # ").next().unwrap().to_owned())
            .collect();
        assert_eq!(samples.len(), series);
        samples
    };
    assert_eq!(samples(Format::Text), samples(Format::OpenMetrics));
    assert_eq!(
        frozen.write(Format::OpenMetrics).0.matches(" # {").count(),
        5
    );
}

#[test]
fn a_family_stands_once_and_its_name_is_of_plain_letters() {
    let metrics = Metrics::new(ROUTES, "3.0").unwrap();
    let text = text(&metrics);
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|rest| rest.split(' ').next().unwrap())
        .collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len());
    for name in names {
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
    }
}

/// Whether a worker is seen to be stalled, and its lag when it is back.
#[actix_web::test]
async fn a_worker_that_blocks_shows() {
    let metrics = Arc::new(Metrics::new(ROUTES, "3.0").unwrap());
    let watching = actix_web::rt::spawn(Arc::clone(&metrics).watch_worker());
    let line = |start: &str| {
        let text = text(&metrics);
        let line = text.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap().trim().parse::<f64>().unwrap()
    };
    let responsive = "agent_memory_workers{state=\"responsive\"}";
    let stalled = "agent_memory_workers{state=\"stalled\"}";
    let lag = "agent_memory_worker_lag_seconds";
    let late = &format!("{lag}_bucket{{le=\"0.5\"}}");
    let ticks = &format!("{lag}_count");
    while line(ticks) < 2.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((line(responsive), line(stalled)), (1.0, 0.0));
    std::thread::sleep(Duration::from_millis(1_250));
    assert_eq!((line(responsive), line(stalled)), (0.0, 1.0));
    let before = line(ticks) - line(late);
    while line(responsive) < 1.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(line(ticks) - line(late), before + 1.0);
    watching.abort();
    drop(watching.await);
    assert_eq!((line(responsive), line(stalled)), (0.0, 0.0));
}
