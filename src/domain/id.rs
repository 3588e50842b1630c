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
use uuid::Uuid;
use uuid::fmt::Simple;

use crate::domain::{Invalid, Timestamp};

/// Sixteen random-looking bytes for a new id, ordered by `now`.
fn fresh(now: Timestamp) -> [u8; 16] {
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(
        uuid::NoContext,
        millis / 1000,
        u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0),
    );
    *Uuid::new_v7(stamp).as_bytes()
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
                let mut hex = [0; Simple::LENGTH];
                f.write_str(Uuid::from_bytes(self.0).simple().encode_lower(&mut hex))
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
    /// Names an API key; the key itself is another matter.
    KeyId "key";
}

/// Names something that is remembered on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryId {
    /// An event.
    Event(EventId),
    /// A handoff.
    Handoff(HandoffId),
    /// A decision.
    Decision(DecisionId),
    /// A knowledge note.
    Note(NoteId),
    /// A reflection.
    Reflection(ReflectionId),
    /// A principle.
    Principle(PrincipleId),
}

impl MemoryId {
    /// Reads the wire form, whichever it is; `field` names it in the refusal.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let starts = |prefix: &str| text.starts_with(prefix);
        if starts(EventId::PREFIX) {
            EventId::parse(field, text).map(Self::Event)
        } else if starts(HandoffId::PREFIX) {
            HandoffId::parse(field, text).map(Self::Handoff)
        } else if starts(DecisionId::PREFIX) {
            DecisionId::parse(field, text).map(Self::Decision)
        } else if starts(NoteId::PREFIX) {
            NoteId::parse(field, text).map(Self::Note)
        } else if starts(ReflectionId::PREFIX) {
            ReflectionId::parse(field, text).map(Self::Reflection)
        } else if starts(PrincipleId::PREFIX) {
            PrincipleId::parse(field, text).map(Self::Principle)
        } else {
            let reason = "does not begin with evt_, sh_, dec_, kn_, refl_ or prin_";
            Err(Invalid::new(field, reason))
        }
    }
}

/// Chunks that an event can have at most: one for every 120 words, and no word has less than two bytes of the 256 KiB.
const MOST_CHUNKS: u64 = 1_100;

impl ChunkId {
    /// The id of chunk `ordinal` of an event: the event's own id, its low half mixed with the ordinal. So no chunk needs
    /// an id in the store, where ids without order cost a page each.
    pub fn derive(event: EventId, ordinal: u32) -> Self {
        Self(mixed(event.0, ordinal.into()))
    }

    /// The events that this can be a chunk of, with the chunk's ordinal, likeliest first.
    pub fn owners(self) -> impl Iterator<Item = (EventId, i64)> {
        (0..MOST_CHUNKS)
            .zip(0..)
            .map(move |(number, ordinal)| (EventId(mixed(self.0, number)), ordinal))
    }
}

/// Mixing with the same ordinal twice gives the id back. The factor is 2^64 divided by the golden ratio (Knuth, volume
/// 3, 6.4), which keeps the chunks of ids that a client counted up apart.
fn mixed(id: [u8; 16], ordinal: u64) -> [u8; 16] {
    let mix = u128::from(ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (u128::from_be_bytes(id) ^ mix).to_be_bytes()
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
    fn a_chunk_id_leads_back_to_its_event() {
        let event = EventId([7; 16]);
        assert_eq!(ChunkId::derive(event, 0).bytes(), event.bytes());
        for ordinal in [0, 1, 2, 600] {
            let chunk = ChunkId::derive(event, ordinal);
            let found = chunk.owners().find(|(owner, _)| *owner == event);
            assert_eq!(found, Some((event, ordinal.into())));
        }
    }

    #[test]
    fn chunk_ids_of_ids_that_were_counted_up_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..200_u128 {
            for ordinal in 0..100 {
                let chunk = ChunkId::derive(EventId(number.to_be_bytes()), ordinal);
                assert!(seen.insert(*chunk.bytes()), "{number} {ordinal}");
            }
        }
    }
}
