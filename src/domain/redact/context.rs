//! Secrets that are told by where they stand: a header, an address, a switch of a command; and those whose shape has no
//! beginning of its own.
//!
//! **Invariant:** looks a bounded way back and ahead from the word that makes it look.

use crate::domain::redact::shape::run;
use crate::domain::redact::value::{self, Setting, mixed, placeholder};
use crate::domain::redact::{Found, SecretKind, at_boundary};

/// Looks at what follows a word that stands at `at..end`.
type Look = fn(&str, usize, usize) -> Option<Found>;

/// The words, in any case, and who looks at them.
pub(super) const PLACES: &[(&str, Look)] = &[
    ("authorization", header),
    ("bearer", bearer),
    ("://", address),
    ("-----begin ", private_key),
    (".atlasv1.", terraform),
    ("-us", mailchimp),
    (":aa", telegram),
    ("sshpass", command),
    ("redis-cli", command),
    ("docker login", command),
    ("podman login", command),
    ("mysql", command),
    ("mariadb", command),
    ("curl", command),
    ("_auth", npmrc),
];

/// How a Discord token begins: the base64 of an id's first two digits.
pub(super) fn discord_beginnings() -> impl Iterator<Item = String> {
    ["MT", "Mj", "Mz", "ND", "NT", "Nj", "Nz", "OD", "OT"]
        .into_iter()
        .flat_map(|two| {
            "AEIMQUYcgk"
                .chars()
                .map(move |third| format!("{two}{third}"))
        })
}

fn secret(kind: SecretKind, start: usize, end: usize) -> Option<Found> {
    Some(Found {
        kind,
        start,
        end,
        by_shape: false,
    })
}

fn shaped(kind: SecretKind, start: usize, end: usize) -> Option<Found> {
    Some(Found {
        kind,
        start,
        end,
        by_shape: true,
    })
}

fn blanks(bytes: &[u8], at: usize, most: usize) -> usize {
    run(bytes, at, |b| b == b' ' || b == b'\t', most)
}

fn credential(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'-')
}

/// `Authorization: Bearer …`, as in HTTP, in JSON (perhaps as a string inside a string) or on a command line.
fn header(text: &str, _: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let quotes = |at| run(bytes, at, |b| matches!(b, b'\\' | b'"' | b'\'' | b'`'), 4);
    let mut at = end + quotes(end);
    at += blanks(bytes, at, 4);
    if !matches!(bytes.get(at), Some(b':' | b'=')) {
        return None;
    }
    at += 1 + blanks(bytes, at + 1, 4);
    at += quotes(at);
    let scheme = run(bytes, at, |b| b.is_ascii_alphabetic(), 8);
    let word = text.get(at..at + scheme)?;
    let gap = blanks(bytes, at + scheme, 4);
    let start = at + scheme + gap;
    let length = run(bytes, start, credential, usize::MAX);
    let token = text.get(start..start + length)?;
    if gap == 0 || length < 8 || placeholder(token) {
        return None;
    }
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    if is("basic") {
        secret(SecretKind::BasicCredentials, start, start + length)
    } else if is("bearer") || is("token") || is("apikey") {
        secret(SecretKind::BearerToken, start, start + length)
    } else {
        None
    }
}

/// Without the header's name it is prose unless it is long and looks drawn by lot. 20: the shortest token in the examples
/// of RFC 6749 has 22 characters.
fn bearer(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let gap = blanks(bytes, end, 4);
    let start = end + gap;
    let looked_at = run(bytes, start, credential, value::LOOK);
    let token = text.get(start..start + looked_at)?;
    if gap == 0 || !at_boundary(text, at) || looked_at < 20 || !mixed(token) || placeholder(token) {
        return None;
    }
    secret(
        SecretKind::BearerToken,
        start,
        start + run(bytes, start, credential, usize::MAX),
    )
}

