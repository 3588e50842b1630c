//! The composition root: what a process is made of, and in which order it starts and stops.
//!
//! A server starts from the file up (store, services, jobs, listener) and stops from the listener down: no new
//! connections, requests in flight, jobs, the writer's queue, the log into the file.
//!
//! **Invariant:** holds no rule; it only puts together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::config::Config;
use crate::exec::Exec;
use crate::http::{self, Hosts, State};
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::service::{Limits, Services};
use crate::store::{OpenError, Options, Store};

/// How long requests in flight get to finish when the server stops. With the writer's queue that stays below 10 s.
const SHUTDOWN_SECONDS: u64 = 5;
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// Most connections, a worker. Beyond it the system's backlog holds them.
const CONNECTIONS_PER_WORKER: usize = 1024;

/// Opens the store for a command: one connection and nothing in the background.
///
/// # Errors
/// The file cannot be used, or needs a migration first.
pub fn open(options: &Options, clock: Clock, limits: Limits) -> Result<Services, OpenError> {
    let store = Store::open(options, clock.now())?;
    Ok(Services::new(store, clock, limits))
}

/// Runs a server until `stop` is done, then stops it in order.
///
/// # Errors
/// The file cannot be used, or the port is taken.
pub fn run(
    config: &Config,
    clock: Clock,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + 'static,
) -> anyhow::Result<()> {
    let limits = Limits {
        max_artifact_bytes: config.max_artifact_bytes,
    };
    let services = open(&config.store, clock, limits)?;
    let state = Data::new(State {
        exec: Exec::new(
            services.clone(),
            config.store.readers,
            config.request_timeout,
        ),
        metrics: Arc::new(Metrics::new(http::ROUTES)?),
        options: http::Options {
            hosts: Hosts::new(config.allowed_hosts.iter().cloned()),
            max_body_bytes: config.max_body_bytes,
            body_timeout: config.request_timeout,
        },
    });
    let mut jobs = Jobs::start(services.clone()).context("the job thread could not be started")?;
    let outcome = actix_web::rt::System::new().block_on(listen(config, state, ready, stop));
    jobs.stop();
    services.close();
    outcome
}

async fn listen(
    config: &Config,
    state: Data<State>,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + 'static,
) -> anyhow::Result<()> {
    let server = HttpServer::new(move || {
        let state = state.clone();
        App::new()
            .wrap(from_fn(http::observe))
            .configure(|config| http::routes(config, &state))
    })
    .workers(config.workers)
    .max_connections(CONNECTIONS_PER_WORKER)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(SHUTDOWN_SECONDS)
    .disable_signals()
    .bind(config.listen)
    .with_context(|| {
        format!(
            "cannot listen on {}: is another server running there? Choose a port with --listen",
            config.listen
        )
    })?;
    let address = server
        .addrs()
        .first()
        .copied()
        .context("no address was bound")?;
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        stop.await;
        handle.stop(true).await;
    });
    ready(address);
    server.await.context("the server failed")
}

/// A server on a thread of its own, for tests.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

/// Starts a server on a thread of its own and waits until it listens.
///
/// # Errors
/// As [`run`].
pub fn start(config: Config, clock: Clock) -> anyhow::Result<Running> {
    let (ready, listening) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let ready = move |address| {
            // The starter waits for it.
            let _sent = ready.send(address);
        };
        run(&config, clock, ready, async { drop(stopped.await) })
    });
    match listening.recv() {
        Ok(address) => Ok(Running {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }),
        Err(_) => match thread.join() {
            Ok(outcome) => {
                outcome.and_then(|()| anyhow::bail!("the server ended before it listened"))
            }
            Err(_) => anyhow::bail!("the server panicked"),
        },
    }
}

impl Running {
    /// Stops the server in order and waits for it.
    ///
    /// # Errors
    /// As [`run`].
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.halt()
    }

    fn halt(&mut self) -> anyhow::Result<()> {
        // A server that has ended by itself no longer listens.
        let _sent = self.stop.take().map(|stop| stop.send(()));
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => anyhow::bail!("the server panicked"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = self.halt() {
            tracing::error!(%error, "the server did not stop in order");
        }
    }
}
