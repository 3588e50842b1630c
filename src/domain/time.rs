//! Instants as the product knows them: whole milliseconds since 1970, UTC.
//!
//! **Invariant:** never reads the clock; `clock.rs` does.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp as Instant;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::domain::Invalid;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;
/// How far ahead of the server's clock a client may date what is shown newest first: clocks differ, and time zones are
/// mistaken.
pub const MAX_AHEAD_MS: i64 = DAY_MS;

/// A Unix time in milliseconds, between the years 1 and 9999 so that RFC 3339 can write it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time that can be written (0001-01-01T00:00:00.000Z).
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The latest time that can be written (9999-12-30T21:59:59.999Z, within jiff's own bound).
    pub const MAX: Self = Self(253_402_207_199_999);

    /// A time from Unix milliseconds, clamped to what can be written.
    pub fn from_millis(ms: i64) -> Self {
        Self(ms.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Unix milliseconds.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 date and time with an offset; more than milliseconds is cut off.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let instant: Instant = text.parse().map_err(|_| {
            Invalid::new(
                field,
                "is not an RFC 3339 time such as 2026-03-01T09:30:00.000Z",
            )
        })?;
        Ok(Self::from_millis(instant.as_millisecond()))
    }

    /// The calendar date (UTC) as `(year, month 1..=12, day 1..=31, weekday 0 = Monday)`.
    pub fn date(self) -> (i16, i8, i8, i8) {
        let date = self.instant().to_zoned(jiff::tz::TimeZone::UTC).date();
        (
            date.year(),
            date.month(),
            date.day(),
            date.weekday().to_monday_zero_offset(),
        )
    }

    /// `2026-03-01`.
    pub fn day(self) -> String {
        let (year, month, day, _) = self.date();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// This time moved by `ms`, clamped.
    pub fn plus_millis(self, ms: i64) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }

    fn instant(self) -> Instant {
        Instant::from_millisecond(self.0).unwrap_or(Instant::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.instant())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "RFC 3339; what is answered is in UTC, to the millisecond.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-03-01T09:30:00.000Z"],
        })
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse("time", &text).map_err(|invalid| D::Error::custom(invalid.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_milliseconds() {
        let ts = Timestamp::parse("ts", "2026-03-01T10:30:00.1239+01:00").unwrap();
        assert_eq!(ts.to_string(), "2026-03-01T09:30:00.123Z");
        assert_eq!(Timestamp::parse("ts", &ts.to_string()).unwrap(), ts);
        assert_eq!(ts.date(), (2026, 3, 1, 6));
    }

    #[test]
    fn writes_its_bounds() {
        for ts in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(Timestamp::parse("ts", &ts.to_string()).unwrap(), ts);
        }
        assert_eq!(Timestamp::from_millis(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2026-03-01",
            "2026-03-01T09:30:00",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(Timestamp::parse("ts", text).is_err(), "{text}");
        }
    }
}
