//! The time that a question names: "last Tuesday", "in May", "two weeks ago", "on 2026-03-05".
//!
//! **Invariant:** a phrase that is not understood is no time at all; the words stay words.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan as _};

use crate::domain::Timestamp;
use crate::domain::time::DAY_MS;

/// A stretch of time that a question is about, and the words that said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeRange {
    /// Its first millisecond.
    pub from: Timestamp,
    /// The millisecond after its last.
    pub until: Timestamp,
    /// Words that say nothing else, such as "two weeks ago". The words of a written-out date are not among them, since
    /// a passage may well hold them.
    pub spent: Vec<String>,
}

impl TimeRange {
    /// How well a moment fits, 0 to 1: 1 within; outside falling from a half to nothing over the range's own length, and
    /// at least a day, since what happened is often told a little later.
    pub fn fit(&self, ts: Timestamp) -> f64 {
        let (from, until) = (self.from.millis(), self.until.millis());
        if (from..until).contains(&ts.millis()) {
            return 1.0;
        }
        let away = (from - ts.millis()).max(ts.millis() - until + 1);
        let length = (until - from).max(DAY_MS);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let share = away as f64 / length as f64;
        (0.5 * (1.0 - share)).max(0.0)
    }
}

/// Reads the first phrase in the words of a question (in lower case), counted from `at`.
pub(super) fn read(words: &[String], at: Timestamp) -> Option<TimeRange> {
    let (year, month, day, _) = at.date();
    let today = Date::new(year, month, day).ok()?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    (0..words.len()).find_map(|start| {
        let rest = words.get(start..)?;
        let before = start.checked_sub(1).and_then(|at| words.get(at)).copied();
        let (from, until, spent) = relative(rest, today)
            .or_else(|| weekday(rest, before, today))
            .or_else(|| absolute(rest, before, today))?;
        Some(TimeRange {
            from: midnight(from),
            until: midnight(until),
            spent: rest
                .iter()
                .take(spent)
                .map(|word| (*word).to_owned())
                .collect(),
        })
    })
}

/// First day, the day after the last, and how many words are spent.
type Found = (Date, Date, usize);

fn relative(words: &[&str], today: Date) -> Option<Found> {
    let day = |ago: i32, spent| {
        let from = back(today, ago.days())?;
        Some((from, forward(from, 1.day())?, spent))
    };
    match words {
        ["the", "day", "before", "yesterday", ..] => return day(2, 4),
        ["yesterday", ..] => return day(1, 1),
        ["today" | "tonight", ..] => return day(0, 1),
        ["this", "morning" | "afternoon" | "evening", ..] => return day(0, 2),
        ["last", "night", ..] => return day(1, 2),
        ["recently" | "lately", ..] => {
            return Some((back(today, 14.days())?, forward(today, 1.day())?, 1));
        }
        ["last" | "this" | "past" | "previous", unit, ..] => {
            let last = i32::from(words.first() != Some(&"this"));
            let monday = back(
                today,
                i32::from(today.weekday().to_monday_zero_offset()).days(),
            )?;
            let first = today.first_of_month();
            let found = match *unit {
                "week" => {
                    let from = back(monday, (7 * last).days())?;
                    (from, forward(from, 7.days())?)
                }
                "weekend" => {
                    let from = back(forward(monday, 5.days())?, (7 * last).days())?;
                    (from, forward(from, 2.days())?)
                }
                "month" => {
                    let from = back(first, last.months())?;
                    (from, forward(from, 1.month())?)
                }
                "year" => {
                    let from = back(today.first_of_year(), last.years())?;
                    (from, forward(from, 1.year())?)
                }
                _ => return None,
            };
            return Some((found.0, found.1, 2));
        }
        _ => {}
    }
    let (count, spent) = number(words)?;
    let unit = words.get(spent)?;
    if words.get(spent + 1) != Some(&"ago") {
        return None;
    }
    // A count of weeks is meant roughly; "two weeks ago" may be eleven days.
    let (centre, slack) = match unit.trim_end_matches('s') {
        "day" => (back(today, count.days())?, 0),
        "week" => (back(today, (7 * count).days())?, 3),
        "month" => (back(today, count.months())?, 15),
        "year" => (back(today, count.years())?, 182),
        _ => return None,
    };
    Some((
        back(centre, slack.days())?,
        forward(centre, (slack + 1).days())?,
        spent + 2,
    ))
}

/// "On Tuesday", "last Tuesday": the latest one before today.
fn weekday(words: &[&str], before: Option<&str>, today: Date) -> Option<Found> {
    let (name, spent) = match words {
        ["last" | "on" | "this" | "past", name, ..] => (name, 2),
        _ => return None,
    };
    if before == Some("every") {
        return None;
    }
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let offset = i8::try_from(days.iter().position(|day| day == name)?).ok()?;
    let weekday = Weekday::from_monday_zero_offset(offset).ok()?;
    let day = today.nth_weekday(-1, weekday).ok()?;
    Some((day, forward(day, 1.day())?, spent))
}

