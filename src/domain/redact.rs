//! Secrets leave a text before it is stored.
//!
//! A secret becomes `[REDACTED:<kind>]`; what stands between `<private>` and `</private>` is dropped. There are three ways
//! to tell one: by its own shape (`redact/shape.rs`), by the name before it (`redact/named.rs`), and by where it stands
//! (`redact/context.rs`). One pass of an automaton over a text finds the words that make a rule look; a rule looks a
//! bounded way. A new provider is one row of a table. Nothing is guessed by entropy alone: hashes, ids and lock files are
//! what an agent's memory is full of. `tests/redaction` has the labelled set that this is measured by.
//!
//! It is on unless the operator switches it off for the whole process (`--redact off`), and says so where he looks: in
//! `status`, in the log, in a metric.
//!
//! **Invariant:** nothing but a secret's own bytes changes, redacting twice is redacting once, and no part of a secret is
//! in what this module returns beside the text: it counts, it never quotes.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

mod context;
mod kind;
mod named;
mod shape;
mod value;

use context::PLACES;
pub use kind::SecretKind;
use shape::SHAPES;

/// What a redaction made of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction<'a> {
    /// The text to store; borrowed if nothing had to change.
    pub text: Cow<'a, str>,
    /// How many secrets of each kind were replaced, in the order of [`SecretKind::ALL`]; no zeroes.
    pub found: Vec<(SecretKind, u64)>,
}

impl Redaction<'_> {
    /// Whether the text is as it was.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }
}

/// Whether secrets are looked for. One for the process: every way in, whatever thread it comes by, has the same.
static ON: AtomicBool = AtomicBool::new(true);

/// Switches redaction on or off, once, before anything is stored.
pub fn switch(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// Whether secrets are taken out.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Replaces the secrets of a text and drops what is private.
pub fn redact(text: &str) -> Redaction<'_> {
    if !is_on() {
        let (text, found) = (Cow::Borrowed(text), Vec::new());
        return Redaction { text, found };
    }
    let (public, private) = without_private(text);
    let (redacted, mut counts) = without_secrets(&public);
    count(&mut counts, SecretKind::PrivatePassage, private);
    let text = match redacted {
        Some(redacted) => Cow::Owned(redacted),
        None => public,
    };
    let found = SecretKind::ALL
        .iter()
        .copied()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .collect();
    Redaction { text, found }
}

/// Secrets with their bytes, as the rules find them.
struct Found {
    kind: SecretKind,
    start: usize,
    end: usize,
    /// Told by its own shape, which says more than what stands around it.
    by_shape: bool,
}

/// Who looks at a word that the one pass over a text has met.
#[derive(Clone, Copy)]
enum Rule {
    Shape(&'static shape::Shape),
    Place(fn(&str, usize, usize) -> Option<Found>),
    Name,
    Discord,
}

/// All words in one automaton, and the rule of each.
struct Matcher {
    words: AhoCorasick,
    rules: Vec<Rule>,
}

#[expect(
    clippy::expect_used,
    reason = "the words are constants and a test builds them; going on without would store secrets"
)]
static MATCHER: LazyLock<Matcher> = LazyLock::new(|| matcher().expect("constant words build"));

fn matcher() -> Result<Matcher, aho_corasick::BuildError> {
    let mut words: Vec<(String, Rule)> = Vec::new();
    words.extend(
        SHAPES
            .iter()
            .map(|shape| (shape.prefix.to_owned(), Rule::Shape(shape))),
    );
    words.extend(
        PLACES
            .iter()
            .map(|(word, look)| ((*word).to_owned(), Rule::Place(*look))),
    );
    words.extend(
        named::STEMS
            .iter()
            .map(|stem| ((*stem).to_owned(), Rule::Name)),
    );
    words.extend(context::discord_beginnings().map(|word| (word, Rule::Discord)));
    let (words, rules): (Vec<_>, Vec<_>) = words.into_iter().unzip();
    let words = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(words)?;
    Ok(Matcher { words, rules })
}

