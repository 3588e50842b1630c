//! The names that clients give: tenants, sessions, projects, people. Short, printable, compared byte for byte.
//!
//! **Invariant:** a name is never empty, never holds a control character, and never decides who may read what;
//! [`crate::domain::Caller`] does.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::domain::Invalid;
use crate::domain::redact::redact;

/// Longest tenant name, in bytes. It stands in URLs, headers and log lines.
pub const MAX_TENANT_BYTES: usize = 128;
/// The tenant of those who name none.
pub const DEFAULT_TENANT: &str = "default";
/// Longest session, project, person or actor name, in bytes. Git remotes and absolute paths fit.
pub const MAX_NAME_BYTES: usize = 512;

/// The isolation boundary a call acts in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(String);

impl TenantId {
    /// The tenant of those who name none.
    pub fn default_tenant() -> Self {
        Self(DEFAULT_TENANT.to_owned())
    }

    /// Reads a tenant name: 1 to 128 of letters, digits and `. _ : / @ -`.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
        if text.is_empty() || text.len() > MAX_TENANT_BYTES || !text.bytes().all(allowed) {
            return Err(Invalid::new(
                field,
                "is not 1 to 128 letters, digits or any of . _ : / @ -",
            ));
        }
        // Most commands name none, and the redactor takes a millisecond to set up in each process.
        if text != DEFAULT_TENANT && !redact(text).is_clean() {
            return Err(Invalid::new(
                field,
                "looks like a secret; a tenant's name is stored as it is",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name that the store already holds.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A session, project, person or actor as the client calls it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Reads a name: 1 to 512 bytes, without control characters; white space around it is cut. U+0000 becomes U+FFFD, as in
    /// every text.
    pub fn parse(field: &str, text: &str) -> Result<Self, Invalid> {
        let whole = if text.contains('\0') {
            Cow::Owned(text.replace('\0', "\u{fffd}"))
        } else {
            Cow::Borrowed(text)
        };
        let text = whole.trim();
        if text.is_empty() {
            return Err(Invalid::new(field, "is empty"));
        }
        if text.len() > MAX_NAME_BYTES {
            return Err(Invalid::new(field, "is longer than 512 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(field, "holds a control character"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a name if there is one.
    pub fn parse_opt(field: &str, text: Option<&str>) -> Result<Option<Self>, Invalid> {
        text.map(|text| Self::parse(field, text)).transpose()
    }

    /// A name that the store already holds.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for TenantId {
    fn schema_name() -> Cow<'static, str> {
        "TenantId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a tenant.",
            "type": "string",
            "pattern": format!("^[A-Za-z0-9._:/@-]{{1,{MAX_TENANT_BYTES}}}$"),
        })
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Name".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The client's name of something, without control characters; at most 512 bytes in UTF-8.",
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_NAME_BYTES,
            "pattern": r"^[^\u0001-\u001f\u007f-\u009f]*[^\s\u0001-\u001f\u007f-\u009f][^\u0001-\u001f\u007f-\u009f]*$",
        })
    }
}

impl Serialize for TenantId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_names_that_would_hide() {
        for text in ["", "  ", "a\nb", "\u{7f}", &"x".repeat(513)] {
            assert!(Name::parse("session_id", text).is_err(), "{text:?}");
        }
        assert_eq!(Name::parse("session_id", " s 1 ").unwrap().as_str(), "s 1");
    }

    #[test]
    fn tenants_are_plain() {
        assert!(TenantId::parse("tenant_id", "locomo/conv-26").is_ok());
        for text in ["", "a b", "ünder", &"x".repeat(129)] {
            assert!(TenantId::parse("tenant_id", text).is_err(), "{text:?}");
        }
    }
}
