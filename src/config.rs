//! What the operator can set: flags over environment over defaults. No file, no reloading.
//!
//! [`ServeArgs`] is what clap reads; its doc comments are the help. [`Config`] is what the rest of the process sees:
//! validated, joined, with units.
//!
//! **Invariant:** the only place that knows a flag's name, its variable and its default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args as ClapArgs, ValueEnum};

use crate::domain::transcript::hash;
use crate::domain::{DEFAULT_TENANT, TenantId};
use crate::fault;
use crate::store::{Durability, Options, Role};

mod access;
mod consolidation;
mod upkeep;

pub use access::{Access, AccessArgs, Tls};
pub use consolidation::{Consolidation, ConsolidationArgs};
pub use upkeep::{Upkeep, UpkeepArgs};

/// Flags of every command.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// The file that holds the memory [default: memory.db in the platform's data directory]
    #[arg(long, global = true, env = "AGENT_MEMORY_DB", value_name = "FILE")]
    pub db: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// The tenant to act in
    #[arg(
        long,
        global = true,
        env = "AGENT_MEMORY_TENANT",
        value_name = "NAME",
        default_value = DEFAULT_TENANT
    )]
    pub tenant: String,
    /// Whether secrets are taken out of what is stored; `off` also keeps what stands in `<private>`
    #[arg(
        long,
        global = true,
        env = "AGENT_MEMORY_REDACT",
        value_name = "on|off",
        default_value = "on",
        hide_possible_values = true
    )]
    pub redact: RedactArg,
}

/// Whether secrets are taken out of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RedactArg {
    /// They are.
    On,
    /// They are not; what stands in `<private>` is kept as well.
    Off,
}

/// Flags of `serve`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ServeArgs {
    /// Address and port to listen on
    #[arg(
        long,
        env = "AGENT_MEMORY_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "127.0.0.1:3456"
    )]
    pub listen: SocketAddr,
    /// Worker threads [default: one a core]
    #[arg(long, env = "AGENT_MEMORY_WORKERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Read-only connections to the file [default: two a core, at least four]
    #[arg(long, env = "AGENT_MEMORY_READERS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub readers: Option<u16>,
    /// When a write counts as done: full survives a power failure, normal only a crash of the process
    #[arg(
        long,
        env = "AGENT_MEMORY_DURABILITY",
        value_name = "LEVEL",
        default_value = "full"
    )]
    pub durability: DurabilityArg,
    /// Most connections at once; whoever comes beyond is answered 503
    #[arg(long, env = "AGENT_MEMORY_MAX_CONNECTIONS", value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_connections: u32,
    /// Longest time for a request, in seconds
    #[arg(long, env = "AGENT_MEMORY_REQUEST_TIMEOUT", value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub request_timeout: u64,
    /// Largest request body, in bytes
    #[arg(long, env = "AGENT_MEMORY_MAX_BODY", value_name = "BYTES", default_value_t = 10 * 1024 * 1024 + 64 * 1024)]
    pub max_body: usize,
    /// Largest artifact, in bytes
    #[arg(long, env = "AGENT_MEMORY_MAX_ARTIFACT", value_name = "BYTES", default_value_t = 16 * 1024 * 1024)]
    pub max_artifact: usize,
    /// Bytes of the write-ahead log that a reader of another process may hold back; beyond it writes are answered 503
    #[arg(long, env = "AGENT_MEMORY_MAX_LOG", value_name = "BYTES", default_value_t = MAX_LOG_BYTES, value_parser = clap::value_parser!(u64).range(128 * 1024 * 1024..))]
    pub max_log: u64,
    /// A name that the server may be called by, beside localhost; may be repeated
    #[arg(
        long,
        env = "AGENT_MEMORY_ALLOWED_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub allowed_host: Vec<String>,
    /// Who may ask, and how they are known.
    #[command(flatten)]
    pub access: AccessArgs,
    /// The file over its life.
    #[command(flatten)]
    pub upkeep: UpkeepArgs,
    /// When old memory is consolidated.
    #[command(flatten)]
    pub consolidation: ConsolidationArgs,
    /// How log lines look
    #[arg(
        long,
        env = "AGENT_MEMORY_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// Where log lines go [default: standard error]
    #[arg(long, env = "AGENT_MEMORY_LOG_FILE", value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `agent_memory=debug`
    #[arg(
        long,
        env = "AGENT_MEMORY_LOG",
        value_name = "FILTER",
        default_value = "info,actix_server=warn,actix_http=off"
    )]
    pub log: String,
    /// What the build with faults takes beside these.
    #[command(flatten)]
    pub fault: fault::Args,
}

