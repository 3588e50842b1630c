//! Merges the many segments of the term index into a few, in the gaps between writes.
//!
//! A search looks for each of its terms in every segment, and what the writer merges between writes leaves a dozen or two.
//! Merging them reads and writes much of the index, so it is done when the memory has grown by a quarter since the last
//! time. Of a file that is opened nobody knows when that was; it is due if there are many segments.
//!
//! FTS5 can make a single segment of all, by a `merge` of a negative number of pages. That begins anew, one level higher,
//! with each write that comes between two of its slices; of a large index it never ends, and at level 64 FTS5 takes no more
//! writes (`SQLITE_FULL`). So two segments of a level are merged at a time, which a write between disturbs in nothing: one
//! segment a level is left, each twice as large as the one below.
//!
//! **Invariant:** a write waits for one slice at most, some milliseconds; the levels are as many as the index has doublings.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::StoreError;
use crate::store::measure::Op;
use crate::store::sqlite::checkpoint::Checkpointer;
use crate::store::sqlite::group::Group;
use crate::store::sqlite::unit::find;

/// Pages of the index that one slice writes; a commit each.
const SLICE_PAGES: i64 = 64;
/// Segments of a level that are merged at a time: the fewest that FTS5 takes (`usermerge`).
const SEGMENTS_AT_ONCE: i64 = 2;
/// How long nobody must have written for it to begin.
pub(super) const GAP: Duration = Duration::from_millis(20);
/// How long it works in one gap; the end of a server waits for it.
const MOST_TIME: Duration = Duration::from_millis(100);
/// How often it looks how much the memory has grown.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Passages that are no growth to speak of.
const LEAST_GROWTH: i64 = 1_000;

/// So many segments are not worth it by themselves.
const FEW_SEGMENTS: i64 = 4;

/// When the index was settled last.
#[derive(Debug, Default)]
pub(super) struct Settler {
    /// The last passage there was then.
    settled: Option<i64>,
    looked_at: Option<Instant>,
    /// What the last look found, or a merge that is not at its end.
    due: bool,
}

impl Settler {
    /// Whether there is something to do in the next gap.
    pub(super) fn is_due(&mut self, group: &Group) -> bool {
        let late = |looked: Instant| looked.elapsed() >= LOOK_EVERY;
        if !self.due && self.looked_at.is_none_or(late) {
            self.looked_at = Some(Instant::now());
            // What cannot be looked at is for the self-check to tell of.
            self.due = self.has_grown(group).unwrap_or(false);
        }
        self.due
    }

    /// Does some of what is due, until somebody writes. With the log at its bound it waits, as writes do.
    pub(super) fn in_a_gap(&mut self, group: &mut Group, checkpointer: &mut Checkpointer) {
        let begun = Instant::now();
        let published = group.published();
        while self.is_due(group)
            && published.depth() == 0
            && published.writable()
            && !published.log_is_full()
            && begun.elapsed() < MOST_TIME
        {
            // Why not, the group has told; then it is for the next growth.
            self.due = merge(group).unwrap_or(false);
            checkpointer.after_group(group.connection(), false);
        }
    }

    fn has_grown(&mut self, group: &Group) -> rusqlite::Result<bool> {
        let last = find(
            group.connection(),
            "select coalesce(max(seq), 0) from chunk",
            [],
            |row| row.get(0),
        )?;
        let last: i64 = last.unwrap_or(0);
        let settled = match self.settled {
            Some(settled) => settled.min(last),
            None if segments(group.connection())? > FEW_SEGMENTS => 0,
            None => last,
        };
        let has_grown = last - settled >= LEAST_GROWTH.max(settled / 4);
        self.settled = Some(if has_grown { last } else { settled });
        Ok(has_grown)
    }
}

