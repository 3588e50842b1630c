//! What happens to a text on its way in: U+0000 out, secrets out, the overlong part into an artifact; and the plain
//! text that an event's structured content is searched by.
//!
//! **Invariant:** nothing is dropped in silence. What is cut off here stands whole in the artifact; what is redacted
//! is counted.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::domain::redact::{self, SecretKind};
use crate::domain::{ArtifactId, ArtifactKind, Invalid, Timestamp};

/// Most bytes of text that stay in an event; the rest is in its artifact. From the data model.
pub const MAX_INLINE_TEXT_BYTES: usize = 64 * 1024;
/// Most bytes of an event's content as JSON once its texts are cut: four times the text, so that only structure
/// (keys, numbers, brackets) can exceed it.
pub const MAX_CONTENT_BYTES: usize = 4 * MAX_INLINE_TEXT_BYTES;
/// Most tags of an entity.
pub const MAX_TAGS: usize = 64;
/// Longest tag, in bytes.
pub const MAX_TAG_BYTES: usize = 128;
/// Most references of an entity.
pub const MAX_REFS: usize = 256;
/// Longest reference, in bytes; a URL fits.
pub const MAX_REF_BYTES: usize = 2048;

/// An event's structured content.
pub type Content = Map<String, Value>;

/// How often each kind of secret was taken out of one write.
pub type Redactions = BTreeMap<SecretKind, i64>;

/// Sixteen bytes of a SHA-256 over a request in canonical form: what makes a repeated write a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// The fingerprint of a cleaned request. What cannot be written as JSON cannot have come as JSON.
    pub fn of_request(request: &impl serde::Serialize) -> Self {
        Self::of(&serde_json::to_value(request).unwrap_or_default())
    }

    /// The fingerprint of a JSON value, whatever the order of its keys.
    pub fn of(value: &Value) -> Self {
        let mut hash = Sha256::new();
        hash_value(&mut hash, value);
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(hash.finalize())
            .for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

fn hash_value(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            hash.update(b"{");
            for (key, value) in entries {
                hash_text(hash, key);
                hash_value(hash, value);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| hash_value(hash, item));
            hash.update(b"]");
        }
        Value::String(text) => hash_text(hash, text),
        other => {
            hash.update(b"=");
            hash_text(hash, &other.to_string());
        }
    }
}

fn hash_text(hash: &mut Sha256, text: &str) {
    hash.update(text.len().to_be_bytes());
    hash.update(text.as_bytes());
}

/// Cleans the texts of one write and remembers what it took out.
#[derive(Debug, Default)]
pub struct Cleaner {
    found: Redactions,
}

impl Cleaner {
    /// The text as it may be stored.
    pub fn text(&mut self, text: &str) -> String {
        let redaction = redact::redact(text);
        for (kind, count) in redaction.found {
            *self.found.entry(kind).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
        }
        if redaction.text.contains('\0') {
            redaction.text.replace('\0', "\u{FFFD}")
        } else {
            redaction.text.into_owned()
        }
    }

