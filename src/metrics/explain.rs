//! A scrape in words, for who looks at a server and not at a dashboard.
//!
//! Everything is judged from one exposition, as a scraper gets it: what is counted since the start, and gauges of this
//! moment. So a finding that needs attention is one that a single look can tell; what needs two looks is an alert's.
//!
//! **Invariant:** a pure function of the text, and says only what stands there.

use serde::Serialize;

use crate::metrics::explain::read::Scrape;

mod read;
mod words;

use words::{age, bytes, percent, seconds};

/// Above this part of the limit the next large request may end the process; the guide's alert has the same.
const MEMORY_FULL: f64 = 0.9;
/// A queue that is this full will soon refuse.
const QUEUE_FULL: f64 = 0.8;
/// The log is cut beyond 64 MiB; at twice that something keeps it from being cut.
const LOG_LARGE: f64 = 128.0 * 1024.0 * 1024.0;
/// An agent waits for its answer.
const SLOW_SECONDS: f64 = 1.0;
/// Fewer requests than this say nothing about the slowest hundredth.
const ENOUGH: f64 = 100.0;
/// More refusals than this for want of room, of all requests, are more than a burst.
const BUSY: f64 = 0.01;

/// One thing that a scrape says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about.
    pub about: &'static str,
    /// Whether nobody has to do anything.
    pub ok: bool,
    /// What is the case.
    pub says: String,
}

/// The exposition is none of this server's.
#[derive(Debug, thiserror::Error)]
#[error("these are not the metrics of agent-memory: {0}")]
pub struct Unreadable(String);

/// What a scrape in the text format says, in the order in which one would ask.
///
/// # Errors
/// It is not one of this server's.
pub fn explain(text: &str) -> Result<Vec<Finding>, Unreadable> {
    let scrape = Scrape::read(text)?;
    if scrape.one("up").is_none() {
        return Err(Unreadable("agent_memory_up is not among them".to_owned()));
    }
    let mut findings = vec![server(&scrape)];
    findings.extend(memory(&scrape));
    findings.extend(readers(&scrape));
    findings.extend(writer(&scrape));
    findings.extend(log(&scrape));
    findings.extend(workers(&scrape));
    findings.extend(requests(&scrape));
    findings.extend(latencies(&scrape));
    findings.extend(connections(&scrape));
    findings.extend(faults(&scrape));
    findings.extend(remembered(&scrape));
    findings.extend(spool(&scrape));
    findings.extend(redaction(&scrape));
    Ok(findings)
}

fn finding(about: &'static str, ok: bool, says: String) -> Finding {
    Finding { about, ok, says }
}

fn server(scrape: &Scrape<'_>) -> Finding {
    let up = scrape.one("up") == Some(1.0);
    let uptime = age(scrape.one("uptime_seconds").unwrap_or(0.0));
    let version = scrape.label("build_info", "version").unwrap_or("unknown");
    let revision = scrape.label("build_info", "revision").unwrap_or("unknown");
    let state = if up {
        "the store can be used"
    } else {
        "THE STORE CANNOT BE USED or is damaged; /health and the log say which"
    };
    let says = format!("version {version} ({revision}), up for {uptime}; {state}");
    finding("server", up, says)
}

fn memory(scrape: &Scrape<'_>) -> Option<Finding> {
    let of = |kind| scrape.labelled("memory_bytes", &[("type", kind)]);
    let anon = of("rss_anon")?;
    let parts = format!(
        "{} for itself ({} in use by the program, {} by SQLite)",
        bytes(anon),
        bytes(of("heap_used")?),
        bytes(of("external")?)
    );
    let Some(limit) = scrape.one("memory_limit_bytes") else {
        return Some(finding("memory", true, parts));
    };
    let says = format!("{parts}, {} of {}", percent(anon / limit), bytes(limit));
    Some(finding("memory", anon / limit < MEMORY_FULL, says))
}