/// `scheme://user:password@host`.
fn address(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let part = |b: u8| {
        !b.is_ascii_whitespace()
            && !matches!(
                b,
                b'/' | b'?' | b'#' | b'"' | b'\'' | b'`' | b'<' | b'>' | b'\\' | b'@'
            )
    };
    let user = run(bytes, end, |b| part(b) && b != b':', 128);
    if at == 0 || bytes.get(end + user) != Some(&b':') {
        return None;
    }
    let start = end + user + 1;
    let length = run(bytes, start, part, value::LOOK);
    let stop = start + length;
    let password = text.get(start..stop)?;
    let name = text.get(end..end + user)?;
    let host = bytes
        .get(stop + 1)
        .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'[' | b'$' | b'{'));
    let shown = length < 4
        || placeholder(password)
        || value::well_known(password)
        || password.eq_ignore_ascii_case(name);
    (bytes.get(stop) == Some(&b'@') && host && !shown).then_some(())?;
    secret(SecretKind::ConnectionPassword, start, stop)
}

/// How far a key goes whose end is looked for: an RSA key of 8,192 bits has 6,400 characters.
const MOST_KEY: usize = 16 * 1024;

/// A key in PEM form to its end, or as far as it goes on: cut short it is still most of a key. Without a line of it the
/// words of the first line are only about one.
fn private_key(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let label = run(
        bytes,
        end,
        |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ',
        60,
    );
    let name = text.get(end..end + label)?;
    if !(name.ends_with("PRIVATE KEY") || name.ends_with("PRIVATE KEY BLOCK")) {
        return None;
    }
    let body = end + label + run(bytes, end + label, |b| b == b'-', 5);
    let glue = |b: u8| b.is_ascii_whitespace() || matches!(b, b'\\' | b'"' | b'\'' | b'+' | b',');
    let mut first = body + run(bytes, body, glue, 64);
    if first > body && matches!(bytes.get(first - 1), Some(b'\\')) {
        first += run(bytes, first, |b| matches!(b, b'n' | b'r'), 1);
    }
    let looks_on = first > body && bytes.get(first).is_some_and(u8::is_ascii_alphanumeric);
    if !looks_on {
        return None;
    }
    let window =
        text.get(body..text.floor_char_boundary(body.saturating_add(MOST_KEY).min(text.len())))?;
    if let Some(found) = window.find("-----END ") {
        let from = body + found + "-----END ".len();
        let rest = run(
            bytes,
            from,
            |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ',
            60,
        );
        return shaped(
            SecretKind::PrivateKey,
            at,
            from + rest + run(bytes, from + rest, |b| b == b'-', 5),
        );
    }
    let mut stop = body;
    for line in text.get(body..)?.split_inclusive('\n') {
        let inner = line.trim_matches([' ', '\t', '\r', '\n', '"', '\'', '+', ',']);
        let headed = inner.starts_with("Proc-Type:")
            || inner.starts_with("DEK-Info:")
            || inner.starts_with("Version:")
            || inner.starts_with("Comment:");
        if !headed && !inner.bytes().all(|b| credential(b) || b == b'\\') {
            // What is left of the line it was cut in.
            stop += run(
                bytes,
                stop,
                |b| credential(b) || b == b'\\' || b.is_ascii_whitespace() && stop == body,
                usize::MAX,
            );
            break;
        }
        stop += line.len();
    }
    while stop > body && bytes.get(stop - 1).is_some_and(u8::is_ascii_whitespace) {
        stop -= 1;
    }
    shaped(SecretKind::PrivateKey, at, stop)
}

