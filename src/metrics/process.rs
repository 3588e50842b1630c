//! What the allocator and the kernel say of this process.
//!
//! **Invariant:** a reading that is not to be had is left out or zero, never a failed scrape.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use tikv_jemalloc_ctl::{epoch, stats};

use crate::metrics::encode::{Body, Kind};
use crate::metrics::limit::Limit;

/// Memory of this process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Allocated by Rust code.
    pub heap_used: u64,
    /// Resident for the allocator, free lists included.
    pub heap_total: u64,
    /// Resident in all.
    pub rss: u64,
    /// Resident and backed by no file: what the process really costs.
    pub rss_anon: u64,
}

/// Reads the memory of this process.
pub fn memory() -> Memory {
    // The allocator's numbers are of the last epoch; a failure leaves them old.
    let _epoch = epoch::advance();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    Memory {
        heap_used: bytes(stats::allocated::read()),
        heap_total: bytes(stats::resident::read()),
        rss: status_bytes(&status, "VmRSS:"),
        rss_anon: status_bytes(&status, "RssAnon:") + status_bytes(&status, "RssShmem:"),
    }
}

fn bytes(value: Result<usize, tikv_jemalloc_ctl::Error>) -> u64 {
    value.map_or(0, |value| u64::try_from(value).unwrap_or(u64::MAX))
}

/// A line of proc(5) `status` in kibibytes, as bytes.
fn status_bytes(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

/// What does not change while a process runs.
#[derive(Debug)]
pub(super) struct Process {
    limit: Limit,
    start_time: Option<f64>,
}

/// What the allocator and the kernel said at one moment.
#[derive(Debug)]
pub(super) struct Reading {
    memory: Memory,
    allocator: [(&'static str, u64); 6],
    limit: Option<u64>,
    cpu: Duration,
    open_files: Option<u64>,
    most_files: Option<u64>,
    stat: Option<Stat>,
    start_time: Option<f64>,
}

/// What is taken from proc(5) `stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    major_faults: u64,
    threads: u64,
    virtual_bytes: u64,
}

impl Process {
    pub(super) fn find() -> Self {
        Self {
            limit: Limit::find(),
            start_time: start_time(),
        }
    }

    pub(super) fn read(&self) -> Reading {
        let memory = memory();
        Reading {
            allocator: [
                ("allocated", memory.heap_used),
                ("active", bytes(stats::active::read())),
                ("metadata", bytes(stats::metadata::read())),
                ("resident", memory.heap_total),
                ("mapped", bytes(stats::mapped::read())),
                ("retained", bytes(stats::retained::read())),
            ],
            memory,
            limit: self.limit.read(),
            cpu: cpu(),
            open_files: open_files(),
            most_files: getrlimit(Resource::Nofile).current,
            stat: fs::read_to_string("/proc/self/stat")
                .ok()
                .as_deref()
                .and_then(stat),
            start_time: self.start_time,
        }
    }
}

/// Processor time of all threads. The kernel's own clock: the ticks of `/proc` are hundredths of a second.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// How many descriptors are open. From Linux 6.2 on the directory says so itself; before, it is counted, itself included.
fn open_files() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        0 => u64::try_from(fs::read_dir(directory).ok()?.count()).ok(),
        count => Some(count),
    }
}

/// Fields 12, 20 and 23 of proc(5) `stat`. The second is a name in parentheses, which may hold anything.
fn stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse().ok();
    Some(Stat {
        major_faults: field(12)?,
        threads: field(20)?,
        virtual_bytes: field(23)?,
    })
}

/// The start of this process: boot time plus field 22 of proc(5) `stat`, in ticks of 1/100 s as on every Linux.
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let kernel = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = kernel
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + ticks / 100.0)
}

impl Reading {
    /// Writes what memory costs; `engine` is what the storage engine has of it.
    pub(super) fn expose_memory(&self, body: &mut Body, engine: u64) {
        body.family(
            "agent_memory_memory_bytes",
            Kind::Gauge,
            "Memory by what it is: heap_used and heap_total as the allocator says, external as the storage engine says, \
             rss and rss_anon as the kernel says. They overlap; do not add them up.",
        );
        for (label, bytes) in [
            ("heap_used", self.memory.heap_used),
            ("heap_total", self.memory.heap_total),
            ("rss", self.memory.rss),
            ("rss_anon", self.memory.rss_anon),
            ("external", engine),
        ] {
            body.sample(&[("type", label)], bytes);
        }
        if let Some(limit) = self.limit {
            body.one(
                "agent_memory_memory_limit_bytes",
                Kind::Gauge,
                "Memory that this process may use: the least that its control groups and the machine allow. Compare \
                 rss_anon with it.",
                limit,
            );
        }
        body.family(
            "agent_memory_allocator_bytes",
            Kind::Gauge,
            "What jemalloc has: allocated by the program, in active pages, for itself, resident, mapped, and retained \
             without memory behind it.",
        );
        for (label, bytes) in self.allocator {
            body.sample(&[("stat", label)], bytes);
        }
        body.one(
            "agent_memory_sqlite_memory_bytes",
            Kind::Gauge,
            "Memory that SQLite has allocated, beside jemalloc.",
            engine,
        );
    }

    /// Writes the standard series of a process, as far as this system gives them.
    pub(super) fn expose(&self, body: &mut Body) {
        body.one(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time, user and system, of all threads.",
            self.cpu.as_secs_f64(),
        );
        body.one(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory.",
            self.memory.rss,
        );
        let stat = self.stat.as_ref();
        for (name, kind, help, value) in [
            (
                "process_open_fds",
                Kind::Gauge,
                "Open file descriptors.",
                self.open_files,
            ),
            (
                "process_max_fds",
                Kind::Gauge,
                "Most file descriptors that may be open.",
                self.most_files,
            ),
            (
                "process_virtual_memory_bytes",
                Kind::Gauge,
                "Virtual memory.",
                stat.map(|stat| stat.virtual_bytes),
            ),
            (
                "process_threads",
                Kind::Gauge,
                "Threads.",
                stat.map(|stat| stat.threads),
            ),
            (
                "process_major_page_faults_total",
                Kind::Counter,
                "Page faults that had to read from disk.",
                stat.map(|stat| stat.major_faults),
            ),
        ] {
            if let Some(value) = value {
                body.one(name, kind, help, value);
            }
        }
        if let Some(start) = self.start_time {
            body.one(
                "process_start_time_seconds",
                Kind::Gauge,
                "Start of the process, Unix time.",
                start,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kibibytes() {
        assert_eq!(
            status_bytes("Name:\tx\nVmRSS:\t  12 kB\nRssAnon:\t 5 kB\n", "VmRSS:"),
            12 * 1024
        );
        assert_eq!(status_bytes("", "VmRSS:"), 0);
    }

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b) S 0 0 0 0 -1 4194560 161 68 5 0 17 14 0 0 20 0 14 0 24 46845952 3543";
        let expected = Stat {
            major_faults: 5,
            threads: 14,
            virtual_bytes: 46_845_952,
        };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("7 (a) S 0"), None);
        assert_eq!(stat(""), None);
    }
}
