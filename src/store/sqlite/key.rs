//! Keys of the API, and how a server sees them change.
//!
//! A server holds the good keys in memory ([`KeyRing`]) and looks at each request whether they are still the same. A
//! change is a generation in the file; whoever commits one writes it into `FILE.keys` before it answers, and a look is
//! eight bytes read from there, a third of a microsecond (`scripts/bench-access` has what all of being let in costs).
//! So what this or any other process has changed holds for the next request, without a connection or a lock of the
//! file. In case a process died between its commit and that note, or the note was removed, the generation itself is
//! looked up once a second as well, on a connection kept for that.
//!
//! **Invariant:** a key that was revoked opens nothing once the revocation has been answered.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use rusqlite::{Connection, Row, named_params};

use crate::domain::key::{ApiKey, Asked, HeldKey, KeyHash, KeyRing, NewKey};
use crate::domain::{AuditAction, KeyId, Name, Scope, TenantId, Timestamp};
use crate::store::measure::Op;
use crate::store::sqlite::error::damaged;
use crate::store::sqlite::file::open_reader;
use crate::store::sqlite::turn::lock_file;
use crate::store::sqlite::unit::{Unit, find};
use crate::store::{KeyChoice, Pending, StoreError, Wait};

/// Keys that a tenant has at most, those revoked among them; of these the oldest make room.
const MOST_KEYS: i64 = 1_000;
/// How often the generation itself is looked at.
const LOOK_EVERY_MS: u64 = 1_000;

const COLUMNS: &str = "select id, tenant, name, scope, prefix, created_at, expires_at, revoked_at, last_used_at from api_key";

fn read_key(row: &Row<'_>) -> Result<ApiKey, StoreError> {
    let time = |column| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row
            .get::<_, Option<i64>>(column)?
            .map(Timestamp::from_millis))
    };
    Ok(ApiKey {
        key_id: KeyId::from_bytes(row.get(0)?),
        tenant_id: tenant(row, 1)?,
        name: Name::stored(row.get(2)?),
        scope: Scope::from_code(row.get(3)?).ok_or_else(|| damaged("scope"))?,
        prefix: row.get(4)?,
        created_at: Timestamp::from_millis(row.get(5)?),
        expires_at: time(6)?,
        revoked_at: time(7)?,
        last_used_at: time(8)?,
    })
}

fn tenant(row: &Row<'_>, column: usize) -> Result<TenantId, StoreError> {
    TenantId::parse("tenant", &row.get::<_, String>(column)?).map_err(|_| damaged("tenant"))
}

/// Says that the keys are others now.
fn changed(unit: &mut Unit<'_>, asked: &str) -> Result<(), StoreError> {
    let sql = format!(
        "update access set generation = generation + 1, asked = {asked} returning generation"
    );
    unit.effects.keys = unit.find(&sql, [], |row| row.get(0))?;
    Ok(())
}

/// Tells the servers on this file which generation its keys are of.
pub(super) fn tell(path: &Path, generation: i64) {
    let told = lock_file(path, "keys").and_then(|bell| {
        std::os::unix::fs::FileExt::write_all_at(&bell, &generation.to_be_bytes(), 0)
    });
    if let Err(error) = told {
        tracing::warn!(%error, "a change of keys could not be told; running servers see it within a second");
    }
}

