//! One pass over a text that finds its words, identifiers, emoji and runs of scripts without spaces.
//!
//! **Invariant:** no backtracking and no table of identifiers: what holds a token together is decided by the characters
//! beside a joint, so the pass is linear in the text whatever it is.

use unicode_normalization::char::is_combining_mark;

use crate::domain::terms::{
    MAX_TERM_BYTES,
    words::{KNOWN, STEMMER, changes, folded, stemmed},
};

/// More humps than this are base64 rather than camelCase; the longest name in the Rust compiler has nine.
const MAX_HUMPS: usize = 10;

/// The joints of identifiers, the strongest first: places, names in a place, words in a name.
const JOINTS: [&[char]; 3] = [&['/', ':', '@', '#', '<'], &['.'], &['_', '-', '+']];
/// What a term is in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Word,
    /// A word that frames a question: half its weight when asked, a word when indexed.
    Frame,
    /// Says nothing of the text; kept only where there is nothing else.
    Stop,
    /// An identifier as written.
    Whole,
    /// A part of an identifier.
    Part,
}

/// Calls `emit` for every term of the text, in its order.
pub(super) fn scan(text: &str, emit: &mut impl FnMut(&str, Role)) {
    let text = folded(text);
    let text: &str = &text;
    let mut scanner = Scanner {
        text,
        lower: String::new(),
        emit,
    };
    let mut at = 0;
    while let Some(kind) = kind_at(text, at) {
        at = match kind {
            Kind::Word(_) => scanner.token(at),
            Kind::Dense(_) => scanner.dense(at),
            Kind::Emoji(len) => scanner.emoji(at, len),
            Kind::Joint(len) | Kind::Gap(len) => at + len,
        };
    }
}

/// What stands at a place of the text, with its length in bytes.
#[derive(Clone, Copy)]
enum Kind {
    /// A letter, digit or mark of a script that puts spaces between words.
    Word(usize),
    /// ASCII punctuation that may hold an identifier together.
    Joint(usize),
    /// A character of a script without spaces between words.
    Dense(usize),
    Emoji(usize),
    Gap(usize),
}

#[inline]
fn kind_at(text: &str, at: usize) -> Option<Kind> {
    let byte = *text.as_bytes().get(at)?;
    Some(match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => Kind::Word(1),
        b'_' | b'-' | b'.' | b'/' | b':' | b'#' | b'@' | b'+' | b'<' => Kind::Joint(1),
        0..=0x7f => Kind::Gap(1),
        _ => wide_kind(text.get(at..)?.chars().next()?),
    })
}

/// The blocks of the scripts named, as Unicode 16 lists them.
fn wide_kind(c: char) -> Kind {
    let len = c.len_utf8();
    match u32::from(c) {
        // Thai, Lao, Myanmar, Khmer.
        0x0e01..=0x0e4e | 0x0e50..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17dd
        // Hangul syllables and letters; kana; Han with its iteration mark and number zero; bopomofo.
        | 0x1100..=0x11ff | 0x3131..=0x318e | 0xac00..=0xd7a3 | 0x3041..=0x309f | 0x30a1..=0x30fa | 0x30fc..=0x30ff
        | 0x31f0..=0x31ff | 0x3005..=0x3007 | 0x3105..=0x312f | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0x20000..=0x3ffff => Kind::Dense(len),
        // Skin tones vary an emoji, as accents do a letter.
        0x1f3fb..=0x1f3ff => Kind::Gap(len),
        0x231a..=0x231b | 0x23e9..=0x23f3 | 0x2600..=0x27bf | 0x2b05..=0x2b55 | 0x1f000..=0x1faff => Kind::Emoji(len),
        _ if c.is_alphanumeric() || is_combining_mark(c) => Kind::Word(len),
        _ => Kind::Gap(len),
    }
}

/// One pass over a folded text.
struct Scanner<'a, F> {
    text: &'a str,
    /// The lower-cased token, kept between tokens for its memory.
    lower: String,
    emit: &'a mut F,
}