/// Sixteen times what the log is cut back at: an hour of a slow reader beside a busy team, and less than a full disk.
const MAX_LOG_BYTES: u64 = 1024 * 1024 * 1024;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// After an fsync.
    Full,
    /// When the operating system has it.
    Normal,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A validated configuration of the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// How the store is opened.
    pub store: Options,
    /// Most connections at once.
    pub max_connections: usize,
    /// Longest time for a request.
    pub request_timeout: Duration,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Largest artifact, in bytes.
    pub max_artifact_bytes: usize,
    /// Names that the server may be called by, beside the loopback ones.
    pub allowed_hosts: Vec<String>,
    /// Who may ask, and how they are known.
    pub access: Access,
    /// Copies by the clock, and how long events are kept.
    pub upkeep: Upkeep,
    /// When old memory is consolidated.
    pub consolidation: Consolidation,
    /// How to log.
    pub log: Log,
}

/// How to log.
#[derive(Debug, Clone)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// Where they go; standard error if nowhere else.
    pub file: Option<PathBuf>,
    /// What is logged.
    pub filter: String,
}

impl Config {
    /// Validates and joins the flags of `serve`.
    ///
    /// # Errors
    /// In words for the operator: what cannot be, and what to do.
    pub fn new(global: &Global, args: &ServeArgs) -> anyhow::Result<Self> {
        if !(1024..=1 << 30).contains(&args.max_body) {
            bail!("--max-body has to be between 1 KiB and 1 GiB");
        }
        if !(64 * 1024..=1 << 30).contains(&args.max_artifact) {
            bail!("--max-artifact has to be between 64 KiB and 1 GiB");
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let readers = args.readers.map_or_else(|| (2 * cores).max(4), usize::from);
        let mut store = store_options(global, Role::Server)?;
        let upkeep = Upkeep::new(&args.upkeep, &store.path)?;
        let request_timeout = Duration::from_secs(args.request_timeout);
        store.readers = u32::try_from(readers).unwrap_or(4);
        store.read_time = Some(request_timeout);
        store.max_log_bytes = args.max_log;
        store.durability = match args.durability {
            DurabilityArg::Full => Durability::Full,
            DurabilityArg::Normal => Durability::Normal,
        };
        Ok(Self {
            listen: args.listen,
            workers: args.workers.map_or(cores, usize::from),
            store,
            max_connections: usize::try_from(args.max_connections).unwrap_or(usize::MAX),
            request_timeout,
            max_body_bytes: args.max_body,
            max_artifact_bytes: args.max_artifact,
            allowed_hosts: args.allowed_host.clone(),
            access: Access::new(&args.access)?,
            upkeep,
            consolidation: Consolidation::new(&args.consolidation)?,
            log: Log {
                format: args.log_format,
                file: args.log_file.clone(),
                filter: args.log.clone(),
            },
        })
    }
}

/// How a command opens the store.
///
/// # Errors
/// There is no data directory and no `--db`.
pub fn store_options(global: &Global, role: Role) -> anyhow::Result<Options> {
    Ok(Options {
        path: database(global)?,
        role,
        readers: 1,
        // Its expiry is the sign of overload; longer than any read should take, shorter than a client's patience.
        reader_wait: Duration::from_secs(2),
        // A command takes the time it takes.
        read_time: None,
        durability: Durability::Full,
        max_log_bytes: MAX_LOG_BYTES,
        write_wait: Duration::from_secs(10),
    })
}

/// The file, by flag, variable or platform. A symbolic link is followed: SQLite keeps the log beside the file itself, and so
/// all processes have to take their locks there.
///
/// # Errors
/// The platform names no data directory.
pub fn database(global: &Global) -> anyhow::Result<PathBuf> {
    let path = match &global.db {
        Some(path) => path.clone(),
        None => directories::ProjectDirs::from("", "", "agent-memory")
            .context("this system names no data directory; name a file with --db")?
            .data_dir()
            .join("memory.db"),
    };
    if path.is_symlink()
        && let Ok(file) = path.canonicalize()
    {
        return Ok(file);
    }
    Ok(path)
}

/// The tenant to act in.
///
/// # Errors
/// It is not a tenant's name.
pub fn tenant(global: &Global) -> anyhow::Result<TenantId> {
    TenantId::parse("--tenant", &global.tenant).map_err(Into::into)
}

/// Where what cannot be stored waits: beside the file, or else in the state directory, under a name that tells files
/// apart.
pub fn spool_places(db: &std::path::Path) -> Vec<PathBuf> {
    let mut beside = db.as_os_str().to_owned();
    beside.push(".spool");
    let mut places = vec![PathBuf::from(beside)];
    if let Some(directories) = directories::ProjectDirs::from("", "", "agent-memory") {
        let state = directories
            .state_dir()
            .unwrap_or_else(|| directories.data_local_dir());
        let file = db.canonicalize().unwrap_or_else(|_| db.to_owned());
        let name: String = hash(&[file.as_os_str().as_encoded_bytes()])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        places.push(state.join(format!("{name}.spool")));
    }
    places
}
