//! When a job that repeats is due: `02:00` each day, `6h` again and again, or `off`.
//!
//! All of it is UTC, so no day has an hour twice or lacks one. An interval counts from 1970 and not from the start of the
//! server, so that a server that is started anew keeps to the same times: `6h` is 00:00, 06:00, 12:00 and 18:00.
//!
//! **Invariant:** never reads the clock, and what is printed reads back as the same schedule.

use std::fmt;
use std::str::FromStr;

use crate::domain::time::DAY_MS;
use crate::domain::{Invalid, Timestamp};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// What runs oftener than that is no schedule but a load.
const SHORTEST_MS: i64 = MINUTE_MS;
/// What runs more rarely than that nobody would notice to have stopped.
const LONGEST_MS: i64 = 31 * DAY_MS;

/// When something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Never.
    #[default]
    Off,
    /// Each day at a time.
    Daily {
        /// Minutes after midnight, UTC, below 1,440.
        minute: u16,
    },
    /// Again and again.
    Every {
        /// Milliseconds between two times, whole minutes.
        period_ms: i64,
    },
}

impl Schedule {
    /// Reads `HH:MM`, a whole number with `m`, `h` or `d`, or `off`; `field` is named in the refusal.
    ///
    /// # Errors
    /// It is none of these, no time of a day, or not between a minute and 31 days.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let refused = |reason: &str| Err(Invalid::new(field, reason));
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Self::Off);
        }
        if let Some((hour, minute)) = text.split_once(':') {
            return match (digits(hour, 2), digits(minute, 2)) {
                (Some(hour @ 0..24), Some(minute @ 0..60)) => Ok(Self::Daily {
                    minute: u16::try_from(hour * 60 + minute).unwrap_or_default(),
                }),
                _ => refused("is no time of a day between 00:00 and 23:59 (UTC)"),
            };
        }
        let split = text.len() - text.chars().next_back().map_or(0, char::len_utf8);
        let (number, unit) = text.split_at(split);
        let unit_ms = match unit {
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => 0,
        };
        match digits(number, 9) {
            Some(number) if unit_ms > 0 => match number * unit_ms {
                period_ms @ SHORTEST_MS..=LONGEST_MS => Ok(Self::Every { period_ms }),
                _ => refused("is not between 1m and 31d"),
            },
            _ => refused("is not a time such as 02:00, an interval such as 30m, 6h or 1d, or off"),
        }
    }

    /// Whether it is ever due.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }

    /// The first time it is due that is later than `time`; none if it is off, or beyond what can be written.
    pub fn next_after(self, time: Timestamp) -> Option<Timestamp> {
        let (period_ms, first_ms) = match self {
            Self::Off => return None,
            Self::Daily { minute } => (DAY_MS, i64::from(minute) * MINUTE_MS),
            Self::Every { period_ms } => (period_ms.max(SHORTEST_MS), 0),
        };
        let since_ms = (time.millis() - first_ms).rem_euclid(period_ms);
        let next = time.plus_millis(period_ms - since_ms);
        (next > time).then_some(next)
    }
}

