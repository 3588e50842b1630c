//! What is known of passages without their texts, kept between searches.
//!
//! A search looks at a thousand passages for their lengths and terms, two look-ups each, and most of them were looked at
//! by the search before. A passage is never changed, it can only be taken out, and then its number may be given to another
//! one. So what was read stays true for as long as the tenant's count of erasures stands still, in the reader's own
//! snapshot and whichever process erased.
//!
//! **Invariant:** what is kept was read at the count of erasures that it is asked for at, of the same tenant.

use rusqlite::Connection;

use super::gate::Looked;
use crate::store::StoreError;
use crate::store::memo::{Memo, Weigh};

/// Room for what is kept, in bytes: about 100,000 passages of 40 words.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;
/// About how many that are.
const KEPT: usize = 100_000;
/// A passage and its place, without its signature.
const ENTRY_BYTES: usize = 160;

/// The passages looked at last, by tenant and number, each read at a count of erasures.
#[derive(Debug)]
pub(super) struct Shelf(Memo<(i64, i64), Looked>);

impl Weigh for Looked {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.signature.bytes().len()
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Self(Memo::new(KEPT_BYTES, KEPT))
    }
}

/// One search's way to what is known of passages.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) connection: &'a Connection,
    pub(super) tenant_no: i64,
    erasures: i64,
    /// The most sensitive passage that the tenant ever had.
    pub(super) most_sensitive: i64,
    shelf: &'a Shelf,
}

impl<'a> Look<'a> {
    /// In the snapshot of this connection.
    pub(super) fn new(
        connection: &'a Connection,
        tenant_no: i64,
        shelf: &'a Shelf,
    ) -> rusqlite::Result<Self> {
        let (erasures, most_sensitive) = connection
            .prepare_cached("select erasures, most_sensitive from tenant where tenant_no = ?1")?
            .query_row([tenant_no], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self {
            connection,
            tenant_no,
            erasures,
            most_sensitive,
            shelf,
        })
    }

    /// What is known of a passage of the tenant.
    pub(super) fn at(&self, seq: i64) -> Result<Option<Looked>, StoreError> {
        let key = (self.tenant_no, seq);
        if let Some(looked) = self.shelf.0.get(&key, |then| then == self.erasures) {
            return Ok(Some(looked));
        }
        let looked = Looked::at(self.connection, seq)?;
        if let Some(looked) = &looked {
            self.shelf.0.keep(key, self.erasures, looked.clone());
        }
        Ok(looked)
    }
}