impl super::Sqlite {
    pub(in crate::store) fn create_key(&self, new: &NewKey) -> Result<Pending<ApiKey>, StoreError> {
        let (key, hash) = (new.key.clone(), new.hash);
        self.write(Op::KeyWrite, 256, move |unit| {
            let tenant = key.tenant_id.as_str();
            let taken = "select 1 from api_key where tenant = ?1 and name = ?2 and revoked_at is null";
            if unit.find(taken, (tenant, key.name.as_str()), |_| Ok(()))?.is_some() {
                return Err(StoreError::Conflict("another key of the tenant has this name"));
            }
            make_room(unit, tenant)?;
            unit.execute(
                "insert into api_key (id, tenant, name, scope, prefix, hash, created_at, expires_at)
                 values (:id, :tenant, :name, :scope, :prefix, :hash, :created_at, :expires_at)",
                named_params! {
                    ":id": key.key_id.bytes(), ":tenant": tenant, ":name": key.name.as_str(),
                    ":scope": key.scope.code(), ":prefix": key.prefix, ":hash": hash.0,
                    ":created_at": key.created_at.millis(), ":expires_at": key.expires_at.map(Timestamp::millis),
                },
            )?;
            // The first one closes the door.
            changed(unit, "iif(asked = 0, 1, asked)")?;
            unit.did(&key.tenant_id, AuditAction::KeyCreate, key.key_id.bytes());
            Ok(key)
        })
    }

    pub(in crate::store) fn revoke_key(
        &self,
        tenant: Option<&TenantId>,
        choice: KeyChoice,
        now: Timestamp,
    ) -> Result<Pending<ApiKey>, StoreError> {
        let tenant = tenant.cloned();
        self.write(Op::KeyWrite, 64, move |unit| {
            let tenant = tenant.as_ref().map(TenantId::as_str);
            let (id, name) = match &choice {
                KeyChoice::Id(id) => (Some(id.bytes()), None),
                KeyChoice::Name(name) => (None, Some(name.as_str())),
            };
            let sql = format!(
                "{COLUMNS} where (:id is null or id = :id) and (:name is null or (name = :name and revoked_at is null))
                     and (:tenant is null or tenant = :tenant)"
            );
            let found = {
                let mut statement = unit.prepare(&sql)?;
                let params = named_params! {":id": id, ":name": name, ":tenant": tenant};
                let mut rows = statement.query(params)?;
                rows.next()?.map(read_key).transpose()?
            };
            let key = found.ok_or(StoreError::NotFound("key"))?;
            if key.revoked_at.is_some() {
                return Ok(key);
            }
            unit.execute(
                "update api_key set revoked_at = ?2 where id = ?1",
                (key.key_id.bytes(), now.millis()),
            )?;
            changed(unit, "asked")?;
            unit.did(&key.tenant_id, AuditAction::KeyRevoke, key.key_id.bytes());
            Ok(ApiKey {
                revoked_at: Some(now),
                ..key
            })
        })
    }

    pub(in crate::store) fn ask_for_keys(&self, ask: bool) -> Result<Pending<()>, StoreError> {
        self.write(Op::KeyWrite, 0, move |unit| {
            changed(unit, if ask { "1" } else { "2" })?;
            let action = if ask {
                AuditAction::KeysEnable
            } else {
                AuditAction::KeysDisable
            };
            unit.audit(&TenantId::default_tenant(), action, 1);
            Ok(())
        })
    }

    /// Notes when keys were last used. It changes nothing that a ring holds.
    pub(in crate::store) fn note_key_uses(
        &self,
        uses: Vec<(KeyId, Timestamp)>,
    ) -> Result<Pending<()>, StoreError> {
        self.write(Op::Probe, 0, move |unit| {
            let sql =
                "update api_key set last_used_at = max(ifnull(last_used_at, 0), ?2) where id = ?1";
            for (id, at) in &uses {
                unit.execute(sql, (id.bytes(), at.millis()))?;
            }
            Ok(())
        })
    }

    pub(in crate::store) fn keys(
        &self,
        wait: Wait,
        tenant: Option<&TenantId>,
    ) -> Result<Vec<ApiKey>, StoreError> {
        self.read(Op::Look, wait, |connection| {
            let sql =
                format!("{COLUMNS} where ?1 is null or tenant = ?1 order by created_at, key_no");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query([tenant.map(TenantId::as_str)])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(read_key(row)?);
            }
            Ok(keys)
        })
    }

    pub(in crate::store) fn key_ring(&self) -> Result<Arc<KeyRing>, StoreError> {
        match &self.engine.watch {
            Some(watch) => watch.ring(),
            None => self.read(Op::Look, Wait::Yes, |connection| {
                Ok(Arc::new(load(connection)?.0))
            }),
        }
    }
}

