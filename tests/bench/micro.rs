//! Single functions that requests and writes go through, timed by criterion; `scripts/bench --micro` runs it.
//!
//! The size of each input is reported beside its time, as bytes or elements a second.
//!
//! **Invariant:** inputs are made before the clock starts, and are the same at each run.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use agent_memory::domain::consolidate::rarity::Counts;
use agent_memory::domain::consolidate::summary::Forms;
use agent_memory::domain::context::{self, ContextFacts, ContextQuery};
use agent_memory::domain::handoff::Fields;
use agent_memory::domain::pack::Packer;
use agent_memory::domain::recall::rank;
use agent_memory::domain::{Channel, Stat, Timestamp, redact, terms, token};
use agent_memory::http::ROUTES;
use agent_memory::metrics::{Answered, Format, Metrics, Moment};
use agent_memory::store::measure::{Histogram, Measures, WAIT};
use anyhow::Context as _;
use criterion::{BenchmarkId, Criterion, Throughput};

mod samples;

/// The server's own, since most of these functions allocate.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Together a minute and a half; criterion's own 3 s and 5 s would be three.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(3);
/// Hits of the search that a context bundle is made of.
const HITS: usize = context::SEARCH_HITS;
/// The usual budget of a wake-up, which the lines exceed.
const PACKED_TOKENS: usize = 2_000;
/// A quarter of a handoff of some 500 tokens.
const FIELD_BYTES: usize = 560;

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(WARM_UP)
        .measurement_time(MEASURED)
        .configure_from_args();
    metrics(&mut criterion)?;
    packing(&mut criterion)?;
    ranking(&mut criterion)?;
    shorter_forms(&mut criterion)?;
    let kinds = [samples::english()?, samples::code(), samples::cjk()];
    let with_secrets = [samples::english()?, samples::code(), samples::secrets()?];
    over_texts(&mut criterion, "redact", &with_secrets, redacted)?;
    over_texts(&mut criterion, "tokens", &kinds, token::estimate)?;
    over_texts(&mut criterion, "terms", &kinds, |text| {
        terms::index_terms(text).len()
    })?;
    criterion.final_summary();
    Ok(())
}

/// A whole scrape, every series of every route in it.
fn metrics(criterion: &mut Criterion) -> anyhow::Result<()> {
    let metrics = Metrics::new(ROUTES, "3")?;
    for (route, millis) in ROUTES.iter().zip((1..).step_by(7)) {
        metrics.request_begins();
        metrics.request_ends(&Answered {
            pattern: Some(route.pattern),
            method: route.method,
            status: 200,
            took: Duration::from_millis(millis),
            request_id: "0198b5a7d1f27c3e9a4b5c6d7e8f9012",
        });
    }
    let stats: BTreeMap<Stat, i64> = Stat::all().into_iter().zip(1_000..).collect();
    let moment = Moment {
        now: Timestamp::from_millis(1_700_000_000_000),
        up: true,
        stats: &stats,
        pool: (4, 3, 0),
        queueing: &(Histogram::new(&WAIT).read(), 0),
        queue: (1, 1024),
        engine_bytes: 10_000_000,
        measures: &Measures::default(),
        blocking: (1, 16),
        consolidation: None,
    };
    let mut group = criterion.benchmark_group("metrics");
    for (name, format) in [("text", Format::Text), ("openmetrics", Format::OpenMetrics)] {
        let bytes = metrics.render(&moment, format).len();
        group.throughput(Throughput::Bytes(u64::try_from(bytes)?));
        group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
            bencher.iter(|| metrics.render(black_box(&moment), format));
        });
    }
    let route = ROUTES.first().context("no route")?;
    group.bench_function("request", |bencher| {
        bencher.iter(|| {
            metrics.request_begins();
            metrics.request_ends(black_box(&Answered {
                pattern: Some(route.pattern),
                method: route.method,
                status: 200,
                took: Duration::from_micros(60),
                request_id: "0198b5a7d1f27c3e9a4b5c6d7e8f9012",
            }));
        });
    });
    group.finish();
    Ok(())
}

