//! Keys of the API: 256 random bits with a name, a tenant and a scope.
//!
//! A key reads `amk_` and 43 characters of base64url. It is shown once, when it is made; what is kept is the SHA-256 of
//! its bits, and its first characters to know it again by. Random bits need no slow hash: there is nothing to guess.
//! A [`KeyRing`] is what a server holds of the keys that may be shown to it. It finds a candidate by the visible prefix,
//! which is no secret, and compares hashes in constant time, so that how long a refusal takes says nothing.
//!
//! **Invariant:** a key's bits leave this module once, by [`NewKey::secret`], and are printed by no `Debug`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::domain::redact::redact;
use crate::domain::time::DAY_MS;
use crate::domain::{Invalid, KeyId, Name, Scope, TenantId, Timestamp};

/// What every key begins with.
const MARK: &str = "amk_";
/// Random bytes of a key.
const BYTES: usize = 32;
/// Characters of those bytes in base64url.
const CHARS: usize = 43;
/// How much of a key is kept to know it again by: enough to tell a thousand keys apart, and 208 bits are left.
const PREFIX_CHARS: usize = 12;
/// Longest name of a key, in bytes: it stands in lists and in each row of the audit.
pub const MAX_NAME_BYTES: usize = 64;
/// Longest life that can be asked for.
const MAX_DAYS: i64 = 3_650;

/// A key as it is listed: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ApiKey {
    /// Its id.
    pub key_id: KeyId,
    /// What it is called.
    pub name: Name,
    /// The tenant it opens.
    pub tenant_id: TenantId,
    /// What it allows.
    pub scope: Scope,
    /// The key's first characters.
    pub prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// What a client says of a key that it wants.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDraft {
    /// The tenant it opens; the caller's own.
    pub tenant_id: Option<String>,
    /// What it is called, as no other key of the tenant that is good.
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it ends by itself, within ten years from now; never, if absent.
    pub expires_at: Option<Timestamp>,
}

/// A key that is about to be stored.
pub struct NewKey {
    /// As it will be listed.
    pub key: ApiKey,
    /// What is stored of it.
    pub hash: KeyHash,
    secret: [u8; BYTES],
}

/// SHA-256 of a key's bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; BYTES]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl NewKey {
    /// A key of these random bytes for a tenant.
    ///
    /// # Errors
    /// The name or the end cannot be.
    pub fn new(
        draft: &KeyDraft,
        tenant: &TenantId,
        secret: [u8; BYTES],
        now: Timestamp,
    ) -> Result<Self, Invalid> {
        let name = name(&draft.name)?;
        if let Some(end) = draft.expires_at {
            let days = (end.millis() - now.millis()) / DAY_MS;
            if end <= now || days > MAX_DAYS {
                return Err(Invalid::new(
                    "expires_at",
                    "is not between now and ten years from now",
                ));
            }
        }
        let mut prefix = text_of(secret);
        prefix.truncate(PREFIX_CHARS);
        Ok(Self {
            key: ApiKey {
                key_id: KeyId::generate(now),
                name,
                tenant_id: tenant.clone(),
                scope: draft.scope,
                prefix,
                created_at: now,
                expires_at: draft.expires_at,
                revoked_at: None,
                last_used_at: None,
            },
            hash: hash_of(secret),
            secret,
        })
    }

    /// The key itself, to be shown once.
    pub fn secret(&self) -> String {
        text_of(self.secret)
    }
}

/// Reads a key's name: 1 to 64 bytes on one line, and nothing that looks like a key.
///
/// # Errors
/// It is none.
pub fn name(text: &str) -> Result<Name, Invalid> {
    let name = Name::parse("name", text)?;
    if name.as_str().len() > MAX_NAME_BYTES {
        return Err(Invalid::new("name", "is longer than 64 bytes"));
    }
    if !redact(name.as_str()).is_clean() || name.as_str().contains(MARK) {
        return Err(Invalid::new(
            "name",
            "looks like a secret; a key's name is stored as it is",
        ));
    }
    Ok(name)
}

fn text_of(secret: [u8; BYTES]) -> String {
    format!("{MARK}{}", URL_SAFE_NO_PAD.encode(secret))
}

fn hash_of(secret: [u8; BYTES]) -> KeyHash {
    KeyHash(Sha256::digest(secret).into())
}

/// The bits of a key in its written form.
fn bits(text: &str) -> Option<[u8; BYTES]> {
    let chars = text.strip_prefix(MARK)?;
    let mut bits = [0; BYTES + 2];
    if chars.len() != CHARS {
        return None;
    }
    let length = URL_SAFE_NO_PAD.decode_slice(chars, &mut bits).ok()?;
    bits.get(..length)?.try_into().ok()
}

/// A key that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// Its id and its name.
    pub known_as: Arc<(KeyId, Name)>,
    /// The tenant it opens.
    pub tenant: TenantId,
    /// What it allows.
    pub scope: Scope,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// What it is compared by.
    pub hash: KeyHash,
}

/// Whether a request has to show a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// No key was ever made.
    NotYet,
    /// Each request needs one.
    Yes,
    /// That was switched off by hand.
    SwitchedOff,
}