/// Merges some pages; false if there was nothing left to merge.
fn merge(group: &mut Group) -> Result<bool, StoreError> {
    let work = group.run_one(Op::Settle, |unit| {
        // How many the writer merges at a time is the file's setting; here it is another one, for this slice alone.
        let sql = "select v from term_index_config where k = 'usermerge'";
        let Some(usermerge) = unit.find(sql, [], |row| row.get::<_, i64>(0))? else {
            return Ok(false);
        };
        let command = "insert into term_index (term_index, rank) values (?1, ?2)";
        unit.execute(command, ("usermerge", SEGMENTS_AT_ONCE))?;
        let between = unit.connection.total_changes();
        unit.execute(command, ("merge", SLICE_PAGES))?;
        // From FTS5's documentation: the command itself counts as one.
        let merged = unit.connection.total_changes() - between >= 2;
        unit.execute(command, ("usermerge", usermerge))?;
        Ok(merged)
    });
    work.wait()
}

/// How many segments the index has; a millisecond for a million events.
pub(super) fn segments(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "select count(distinct segid) from term_index_idx";
    let count = find(connection, sql, [], |row| row.get(0))?;
    Ok(count.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::testing;

    fn add(group: &mut Group, number: i64) {
        let text = format!("1:word{number} 1:common");
        let add = move |unit: &mut crate::store::sqlite::unit::Unit<'_>| {
            unit.execute(
                "insert into chunk (tenant_no, entity_type, entity_seq, ts, sensitivity, field, byte_start, byte_end, words, signature)
                 values (1, 0, 1, 0, 0, 0, 0, 0, 2, zeroblob(16))",
                [],
            )?;
            unit.effects.index(number + 1, text);
            Ok(())
        };
        group.run_one(Op::Probe, add).wait().unwrap();
    }

    /// The levels of the index, out of its structure: a cookie of four octets, a mark of four where it has the second form,
    /// and the count, below 128.
    fn levels(group: &Group) -> u8 {
        let sql = "select block from term_index_data where id = 10";
        let block: Option<Vec<u8>> = find(group.connection(), sql, [], |row| row.get(0)).unwrap();
        let block = block.unwrap();
        let mark = [0xff, 0, 0, 1];
        block[if block[4..8] == mark { 8 } else { 4 }]
    }

    #[test]
    fn writes_between_slices_neither_undo_them_nor_use_the_levels_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = testing::group(&dir);
        for number in 0..2_000 {
            add(&mut group, number);
        }
        // A slice, and a write before the next: a large index under a client that writes now and then.
        for number in 0..500 {
            merge(&mut group).unwrap();
            add(&mut group, 2_000 + number);
        }
        assert!(levels(&group) < 16, "{}", levels(&group));
        assert!(segments(group.connection()).unwrap() < 16);
        let sql = "select v from term_index_config where k = 'usermerge'";
        let usermerge: Option<i64> = find(group.connection(), sql, [], |row| row.get(0)).unwrap();
        assert_eq!(
            usermerge,
            Some(16),
            "what the writer merges at a time is as it was"
        );
        while merge(&mut group).unwrap() {}
        group
            .connection()
            .execute_batch("insert into term_index (term_index) values ('integrity-check')")
            .unwrap();
    }

    #[test]
    fn a_grown_index_becomes_a_few_segments_and_then_rests() {
        let dir = tempfile::tempdir().unwrap();
        let mut group = testing::group(&dir);
        let mut checkpointer =
            Checkpointer::new(dir.path().join("m.db-wal"), group.published(), None);
        let mut settler = Settler::default();
        settler.in_a_gap(&mut group, &mut checkpointer);
        for number in 0..LEAST_GROWTH {
            add(&mut group, number);
        }
        assert!(segments(group.connection()).unwrap() > 3);
        settler.looked_at = None;
        while settler.is_due(&group) {
            settler.in_a_gap(&mut group, &mut checkpointer);
        }
        assert!(segments(group.connection()).unwrap() <= 4);
        let sql = "select count(*) from term_index where term_index match '\"1:common\"'";
        let found: Option<i64> = find(group.connection(), sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found, Some(LEAST_GROWTH));
        // Nothing is written to a file that rests.
        let changes = group.connection().total_changes();
        settler.looked_at = None;
        settler.in_a_gap(&mut group, &mut checkpointer);
        assert_eq!(group.connection().total_changes(), changes);
    }
}
