//! What this machine can do at most, measured beside the server by `scripts/bench`.
//!
//! Three things, one a subcommand: actix-web answering a constant, SQLite running the statements of an event write in
//! groups, and one sync after another. They share the server's build profile, crate versions and allocator, so that a
//! ratio to them says what our own code costs.
//!
//! **Invariant:** nothing of `http`, `service` or `store` is used here; what is timed is actix-web, SQLite and the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;

mod raw_sqlite;

/// The server's own, so that the two differ in our code alone.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As long as what `GET /health` says.
const CONSTANT: &str = r#"{"status":"healthy","timestamp":"2026-03-01T09:30:00.000Z","version":"0.1.0","uptime_seconds":1234,"database":"connected"}"#;
/// A page of the database and its header, as the log holds it.
const FRAME: [u8; 4096 + 24] = [0x5a; 4096 + 24];
/// The log that SQLite syncs is begun anew too; without this a fast disk would be filled.
const SYNC_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Measures what this machine can do at most. `scripts/bench` runs it.
#[derive(Debug, Parser)]
struct Args {
    /// What `cargo bench` passes; without a subcommand there is nothing to do.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    ceiling: Option<Ceiling>,
}

#[derive(Debug, Subcommand)]
enum Ceiling {
    /// Answers every request with the same 200 until it is told to end.
    Constant {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// Threads that answer.
        #[arg(long)]
        workers: usize,
    },
    /// Writes events on one connection, in transactions of a fixed size.
    Sqlite(SqliteArgs),
    /// Appends what a commit appends and syncs it, again and again: by fdatasync and by fsync in turn.
    Sync {
        /// The file; created if missing, and emptied.
        #[arg(long)]
        file: PathBuf,
        /// Pages of a commit.
        #[arg(long)]
        pages: usize,
        /// How long.
        #[arg(long, value_parser = seconds)]
        seconds: Duration,
    },
}

#[derive(Debug, clap::Args)]
struct SqliteArgs {
    /// Events a transaction.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    group: u32,
    /// How long.
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
    /// The database; created if missing, and gone on with if it is there.
    #[arg(long)]
    file: PathBuf,
    /// The texts of the events, one a line.
    #[arg(long)]
    texts: PathBuf,
    /// Events to store before the clock starts, if there are fewer.
    #[arg(long, default_value_t = 0)]
    rows: u32,
    /// What a commit waits for.
    #[arg(long, default_value = "full")]
    durability: Durability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Durability {
    Full,
    Normal,
}

fn main() -> anyhow::Result<()> {
    let report = match Args::parse().ceiling {
        Some(Ceiling::Constant { listen, workers }) => return constant(listen, workers),
        Some(Ceiling::Sqlite(args)) => raw_sqlite::measure(&args)?,
        Some(Ceiling::Sync {
            file,
            pages,
            seconds,
        }) => sync(&file, pages, seconds)?,
        None => json!({"hint": "scripts/bench runs this beside the server"}),
    };
    writeln!(io::stdout(), "{report}").context("cannot write the report")
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn constant(listen: SocketAddr, workers: usize) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(|| {
            // The body is read: actix closes a connection whose body nobody read.
            App::new().default_service(web::to(async |_body: web::Bytes| {
                HttpResponse::Ok()
                    .content_type("application/json")
                    .body(CONSTANT)
            }))
        })
        .workers(workers)
        .bind(listen)
        .with_context(|| format!("cannot listen on {listen}"))?
        .run()
        .await
        .context("the constant server failed")
    })
}

fn sync(path: &Path, pages: usize, length: Duration) -> anyhow::Result<serde_json::Value> {
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let append = FRAME.repeat(pages);
    let (mut data, mut all) = (Vec::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed() < length {
        data.push(synced(&mut file, &append, File::sync_data)?);
        all.push(synced(&mut file, &append, File::sync_all)?);
    }
    Ok(json!({"fdatasync": times(data), "fsync": times(all)}))
}

fn synced(
    file: &mut File,
    append: &[u8],
    sync: fn(&File) -> io::Result<()>,
) -> io::Result<Duration> {
    if file.stream_position()? >= SYNC_FILE_BYTES {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
    }
    let one = Instant::now();
    file.write_all(append)?;
    sync(file)?;
    Ok(one.elapsed())
}

fn times(mut times: Vec<Duration>) -> serde_json::Value {
    times.sort_unstable();
    json!({
        "count": times.len(),
        "p50_ms": percentile_ms(&times, 50),
        "p99_ms": percentile_ms(&times, 99),
    })
}

/// The nearest-rank percentile of sorted times.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(rank)
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