/// The keys that may be shown, and whether one has to be.
#[derive(Debug, Clone)]
pub struct KeyRing {
    /// Whether a request has to show one.
    pub asked: Asked,
    by_prefix: HashMap<String, Vec<Arc<HeldKey>>>,
}

impl KeyRing {
    /// A ring of these keys, each with its prefix.
    pub fn new(asked: Asked, keys: impl IntoIterator<Item = (String, HeldKey)>) -> Self {
        let mut by_prefix: HashMap<_, Vec<_>> = HashMap::new();
        for (prefix, key) in keys {
            by_prefix.entry(prefix).or_default().push(Arc::new(key));
        }
        Self { asked, by_prefix }
    }

    /// The key that was shown, if it is one of these and has not ended.
    pub fn find(&self, shown: &str, now: Timestamp) -> Option<&Arc<HeldKey>> {
        let bits = bits(shown)?;
        let candidates = self.by_prefix.get(shown.get(..PREFIX_CHARS)?)?;
        let hash = hash_of(bits);
        candidates
            .iter()
            .find(|key| bool::from(key.hash.0.ct_eq(&hash.0)))
            .filter(|key| key.is_good(now))
    }

    /// Whether any of them is good now.
    pub fn holds_any(&self, now: Timestamp) -> bool {
        self.by_prefix
            .values()
            .flatten()
            .any(|key| key.is_good(now))
    }
}

impl HeldKey {
    fn is_good(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// Reads a length of time such as `90d`, `12h` or `30m`, in milliseconds.
///
/// # Errors
/// It is none, or none that a key may have.
pub fn life(field: &str, text: &str) -> Result<i64, Invalid> {
    let wrong = || {
        Invalid::new(
            field,
            "is not a length of time such as 90d, 12h or 30m, at most 3650d",
        )
    };
    let (unit, number) = [("d", DAY_MS), ("h", DAY_MS / 24), ("m", DAY_MS / 1440)]
        .into_iter()
        .find_map(|(unit, ms)| Some((ms, text.strip_suffix(unit)?)))
        .ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let life = unit.saturating_mul(number.into());
    if life == 0 || life > MAX_DAYS * DAY_MS {
        return Err(wrong());
    }
    Ok(life)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(secret: [u8; 32], expires_at: Option<i64>) -> NewKey {
        let draft = KeyDraft {
            tenant_id: None,
            name: "a key".to_owned(),
            scope: Scope::Read,
            expires_at: expires_at.map(Timestamp::from_millis),
        };
        let tenant = TenantId::default_tenant();
        NewKey::new(&draft, &tenant, secret, Timestamp::from_millis(0)).unwrap()
    }

    fn ring(keys: &[&NewKey]) -> KeyRing {
        let held = |key: &&NewKey| {
            let held = HeldKey {
                known_as: Arc::new((key.key.key_id, key.key.name.clone())),
                tenant: key.key.tenant_id.clone(),
                scope: key.key.scope,
                expires_at: key.key.expires_at,
                hash: key.hash,
            };
            (key.key.prefix.clone(), held)
        };
        KeyRing::new(Asked::Yes, keys.iter().map(held))
    }

    #[test]
    fn a_key_is_known_by_all_of_its_bits_and_until_it_ends() {
        let mut other = [7; 32];
        other[31] = 8;
        // They share their prefix.
        let (one, two) = (new([7; 32], Some(1_000)), new(other, None));
        let ring = ring(&[&one, &two]);
        let at = Timestamp::from_millis;
        let found = |shown: &str, now| ring.find(shown, at(now)).map(|key| key.known_as.0);
        assert_eq!(found(&one.secret(), 999), Some(one.key.key_id));
        assert_eq!(found(&one.secret(), 1_000), None);
        assert_eq!(found(&two.secret(), 5_000), Some(two.key.key_id));
        let mut third = [7; 32];
        third[31] = 9;
        let third = new(third, None).secret();
        for shown in [
            third.as_str(),
            "",
            "amk_",
            &one.key.prefix,
            &one.secret()[..46],
            &format!("{}A", one.secret()),
            &one.secret().replace("amk_", "AMK_"),
            &"ä".repeat(24),
        ] {
            assert_eq!(found(shown, 0), None, "{shown}");
        }
        // The last character holds two bits that no key has.
        let loose = one.secret().replace("Bwc", "Bwd");
        assert!(loose == one.secret() || found(&loose, 0).is_none());
    }

    #[test]
    fn no_debug_prints_a_key() {
        let key = new([7; 32], None);
        let ring = ring(&[&key]);
        let printed = format!("{key:?} {ring:?} {:?}", key.hash);
        assert!(!printed.contains(&key.secret()[12..]), "{printed}");
        assert!(!printed.contains("7, 7"), "{printed}");
    }

    #[test]
    fn lives_are_read_in_days_hours_and_minutes() {
        for (text, ms) in [
            ("90d", 90 * DAY_MS),
            ("12h", DAY_MS / 2),
            ("30m", 1_800_000),
        ] {
            assert_eq!(life("--expires", text).unwrap(), ms);
        }
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "3651d",
            "90",
            "1y",
            "1.5d",
            "99999999999d",
        ] {
            assert!(life("--expires", text).is_err(), "{text}");
        }
    }
}
