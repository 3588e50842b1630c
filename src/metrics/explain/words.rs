//! Numbers as people say them.
//!
//! **Invariant:** three digits at most, and a unit.

/// Bytes.
pub(super) fn bytes(count: f64) -> String {
    let mut rest = count;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if rest < 1024.0 {
            return short(rest, unit);
        }
        rest /= 1024.0;
    }
    short(rest, "TiB")
}

/// A duration that is short.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        return short(seconds * 1e3, "ms");
    }
    short(seconds, "s")
}

/// A duration that may be long.
pub(super) fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    for (unit, size) in [("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)] {
        if seconds >= 2.0 * size {
            return short((seconds / size).floor(), unit);
        }
    }
    short(seconds.floor(), "seconds")
}

/// A part of a whole.
pub(super) fn percent(part: f64) -> String {
    short(part * 100.0, "%")
}

fn short(value: f64, unit: &str) -> String {
    let digits = usize::from(value < 10.0 && value.fract() != 0.0);
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_numbers_shortly() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(1_536.0), "1.5 KiB");
        assert_eq!(bytes(64.0 * 1024.0 * 1024.0), "64 MiB");
        assert_eq!(bytes(5e12), "4.5 TiB");
        assert_eq!(seconds(0.0005), "0.5 ms");
        assert_eq!(seconds(2.5), "2.5 s");
        assert_eq!(age(-3.0), "0 seconds");
        assert_eq!(age(119.0), "119 seconds");
        assert_eq!(age(7_300.0), "2 hours");
        assert_eq!(age(200_000.0), "2 days");
        assert_eq!(percent(0.014), "1.4 %");
    }
}