    /// The text, if there is one.
    pub fn text_opt(&mut self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.text(text))
    }

    /// Every text in a value, keys included.
    pub fn value(&mut self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => {
                Value::Array(items.into_iter().map(|item| self.value(item)).collect())
            }
            Value::Object(map) => Value::Object(self.content(map)),
            other => other,
        }
    }

    /// Every text in an event's content.
    pub fn content(&mut self, content: Content) -> Content {
        content
            .into_iter()
            .map(|(key, value)| (self.text(&key), self.value(value)))
            .collect()
    }

    /// A list of short texts: none empty, not too many, none too long; the same one twice counts once.
    pub fn list(
        &mut self,
        field: &str,
        items: &[String],
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<String>, Invalid> {
        if items.len() > most {
            return Err(Invalid::new(field, format!("holds more than {most} items")));
        }
        let mut clean: Vec<String> = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let item = self.text(item.trim());
            if item.is_empty() || item.len() > most_bytes {
                return Err(Invalid::new(
                    format!("{field}[{index}]"),
                    format!("is not 1 to {most_bytes} bytes"),
                ));
            }
            if !clean.contains(&item) {
                clean.push(item);
            }
        }
        Ok(clean)
    }

    /// A list of texts that was cleaned before: as [`Cleaner::list`], but nothing is trimmed or dropped.
    pub fn texts(
        &mut self,
        field: &str,
        items: &[String],
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<String>, Invalid> {
        if items.len() > most {
            return Err(Invalid::new(field, format!("holds more than {most} items")));
        }
        let items: Vec<_> = items.iter().map(|item| self.text(item)).collect();
        let bad = |item: &String| item.is_empty() || item.len() > most_bytes;
        match items.iter().position(bad) {
            None => Ok(items),
            Some(index) => Err(Invalid::new(
                format!("{field}[{index}]"),
                format!("is not 1 to {most_bytes} bytes"),
            )),
        }
    }

    /// Tags.
    pub fn tags(&mut self, tags: &[String]) -> Result<Vec<String>, Invalid> {
        self.list("tags", tags, MAX_TAGS, MAX_TAG_BYTES)
    }

    /// References.
    pub fn refs(&mut self, refs: &[String]) -> Result<Vec<String>, Invalid> {
        self.list("refs", refs, MAX_REFS, MAX_REF_BYTES)
    }

    /// What was taken out so far.
    pub fn into_redactions(self) -> Redactions {
        self.found
    }
}

/// A long text that is kept beside its event, whole.
#[derive(Debug, Clone)]
pub struct NewArtifact {
    /// Its id.
    pub id: ArtifactId,
    /// What it is.
    pub kind: ArtifactKind,
    /// `{"format": "text", "pointer": "/output"}`: the one text that was cut, or `{"format": "json"}`: the whole content.
    pub meta: Value,
    /// The text.
    pub body: String,
}

/// Cuts the texts of `content` to 64 KiB in all. When that changed something, the whole is returned beside it.
///
/// # Errors
/// The whole is larger than `max_artifact_bytes`, or what is left is mostly structure and still too large.
pub fn split(
    content: Content,
    kind: ArtifactKind,
    max_artifact_bytes: usize,
    now: Timestamp,
) -> Result<(Content, Option<NewArtifact>), Invalid> {
    let mut cuts = Vec::new();
    let mut left = MAX_INLINE_TEXT_BYTES;
    let whole = Value::Object(content);
    let mut cut = whole.clone();
    cut_texts(&mut cut, &mut left, &mut String::new(), &mut cuts);
    let artifact = match cuts.as_slice() {
        [] => None,
        [pointer] => {
            let body = whole
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default();
            let meta = serde_json::json!({"format": "text", "pointer": pointer});
            Some((meta, body.to_owned()))
        }
        _ => Some((serde_json::json!({"format": "json"}), whole.to_string())),
    };
    let artifact = artifact.map(|(meta, body)| NewArtifact {
        id: ArtifactId::generate(now),
        kind,
        meta,
        body,
    });
    if artifact
        .as_ref()
        .is_some_and(|artifact| artifact.body.len() > max_artifact_bytes)
    {
        return Err(Invalid::new(
            "content",
            format!("is larger than {max_artifact_bytes} bytes"),
        ));
    }
    let Value::Object(cut) = cut else {
        return Ok((Content::new(), artifact));
    };
    Ok((cut, artifact))
}

fn cut_texts(value: &mut Value, left: &mut usize, pointer: &mut String, cuts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() <= *left => *left -= text.len(),
        Value::String(text) => {
            text.truncate(text.floor_char_boundary(*left));
            *left = 0;
            cuts.push(pointer.clone());
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                descend(item, &index.to_string(), left, pointer, cuts);
            }
        }
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                let key = key.replace('~', "~0").replace('/', "~1");
                descend(item, &key, left, pointer, cuts);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn descend(
    item: &mut Value,
    step: &str,
    left: &mut usize,
    pointer: &mut String,
    cuts: &mut Vec<String>,
) {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(step);
    cut_texts(item, left, pointer, cuts);
    pointer.truncate(length);
}

