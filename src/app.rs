//! The composition root: what a process is made of, and in which order it starts and stops.
//!
//! A server starts from the file up (store, services, jobs, listener) and stops from the listener down: no new
//! connections, requests in flight, jobs, the writer's queue, the log into the file.
//!
//! **Invariant:** holds no rule; it only puts together.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_http::{HttpService, KeepAlive, Protocol};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::App;
use actix_web::dev::AppConfig;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, ServiceConfig};
use anyhow::Context as _;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::config::{Config, spool_places};
use crate::exec::Exec;
use crate::http::{self, Bounds, Door, Gate, Hosts, Origins, Rate, Room, State, Tls, Wire};
use crate::jobs::{self, Jobs};
use crate::metrics::{Asked, Metrics, count_panics};
use crate::service::{Consolidation, Limits, Services};
use crate::store::sqlite::engine_version;
use crate::store::{OpenError, Options, Store};

/// How long requests in flight get to finish when the server stops. With the writer's queue that stays below 10 s.
const SHUTDOWN_SECONDS: u64 = 5;
/// How long a client may take for its request's head, unless a whole request has less.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at once for metrics and health alone: scrapers and probes are few.
const OPEN_CONNECTIONS: usize = 64;
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// What the system holds of an answer that its client has not read: with its own default, up to 4 MB, it asks for more
/// only when a third of that is read, which a slow client takes minutes for.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How long a connection stays half closed, for a client that still sends when it was answered.
const DISCONNECT_TIME: Duration = Duration::from_secs(1);
/// Open files beside connections: those that are turned away, the store's own, logs, pipes, with room to spare.
const OTHER_FILES: u64 = 192;
/// Open files of a read-only connection to the store.
const FILES_PER_READER: u64 = 4;

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
    count_panics();
    if is_exposed(config) && !config.store.path.exists() {
        return Err(needs_key(config));
    }
    let services = open(&config.store, clock, limits)?.consolidating(Consolidation {
        schedule: config.consolidation.schedule,
        thresholds: config.consolidation.thresholds,
    });
    if is_exposed(config) && !services.has_keys()? {
        return Err(needs_key(config));
    }
    let metrics = Metrics::new(http::ROUTES, engine_version())?;
    let metrics = Arc::new(
        metrics
            .with_spools(spool_places(&config.store.path))
            .with_upkeep(asked(config)),
    );
    let state = Data::new(State {
        exec: Exec::new(
            services.clone(),
            config.store.readers,
            config.request_timeout,
        ),
        metrics: Arc::clone(&metrics),
        options: http::Options {
            gate: gate(config),
            max_body_bytes: config.max_body_bytes,
            body_timeout: config.request_timeout,
        },
        room: Room::new(config.max_body_bytes.max(config.max_artifact_bytes)),
    });
    let bounds = Bounds {
        connections: connections(config),
        head: HEAD_TIME.min(config.request_timeout),
        keep_alive: KEEP_ALIVE,
        patience: config.request_timeout,
    };
    let tls = config.access.tls.as_ref();
    let tls = tls.map(|tls| Tls::load(&tls.cert, &tls.key));
    let tls = tls
        .transpose()
        .context("TLS cannot be spoken with --tls-cert and --tls-key")?;
    if is_exposed(config) && tls.is_none() {
        tracing::warn!(
            "keys and memory go over the network in the clear: give a certificate (--tls-cert, --tls-key), or let a proxy \
             speak TLS"
        );
    }
    let doors = Doors {
        api: Door::new(bounds, tls, Arc::clone(&metrics)),
        open: Door::new(
            Bounds {
                connections: OPEN_CONNECTIONS,
                ..bounds
            },
            None,
            metrics,
        ),
    };
    let mut jobs =
        Jobs::start(&services, &planned(config)).context("the job threads could not be started")?;
    let outcome = actix_web::rt::System::new().block_on(listen(config, state, doors, ready, stop));
    jobs.stop();
    services.close();
    outcome
}

/// Where connections come in.
struct Doors {
    api: Arc<Door>,
    /// Those for metrics and health alone, which others of the API cannot take the places of.
    open: Arc<Door>,
}

/// Whether others than this machine can reach the API.
fn is_exposed(config: &Config) -> bool {
    !config.listen.ip().is_loopback()
}

fn needs_key(config: &Config) -> anyhow::Error {
    anyhow::anyhow!(
        "will not listen on {}: anybody who can reach that address could read and write this memory, and there is no key \
         yet. Make one: agent-memory --db {} key create NAME --scope write",
        config.listen,
        config.store.path.display(),
    )
}

/// What is done by the clock.
fn planned(config: &Config) -> jobs::Plan {
    let stem = config.store.path.file_stem();
    jobs::Plan {
        audit_days: config.access.audit_days,
        backup: config.upkeep.backup.clone(),
        stem: stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        retain_events_ms: config.upkeep.retain_events_ms,
    }
}