/// "In May", "May 2023", "5 March", "March 5th, 2026", "2026-03-05" (whose parts are three words), "in 2023".
fn absolute(words: &[&str], before: Option<&str>, today: Date) -> Option<Found> {
    let number = |at: usize, from: i16, to: i16| {
        let word = words.get(at)?;
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        digits
            .parse::<i16>()
            .ok()
            .filter(|n| (from..=to).contains(n))
    };
    let year = |at| number(at, 1970, 2200);
    let day_of = |at| number(at, 1, 31);
    let one_day = |year: Option<i16>, month, day: i16| {
        let day = i8::try_from(day).ok()?;
        let date = match year {
            Some(year) => Date::new(year, month, day).ok()?,
            None => latest(today, |year| Date::new(year, month, day).ok())?,
        };
        Some((date, forward(date, 1.day())?, 0))
    };
    if let (Some(year), Some(month), Some(day)) = (year(0), number(1, 1, 12), day_of(2)) {
        return one_day(Some(year), i8::try_from(month).ok()?, day);
    }
    if let (Some(day), Some(month)) = (day_of(0), words.get(1).and_then(|word| month(word))) {
        return one_day(year(2), month, day);
    }
    if let Some(month) = words.first().and_then(|word| month(word)) {
        if let Some(day) = day_of(1) {
            return one_day(year(2), month, day);
        }
        let introduced = before.is_some_and(|word| {
            [
                "in", "during", "of", "last", "since", "late", "early", "mid",
            ]
            .contains(&word)
        });
        let given = year(1);
        if given.is_none() && !introduced {
            return None;
        }
        let from = match given {
            Some(year) => Date::new(year, month, 1).ok()?,
            None => latest(today, |year| Date::new(year, month, 1).ok())?,
        };
        return Some((from, forward(from, 1.month())?, 0));
    }
    if before == Some("in")
        && let Some(year) = year(0)
    {
        let from = Date::new(year, 1, 1).ok()?;
        return Some((from, forward(from, 1.year())?, 0));
    }
    None
}

/// The latest year's date that is not after today.
fn latest(today: Date, of: impl Fn(i16) -> Option<Date>) -> Option<Date> {
    // Four years back find a 29th of February, eight over a turn of the century.
    (0..=8)
        .filter_map(|back| of(today.year() - back))
        .find(|date| *date <= today)
}

fn month(word: &str) -> Option<i8> {
    let names = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = names
        .iter()
        .position(|name| *name == word || word.len() == 3 && name.starts_with(word))?;
    i8::try_from(at + 1).ok()
}

/// "2", "two", "a", "a couple of", "a few", and how many words that is.
fn number(words: &[&str]) -> Option<(i32, usize)> {
    let small = [
        "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
        "twelve",
    ];
    match words {
        ["a", "couple", "of", ..] => Some((2, 3)),
        ["a", "few", ..] => Some((3, 2)),
        ["a" | "an", ..] => Some((1, 1)),
        [word, ..] => {
            let named = small.iter().position(|name| name == word);
            let count = named
                .and_then(|at| i32::try_from(at + 1).ok())
                .or_else(|| word.parse().ok())?;
            (0..=1000).contains(&count).then_some((count, 1))
        }
        [] => None,
    }
}

fn back(date: Date, span: Span) -> Option<Date> {
    date.checked_sub(span).ok()
}

fn forward(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

fn midnight(date: Date) -> Timestamp {
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC);
    zoned.map_or(Timestamp::MAX, |zoned| {
        Timestamp::from_millis(zoned.timestamp().as_millisecond())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Wednesday.
    fn at() -> Timestamp {
        Timestamp::parse("at", "2026-03-25T15:30:00Z").unwrap()
    }

    fn range(text: &str) -> Option<(String, String, usize)> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let range = read(&words, at())?;
        Some((range.from.day(), range.until.day(), range.spent.len()))
    }

    #[test]
    fn reads_what_people_say() {
        for (text, from, until, spent) in [
            ("what did we do yesterday", "2026-03-24", "2026-03-25", 1),
            ("the day before yesterday", "2026-03-23", "2026-03-24", 4),
            ("what broke last tuesday", "2026-03-24", "2026-03-25", 2),
            ("on wednesday", "2026-03-18", "2026-03-19", 2),
            ("last week", "2026-03-16", "2026-03-23", 2),
            ("last weekend", "2026-03-21", "2026-03-23", 2),
            ("this month", "2026-03-01", "2026-04-01", 2),
            ("last year", "2025-01-01", "2026-01-01", 2),
            ("two weeks ago", "2026-03-08", "2026-03-15", 3),
            ("3 days ago", "2026-03-22", "2026-03-23", 3),
            ("a couple of months ago", "2026-01-10", "2026-02-10", 5),
            ("a year ago", "2024-09-24", "2025-09-24", 3),
            ("in may", "2025-05-01", "2025-06-01", 0),
            ("in february", "2026-02-01", "2026-03-01", 0),
            ("may 2023", "2023-05-01", "2023-06-01", 0),
            ("on 5 march", "2026-03-05", "2026-03-06", 0),
            ("march 5th 2024", "2024-03-05", "2024-03-06", 0),
            ("2026 03 05", "2026-03-05", "2026-03-06", 0),
            ("in 2023", "2023-01-01", "2024-01-01", 0),
            ("29 feb", "2024-02-29", "2024-03-01", 0),
        ] {
            assert_eq!(
                range(text),
                Some((from.to_owned(), until.to_owned(), spent)),
                "{text}"
            );
        }
    }

    #[test]
    fn leaves_other_words_alone() {
        for text in [
            "may i use it",
            "the march of the penguins",
            "port 2023",
            "the last commit",
            "ago",
            "99999999999 days ago",
            "32 january",
            "every monday",
            "",
        ] {
            assert_eq!(range(text), None, "{text}");
        }
    }

    #[test]
    fn fits_less_the_further_away() {
        let range = read(&["yesterday".to_owned()], at()).unwrap();
        let fit = |text: &str| range.fit(Timestamp::parse("ts", text).unwrap());
        assert!((fit("2026-03-24T12:00:00Z") - 1.0).abs() < 1e-9);
        assert!((fit("2026-03-25T12:00:00Z") - 0.25).abs() < 1e-6);
        assert!(fit("2026-03-27T12:00:00Z") == 0.0 && fit("2026-03-20T00:00:00Z") == 0.0);
    }
}
