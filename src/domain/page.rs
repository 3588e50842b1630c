//! Pages of a list: a limit, a direction, and a cursor that says where the last page ended.
//!
//! Order everywhere is (time, insertion sequence). A cursor is those two numbers, in base64url without padding, with
//! a byte that names the list it came from; it is opaque to clients and carries no right to read anything.
//!
//! **Invariant:** there is no page without a limit.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::domain::{Invalid, Timestamp};

/// The limit of a list that names none.
pub const DEFAULT_LIMIT: u32 = 50;
/// The largest limit a list accepts.
pub const MAX_LIMIT: u32 = 1000;

/// The lists that can be paged; the number stands in the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Events.
    Events = 1,
    /// Handoffs.
    Handoffs = 2,
    /// Sessions.
    Sessions = 3,
    /// Projects.
    Projects = 4,
    /// Decisions.
    Decisions = 5,
    /// Knowledge notes.
    Notes = 6,
    /// Reflections.
    Reflections = 7,
    /// Principles.
    Principles = 8,
    /// The audit.
    Audit = 9,
    /// Jobs of consolidation.
    Jobs = 10,
}

/// Oldest or newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Oldest first, the default.
    #[default]
    Ascending,
    /// Newest first.
    Descending,
}

impl Direction {
    /// Reads `asc` or `desc`; nothing is `asc`.
    pub fn parse(field: &str, word: Option<&str>) -> Result<Self, Invalid> {
        match word {
            None | Some("asc") => Ok(Self::Ascending),
            Some("desc") => Ok(Self::Descending),
            Some(_) => Err(Invalid::new(field, "is not one of asc desc")),
        }
    }
}

/// Where a page ended: the order key of its last row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Time of the last row.
    pub ts: Timestamp,
    /// Insertion sequence of the last row.
    pub seq: i64,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Most rows in the answer, 1 to 1000.
    pub limit: u32,
    /// Oldest or newest first.
    pub direction: Direction,
    /// Rows strictly after this one, in the direction.
    pub after: Option<Position>,
}

impl Page {
    /// The first `limit` rows in a direction.
    pub fn first(limit: u32, direction: Direction) -> Self {
        Self {
            limit: limit.clamp(1, MAX_LIMIT),
            direction,
            after: None,
        }
    }

    /// Reads the three query parameters of a list.
    pub fn parse(
        list: List,
        limit: Option<i64>,
        order: Option<&str>,
        cursor: Option<&str>,
    ) -> Result<Self, Invalid> {
        Ok(Self {
            limit: parse_limit("limit", limit, DEFAULT_LIMIT, MAX_LIMIT)?,
            direction: Direction::parse("order", order)?,
            after: cursor.map(|text| read_cursor(list, text)).transpose()?,
        })
    }
}

/// Reads a count between 1 and `max`.
pub fn parse_limit(
    field: &str,
    value: Option<i64>,
    default: u32,
    max: u32,
) -> Result<u32, Invalid> {
    match value.map(u32::try_from) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Invalid::new(field, format!("is not between 1 and {max}"))),
    }
}

/// Bytes of content after which a page ends early, so that a page of long items stays small.
pub const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Some rows of a list, and where to go on if there are more.
#[derive(Debug, Clone)]
pub struct Paged<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; none on the last.
    pub next_cursor: Option<String>,
}

/// Rows of a list as a store reads them, each with its place in the order.
#[derive(Debug, Clone)]
pub struct Rows<T> {
    /// The rows, in order.
    pub items: Vec<(Position, T)>,
    /// Whether reading ended early because of [`MAX_PAGE_BYTES`]; then there is more.
    pub cut: bool,
}