/// What metrics are told of what was asked for.
fn asked(config: &Config) -> Asked {
    Asked {
        backup_period_ms: config.upkeep.backup.period_ms(),
        retain_events_ms: config.upkeep.retain_events_ms.unwrap_or(0),
    }
}

fn gate(config: &Config) -> Gate {
    let access = &config.access;
    Gate {
        hosts: Hosts::new(config.allowed_hosts.iter().cloned()),
        origins: Origins::new(access.cors_origins.iter().cloned()),
        always_key: is_exposed(config),
        proxies: access.trusted_proxies.clone(),
        rate: Rate::new(access.rate_limit),
        base_path: access.base_path.clone(),
    }
}

async fn listen(
    config: &Config,
    state: Data<State>,
    doors: Doors,
    ready: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + 'static,
) -> anyhow::Result<()> {
    let listener = bind(config.listen, "--listen")?;
    let address = listener.local_addr().context("no address was bound")?;
    let server = Server::build()
        .workers(config.workers)
        .max_concurrent_connections(usize::MAX) // The door says when it is full.
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .disable_signals();
    let ending = server.graceful_shutdown_signal();
    let (open_state, open_ending) = (state.clone(), ending.clone());
    let server = server.listen("http", listener, move || {
        // Once a worker, on its thread.
        drop(actix_web::rt::spawn(
            Arc::clone(&state.metrics).watch_worker(),
        ));
        let routes = http::routes;
        connection(&state, Arc::clone(&doors.api), ending.clone(), routes)
    })?;
    let server = match config.access.metrics_listen {
        None => server,
        Some(address) => {
            let listener = bind(address, "--metrics-listen")?;
            let address = listener.local_addr().context("no address was bound")?;
            tracing::info!(%address, "metrics and health alone on http://{address}");
            server.listen("metrics", listener, move || {
                let routes = http::open_routes;
                connection(
                    &open_state,
                    Arc::clone(&doors.open),
                    open_ending.clone(),
                    routes,
                )
            })?
        }
    };
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        stop.await;
        handle.stop(true).await;
    });
    ready(address);
    server.await.context("the server failed")
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!(
            "cannot listen on {address}: is another server running there? Choose a port with {flag}"
        )
    })?;
    // Connections inherit it.
    set_socket_send_buffer_size(&listener, SEND_BUFFER_BYTES)
        .context("the size of socket buffers cannot be set")?;
    Ok(listener)
}

/// What becomes of a connection. `HttpServer` would do the same for bare sockets alone.
fn connection(
    state: &Data<State>,
    door: Arc<Door>,
    ending: GracefulShutdownSignal,
    routes: fn(&mut ServiceConfig, &Data<State>),
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), InitError = ()> + use<> {
    let app = App::new()
        .wrap(from_fn(http::observe))
        .configure(|config| routes(config, state))
        .into_factory()
        .map_err(|error: actix_web::Error| error.error_response());
    let http = HttpService::build()
        // The wire bounds these: each request's head and not the first one's alone, each silence.
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .client_disconnect_timeout(DISCONNECT_TIME)
        .on_connect_ext(Wire::introduce)
        .graceful_shutdown_signal(move || {
            let ending = ending.clone();
            async move { ending.notified().await }
        })
        .finish(map_config(app, |()| AppConfig::default()));
    fn_service(move |io: TcpStream| {
        let door = Arc::clone(&door);
        async move {
            let peer = io.peer_addr().ok();
            let wire = door.enter(io).await?;
            Ok((wire, Protocol::Http1, peer))
        }
    })
    .and_then(http)
}

/// How many connections there can be: as many as wished, if the system allows as many open files. Its soft limit is
/// often 1024 for the sake of programs that use `select`; this one does not.
fn connections(config: &Config) -> usize {
    let wished = config.max_connections;
    let others = OTHER_FILES + FILES_PER_READER * u64::from(config.store.readers);
    let needed = u64::try_from(wished)
        .unwrap_or(u64::MAX)
        .saturating_add(others);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    let mut files = getrlimit(Resource::Nofile);
    if !is_enough(files.current) {
        let most = files.maximum.unwrap_or(u64::MAX);
        files.current = Some(most.min(needed));
        if let Err(error) = setrlimit(Resource::Nofile, files) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
    let limit = getrlimit(Resource::Nofile).current;
    if is_enough(limit) {
        return wished;
    }
    let room = limit.unwrap_or(0).saturating_sub(others).max(1);
    tracing::warn!(
        "the limit of open files leaves room for {room} connections and not for {wished}: raise it (ulimit -n) or lower \
         --max-connections"
    );
    usize::try_from(room).unwrap_or(wished)
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