fn readers(scrape: &Scrape<'_>) -> Option<Finding> {
    let of = |state| scrape.labelled("db_pool_connections", &[("state", state)]);
    let (total, idle, waiting) = (of("total")?, of("idle")?, of("waiting")?);
    let mut says = format!("{idle} of {total} connections free, {waiting} calls waiting");
    let timeouts = scrape.sum("db_pool_timeouts_total", &[]);
    if timeouts > 0.0 {
        says += &format!("; {timeouts} ever got none");
    }
    Some(finding("readers", waiting < total, says))
}

fn writer(scrape: &Scrape<'_>) -> Option<Finding> {
    let (depth, capacity) = (
        scrape.one("write_queue_depth")?,
        scrape.one("write_queue_capacity")?,
    );
    let mut says = format!("{depth} of {capacity} places in the queue taken");
    let wait = scrape.histogram("write_queue_wait_seconds", &[]);
    if let Some((p50, p99)) = wait.both() {
        says += &format!("; a write waits {p50}, the slowest hundredth {p99}");
    }
    let rejected = scrape.sum("writes_rejected_total", &[]);
    if rejected > 0.0 {
        says += &format!("; {rejected} writes were turned away");
    }
    let dropped = scrape.sum("writes_dropped_total", &[]);
    if dropped > 0.0 {
        says += &format!("; {dropped} were taken in and not stored");
    }
    Some(finding("writer", depth < capacity * QUEUE_FULL, says))
}

fn log(scrape: &Scrape<'_>) -> Option<Finding> {
    let size = |file| scrape.labelled("sqlite_file_bytes", &[("file", file)]);
    let frames = |state| scrape.labelled("sqlite_wal_frames", &[("state", state)]);
    let (file, log) = (size("db")?, size("wal")?);
    let (all, moved) = (frames("log")?, frames("checkpointed")?);
    let left = (all - moved).max(0.0);
    let says = format!(
        "{}, and {} of log of which {left} pages are not in the file yet",
        bytes(file),
        bytes(log)
    );
    let ok = log < LOG_LARGE || left == 0.0;
    let why = if ok {
        ""
    } else {
        "; somebody holds a snapshot, or the disk does not keep up"
    };
    Some(finding("file", ok, says + why))
}

fn workers(scrape: &Scrape<'_>) -> Option<Finding> {
    let of = |state| scrape.labelled("workers", &[("state", state)]);
    let (responsive, stalled) = (of("responsive")?, of("stalled")?);
    let blocking = |state| scrape.labelled("blocking_threads", &[("state", state)]);
    let mut says = format!("{responsive} responsive, {stalled} stalled");
    if let (Some(busy), Some(limit)) = (blocking("busy"), blocking("limit")) {
        says += &format!("; {busy} of {limit} longer calls under way");
    }
    let lag = scrape.histogram("worker_lag_seconds", &[]);
    if let Some((_, p99)) = lag.both() {
        says += &format!("; the slowest hundredth of ticks came {p99} late");
    }
    Some(finding("workers", stalled == 0.0, says))
}

fn requests(scrape: &Scrape<'_>) -> Option<Finding> {
    let family = "http_requests_total";
    let all = scrape.sum(family, &[]);
    if !scrape.has(family) {
        return None;
    }
    let status = |status| scrape.sum(family, &[("status", status)]);
    let (faults, refused) = (status("500"), status("503"));
    let abandoned = scrape.sum("http_requests_abandoned_total", &[]);
    let reasons: Vec<String> = scrape
        .all("http_rejected_total")
        .filter(|sample| sample.value > 0.0)
        .filter_map(|sample| Some(format!("{} {}", sample.value, sample.label("reason")?)))
        .collect();
    let mut says = format!(
        "{all} answered, {faults} of them 500 and {refused} 503; {abandoned} left before their answer"
    );
    if !reasons.is_empty() {
        says += &format!("; refused: {}", reasons.join(", "));
    }
    let busy = all > 0.0 && refused / all > BUSY;
    Some(finding("requests", faults == 0.0 && !busy, says))
}

