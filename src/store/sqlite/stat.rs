//! The counted facts, read back.
//!
//! **Invariant:** every fact has a value; one without a row is zero.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use crate::domain::Stat;

/// The counted facts as they stand in the file.
pub(super) fn stored_stats(connection: &Connection) -> rusqlite::Result<BTreeMap<Stat, i64>> {
    let mut statement = connection.prepare_cached("select name, label, value from stat")?;
    read_stats(&mut statement.query([])?)
}

/// Every fact, out of rows of name, label and value; zero where there is no row.
pub(super) fn read_stats(rows: &mut rusqlite::Rows<'_>) -> rusqlite::Result<BTreeMap<Stat, i64>> {
    let mut by_key = HashMap::new();
    while let Some(row) = rows.next()? {
        by_key.insert(
            (row.get::<_, String>(0)?, row.get::<_, String>(1)?),
            row.get::<_, i64>(2)?,
        );
    }
    let value = |stat: Stat| {
        let (name, label) = stat.key();
        by_key
            .get(&(name.to_owned(), label.to_owned()))
            .copied()
            .unwrap_or(0)
    };
    Ok(Stat::all()
        .into_iter()
        .map(|stat| (stat, value(stat)))
        .collect())
}
