//! The rows that are ranked: candidates, what stands around them in their sessions, and what took a decision's place.
//!
//! An answer often lies beside the words of the question, so the two events before and after a short candidate are
//! candidates too, and the two beyond those are there to be mixed with them.
//!
//! **Invariant:** a row that the reader may not know of is not in the pool, not even as a neighbour.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use rusqlite::params;

use super::gate::{Gate, Looked};
use super::kind::KINDS;
use super::shelf::Look;
use crate::domain::recall::{Row, TimeRange};
use crate::domain::{EntityType, Timestamp};
use crate::store::StoreError;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::unit::find;

/// The best candidates, whose surroundings are looked at. With 75 nothing more is found, in small memories and among
/// 100,000 rows; with 25 a point and a half of rec@10 is lost among those.
const MOST_SURROUNDED: usize = 40;
/// A longer passage speaks for itself: with this many terms it takes a sixth of what a short one takes from around it.
const LONGEST_OPEN: i64 = 150;
/// Events each way: two that may be hits, and two that these are mixed with.
const AROUND: usize = 4;
/// How near a neighbour has to be to be a hit itself.
const NEAR: usize = 2;
/// Events of the time that a question names.
const MOST_OF_TIME: usize = 50;
/// Handoffs, decisions and notes of it, of each.
const MOST_OTHERS: usize = 20;
/// Events on a side that are looked at for those.
const MOST_PASSED_OVER: i64 = 64;
/// Decisions that are put in for having taken a place, of all chains together.
const MOST_SUCCESSORS: usize = 200;

/// The pool of the candidates, best first, and of the chunks of a time.
pub(super) fn rows(
    look: Look<'_>,
    gate: &Gate,
    candidates: Vec<Looked>,
    of_time: &[i64],
) -> Result<Vec<Row>, StoreError> {
    let mut pool = Building {
        look,
        gate,
        rows: Vec::with_capacity(candidates.len() * 4),
        of_chunk: HashMap::default(),
    };
    for candidate in candidates {
        pool.put(candidate, true)?;
    }
    let surrounded = pool.rows.len().min(MOST_SURROUNDED);
    for chunk in of_time {
        pool.add(*chunk, true)?;
    }
    for row in 0..surrounded {
        pool.surround(row)?;
    }
    pool.add_successors()?;
    Ok(pool.rows)
}

/// The first passages of the newest memories of a time that may be shown, of each type by itself.
pub(super) fn of_time(
    look: Look<'_>,
    time: &TimeRange,
    gate: &Gate,
) -> Result<Vec<i64>, StoreError> {
    let range = (
        time.from.millis().max(gate.since),
        time.until.millis().min(gate.until),
    );
    let mut found = Vec::new();
    for kind in KINDS {
        let most = match kind.entity {
            EntityType::Event => MOST_OF_TIME,
            _ => MOST_OTHERS,
        };
        let before = found.len();
        kind.each(look.connection, look.tenant_no, gate, range, |seq, _| {
            if let Some(looked) = look.at(seq)?
                && looked.ts < range.1
                && gate.passes(&looked)
                && gate.tagged(look.connection, &looked)?
            {
                found.push(seq);
            }
            Ok(found.len() - before < most)
        })?;
    }
    Ok(found)
}

/// An event as far as its passages go.
#[derive(Clone, Copy)]
struct EventRow {
    first: i64,
    count: i64,
}

/// Those of a session from an event on, itself first: those of the same moment, then those of others. The index seeks
/// either, but not the pair of both. The second part is not begun before the first has ended.
macro_rules! from_event {
    ($same:literal, $other:literal, $order:literal) => {
        concat!(
            "select * from (select sensitivity, chunk_first, chunk_count from event
                 where tenant_no = ?1 and session_no = ?2 and ts = ?3 and seq ",
            $same,
            " ?4 order by seq ",
            $order,
            " limit ?5)
             union all
             select * from (select sensitivity, chunk_first, chunk_count from event
                 where tenant_no = ?1 and session_no = ?2 and ts ",
            $other,
            " ?3 order by ts ",
            $order,
            ", seq ",
            $order,
            " limit ?5)"
        )
    };
}
const BACK: &str = from_event!("<=", "<", "desc");
const ON: &str = from_event!(">=", ">", "asc");

struct Building<'a> {
    look: Look<'a>,
    gate: &'a Gate,
    rows: Vec<Row>,
    /// The place of each chunk, whose number is our own: nobody can make them collide.
    of_chunk: HashMap<i64, usize, FixedState>,
}