/// A number of at most so many digits, at least one.
fn digits(text: &str, most: usize) -> Option<i64> {
    let fits = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

impl FromStr for Schedule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse("schedule", text)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Off => f.write_str("off"),
            Self::Daily { minute } => write!(f, "{:02}:{:02}", minute / 60, minute % 60),
            Self::Every { period_ms } if period_ms % DAY_MS == 0 => {
                write!(f, "{}d", period_ms / DAY_MS)
            }
            Self::Every { period_ms } if period_ms % HOUR_MS == 0 => {
                write!(f, "{}h", period_ms / HOUR_MS)
            }
            Self::Every { period_ms } => write!(f, "{}m", period_ms / MINUTE_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse("ts", text).unwrap()
    }

    fn next(schedule: &str, time: &str) -> String {
        let schedule: Schedule = schedule.parse().unwrap();
        schedule.next_after(at(time)).unwrap().to_string()
    }

    #[test]
    fn a_time_of_day_is_due_once_a_day() {
        let cases = [
            ("2026-03-01T00:00:00Z", "2026-03-01T02:00:00.000Z"),
            ("2026-03-01T01:59:59.999Z", "2026-03-01T02:00:00.000Z"),
            // The moment itself is past: what has just run is not due again.
            ("2026-03-01T02:00:00Z", "2026-03-02T02:00:00.000Z"),
            ("2026-12-31T12:00:00Z", "2027-01-01T02:00:00.000Z"),
            ("1969-12-31T23:00:00Z", "1970-01-01T02:00:00.000Z"),
        ];
        for (time, due) in cases {
            assert_eq!(next("02:00", time), due, "{time}");
        }
    }

    #[test]
    fn an_interval_keeps_to_its_times_whenever_the_server_starts() {
        assert_eq!(
            next("6h", "2026-03-01T05:59:00Z"),
            "2026-03-01T06:00:00.000Z"
        );
        assert_eq!(
            next("6h", "2026-03-01T06:00:00Z"),
            "2026-03-01T12:00:00.000Z"
        );
        assert_eq!(
            next("15m", "2026-03-01T06:07:00Z"),
            "2026-03-01T06:15:00.000Z"
        );
        assert_eq!(
            next("1d", "2026-03-01T06:07:00Z"),
            "2026-03-02T00:00:00.000Z"
        );
    }

    #[test]
    fn off_is_never_due() {
        for text in ["off", "OFF", " off "] {
            let schedule: Schedule = text.parse().unwrap();
            assert!(!schedule.is_on());
            assert_eq!(schedule.next_after(Timestamp::MIN), None);
        }
        assert_eq!(Schedule::default(), Schedule::Off);
        // There is no time after the last one.
        let daily: Schedule = "02:00".parse().unwrap();
        assert!(daily.is_on());
        assert_eq!(daily.next_after(Timestamp::MAX), None);
    }

    #[test]
    fn says_what_is_wrong() {
        let refusal = |text: &str| {
            Schedule::parse("--consolidation", text).map_err(|error| error.to_string())
        };
        for text in [
            "24:00", "12:60", "2", "2:", ":30", "02:00:00", "-1:00", "002:00",
        ] {
            let error = refusal(text).unwrap_err();
            assert!(error.starts_with("--consolidation: "), "{error}");
            assert_eq!(
                error.contains("time of a day"),
                text.contains(':'),
                "{text}"
            );
        }
        for text in ["0m", "0h", "32d", "999999999d", "745h"] {
            let error = refusal(text).unwrap_err();
            assert!(error.contains("between 1m and 31d"), "{text}: {error}");
        }
        for text in [
            "",
            "on",
            "h",
            "6 h",
            "6s",
            "1.5h",
            "-6h",
            "+6h",
            "6H",
            "nightly",
            "6é",
            "９h",
            "9999999999m",
        ] {
            let error = refusal(text).unwrap_err();
            assert!(error.contains("such as 02:00"), "{text}: {error}");
        }
        assert_eq!(refusal("31d").unwrap().to_string(), "31d");
        assert_eq!(refusal("7:05").unwrap().to_string(), "07:05");
    }

    fn any_schedule() -> impl Strategy<Value = Schedule> {
        prop_oneof![
            Just(Schedule::Off),
            (0..1440u16).prop_map(|minute| Schedule::Daily { minute }),
            (1..=31 * 1440i64).prop_map(|minutes| Schedule::Every {
                period_ms: minutes * MINUTE_MS
            }),
        ]
    }

    proptest! {
        #[test]
        fn prints_what_it_reads(schedule in any_schedule()) {
            prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }

        #[test]
        fn the_next_time_is_later_and_none_lies_between(
            schedule in any_schedule(), time in -DAY_MS..4_000_000_000_000i64, part in 0.0..1.0f64,
        ) {
            let time = Timestamp::from_millis(time);
            if let Some(next) = schedule.next_after(time) {
                prop_assert!(next > time);
                #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "any time between")]
                let between = time.plus_millis(((next.millis() - time.millis()) as f64 * part) as i64);
                prop_assert_eq!(schedule.next_after(between), Some(next));
                prop_assert!(schedule.next_after(next) > Some(next));
            }
        }
    }
}
