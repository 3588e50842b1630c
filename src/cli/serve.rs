//! `agent-memory serve`.
//!
//! **Invariant:** SIGTERM and Ctrl-C finish what was accepted.

use std::fs::OpenOptions;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::app;
use crate::clock::Clock;
use crate::config::{Config, Global, Log, LogFormat, ServeArgs};
use crate::domain::redact;
use crate::fault;
use crate::metrics::Lines;

pub(super) fn run(global: &Global, args: &ServeArgs) -> anyhow::Result<()> {
    let config = Config::new(global, args)?;
    start_log(&config.log)?;
    fault::listen(&args.fault).context("the socket for faults cannot be made")?;
    if !redact::is_on() {
        tracing::warn!("redaction is off: secrets are stored as they come");
    }
    let file = config.store.path.display().to_string();
    let scheme = config.access.tls.as_ref().map_or("http", |_| "https");
    let ready = |address| tracing::info!(%address, file, "listening on {scheme}://{address}, memory in {file}");
    app::run(&config, Clock::System, ready, stop_signal())?;
    tracing::info!("stopped");
    Ok(())
}

fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("--log {} is no filter", log.filter))?;
    let writer = match &log.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            BoxMakeWriter::new(Mutex::new(file.with_context(|| {
                format!("the log file {} cannot be opened", path.display())
            })?))
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .with_target(false);
    match log.format {
        LogFormat::Text => subscriber.finish().with(Lines).init(),
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true);
            subscriber.finish().with(Lines).init();
        }
    }
    Ok(())
}

#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    let name = std::future::poll_fn(|cx| {
        if terminate.poll_recv(cx).is_ready() {
            return std::task::Poll::Ready("SIGTERM");
        }
        interrupt.poll_recv(cx).map(|_| "SIGINT")
    })
    .await;
    tracing::info!(signal = name, "stopping: finishing what was accepted");
}