/// How many bytes of a class stand before `at`, and that nothing of a word does before them.
fn back(
    bytes: &[u8],
    at: usize,
    class: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> Option<usize> {
    let before = bytes.get(..at)?;
    let count = before
        .iter()
        .rev()
        .take(most + 1)
        .take_while(|b| class(**b))
        .count();
    let edge = before
        .iter()
        .rev()
        .nth(count)
        .is_none_or(|b| !b.is_ascii_alphanumeric());
    ((least..=most).contains(&count) && edge).then_some(count)
}

fn hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

fn url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

fn terraform(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let name = back(bytes, at, |b| b.is_ascii_alphanumeric(), 14, 14)?;
    let length = run(bytes, end, url, 256);
    (length >= 60).then_some(())?;
    shaped(SecretKind::ServiceToken, at - name, end + length)
}

fn mailchimp(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let key = back(bytes, at, hex, 32, 32)?;
    let zone = run(bytes, end, |b| b.is_ascii_digit(), 3);
    (zone == 1 || zone == 2).then_some(())?;
    shaped(SecretKind::ServiceToken, at - key, end + zone)
}

fn telegram(text: &str, at: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let bot = back(bytes, at, |b| b.is_ascii_digit(), 8, 10)?;
    let length = run(bytes, end, url, 40);
    ((32..=35).contains(&length) && text.get(at..end) == Some(":AA")).then_some(())?;
    shaped(SecretKind::BotToken, at - bot, end + length)
}

/// Three parts in base64, the first of which is a number.
pub(super) fn discord(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let id = run(bytes, at, |b| b.is_ascii_alphanumeric(), 29);
    let stamp = at + id + 1;
    let time = run(bytes, stamp, url, 8);
    let sum = stamp + time + 1;
    let code = run(bytes, sum, url, 64);
    let dots = bytes.get(at + id) == Some(&b'.') && bytes.get(stamp + time) == Some(&b'.');
    let fits = (23..=28).contains(&id) && (5..=7).contains(&time) && (27..=45).contains(&code);
    (dots && fits && at_boundary(text, at)).then_some(())?;
    shaped(SecretKind::BotToken, at, sum + code)
}

/// Most bytes of a command line that are looked at.
const MOST_COMMAND: usize = 256;

/// The password that a command takes: `mysql -p…`, `curl -u name:…`, `sshpass -p …`, `redis-cli -a …`, `docker login -p …`.
fn command(text: &str, at: usize, end: usize) -> Option<Found> {
    let name = text.get(at..end)?.to_ascii_lowercase();
    if !at_boundary(text, at) {
        return None;
    }
    let line =
        text.get(end..text.floor_char_boundary(end.saturating_add(MOST_COMMAND).min(text.len())))?;
    let line = line.split(['\n', '|', ';']).next()?;
    let words = || {
        line.split([' ', '\t', '"', '\'', '`', '\\'])
            .filter(|word| !word.is_empty())
    };
    let place = |word: &str| end + (word.as_ptr().addr() - line.as_ptr().addr());
    let after = |switches: &'static [&str]| {
        let mut words = words();
        words
            .find(|word| switches.contains(word))
            .and_then(|_| words.next())
    };
    let password = match name.as_str() {
        "sshpass" => after(&["-p"]).or_else(|| words().find_map(|word| word.strip_prefix("-p"))),
        "redis-cli" => after(&["-a", "--pass"]),
        "docker login" | "podman login" => after(&["-p", "--password"]),
        "mysql" | "mariadb" => words()
            .filter(|word| !word.starts_with("--"))
            .find_map(|word| word.strip_prefix("-p")),
        _ => after(&["-u", "--user"])
            .or_else(|| words().find_map(|word| word.strip_prefix("-u")))
            .and_then(|pair| pair.split_once(':'))
            .map(|(_, password)| password),
    }?;
    let start = place(password);
    value::is_secret(password, Setting::Literal, false).then_some(())?;
    secret(SecretKind::Password, start, start + password.len())
}

/// `_authToken=…` and `_auth=…` of an .npmrc.
fn npmrc(text: &str, _: usize, end: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    let name = run(bytes, end, |b| b.is_ascii_alphabetic(), 8);
    let at = end + name;
    (matches!(text.get(end..at), Some("" | "Token")) && bytes.get(at) == Some(&b'='))
        .then_some(())?;
    let start = at + 1;
    let length = run(bytes, start, credential, 512);
    let token = text.get(start..start + length)?;
    (length >= 16 && mixed(token) && !placeholder(token)).then_some(())?;
    secret(SecretKind::ApiKey, start, start + length)
}