impl Building<'_> {
    /// Puts a chunk in, unless it is there or may not be known of. Returns its place.
    fn add(&mut self, chunk: i64, shown: bool) -> Result<Option<usize>, StoreError> {
        let known = self.of_chunk.get(&chunk).copied();
        let settled = known
            .and_then(|place| self.rows.get(place))
            .is_some_and(|row| row.shown || !shown);
        if settled {
            return Ok(known);
        }
        let Some(looked) = self.look.at(chunk)? else {
            return Ok(None);
        };
        match known.and_then(|place| self.rows.get_mut(place)) {
            Some(row) => {
                row.shown =
                    self.gate.passes(&looked) && self.gate.tagged(self.look.connection, &looked)?;
                Ok(known)
            }
            None if self.gate.clears(&looked) => {
                let passes = shown
                    && self.gate.passes(&looked)
                    && self.gate.tagged(self.look.connection, &looked)?;
                self.put(looked, passes).map(Some)
            }
            None => Ok(None),
        }
    }

    fn put(&mut self, looked: Looked, shown: bool) -> Result<usize, StoreError> {
        let entity_type =
            EntityType::from_code(looked.entity_type).ok_or_else(|| damaged("entity type"))?;
        let place = self.rows.len();
        self.of_chunk.insert(looked.seq, place);
        self.rows.push(Row {
            chunk: looked.seq,
            entity: (entity_type, looked.entity_seq),
            extent: looked.extent,
            session: looked.session_no,
            ts: Timestamp::from_millis(looked.ts),
            signature: looked.signature,
            before: None,
            after: None,
            shown,
            successor: None,
        });
        Ok(place)
    }

    /// Puts the events around a short candidate in and links them.
    fn surround(&mut self, place: usize) -> Result<(), StoreError> {
        let Some(row) = self.rows.get(place) else {
            return Ok(());
        };
        let (EntityType::Event, seq) = row.entity else {
            return Ok(());
        };
        let Some(session_no) = row.session else {
            return Ok(());
        };
        if i64::try_from(row.signature.words()).unwrap_or(i64::MAX) > LONGEST_OPEN {
            return Ok(());
        }
        let of = (session_no, row.ts.millis(), seq);
        let mut chain = self.neighbours(of, BACK)?;
        chain.reverse();
        // Both sides have it, unless it is gone.
        if chain.pop().is_none() {
            return Ok(());
        }
        let middle = chain.len();
        chain.extend(self.neighbours(of, ON)?);
        let mut last: Option<usize> = None;
        for (at, event) in chain.into_iter().enumerate() {
            let shown = at.abs_diff(middle) <= NEAR;
            let first = self.add(event.first, shown)?;
            self.link(last, first);
            last = if event.count > 1 {
                self.add(event.first + event.count - 1, shown)?
            } else {
                first
            };
        }
        Ok(())
    }

    fn link(&mut self, before: Option<usize>, after: Option<usize>) {
        if let (Some(before), Some(after)) = (before, after) {
            if let Some(row) = self.rows.get_mut(before) {
                row.after = Some(after);
            }
            if let Some(row) = self.rows.get_mut(after) {
                row.before = Some(before);
            }
        }
    }

    /// An event and those next to it in its session that the reader may know of, the nearest first, [`BACK`] or [`ON`]: what
    /// lies between is as if it had never been.
    fn neighbours(
        &self,
        (session_no, ts, seq): (i64, i64, i64),
        sql: &str,
    ) -> rusqlite::Result<Vec<EventRow>> {
        let mut found = Vec::with_capacity(1 + AROUND);
        let mut passed_over = 0;
        let mut statement = self.look.connection.prepare_cached(sql)?;
        let at = params![self.look.tenant_no, session_no, ts, seq, MOST_PASSED_OVER];
        let mut rows = statement.query(at)?;
        while found.len() <= AROUND
            && passed_over < MOST_PASSED_OVER
            && let Some(row) = rows.next()?
        {
            if row.get::<_, i64>(0)? <= self.gate.clearance {
                found.push(EventRow {
                    first: row.get(1)?,
                    count: row.get(2)?,
                });
            } else {
                passed_over += 1;
            }
        }
        Ok(found)
    }

    /// What took the place of the decisions in the pool, and of those.
    fn add_successors(&mut self) -> Result<(), StoreError> {
        let mut next = 0;
        let mut room = MOST_SUCCESSORS;
        while let Some(row) = self.rows.get(next) {
            next += 1;
            let (EntityType::Decision, seq) = row.entity else {
                continue;
            };
            let sql = "select s.seq, s.chunk_first from decision d join decision s on s.tenant_no = d.tenant_no and s.id = d.superseded_by
                 where d.seq = ?1";
            let found = find(self.look.connection, sql, [seq], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
            })?;
            let Some((successor, chunk)) = found else {
                continue;
            };
            if let Some(row) = self.rows.get_mut(next - 1) {
                row.successor = Some(successor);
            }
            if room > 0 {
                room -= 1;
                self.add(chunk, true)?;
            }
        }
        Ok(())
    }
}
