//! Who may talk: keys, and what each lets its holder do.
//!
//! A front end asks [`Services::admit`] who is there, and makes a [`Caller`] of the answer. A service method that writes
//! takes the store by [`Services::writer`], one that manages by [`Services::admin`]: both look at the caller's scope and
//! put its name on what it writes, so neither can be forgotten alone.
//!
//! Managing keys needs an admin key or the permissions of the file: a server that asks for no keys lets nobody make one
//! over the network. An admin key manages the keys of its own tenant, and an admin of one never learns of another's.
//!
//! **Invariant:** when a key was used is kept in memory and written once a minute, never for a request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::audit::{Denial, Denials};
use crate::domain::event::check_tenant;
use crate::domain::key::{ApiKey, Asked, HeldKey, KeyDraft, NewKey};
use crate::domain::{Caller, KeyId, Scope, Timestamp};
use crate::service::{Error, Pending, Services};
use crate::store::{KeyChoice, Store};

/// What is still to be written of who was there.
#[derive(Debug, Default)]
pub struct Access {
    uses: Mutex<BTreeMap<KeyId, Timestamp>>,
    denials: Mutex<Denials>,
}

/// Who is there.
#[derive(Debug, Clone)]
pub enum Admission {
    /// The holder of this key.
    Key(Arc<HeldKey>),
    /// Somebody, where keys are not asked for.
    Open,
}

/// A key that was just made, with the key itself.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MadeKey {
    /// The key itself. It is not kept and cannot be shown again.
    pub key: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub about: ApiKey,
}

const MAY_NOT_WRITE: &str = "this key may read and not write";
const MAY_NOT_MANAGE: &str = "this takes a key of scope admin";

impl Services {
    /// The store in the hands of a caller that may write.
    pub(super) fn writer(&self, caller: &Caller) -> Result<Store, Error> {
        if caller.scope < Scope::Write {
            return Err(Error::Forbidden(MAY_NOT_WRITE));
        }
        Ok(self.store.by(caller))
    }

    /// The store in the hands of a caller that may manage.
    pub(super) fn admin(&self, caller: &Caller) -> Result<Store, Error> {
        if caller.scope < Scope::Admin {
            return Err(Error::Forbidden(MAY_NOT_MANAGE));
        }
        Ok(self.store.by(caller))
    }

    /// The same for keys, which a caller without one may not touch over the network.
    fn keeper(&self, caller: &Caller) -> Result<Store, Error> {
        if !caller.is_local() && caller.actor.key.is_none() {
            return Err(Error::Unauthenticated);
        }
        self.admin(caller)
    }

    /// Says who shows this key, or nothing. `always` is whether one is needed though none was ever made.
    ///
    /// # Errors
    /// `Unauthenticated`; `Unavailable` when the keys changed and cannot be read.
    pub fn admit(&self, shown: Option<&str>, always: bool) -> Result<Admission, Error> {
        let ring = self.store.key_ring()?;
        match shown {
            Some(shown) => {
                let now = self.clock.now();
                let key = ring.find(shown, now).ok_or(Error::Unauthenticated)?;
                let mut uses = self
                    .access
                    .uses
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                uses.insert(key.known_as.0, now);
                Ok(Admission::Key(Arc::clone(key)))
            }
            None if always || ring.asked == Asked::Yes => Err(Error::Unauthenticated),
            None => Ok(Admission::Open),
        }
    }

    /// Whether there is a key that is good now.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn has_keys(&self) -> Result<bool, Error> {
        Ok(self.store.key_ring()?.holds_any(self.clock.now()))
    }

    /// Whether requests have to show a key.
    ///
    /// # Errors
    /// `Unavailable`.
    pub fn asks_for_keys(&self) -> Result<bool, Error> {
        Ok(self.store.key_ring()?.asked == Asked::Yes)
    }

    /// Makes a key for the caller's tenant.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`, `Invalid`, `Overloaded`; pending: `Conflict`, `Unavailable`.
    pub fn create_key(
        &self,
        caller: &Caller,
        draft: &KeyDraft,
    ) -> Result<(String, Pending<ApiKey>), Error> {
        let store = self.keeper(caller)?;
        check_tenant(draft.tenant_id.as_deref(), &caller.tenant)?;
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(|error| Error::Internal(error.to_string().into()))?;
        let new = NewKey::new(draft, &caller.tenant, bits, self.clock.now())?;
        Ok((new.secret(), store.create_key(&new)?))
    }

    /// The keys of the caller's tenant, revoked ones among them; of all tenants for whoever has the file.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`, `Overloaded`, `Unavailable`.
    pub fn keys(&self, caller: &Caller) -> Result<Vec<ApiKey>, Error> {
        let store = self.keeper(caller)?;
        let tenant = (!caller.is_local()).then_some(&caller.tenant);
        let mut keys = store.keys(self.wait, tenant)?;
        // What was not yet written.
        let uses = self
            .access
            .uses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for key in &mut keys {
            key.last_used_at = key.last_used_at.max(uses.get(&key.key_id).copied());
        }
        Ok(keys)
    }

    /// Revokes a key of the caller's tenant; by its id of any, for whoever has the file.
    ///
    /// # Errors
    /// `Unauthenticated`, `Forbidden`, `Overloaded`; pending: `NotFound`, `Unavailable`.
    pub fn revoke_key(&self, caller: &Caller, choice: KeyChoice) -> Result<Pending<ApiKey>, Error> {
        let store = self.keeper(caller)?;
        let anywhere = caller.is_local() && matches!(choice, KeyChoice::Id(_));
        let tenant = (!anywhere).then_some(&caller.tenant);
        Ok(store.revoke_key(tenant, choice, self.clock.now())?)
    }

    /// Says whether requests have to show a key. For whoever has the file: it is no tenant's to decide.
    ///
    /// # Errors
    /// `Forbidden`, `Overloaded`; pending: `Unavailable`.
    pub fn ask_for_keys(&self, caller: &Caller, ask: bool) -> Result<Pending<()>, Error> {
        if !caller.is_local() {
            return Err(Error::Forbidden(
                "this is done with the permissions of the file",
            ));
        }
        Ok(self.store.by(caller).ask_for_keys(ask)?)
    }

    /// Notes that a request was refused; it is written down within a minute.
    pub fn note_denial(&self, denial: Denial) {
        let mut denials = self
            .access
            .denials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        denials.add(denial);
    }

    /// Writes down when keys were used and what was refused, if anything. Blocks; for the job thread, each minute and
    /// at the end.
    ///
    /// # Errors
    /// `Overloaded`, `Unavailable`; what was refused is then not written.
    pub fn write_access(&self) -> Result<(), Error> {
        let denials = {
            let mut denials = self
                .access
                .denials
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            denials.take()
        };
        if !denials.is_empty() {
            self.store.note_denials(denials)?.wait()?;
        }
        let uses: Vec<_> = {
            let uses = self
                .access
                .uses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            uses.iter().map(|(id, at)| (*id, *at)).collect()
        };
        if uses.is_empty() {
            return Ok(());
        }
        self.store.note_key_uses(uses.clone())?.wait()?;
        // What was used again meanwhile stays for the next time.
        let mut left = self
            .access
            .uses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (id, at) in uses {
            if left.get(&id) == Some(&at) {
                left.remove(&id);
            }
        }
        Ok(())
    }
}