impl Rule {
    fn look(self, text: &str, at: usize, end: usize) -> Option<Found> {
        match self {
            Self::Shape(shape) => {
                let here = text.get(at..end) == Some(shape.prefix) && at_boundary(text, at);
                let end = here.then(|| shape.end(text, at, end))??;
                Some(Found {
                    kind: shape.kind,
                    start: at,
                    end,
                    by_shape: true,
                })
            }
            Self::Place(look) => look(text, at, end),
            Self::Name => named::found(text, at, end),
            Self::Discord => context::discord(text, at),
        }
    }
}

/// Every secret of a text, in order, none overlapping another.
fn secrets(text: &str) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    // Where the last secret ends that was told by its shape, and by what stands around it: looking into one again could
    // make a crafted text take quadratic time.
    let mut seen = [0, 0];
    for word in MATCHER.words.find_overlapping_iter(text) {
        let Some(rule) = MATCHER.rules.get(word.pattern().as_usize()) else {
            continue;
        };
        let done = match rule {
            Rule::Shape(_) | Rule::Discord => seen[0],
            Rule::Place(_) | Rule::Name => seen[0].max(seen[1]),
        };
        if word.start() < done {
            continue;
        }
        if let Some(found) = rule.look(text, word.start(), word.end()) {
            let place = usize::from(!found.by_shape);
            if let Some(seen) = seen.get_mut(place) {
                *seen = found.end.max(*seen);
            }
            all.push(found);
        }
    }
    all.sort_by_key(|found| found.start);
    let mut apart: Vec<Found> = Vec::with_capacity(all.len());
    for found in all {
        match apart.last_mut() {
            Some(last) if found.start < last.end => {
                last.end = last.end.max(found.end);
                if found.by_shape && !last.by_shape {
                    (last.kind, last.by_shape) = (found.kind, true);
                }
            }
            _ => apart.push(found),
        }
    }
    apart
}

/// Most times that a text is gone over: what replacing puts together is looked at again. Two is what it takes; a text
/// that needs more was made to.
const MOST_ROUNDS: usize = 8;

/// The text with its secrets replaced, if it has any, and their numbers in the order of [`SecretKind::ALL`].
fn without_secrets(text: &str) -> (Option<String>, Vec<u64>) {
    let mut counts = vec![0; SecretKind::ALL.len()];
    let mut out = None::<String>;
    for _ in 0..MOST_ROUNDS {
        let now = out.as_deref().unwrap_or(text);
        let found = secrets(now);
        if found.is_empty() {
            break;
        }
        let (mut next, mut copied) = (String::with_capacity(now.len()), 0);
        for Found {
            kind, start, end, ..
        } in found
        {
            next.push_str(now.get(copied..start).unwrap_or_default());
            next.push_str("[REDACTED:");
            next.push_str(kind.as_str());
            next.push(']');
            copied = end;
            count(&mut counts, kind, 1);
        }
        next.push_str(now.get(copied..).unwrap_or_default());
        out = Some(next);
    }
    (out, counts)
}

fn count(counts: &mut [u64], kind: SecretKind, by: u64) {
    let place = SecretKind::ALL.iter().position(|known| *known == kind);
    if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
        *count += by;
    }
}