impl<T> Rows<T> {
    /// Merges lists of one order: nothing beyond the end of one that was cut, since rows of it may be missing there.
    pub fn merge(parts: Vec<Self>, page: &Page) -> Self {
        let cut = parts.iter().any(|part| part.cut);
        let key = |position: &Position| match page.direction {
            Direction::Ascending => (position.ts.millis(), position.seq),
            Direction::Descending => (-position.ts.millis(), -position.seq),
        };
        let ends = parts
            .iter()
            .filter(|part| part.cut)
            .filter_map(|part| part.items.last());
        let end = ends.map(|(position, _)| key(position)).min();
        let mut items: Vec<_> = parts.into_iter().flat_map(|part| part.items).collect();
        items.sort_by_key(|(position, _)| key(position));
        items.retain(|(position, _)| end.is_none_or(|end| key(position) <= end));
        Self { items, cut }
    }
}

impl<T> Paged<T> {
    /// Makes a page out of up to `limit + 1` rows: the surplus one only proves that there is more.
    pub fn from_rows(list: List, page: &Page, mut rows: Rows<T>) -> Self {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.cut || rows.items.len() > limit;
        rows.items.truncate(limit);
        let next_cursor = rows
            .items
            .last()
            .filter(|_| more)
            .map(|(position, _)| write_cursor(list, *position));
        Self {
            items: rows.items.into_iter().map(|(_, item)| item).collect(),
            next_cursor,
        }
    }
}

fn write_cursor(list: List, position: Position) -> String {
    let mut bytes = vec![list as u8];
    bytes.extend(position.ts.millis().to_be_bytes());
    bytes.extend(position.seq.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(list: List, text: &str) -> Result<Position, Invalid> {
    let forged = || Invalid::new("cursor", "is not a cursor that this list gave");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| forged())?;
    let (tag, rest) = bytes.split_first().ok_or_else(forged)?;
    let (ts, seq) = rest.split_first_chunk::<8>().ok_or_else(forged)?;
    let seq: [u8; 8] = seq.try_into().map_err(|_| forged())?;
    let (ts, seq) = (i64::from_be_bytes(*ts), i64::from_be_bytes(seq));
    if *tag != list as u8 || Timestamp::from_millis(ts).millis() != ts || seq < 0 {
        return Err(forged());
    }
    Ok(Position {
        ts: Timestamp::from_millis(ts),
        seq,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip_on_their_own_list_alone() {
        let position = Position {
            ts: Timestamp::from_millis(-5),
            seq: 42,
        };
        let text = write_cursor(List::Events, position);
        assert!(!text.contains('='));
        assert_eq!(read_cursor(List::Events, &text).unwrap(), position);
        assert!(read_cursor(List::Handoffs, &text).is_err());
    }

    #[test]
    fn a_cut_part_bounds_the_merge() {
        let row = |ms| {
            (
                Position {
                    ts: Timestamp::from_millis(ms),
                    seq: ms,
                },
                ms,
            )
        };
        let part = |times: &[i64], cut| Rows {
            items: times.iter().map(|ms| row(*ms)).collect(),
            cut,
        };
        let page = Page::first(10, Direction::Descending);
        let merged = Rows::merge(vec![part(&[9, 5], true), part(&[8, 4, 3], false)], &page);
        assert_eq!(
            merged.items.iter().map(|(_, ms)| *ms).collect::<Vec<_>>(),
            [9, 8, 5]
        );
        assert!(
            Paged::from_rows(List::Events, &page, merged)
                .next_cursor
                .is_some()
        );
    }

    #[test]
    fn forged_cursors_are_refused() {
        for text in [
            "",
            "a",
            "AAAA",
            "é",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            &"A".repeat(10_000),
        ] {
            assert!(read_cursor(List::Events, text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_between_1_and_1000() {
        for (value, good) in [
            (None, true),
            (Some(1), true),
            (Some(1000), true),
            (Some(0), false),
            (Some(-1), false),
            (Some(i64::MAX), false),
        ] {
            assert_eq!(
                Page::parse(List::Events, value, None, None).is_ok(),
                good,
                "{value:?}"
            );
        }
    }
}