/// Each route that was asked for anything, the busiest first.
fn latencies(scrape: &Scrape<'_>) -> Vec<Finding> {
    let family = "http_request_duration_seconds";
    let mut routes: Vec<_> = scrape
        .all(&format!("{family}_count"))
        .filter(|sample| sample.value > 0.0)
        .filter_map(|sample| Some((sample.value, sample.label("method")?, sample.label("path")?)))
        .collect();
    routes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let finding = |(count, method, path): (f64, &str, &str)| {
        let histogram = scrape.histogram(family, &[("method", method), ("path", path)]);
        let (p50, p99) = histogram.both()?;
        let slow = count >= ENOUGH && histogram.quantile(0.99)?.at_least >= SLOW_SECONDS;
        let says =
            format!("{method} {path}: {count} times, half {p50}, the slowest hundredth {p99}");
        Some(finding("latency", !slow, says))
    };
    routes.into_iter().filter_map(finding).collect()
}

fn connections(scrape: &Scrape<'_>) -> Option<Finding> {
    let open = scrape.one("http_connections")?;
    let cut = scrape.sum("http_connections_cut_total", &[]);
    let mut says = format!("{open} open, {cut} ended by the server");
    let mut ok = true;
    if let (Some(files), Some(most)) = (
        scrape.exactly("process_open_fds"),
        scrape.exactly("process_max_fds"),
    ) {
        says += &format!("; {files} of {most} files open");
        ok = files < most * MEMORY_FULL;
    }
    Some(finding("connections", ok, says))
}

fn faults(scrape: &Scrape<'_>) -> Option<Finding> {
    let panics = scrape.one("panics_total")?;
    let lines = |level| scrape.labelled("log_messages_total", &[("level", level)]);
    let says = format!(
        "{panics} panics, {} errors and {} warnings in the log",
        lines("error")?,
        lines("warn")?
    );
    Some(finding("faults", panics == 0.0, says))
}

fn remembered(scrape: &Scrape<'_>) -> Option<Finding> {
    let ever = scrape.sum("events_total", &[]);
    let notes = scrape.one("knowledge_notes")?;
    let handoffs = scrape.sum("handoffs", &[]);
    let (recalls, empty) = (
        scrape.one("recalls_total")?,
        scrape.one("recalls_empty_total")?,
    );
    let text = scrape.labelled("storage_bytes", &[("type", "text")])?;
    let mut says = format!(
        "{ever} events ever, {handoffs} handoffs and {notes} notes now, {} of text; {recalls} searches, {empty} of them \
         found nothing; {} secrets kept out",
        bytes(text),
        scrape.sum("redactions_total", &[])
    );
    if let Some(last) = scrape.one("last_write_timestamp_seconds") {
        let now = scrape.now();
        says += &match now {
            Some(now) if last > 0.0 => format!("; last write {} ago", age(now - last)),
            _ => "; no write yet".to_owned(),
        };
    }
    Some(finding("memories", true, says))
}

/// What hooks could not store. It waits for the next one, or for somebody to store it.
fn spool(scrape: &Scrape<'_>) -> Option<Finding> {
    let waits = scrape.one("spool_bytes")?;
    let mut says = if waits > 0.0 {
        format!(
            "{} wait to be stored: `agent-memory status` says why, `agent-memory hook replay` stores it",
            bytes(waits)
        )
    } else {
        "nothing waits to be stored".to_owned()
    };
    let replayed = scrape.sum("spool_replayed_total", &[]);
    let lost = scrape.sum("spool_dropped_total", &[]);
    if replayed > 0.0 || lost > 0.0 {
        says += &format!("; {replayed} that had waited were stored, {lost} lost");
    }
    Some(finding("spool", waits == 0.0, says))
}

fn redaction(scrape: &Scrape<'_>) -> Option<Finding> {
    let on = scrape.one("redaction_enabled")? != 0.0;
    let says = if on {
        "secrets are taken out of what is stored"
    } else {
        "SECRETS ARE STORED as they come: the server was started with --redact off"
    };
    Some(finding("secrets", on, says.to_owned()))
}

#[cfg(test)]
mod tests;