/// Whether a word may begin here: after no letter or digit, or after an escape whose last character is one (`\n` in a
/// string of JSON, `%22` in an address).
fn at_boundary(text: &str, at: usize) -> bool {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    match before {
        [.., b'\\', b'n' | b'r' | b't'] => true,
        [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
        [.., last] => !last.is_ascii_alphanumeric() && *last != b'_',
        [] => true,
    }
}

fn begins(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

const OPEN: &str = "<private>";
const CLOSE: &str = "</private>";

/// The text without its private passages, and how many there were. They may nest. One that is not closed goes to the end.
/// A tag is looked for in what is kept, so that dropping a passage cannot put one together from the text around it.
fn without_private(text: &str) -> (Cow<'_, str>, u64) {
    if !text
        .match_indices('<')
        .any(|(at, _)| begins(text.get(at..).unwrap_or_default(), "<pri"))
    {
        return (Cow::Borrowed(text), 0);
    }
    let (mut out, mut depth, mut passages) = (String::with_capacity(text.len()), 0_u64, 0);
    for piece in text.split_inclusive('>') {
        if depth == 0 {
            out.push_str(piece);
            if ends(&out, OPEN) {
                out.truncate(out.len() - OPEN.len());
                (depth, passages) = (1, passages + 1);
            }
        } else if ends(piece, OPEN) {
            depth += 1;
        } else if ends(piece, CLOSE) {
            depth -= 1;
        }
    }
    if passages == 0 {
        (Cow::Borrowed(text), 0)
    } else {
        (Cow::Owned(out), passages)
    }
}

fn ends(text: &str, tag: &str) -> bool {
    let end = text
        .len()
        .checked_sub(tag.len())
        .and_then(|at| text.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Examples are put together here so that no scanner mistakes this file for a leak.
    fn examples() -> Vec<(SecretKind, String)> {
        let run = |len: usize| "aB3dE6gH9jK2".chars().cycle().take(len).collect::<String>();
        let caps = |len: usize| run(len).to_uppercase();
        let mut all = vec![
            (
                SecretKind::AnthropicKey,
                format!("sk-ant-api03-{}-{}AA", run(40), run(50)),
            ),
            (
                SecretKind::OpenAiKey,
                format!("sk-proj-{}_{}", run(60), run(60)),
            ),
            (SecretKind::OpenAiKey, format!("sk-{}", run(48))),
            (SecretKind::GoogleKey, format!("AIza{}", run(35))),
            (SecretKind::AwsAccessKey, format!("AKIA{}", caps(16))),
            (SecretKind::AwsAccessKey, format!("ASIA{}", caps(16))),
            (
                SecretKind::GitHubToken,
                format!("github_pat_{}_{}", run(22), run(59)),
            ),
            (SecretKind::GitLabToken, format!("glpat-{}", run(20))),
            (SecretKind::StripeKey, format!("sk_live_{}", run(24))),
            (SecretKind::StripeKey, format!("rk_live_{}", run(24))),
            (SecretKind::NpmToken, format!("npm_{}", run(36))),
            (SecretKind::PypiToken, format!("pypi-AgEI{}", run(150))),
            (SecretKind::HuggingFaceToken, format!("hf_{}", run(34))),
            (
                SecretKind::SendGridKey,
                format!("SG.{}.{}", run(22), run(43)),
            ),
            (
                SecretKind::PrivateKey,
                format!(
                    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
                    run(64)
                ),
            ),
        ];
        all.extend(
            ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]
                .map(|p| (SecretKind::GitHubToken, format!("{p}{}", run(36)))),
        );
        all.extend(["xoxb-", "xoxp-", "xoxa-", "xoxs-"].map(|p| {
            (
                SecretKind::SlackToken,
                format!("{p}123456789012-{}", run(24)),
            )
        }));
        all
    }

    fn text(input: &str) -> String {
        redact(input).text.into_owned()
    }

    #[test]
    fn replaces_every_kind_wherever_it_stands() {
        for (kind, secret) in examples() {
            let mark = format!("[REDACTED:{}]", kind.as_str());
            for (before, after) in [
                ("", ""),
                ("key=", "\n"),
                ("\"", "\","),
                ("ключ: ", "。"),
                (r"{\n\t", r"\n}"),
                ("?q=%22", "%22"),
                ("(", ")"),
            ] {
                let redaction_of = format!("{before}{secret}{after}");
                let redaction = redact(&redaction_of);
                assert_eq!(redaction.text, format!("{before}{mark}{after}"));
                assert_eq!(redaction.found, [(kind, 1)]);
            }
        }
    }

    #[test]
    fn keeps_the_header_of_a_token() {
        let token = "abcdef0123456789.ABCDEF_-~+/==";
        for header in [
            "Authorization: Bearer ",
            "authorization=bearer ",
            "\"Authorization\": \"Bearer ",
            r#"{\"authorization\":\"Bearer "#,
            "Bearer ",
            "curl -H 'Authorization: token ",
        ] {
            assert_eq!(
                text(&format!("{header}{token}\" x")),
                format!("{header}[REDACTED:bearer_token]\" x")
            );
        }
        assert_eq!(
            text("Authorization: Basic dXNlcjpwYXNz\r\n"),
            "Authorization: Basic [REDACTED:basic_credentials]\r\n"
        );
    }

    #[test]
    fn leaves_prose_and_code_alone() {
        for clean in [
            "The token expired and the password was wrong; send a Bearer token in the Authorization header.",
            "Bearer authentication-is-not-configured-here, Authorization: Bearer <token>, Authorization: Bearer $TOKEN",
            "a task-force-of-people-with-desk-lamps-2024 and sk-learn; risk-0123456789abcdefghijklmnop",
            "sk-some-long-kebab-name-without-digits npm_config_registry hf_hub_download SG.a.b AKIA xoxo",
            "if a < b && c > d { <div>private</div> } </private> <privates>",
            "basic auth, Basic instincts, sk_test_abc, let npm_package_version = 1;",
        ] {
            let redaction = redact(clean);
            assert!(
                matches!(redaction.text, Cow::Borrowed(_)) && redaction.is_clean(),
                "{redaction:?}"
            );
        }
    }

    #[test]
    fn an_unfinished_private_key_goes_to_the_end() {
        assert_eq!(
            text("a -----BEGIN PRIVATE KEY-----\nMIIE\nmore"),
            "a [REDACTED:private_key]"
        );
        let two = "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY----- and -----BEGIN CERTIFICATE-----";
        assert_eq!(
            text(two),
            "[REDACTED:private_key] and -----BEGIN CERTIFICATE-----"
        );
    }

    #[test]
    fn drops_private_passages() {
        for (input, kept, passages) in [
            ("a <private>b</private> c", "a  c", 1),
            ("a <PRIVATE>b\nb</Private>c<private>d</private>", "a c", 2),
            ("a <private>b", "a ", 1),
            ("<private>a <private>b</private> c</private>d", "d", 1),
            ("<pri<private>x</private>vate>secret</private>!", "!", 2),
            (
                "sk-<private></private>abcdefgh0123456789abcdefgh",
                "[REDACTED:openai_key]",
                1,
            ),
            ("ünï <private>ü</private>", "ünï ", 1),
        ] {
            let redaction = redact(input);
            let dropped = redaction
                .found
                .iter()
                .find(|(kind, _)| *kind == SecretKind::PrivatePassage);
            assert_eq!(
                (redaction.text.as_ref(), dropped.map(|(_, count)| *count)),
                (kept, Some(passages)),
                "{input}"
            );
        }
    }

    #[test]
    fn a_crafted_text_takes_linear_time() {
        let start = std::time::Instant::now();
        for piece in [
            "sk-",
            "<private>",
            "<pri",
            "<private></private>",
            "bearer ",
            "authorization: ",
            "-----BEGIN ",
            "xoxb-",
            "SG.",
        ] {
            text(&piece.repeat(1_000_000 / piece.len()));
        }
        // Quadratic would be hours; unoptimised linear is a second or two.
        assert!(start.elapsed().as_secs() < 30);
    }

    proptest! {
        #[test]
        fn redacting_twice_is_redacting_once(
            pieces in proptest::collection::vec((0_usize..400, "[ -~]{0,3}|[a-zA-Z0-9]{16,24}|é|\n"), 0..12)
        ) {
            let mut bits: Vec<String> = examples().into_iter().map(|(_, secret)| secret).collect();
            bits.extend(SHAPES.iter().map(|shape| shape.prefix.to_owned()));
            bits.extend(PLACES.iter().map(|(word, _)| (*word).to_owned()));
            bits.extend(named::STEMS.iter().map(|stem| (*stem).to_owned()));
            bits.extend(["=", ": \"", "\"", "://u:", "@h", "a1B2c3D4e5", " is ", "--", OPEN, CLOSE, "<pri", "vate>", "Bearer ", ": ", "\\n", "%20", "[REDACTED:", "]"].map(str::to_owned));
            let input: String = pieces.iter().map(|(at, glue)| bits[at % bits.len()].clone() + glue).collect();
            let once = text(&input);
            let twice = redact(&once);
            prop_assert!(twice.is_clean(), "{:?} -> {:?} -> {:?}", input, once, twice);
            prop_assert_eq!(twice.text.as_ref(), once.as_str());
        }
    }
}
