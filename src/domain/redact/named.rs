//! Secrets that are told by the name before them: `DB_PASSWORD=…`, `"api_key": "…"`, `<password>…</password>`.
//!
//! A name counts by its last words (`client_secret` does, `secret_name` and `max_tokens` do not), and only with a literal
//! after it: a word such as "password" in prose or code makes no secret of its neighbour.
//!
//! **Invariant:** what stands after a name is a secret only if it does not look like code, a reference, a placeholder, a
//! path, a version or plain words ([`value::is_secret`]).

use crate::domain::redact::value::{self, Setting};
use crate::domain::redact::{Found, SecretKind};

/// What a name that may stand for a secret has somewhere in it.
pub(super) const STEMS: &[&str] = &[
    "passw",
    "passphrase",
    "pwd",
    "_pass",
    "-pass",
    "secret",
    "token",
    "key",
    "credential",
];

/// Most bytes of a name on each side of its stem.
const MOST_NAME: usize = 48;
/// Most bytes of a value in quotes.
const MOST_VALUE: usize = 1024;

/// The secret after the name whose stem is at `at..end`, if it is one.
pub(super) fn found(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let name_end = end + super::shape::run(bytes, end, in_name, MOST_NAME);
    let after = After::parse(bytes, name_end)?;
    let before = bytes.get(..at).unwrap_or_default();
    let name_start = at
        - before
            .iter()
            .rev()
            .take(MOST_NAME)
            .take_while(|b| in_name(**b))
            .count();
    let name = text.get(name_start..name_end)?;
    let class = classify(name)?;
    let (start, stop, setting) = after.value(text, name_start, name)?;
    let secret = text.get(start..stop)?;
    let good = value::is_secret(
        secret,
        setting,
        class == SecretKind::Password && setting == Setting::Literal,
    );
    good.then_some(Found {
        kind: class,
        start,
        end: stop,
        by_shape: false,
    })
}

fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Words whose owner keeps them to himself, if they come last.
const PASSWORDS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "passcode",
];
const SECRETS: &[&str] = &[
    "secret",
    "token",
    "apikey",
    "authtoken",
    "secretkey",
    "accesskey",
    "credential",
    "credentials",
    "apitoken",
    "accesstoken",
    "clientsecret",
];
/// What a key has to be of.
const KEYS: &[&str] = &[
    "api",
    "access",
    "secret",
    "private",
    "encryption",
    "signing",
    "auth",
    "account",
    "master",
    "license",
    "deploy",
    "service",
    "app",
    "hmac",
    "jwt",
];
/// Tokens that are no permission.
const HARMLESS: &[&str] = &[
    "next",
    "page",
    "continuation",
    "sync",
    "csrf",
    "xsrf",
    "cancellation",
    "cancel",
    "pad",
    "eos",
    "bos",
    "unk",
    "special",
    "stop",
    "mask",
    "sep",
    "cls",
    "public",
    "sort",
    "max",
    "min",
    "last",
    "first",
    "previous",
];

/// What a name stands for, by its last words.
fn classify(name: &str) -> Option<SecretKind> {
    let words = words(name);
    let mut last = words.iter().rev().map(String::as_str);
    let mut word = last.next()?;
    // SECRET_KEY_BASE, API_KEY_V2, DB_PASSWORD_1.
    while matches!(
        word,
        "base"
            | "prod"
            | "production"
            | "staging"
            | "dev"
            | "test"
            | "value"
            | "live"
            | "v1"
            | "v2"
    ) || word.bytes().all(|b| b.is_ascii_digit())
    {
        word = last.next()?;
    }
    let before = last.next().unwrap_or_default();
    let known = PASSWORDS.contains(&word) && (word != "pass" || !before.is_empty());
    // PGPASSWORD, dbpassword.
    if known || word.ends_with("password") || word.ends_with("passwd") {
        return Some(SecretKind::Password);
    }
    if SECRETS.contains(&word) && !HARMLESS.contains(&before)
        || word == "key" && KEYS.contains(&before)
    {
        return Some(SecretKind::ApiKey);
    }
    None
}