/// Makes room for another key of a tenant, where revoked ones can be dropped.
fn make_room(unit: &Unit<'_>, tenant: &str) -> Result<(), StoreError> {
    let count = "select count(*) from api_key where tenant = ?1";
    let count: Option<i64> = unit.find(count, [tenant], |row| row.get(0))?;
    if count.unwrap_or(0) < MOST_KEYS {
        return Ok(());
    }
    let dropped = unit.execute(
        "delete from api_key where key_no = (select key_no from api_key where tenant = ?1 and revoked_at is not null
             order by revoked_at limit 1)",
        [tenant],
    )?;
    if dropped == 0 {
        return Err(StoreError::Conflict(
            "the tenant has a thousand keys; revoke one first",
        ));
    }
    Ok(())
}

fn state(connection: &Connection) -> Result<(i64, Asked), StoreError> {
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let found = find(connection, "select generation, asked from access", [], read)?;
    match found {
        Some((generation, 0)) => Ok((generation, Asked::NotYet)),
        Some((generation, 1)) => Ok((generation, Asked::Yes)),
        Some((generation, 2)) => Ok((generation, Asked::SwitchedOff)),
        Some(_) | None => Err(damaged("access")),
    }
}

/// The keys that may be shown, and their generation; of one moment.
fn load(connection: &Connection) -> Result<(KeyRing, i64), StoreError> {
    let transaction = connection
        .is_autocommit()
        .then(|| connection.unchecked_transaction());
    let _moment = transaction.transpose()?;
    let (generation, asked) = state(connection)?;
    let sql = "select prefix, id, name, tenant, scope, expires_at, hash from api_key where revoked_at is null";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let held = HeldKey {
            known_as: Arc::new((KeyId::from_bytes(row.get(1)?), Name::stored(row.get(2)?))),
            tenant: tenant(row, 3)?,
            scope: Scope::from_code(row.get(4)?).ok_or_else(|| damaged("scope"))?,
            expires_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_millis),
            hash: KeyHash(row.get(6)?),
        };
        keys.push((row.get(0)?, held));
    }
    Ok((KeyRing::new(asked, keys), generation))
}

/// What a server holds of the keys, and how it sees that they changed.
#[derive(Debug)]
pub(super) struct Watch {
    bell: File,
    connection: Mutex<Connection>,
    held: RwLock<Held>,
    begun: Instant,
    looked: AtomicU64,
}

#[derive(Debug)]
struct Held {
    ring: Arc<KeyRing>,
    generation: i64,
    bell: [u8; 8],
}

impl Watch {
    /// Loads the keys of the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let bell =
            lock_file(path, "keys").map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let rung = read_bell(&bell);
        // None of the pool's: a request must not wait for one.
        let connection = open_reader(path)?;
        connection.pragma_update(None, "cache_size", -64)?;
        let (ring, generation) = load(&connection)?;
        Ok(Self {
            bell,
            connection: Mutex::new(connection),
            held: RwLock::new(Held {
                ring: Arc::new(ring),
                generation,
                bell: rung,
            }),
            begun: Instant::now(),
            looked: AtomicU64::new(0),
        })
    }

    /// The keys as they are now.
    fn ring(&self) -> Result<Arc<KeyRing>, StoreError> {
        let rung = read_bell(&self.bell);
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if held.bell == rung
                && now.saturating_sub(self.looked.load(Ordering::Relaxed)) < LOOK_EVERY_MS
            {
                return Ok(Arc::clone(&held.ring));
            }
        }
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Who waited for the lock may find it done.
        let known = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            (held.generation, held.bell == rung)
        };
        let (generation, _) = state(&connection)?;
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        if known != (generation, true) {
            let (ring, generation) = load(&connection)?;
            *held = Held {
                ring: Arc::new(ring),
                generation,
                bell: rung,
            };
        }
        self.looked.store(now, Ordering::Relaxed);
        Ok(Arc::clone(&held.ring))
    }
}