impl<F: FnMut(&str, Role)> Scanner<'_, F> {
    /// Reads a token: a run of word characters, or several held together by joints. Returns where it ends.
    fn token(&mut self, start: usize) -> usize {
        let (mut end, mut joints) = (start, false);
        loop {
            while let Some(Kind::Word(len)) = kind_at(self.text, end) {
                end += len;
            }
            let mut next = end;
            while let Some(Kind::Joint(len)) = kind_at(self.text, next) {
                next += len;
            }
            let joint = self.text.get(end..next).unwrap_or_default();
            if !holds(joint) || !matches!(kind_at(self.text, next), Some(Kind::Word(_))) {
                break;
            }
            (end, joints) = (next, true);
        }
        let token = self.text.get(start..end).unwrap_or_default();
        let after = self.text.as_bytes().get(end..).unwrap_or_default();
        if joints {
            self.compound(token, Role::Whole, &JOINTS);
            return end;
        }
        if let Some(sign) = language_sign(token, after) {
            self.lower(token);
            self.lower.push_str(sign);
            (self.emit)(&self.lower, Role::Whole);
            self.word(token, Some(Role::Part));
            return end + sign.len();
        }
        let (tail, negates) = contraction(token, after);
        if negates {
            self.lower(token);
            let known = stemmed(&self.lower);
            (self.emit)(&known, Role::Stop);
        } else if token.eq_ignore_ascii_case("may") && self.is_month(start, end) {
            (self.emit)("may", Role::Word);
        } else {
            self.name(token, None);
        }
        end + tail
    }

    /// An identifier: whole if it has joints, then its pieces between the strongest of them, likewise.
    fn compound(&mut self, token: &str, role: Role, levels: &[&[char]]) {
        let token = token.trim_matches(|c: char| c.is_ascii_punctuation());
        let Some(strongest) = levels.iter().position(|joints| token.contains(*joints)) else {
            return self.name(token, Some(Role::Part));
        };
        self.lower(token);
        if self.lower.contains('<') {
            self.lower = self.lower.replace('<', ":");
        }
        (self.emit)(&self.lower, role);
        if let Some(version) = self
            .lower
            .strip_prefix('v')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        {
            (self.emit)(version, role);
        }
        let (joints, weaker) = (levels.get(strongest), levels.get(strongest + 1..));
        for piece in token.split(joints.copied().unwrap_or_default()) {
            self.compound(piece, Role::Part, weaker.unwrap_or_default());
        }
    }

    /// A token without joints: a word, or humps (`camelCase`) whole and in parts.
    fn name(&mut self, token: &str, role: Option<Role>) {
        let humps = humps(token);
        if humps.len() < 2 || humps.len() > MAX_HUMPS {
            return self.word(token, role);
        }
        // The whole is stemmed as a word, so that `GitHub` is `github`.
        self.word(token, role.or(Some(Role::Whole)));
        for hump in humps.into_iter().filter(|hump| hump.len() > 1) {
            self.word(hump, Some(Role::Part));
        }
    }

    /// One word, stemmed. `role` is its role if it is not a stop-word.
    fn word(&mut self, token: &str, role: Option<Role>) {
        if token.is_empty() {
            return;
        }
        self.lower(token);
        if let Some((term, known)) = KNOWN.get(self.lower.as_str()) {
            let role = if *known == Role::Stop {
                *known
            } else {
                role.unwrap_or(*known)
            };
            return (self.emit)(term, role);
        }
        let role = role.unwrap_or(Role::Word);
        if changes(&self.lower) {
            let stem = STEMMER.stem(&self.lower);
            (self.emit)(&stem, role);
        } else {
            (self.emit)(&self.lower, role);
        }
    }

    /// `May` is a month beside a number, or with its capital letter inside a sentence; else it is a stop-word.
    fn is_month(&self, start: usize, end: usize) -> bool {
        let before = self.text.get(..start).unwrap_or_default();
        let mut before = before.bytes().rev().skip_while(u8::is_ascii_whitespace);
        let mut after = self.text.get(end..).unwrap_or_default().bytes();
        let inside = before.next().is_some_and(|b| {
            b.is_ascii_digit()
                || self.text.as_bytes().get(start) == Some(&b'M')
                    && (b.is_ascii_alphanumeric() || b == b',')
        });
        inside
            || after
                .find(|b| !b.is_ascii_whitespace() && *b != b',')
                .is_some_and(|b| b.is_ascii_digit())
    }

    /// A run of a script without spaces: each pair of neighbours, or its only character.
    fn dense(&mut self, start: usize) -> usize {
        let (mut end, mut last, mut alone) = (start, None, true);
        while let Some(Kind::Dense(len)) = kind_at(self.text, end) {
            if let Some(last) = last.replace(end) {
                alone = false;
                (self.emit)(
                    self.text.get(last..end + len).unwrap_or_default(),
                    Role::Word,
                );
            }
            end += len;
        }
        if alone {
            (self.emit)(self.text.get(start..end).unwrap_or_default(), Role::Word);
        }
        end
    }

    /// One emoji; a flag is a pair of letters.
    fn emoji(&mut self, start: usize, len: usize) -> usize {
        let flag = |at: usize| {
            let c = self.text.get(at..).and_then(|rest| rest.chars().next());
            c.is_some_and(|c| ('\u{1f1e6}'..='\u{1f1ff}').contains(&c))
        };
        let end = if flag(start) && flag(start + len) {
            start + 2 * len
        } else {
            start + len
        };
        (self.emit)(self.text.get(start..end).unwrap_or_default(), Role::Word);
        end
    }

    fn lower(&mut self, token: &str) {
        self.lower.clear();
        if token.is_ascii() {
            self.lower.push_str(token);
            self.lower.make_ascii_lowercase();
        } else {
            self.lower.extend(
                token
                    .chars()
                    .flat_map(char::to_lowercase)
                    .map(|c| if c == 'ς' { 'σ' } else { c }),
            );
        }
    }
}