/// The words of a name, small: `clientSecret`, `CLIENT_SECRET` and `client-secret` have the same.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = b'_';
    let bytes = name.as_bytes();
    for (at, byte) in bytes.iter().copied().enumerate() {
        let next_small = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let hump = byte.is_ascii_uppercase()
            && (before.is_ascii_lowercase() || before.is_ascii_uppercase() && next_small);
        if !byte.is_ascii_alphanumeric() || hump {
            words.push(String::new());
        }
        if byte.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
        before = byte;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What joins a name and its value.
enum Joint {
    /// `=`, `:`, `=>`, `:=`; whether a space stands on one of its sides.
    Sign { equals: bool, tight: bool },
    /// `>` of a tag.
    Tag,
    /// "is".
    Is,
    /// A space.
    Space,
}

struct After {
    joint: Joint,
    /// Where the value begins, quotes included.
    at: usize,
    /// Where the name ends.
    name_end: usize,
}

fn blanks(bytes: &[u8], at: usize) -> usize {
    super::shape::run(bytes, at, |b| b == b' ' || b == b'\t', 8)
}

impl After {
    fn parse(bytes: &[u8], name_end: usize) -> Option<Self> {
        let mut at = name_end;
        at += super::shape::run(bytes, at, |b| b == b'\\', 4);
        if matches!(bytes.get(at), Some(b'"' | b'\'' | b'`')) {
            at += 1;
            if bytes.get(at) == Some(&b']') {
                at += 1;
            }
        }
        let room = blanks(bytes, at);
        let sign = at + room;
        let tail = bytes.get(sign..).unwrap_or_default();
        let (joint, length) = match tail {
            [b':', b':', ..] | [b'=', b'=' | b'~', ..] => return None,
            [b':', b'=', ..] | [b'=', b'>', ..] => (
                Joint::Sign {
                    equals: true,
                    tight: false,
                },
                2,
            ),
            [sign @ (b'=' | b':'), next, ..] => {
                let tight = room == 0 && *next != b' ' && *next != b'\t';
                (
                    Joint::Sign {
                        equals: *sign == b'=',
                        tight,
                    },
                    1,
                )
            }
            [b'>', ..] if room == 0 => (Joint::Tag, 1),
            [b'i', b's', b' ', ..] if room > 0 => (Joint::Is, 2),
            [_, ..] if room > 0 && sign == name_end + room => (Joint::Space, 0),
            _ => return None,
        };
        let at = sign + length;
        Some(Self {
            joint,
            at: at + blanks(bytes, at),
            name_end,
        })
    }

    /// The bytes of the value, without its quotes, and where it stands.
    fn value(&self, text: &str, name_start: usize, name: &str) -> Option<(usize, usize, Setting)> {
        let bytes = text.as_bytes();
        let before = text.get(..name_start).unwrap_or_default();
        match self.joint {
            Joint::Sign { equals, tight } => {
                if let Some(quoted) = quoted(bytes, self.at).or_else(|| typed(bytes, self.at)) {
                    return Some((quoted.0, quoted.1, Setting::Literal));
                }
                let variable = !name.contains('.') && !name.bytes().any(|b| b.is_ascii_lowercase());
                if equals && tight && variable && at_line_start(before) {
                    let end = self.at
                        + super::shape::run(
                            bytes,
                            self.at,
                            |b| {
                                !b.is_ascii_whitespace()
                                    && !matches!(b, b'"' | b'\'' | b'\\' | b'`')
                            },
                            MOST_VALUE,
                        );
                    return Some((self.at, end, Setting::Literal));
                }
                let end = self.at + super::shape::run(bytes, self.at, bare, MOST_VALUE);
                let code = matches!(bytes.get(end), Some(b'(' | b'[' | b'{'));
                let tight_or_file =
                    tight || name.contains('.') || name.contains("secret_access_key");
                let setting = if equals && tight_or_file {
                    Setting::Literal
                } else {
                    Setting::Bare
                };
                (!code).then_some((self.at, trimmed(bytes, self.at, end), setting))
            }
            Joint::Tag => {
                let opens = before.ends_with('<') && self.at == self.name_end + 1;
                let end = self.at
                    + super::shape::run(bytes, self.at, |b| b != b'<' && b != b'\n', MOST_VALUE);
                (opens && bytes.get(end) == Some(&b'<')).then_some((self.at, end, Setting::Literal))
            }
            Joint::Is | Joint::Space => {
                let switch = name.starts_with("--");
                let netrc = name == "password"
                    && before
                        .get(before.floor_char_boundary(before.len().saturating_sub(200))..)
                        .is_some_and(|near| near.contains("machine ") && near.contains("login "));
                let setting = match self.joint {
                    Joint::Space if switch || netrc => Setting::Bare,
                    Joint::Is => Setting::Prose,
                    _ => return None,
                };
                if let Some((start, end)) = quoted(bytes, self.at) {
                    return Some((start, end, setting));
                }
                let end = self.at + super::shape::run(bytes, self.at, bare, MOST_VALUE);
                Some((self.at, trimmed(bytes, self.at, end), setting))
            }
        }
    }
}

/// Without the full stop that ends a sentence.
fn trimmed(bytes: &[u8], at: usize, end: usize) -> usize {
    if end > at && matches!(bytes.get(end - 1), Some(b'.' | b':' | b'?')) {
        end - 1
    } else {
        end
    }
}

/// Whether a setting of the environment may begin here.
fn at_line_start(before: &str) -> bool {
    let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
    let line = line
        .rsplit("\\n")
        .next()
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', '"', '\'', '-', '+', '`', '$', '#', '>']);
    matches!(
        line.trim_end(),
        "" | "export"
            | "ENV"
            | "ARG"
            | "set"
            | "env"
            | "Environment="
            | "-e"
            | "setx"
            | "declare -x"
    )
}

/// What no value without quotes goes beyond.
fn bare(byte: u8) -> bool {
    !byte.is_ascii_whitespace()
        && !matches!(
            byte,
            b'"' | b'\''
                | b'`'
                | b','
                | b';'
                | b'&'
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'['
                | b']'
                | b'{'
                | b'}'
                | b'\\'
        )
}

/// The inside of the quotes that open at `at`, be it after escapes or a letter such as Python's `b`.
fn quoted(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut open = at;
    if matches!(
        bytes.get(open..),
        Some([b'b' | b'r' | b'u', b'"' | b'\'', ..])
    ) {
        open += 1;
    }
    open += super::shape::run(bytes, open, |b| b == b'\\', 4);
    let quote = *bytes
        .get(open)
        .filter(|b| matches!(b, b'"' | b'\'' | b'`'))?;
    let start = open + 1;
    let end = start
        + super::shape::run(
            bytes,
            start,
            |b| b != quote && b != b'\n' && b != b'\\',
            MOST_VALUE,
        );
    matches!(bytes.get(end), Some(b) if *b == quote || *b == b'\\').then_some((start, end))
}

/// The same after a type: `: &str = "…"`, `: string = '…'`.
fn typed(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let kind = super::shape::run(
        bytes,
        at,
        |b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'&' | b'\'' | b'<' | b'>' | b'_' | b' ' | b':')
        },
        32,
    );
    let sign = at + kind;
    (kind > 0 && bytes.get(sign) == Some(&b'='))
        .then(|| sign + 1 + blanks(bytes, sign + 1))
        .and_then(|at| quoted(bytes, at))
}
