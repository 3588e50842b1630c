//! Ids: 16 bytes in the store, `<prefix>_<32 lower-case hex>` on the wire.
//!
//! Ours are UUIDv7, so that they cluster in an index; a client-made id has the same form and its version is not
//! looked at. No order depends on an id.
//!
//! **Invariant:** an id says which kind of thing it names, and never which tenant.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::domain::{EntityType, Invalid, Timestamp};

/// Sixteen random-looking bytes for a new id, ordered by `now`.
fn fresh(now: Timestamp) -> [u8; 16] {
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(
        uuid::NoContext,
        millis / 1000,
        u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    );
    *uuid::Uuid::new_v7(stamp).as_bytes()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// The wire prefix, underscore included.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// A new id of our own (UUIDv7 of `now`).
            pub fn generate(now: Timestamp) -> Self {
                Self(fresh(now))
            }

            /// The id with these bytes, as the store keeps them.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The bytes the store keeps.
            pub fn bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads the wire form; `field` names it in the refusal.
            pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
                parse_hex(Self::PREFIX, text).map(Self).ok_or_else(|| {
                    Invalid::new(field, concat!("is not an id of the form ", $prefix, "_<32 lower-case hex digits>"))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Self::PREFIX)?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": concat!("^", $prefix, "_[0-9a-f]{32}$")})
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse("id", &text).map_err(|invalid| D::Error::custom(invalid.reason))
            }
        }
    )*};
}

ids! {
    /// Names an event.
    EventId "evt";
    /// Names a chunk, the unit that is searched.
    ChunkId "chk";
    /// Names a handoff.
    HandoffId "sh";
    /// Names a decision.
    DecisionId "dec";
    /// Names a knowledge note.
    NoteId "kn";
    /// Names an artifact.
    ArtifactId "art";
    /// Names a context bundle, which is not stored.
    BundleId "acb";
    /// Names a background job.
    JobId "job";
    /// Names a reflection.
    ReflectionId "refl";
    /// Names a principle.
    PrincipleId "prin";
}

impl ChunkId {
    /// The id of chunk `ordinal` of an entity. It is derived, so that a short event, which has one chunk, needs no
    /// further id in the store: chunk 0 of an event has the event's bytes, every other one a hash.
    pub fn derive(entity_type: EntityType, id: &[u8; 16], ordinal: u32) -> Self {
        if (entity_type, ordinal) == (EntityType::Event, 0) {
            return Self(*id);
        }
        let digest = Sha256::new()
            .chain_update(entity_type.as_str())
            .chain_update(id)
            .chain_update(ordinal.to_be_bytes())
            .finalize();
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

fn parse_hex(prefix: &str, text: &str) -> Option<[u8; 16]> {
    let hex = text.strip_prefix(prefix)?.as_bytes();
    if hex.len() != 32 {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        let id = EventId::generate(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(EventId::parse("id", &id.to_string()).unwrap(), id);
        assert!(id.to_string().starts_with("evt_"));
    }

    #[test]
    fn refuses_other_forms() {
        let hex = "0123456789abcdef0123456789abcdef";
        assert!(EventId::parse("id", &format!("evt_{hex}")).is_ok());
        for text in [
            format!("sh_{hex}"),
            format!("evt_{}", hex.to_uppercase()),
            format!("evt_{hex}0"),
            "evt_".to_owned(),
            "evt_é123456789abcdef0123456789abcde".to_owned(),
        ] {
            assert!(EventId::parse("id", &text).is_err(), "{text}");
        }
    }

    #[test]
    fn chunk_ids_differ_by_owner_and_ordinal() {
        let id = [7; 16];
        let chunk = |entity_type, ordinal| ChunkId::derive(entity_type, &id, ordinal);
        assert_eq!(chunk(EntityType::Event, 0).bytes(), &id);
        assert_ne!(chunk(EntityType::Handoff, 0), chunk(EntityType::Event, 0));
        assert_ne!(chunk(EntityType::Event, 1), chunk(EntityType::Handoff, 1));
        assert_ne!(chunk(EntityType::Event, 1), chunk(EntityType::Event, 2));
    }
}
