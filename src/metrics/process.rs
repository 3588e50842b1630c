//! What the allocator and the kernel say of this process.
//!
//! **Invariant:** a reading that is not to be had is left out or zero, never a failed scrape.

use tikv_jemalloc_ctl::{epoch, stats};

use crate::metrics::encode::{Body, Kind};

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
    let bytes =
        |value: Result<usize, _>| value.map_or(0, |value| u64::try_from(value).unwrap_or(u64::MAX));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    Memory {
        heap_used: bytes(stats::allocated::read()),
        heap_total: bytes(stats::resident::read()),
        rss: status_bytes(&status, "VmRSS:"),
        rss_anon: status_bytes(&status, "RssAnon:") + status_bytes(&status, "RssShmem:"),
    }
}

/// A line of proc(5) `status` in kibibytes, as bytes.
fn status_bytes(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024)
}

/// The standard series of a process, as far as this system gives them.
pub(super) fn expose(body: &mut Body) {
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        body.one(
            "process_open_fds",
            Kind::Gauge,
            "Open file descriptors.",
            entries.count(),
        );
    }
    if let Some(start) = start_time() {
        body.one(
            "process_start_time_seconds",
            Kind::Gauge,
            "Start of the process, Unix time.",
            start,
        );
    }
}

/// The start of this process: boot time plus field 22 of proc(5) `stat`, in ticks of 1/100 s as on every Linux.
fn start_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: f64 = stat
        .rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    let kernel = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = kernel
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(boot + ticks / 100.0)
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
}