/// The text that an event's content is searched by: its strings and numbers, one a line, in the order they stand.
pub fn searchable(content: &Content) -> String {
    let mut text = String::new();
    content.values().for_each(|value| collect(value, &mut text));
    text
}

fn collect(value: &Value, text: &mut String) {
    match value {
        Value::String(leaf) => push_line(text, leaf),
        Value::Number(number) => push_line(text, &number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, text)),
        Value::Object(map) => map.values().for_each(|item| collect(item, text)),
        Value::Null | Value::Bool(_) => {}
    }
}

fn push_line(text: &mut String, line: &str) {
    if !text.is_empty() && !line.is_empty() {
        text.push('\n');
    }
    text.push_str(line);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn content(value: Value) -> Content {
        let Value::Object(map) = value else {
            panic!("not an object")
        };
        map
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }

    #[test]
    fn a_fingerprint_ignores_key_order_alone() {
        let print = |value: Value| Fingerprint::of(&value);
        assert_eq!(
            print(json!({"a": 1, "b": [true]})),
            print(json!({"b": [true], "a": 1}))
        );
        for other in [
            json!({"a": "1", "b": [true]}),
            json!({"a": 1, "b": [[true]]}),
            json!({"a": 1, "b": true}),
        ] {
            assert_ne!(print(json!({"a": 1, "b": [true]})), print(other));
        }
    }

    #[test]
    fn short_content_is_left_alone() {
        let whole = content(json!({"text": "hello", "n": 3}));
        let (cut, artifact) = split(whole.clone(), ArtifactKind::Blob, 1 << 20, now()).unwrap();
        assert_eq!(cut, whole);
        assert!(artifact.is_none());
        assert_eq!(searchable(&cut), "hello\n3");
    }

    #[test]
    fn one_long_text_becomes_the_artifact() {
        let long = "ä".repeat(MAX_INLINE_TEXT_BYTES);
        let (cut, artifact) = split(
            content(json!({"tool": "cat", "a/b": {"output": long}})),
            ArtifactKind::ToolOutput,
            1 << 20,
            now(),
        )
        .unwrap();
        let artifact = artifact.unwrap();
        assert_eq!(artifact.body, long);
        assert_eq!(artifact.meta["pointer"], "/a~1b/output");
        let kept = cut["a/b"]["output"].as_str().unwrap();
        assert!(kept.len() <= MAX_INLINE_TEXT_BYTES && long.starts_with(kept));
    }

    #[test]
    fn several_long_texts_are_kept_as_json() {
        let long = "x".repeat(50_000);
        let whole = content(json!({"a": long, "b": long, "c": long}));
        let (cut, artifact) = split(whole.clone(), ArtifactKind::Blob, 1 << 20, now()).unwrap();
        let artifact = artifact.unwrap();
        assert_eq!(
            serde_json::from_str::<Content>(&artifact.body).unwrap(),
            whole
        );
        assert_eq!(searchable(&cut).len(), MAX_INLINE_TEXT_BYTES + 1);
        assert!(split(whole, ArtifactKind::Blob, 100_000, now()).is_err());
    }

    #[test]
    fn cleaning_takes_out_nul_and_counts_nothing_for_it() {
        let mut cleaner = Cleaner::default();
        let clean = cleaner.content(content(json!({"a\u{0}": ["b\u{0}c", 1]})));
        assert_eq!(
            Value::Object(clean),
            json!({"a\u{FFFD}": ["b\u{FFFD}c", 1]})
        );
        assert!(cleaner.into_redactions().is_empty());
    }
}
