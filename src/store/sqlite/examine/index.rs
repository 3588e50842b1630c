//! Whether the term index says of each passage what its text says.
//!
//! The index has no text to compare with, so each passage's terms are made anew, and the index is read term by term. For
//! each passage the hashes of its terms are added up, and those that the index has are taken away: what is not zero is
//! wrong. Some 30 µs a passage, and a few words of memory.
//!
//! FTS5 refuses a write that would make the 2,001st segment (`FTS5_MAX_SEGMENT`), as if the disk were full. A sound index is
//! far from it: each level has 16 at most, and the levels are the doublings of its size.
//!
//! **Invariant:** reads alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rusqlite::Connection;

use crate::store::sqlite::passage::{document, each_anew};
use crate::store::sqlite::settle::segments;
use crate::store::{Finding, StoreError};

/// Passages that are named.
const NAMED: usize = 5;
/// More segments than a sound index has, and half of what FTS5 takes.
const MANY_SEGMENTS: i64 = 1_000;
/// What is part of a term beside letters and digits, as the index was told.
const TERM_CHARS: &str = "_-./:#@+";

pub(super) fn look(connection: &Connection) -> Result<Finding, StoreError> {
    let mut sums: HashMap<i64, u64> = HashMap::new();
    let mut passed_by = HashSet::new();
    let mut total = 0_u64;
    each_anew(connection, |seq, tenant_no, chunk| {
        total += 1;
        match chunk {
            Some(chunk) => {
                let sum = sum(&document(tenant_no, &chunk));
                sums.insert(seq, sum);
            }
            // It is being forgotten.
            None => drop(passed_by.insert(seq)),
        }
        Ok(())
    })?;
    let mut instances = connection.prepare("select term, doc from term_instance")?;
    let mut rows = instances.query([])?;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(1)?;
        if !passed_by.contains(&seq) {
            let left = sums.entry(seq).or_default();
            *left = left.wrapping_sub(hash(row.get_ref(0)?.as_str().unwrap_or_default()));
        }
    }
    let wrong: BTreeSet<i64> = sums
        .into_iter()
        .filter(|(_, left)| *left != 0)
        .map(|(seq, _)| seq)
        .collect();
    let segments = segments(connection)?;
    if segments > MANY_SEGMENTS {
        return Ok(Finding {
            check: "index",
            ok: false,
            detail: format!(
                "the index is in {segments} segments, and at 2,000 every write is refused: `agent-memory doctor --repair` makes \
                 it anew"
            ),
        });
    }
    let named: Vec<_> = wrong.iter().take(NAMED).map(ToString::to_string).collect();
    Ok(Finding {
        check: "index",
        ok: wrong.is_empty(),
        detail: if wrong.is_empty() {
            format!("the index has the terms of all {total} passages and no others")
        } else {
            format!(
                "{} of {total} passages are not found by their words, or by others' (numbers {}{}): `agent-memory doctor \
                 --repair` makes the index anew",
                wrong.len(),
                named.join(", "),
                if wrong.len() > NAMED { ", …" } else { "" }
            )
        },
    })
}

/// The hashes of a document's terms, each once, as the index cuts it.
fn sum(document: &str) -> u64 {
    let lower = document.to_ascii_lowercase();
    let terms: BTreeSet<&str> = lower
        .split(|char: char| {
            char.is_ascii() && !char.is_ascii_alphanumeric() && !TERM_CHARS.contains(char)
        })
        .filter(|term| !term.is_empty())
        .collect();
    terms
        .into_iter()
        .fold(0, |sum: u64, term| sum.wrapping_add(hash(term)))
}

fn hash(term: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    term.hash(&mut hasher);
    hasher.finish()
}
