//! Whether a run of characters is a secret or only stands where one could.
//!
//! **Invariant:** looks at no more than [`LOOK`] bytes, so that a crafted text takes linear time.

/// Most bytes of a run that are judged. Of everything in the tables the longest fixed length is 184.
pub(super) const LOOK: usize = 256;

/// What people write where a secret belongs, so that nobody takes it for one.
const STAND_INS: &[&str] = &[
    "example",
    "your",
    "placeholder",
    "changeme",
    "change-me",
    "change_me",
    "replace",
    "redacted",
    "dummy",
    "xxxx",
    "...",
    "***",
    "…",
    "${",
    "{{",
    "<",
    "filtered",
    "hidden",
];

/// Passwords of addresses in guides and of containers that nobody can reach.
const WELL_KNOWN: &[&str] = &[
    "pass",
    "password",
    "passwd",
    "pwd",
    "pw",
    "secret",
    "guest",
    "root",
    "admin",
    "user",
    "username",
    "postgres",
    "mysql",
    "redis",
    "test",
    "token",
    "key",
    "postgresql",
    "mongo",
    "minio",
    "minioadmin",
    "rabbitmq",
    "hunter2",
    "foo",
    "bar",
];

/// The first bytes of a value, cut where a character ends.
pub(super) fn head(value: &str) -> &str {
    value
        .get(..value.floor_char_boundary(LOOK))
        .unwrap_or_default()
}

/// Whether it only marks the place of a secret: `<YOUR_KEY>`, `$TOKEN`, `xxxx`, `0000`, `[REDACTED]`.
pub(super) fn placeholder(value: &str) -> bool {
    let value = head(value);
    if value.starts_with(['<', '$', '{', '%', '[', '@', '*']) {
        return true;
    }
    let lower = value.to_ascii_lowercase();
    if STAND_INS.iter().any(|word| lower.contains(word)) {
        return true;
    }
    let mut seen = [false; 256];
    for byte in lower.bytes() {
        if let Some(seen) = seen.get_mut(usize::from(byte)) {
            *seen = true;
        }
    }
    // Drawn by lot, eight characters of a small alphabet hold more than three different ones but once in millions.
    seen.iter().filter(|seen| **seen).count() <= 3
}

/// Whether an address may show it, as guides do.
pub(super) fn well_known(value: &str) -> bool {
    WELL_KNOWN
        .iter()
        .any(|known| known.eq_ignore_ascii_case(value))
}

/// Drawn by lot, not written: words joined by hyphens have no digit.
pub(super) fn mixed(value: &str) -> bool {
    let value = head(value);
    value.bytes().any(|b| b.is_ascii_digit()) && value.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Between how many neighbouring letters and digits the kind of character changes; a capital before a small letter is a
/// word's beginning, and what stands between words changes nothing.
fn changes(value: &str) -> usize {
    let kind = |byte: u8| match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    let change = |a, b| a != b && a != 3 && b != 3 && (a, b) != (1, 0);
    let pairs = head(value).as_bytes().windows(2);
    pairs
        .filter(|pair| matches!(pair, [a, b] if change(kind(*a), kind(*b))))
        .count()
}

/// Where a value stands, which says how much it must look like a secret to be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Setting {
    /// Quoted, or the rest of a line `NAME=`: nothing but a literal stands there.
    Literal,
    /// Bare: it may as well be code.
    Bare,
    /// After "is" in a sentence.
    Prose,
}

/// Whether the value of a name that stands for a secret is one. `spaced`: may hold spaces, as a passphrase may.
pub(super) fn is_secret(value: &str, setting: Setting, spaced: bool) -> bool {
    let looked_at = head(value);
    if looked_at.len() < 8
        || placeholder(looked_at)
        || well_known(looked_at)
        || plainly_not(looked_at)
    {
        return false;
    }
    if looked_at.contains([' ', '\t']) && !spaced {
        return false;
    }
    let digits = looked_at.bytes().filter(u8::is_ascii_digit).count();
    let letters = looked_at.bytes().filter(u8::is_ascii_alphabetic).count();
    let odd = looked_at.contains(['!', '#', '%', '^', '~', '+', '&', '$', '@', '*']);
    let changes = changes(looked_at);
    let numbers = looked_at
        .split(|c: char| !c.is_ascii_digit())
        .filter(|run| !run.is_empty())
        .count();
    let capital = looked_at.bytes().any(|b| b.is_ascii_uppercase());
    let both = letters > 0 && digits > 0;
    match setting {
        // `access-1` is a name with a number.
        Setting::Literal => {
            both && (digits > 1 || capital || odd)
                || changes >= 6
                || odd && letters > 0 && changes >= 2
        }
        // So is `X509RequestInheritOptions`.
        Setting::Bare => {
            both && (odd || numbers > 1 && (digits >= 3 || changes >= 4)) || changes >= 8
        }
        Setting::Prose => both && changes >= 2 && (odd || changes >= 5 && looked_at.len() >= 12),
    }
}

/// A path, a version, a date, an address, a list of rules or the name of something in code.
fn plainly_not(value: &str) -> bool {
    let bytes = value.as_bytes();
    let path = value.starts_with("./")
        || value.starts_with("~/")
        || value.starts_with("../")
        || value.starts_with('/') && value.split('/').all(|part| part.len() <= 16);
    let number = value
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b',' | b'_' | b'-' | b':'));
    let version = {
        let digits = value.trim_start_matches(['^', '~', '=', 'v', '>', ' ']);
        let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        rest.len() < digits.len()
            && rest.strip_prefix('.').is_some_and(|rest| {
                let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                after.len() < rest.len() && (after.is_empty() || after.starts_with(['.', '-', '+']))
            })
    };
    let hex_number = value.starts_with("0x") && value.len() <= 18;
    let date = bytes.len() >= 10
        && matches!(bytes, [a, b, c, d, b'-', e, f, b'-', ..]
        if [a, b, c, d, e, f].iter().all(|b| b.is_ascii_digit()));
    let dotted = value.contains('.')
        && value.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
        });
    path || hex_number
        || number
        || version
        || date
        || dotted
        || value.contains("://")
        || value.contains('|')
        || value.contains("::")
        || value.starts_with("sha256:")
        || value.starts_with("sha512-")
}