/// Whether these joints between two words make one identifier: `a/b`, `std::sync`, `https://x`, `__init__`; not a dash
/// (`--`) and not an ellipsis.
fn holds(joint: &str) -> bool {
    match joint.len() {
        0 => false,
        1 => true,
        2..=4 => {
            !joint.contains("--")
                && !joint.contains("<")
                && (!joint.contains("..") || joint.contains('/'))
        }
        _ => false,
    }
}

/// The sign of a programming language's name: `C++`, `g++`, `C#`, `F#`.
fn language_sign(token: &str, after: &[u8]) -> Option<&'static str> {
    let sign = match after {
        [b'+', b'+', ..] if token.len() <= 3 => "++",
        [b'#', ..] if token.len() == 1 => "#",
        _ => return None,
    };
    let next = after.get(sign.len());
    let ends = !next.is_some_and(u8::is_ascii_alphanumeric)
        && token.bytes().all(|b| b.is_ascii_alphabetic());
    ends.then_some(sign)
}

/// How long the rest of a contraction after this word is (`'s`, `'ll`), and whether it is a negation, which is a
/// stop-word whatever its stem (`isn't`).
fn contraction(token: &str, after: &[u8]) -> (usize, bool) {
    let [b'\'', after @ ..] = after else {
        return (0, false);
    };
    let len = after
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric())
        .count();
    let tail = after.get(..len).unwrap_or_default();
    let negates = tail.eq_ignore_ascii_case(b"t") && token.ends_with(['n', 'N']);
    let known = [b"s".as_slice(), b"t", b"m", b"d", b"re", b"ve", b"ll"];
    if known.iter().any(|known| tail.eq_ignore_ascii_case(known)) {
        (len + 1, negates)
    } else {
        (0, false)
    }
}

/// The parts of `camelCase`, `PascalCase`, `HTTPServer`; fewer than two if the token is a plain word, a plural acronym
/// (`APIs`) or not ASCII.
fn humps(token: &str) -> Vec<&str> {
    let inside = token.as_bytes().get(1..).unwrap_or_default();
    if token.len() > MAX_TERM_BYTES
        || !inside.iter().any(u8::is_ascii_uppercase)
        || !token.is_ascii()
    {
        return Vec::new();
    }
    if token
        .strip_suffix('s')
        .unwrap_or(token)
        .bytes()
        .all(|b| !b.is_ascii_lowercase())
    {
        return Vec::new();
    }
    let mut cuts = vec![0];
    for (at, window) in token.as_bytes().windows(3).enumerate() {
        match window {
            [a, b, _] if !a.is_ascii_uppercase() && b.is_ascii_uppercase() => cuts.push(at + 1),
            [a, b, c]
                if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_lowercase() =>
            {
                cuts.push(at + 1)
            }
            _ => {}
        }
    }
    if let [.., a, b] = token.as_bytes()
        && a.is_ascii_lowercase()
        && b.is_ascii_uppercase()
    {
        cuts.push(token.len() - 1);
    }
    cuts.push(token.len());
    cuts.windows(2)
        .filter_map(|cut| token.get(*cut.first()?..*cut.last()?))
        .filter(|hump| !hump.is_empty())
        .collect()
}
