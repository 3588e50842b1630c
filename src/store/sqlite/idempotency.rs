//! Repeated writes under an `Idempotency-Key`.
//!
//! A key stands for one request, per tenant and route, for 24 hours. What is kept is a receipt of ids, never content,
//! so that a forgotten thing does not live on here.
//!
//! **Invariant:** the receipt is written by the transaction of the write it stands for.

use rusqlite::named_params;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::Timestamp;
use crate::domain::content::Fingerprint;
use crate::domain::time::DAY_MS;
use crate::store::sqlite::unit::Unit;
use crate::store::{IdempotencyKey, StoreError};

/// How long a key is kept. From the contract.
const KEPT_MS: i64 = DAY_MS;
/// Most keys of all tenants together; at 200 bytes each that is 40 MB. The oldest go first.
const MOST_KEYS: i64 = 200_000;
/// Old keys taken away per write; more than one, so that a burst drains.
const PURGE: i64 = 4;

/// The receipt of an earlier write under this key, if there is one.
///
/// # Errors
/// The key was used for another request.
pub(super) fn find<R: DeserializeOwned>(
    unit: &Unit<'_>,
    tenant_no: i64,
    key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Result<Option<R>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let found = unit.find(
        "select fingerprint, receipt from idempotency
         where tenant_no = :tenant_no and route = :route and key_hash = :key and created_at > :since",
        named_params! {
            ":tenant_no": tenant_no, ":route": key.route, ":key": key.key.0, ":since": now.millis() - KEPT_MS,
        },
        |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, String>(1)?)),
    )?;
    let Some((fingerprint, receipt)) = found else {
        return Ok(None);
    };
    if fingerprint != key.request.0 {
        return Err(StoreError::Conflict(
            "this Idempotency-Key was used for another request",
        ));
    }
    let receipt =
        serde_json::from_str(&receipt).map_err(|error| StoreError::Internal(Box::new(error)))?;
    Ok(Some(receipt))
}

/// Keeps the receipt of a write under its key.
///
/// # Errors
/// The file's.
pub(super) fn keep(
    unit: &Unit<'_>,
    tenant_no: i64,
    key: Option<&IdempotencyKey>,
    receipt: &impl Serialize,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    let receipt =
        serde_json::to_string(receipt).map_err(|error| StoreError::Internal(Box::new(error)))?;
    unit.execute(
        "delete from idempotency where seq in (
             select seq from idempotency where seq <= (select max(seq) from idempotency) - :most or created_at <= :until
             order by seq limit :purge)",
        named_params! {":most": MOST_KEYS, ":until": now.millis() - KEPT_MS, ":purge": PURGE},
    )?;
    unit.execute(
        "insert or replace into idempotency (tenant_no, route, key_hash, fingerprint, receipt, created_at)
         values (:tenant_no, :route, :key, :fingerprint, :receipt, :now)",
        named_params! {
            ":tenant_no": tenant_no, ":route": key.route, ":key": key.key.0, ":fingerprint": key.request.0,
            ":receipt": receipt, ":now": now.millis(),
        },
    )?;
    Ok(())
}

/// Whether the thing with this client-made id is stored already, as the same request made it.
///
/// # Errors
/// `conflict`, when another request made what has the id.
pub(super) fn repeated(
    unit: &Unit<'_>,
    select_fingerprint: &str,
    tenant_no: i64,
    id: &[u8; 16],
    fingerprint: Option<Fingerprint>,
    conflict: &'static str,
) -> Result<bool, StoreError> {
    let Some(fingerprint) = fingerprint else {
        return Ok(false);
    };
    let stored = unit.find(select_fingerprint, (tenant_no, id), |row| {
        row.get::<_, Option<[u8; 16]>>(0)
    })?;
    match stored {
        None => Ok(false),
        Some(Some(stored)) if stored == fingerprint.0 => Ok(true),
        Some(_) => Err(StoreError::Conflict(conflict)),
    }
}