/// What stands in `FILE.keys`; nothing that is written there is all zeros.
fn read_bell(bell: &File) -> [u8; 8] {
    let mut rung = [0; 8];
    let read = std::os::unix::fs::FileExt::read_at(bell, &mut rung, 0);
    // An empty file, as there is before the first key, is as good as zeros.
    if read.is_ok_and(|read| read == rung.len()) {
        rung
    } else {
        [0; 8]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::KeyDraft;
    use crate::store::Role;
    use crate::store::sqlite::Sqlite;
    use crate::store::sqlite::testing;

    fn new(name: &str, byte: u8) -> NewKey {
        let draft = KeyDraft {
            tenant_id: None,
            name: name.to_owned(),
            scope: Scope::Read,
            expires_at: None,
        };
        NewKey::new(
            &draft,
            &TenantId::default_tenant(),
            [byte; 32],
            Timestamp::from_millis(0),
        )
        .unwrap()
    }

    #[test]
    fn what_another_process_changes_holds_for_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(0);
        let server = Sqlite::open(&testing::options(&dir, Role::Server), now).unwrap();
        let command = Sqlite::open(&testing::options(&dir, Role::Command), now).unwrap();
        assert_eq!(server.key_ring().unwrap().asked, Asked::NotYet);
        for round in 0..20_u8 {
            let key = new("a", round);
            let made = command.create_key(&key).unwrap().wait().unwrap();
            let ring = server.key_ring().unwrap();
            assert_eq!(ring.asked, Asked::Yes);
            assert!(ring.find(&key.secret(), now).is_some(), "{round}");
            let choice = KeyChoice::Id(made.key_id);
            command
                .revoke_key(None, choice, now)
                .unwrap()
                .wait()
                .unwrap();
            let ring = server.key_ring().unwrap();
            assert!(ring.find(&key.secret(), now).is_none(), "{round}");
        }
        // And what it changes itself.
        server.ask_for_keys(false).unwrap().wait().unwrap();
        assert_eq!(server.key_ring().unwrap().asked, Asked::SwitchedOff);
        let key = new("b", 99);
        server.create_key(&key).unwrap().wait().unwrap();
        let ring = server.key_ring().unwrap();
        assert_eq!(ring.asked, Asked::SwitchedOff);
        assert!(ring.find(&key.secret(), now).is_some());
    }

    #[test]
    fn a_change_that_nobody_told_is_seen_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(0);
        let server = Sqlite::open(&testing::options(&dir, Role::Server), now).unwrap();
        let told = std::fs::read(dir.path().join("m.db.keys")).unwrap();
        let key = new("a", 1);
        let command = Sqlite::open(&testing::options(&dir, Role::Command), now).unwrap();
        command.create_key(&key).unwrap().wait().unwrap();
        std::fs::write(dir.path().join("m.db.keys"), told).unwrap();
        let begun = Instant::now();
        while server
            .key_ring()
            .unwrap()
            .find(&key.secret(), now)
            .is_none()
        {
            assert!(begun.elapsed().as_secs() < 20, "it is not seen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_key_is_in_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let now = Timestamp::from_millis(0);
        let server = Sqlite::open(&testing::options(&dir, Role::Server), now).unwrap();
        let key = new("a", 42);
        server.create_key(&key).unwrap().wait().unwrap();
        assert!(testing::files_hold(&dir, &key.key.prefix));
        assert!(!testing::files_hold(&dir, &key.secret()));
        assert!(!testing::files_hold(&dir, &"*".repeat(32)));
    }
}