/// Lines under a budget, and a context bundle under one that takes all and one that takes some.
fn packing(criterion: &mut Criterion) -> anyhow::Result<()> {
    let lines = samples::prose()?;
    let bytes = samples::bytes(&lines)?;
    let mut group = criterion.benchmark_group("pack");
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function(BenchmarkId::new("lines", bytes), |bencher| {
        bencher.iter(|| {
            let mut packer = Packer::new(PACKED_TOKENS);
            for line in black_box(&lines) {
                packer.line(line);
            }
            packer.into_text()
        });
    });
    group.finish();
    let facts = ContextFacts {
        hits: samples::hits(HITS)?,
        ..ContextFacts::default()
    };
    let mut group = criterion.benchmark_group("context");
    group.throughput(Throughput::Elements(u64::try_from(HITS)?));
    for max_tokens in [1_000, 65_000] {
        let query = samples::task(max_tokens)?;
        let id = BenchmarkId::new(format!("{HITS} hits"), format!("{max_tokens} tokens"));
        group.bench_function(id, |bencher| {
            bencher.iter(|| assembled(black_box(&query), black_box(&facts)));
        });
    }
    group.finish();
    Ok(())
}

fn assembled(query: &ContextQuery, facts: &ContextFacts) -> usize {
    context::assemble(query, facts, Channel::Private, samples::now())
        .markdown()
        .len()
}

/// A hundred candidates, each with the two passages before and after it.
fn ranking(criterion: &mut Criterion) -> anyhow::Result<()> {
    let query = samples::question()?;
    let pool = samples::pool(&query)?;
    anyhow::ensure!(!rank(&query, &pool).hits.is_empty(), "nothing was found");
    let mut group = criterion.benchmark_group("rank");
    group.throughput(Throughput::Elements(u64::try_from(pool.rows.len())?));
    let id = BenchmarkId::new("rows", pool.rows.len());
    group.bench_function(id, |bencher| {
        bencher.iter(|| rank(black_box(&query), black_box(&pool)));
    });
    group.finish();
    Ok(())
}

/// Both shorter forms of a handoff of some 500 tokens, as each is made once in its life.
fn shorter_forms(criterion: &mut Criterion) -> anyhow::Result<()> {
    let prose = samples::prose()?;
    let mut rarity = Counts::default();
    prose.iter().for_each(|text| rarity.add([text.as_str()]));
    let all = prose.join(" ");
    let quarter = |number: usize| {
        let from = all.floor_char_boundary(number * FIELD_BYTES);
        let to = all.floor_char_boundary((number + 1) * FIELD_BYTES);
        all.get(from..to).unwrap_or_default().to_owned()
    };
    let fields = Fields {
        experienced: quarter(0),
        learned: quarter(1),
        story: quarter(2),
        remember: quarter(3),
        ..Fields::default()
    };
    let tokens: usize = fields
        .each()
        .iter()
        .map(|(_, text)| token::estimate(text))
        .sum();
    let mut group = criterion.benchmark_group("forms");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("tokens", tokens), |bencher| {
        bencher.iter(|| {
            let forms = Forms::of(black_box(&fields), &rarity);
            (forms.summary(), forms.quick_ref(samples::now()))
        });
    });
    group.finish();
    Ok(())
}

fn redacted(text: &str) -> usize {
    redact::redact(text).text.len()
}

/// One function over each kind of text.
fn over_texts(
    criterion: &mut Criterion,
    name: &str,
    kinds: &[samples::Kind],
    work: impl Fn(&str) -> usize,
) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group(name);
    for (kind, texts) in kinds {
        let bytes = samples::bytes(texts)?;
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new(*kind, bytes), |bencher| {
            bencher.iter(|| -> usize { black_box(texts).iter().map(|text| work(text)).sum() });
        });
    }
    group.finish();
    Ok(())
}
