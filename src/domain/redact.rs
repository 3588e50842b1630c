//! Secrets leave a text before it is stored.
//!
//! Known shapes of keys become `[REDACTED:<kind>]`; what stands between `<private>` and `</private>` is dropped. A new
//! kind is one variant of [`SecretKind`] and one row of the table in `redact/shape.rs`.
//!
//! **Invariant:** nothing but a secret's own bytes changes, redacting twice is redacting once, and no part of a secret is
//! in what this module returns beside the text: it counts, it never quotes.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

mod shape;

pub use shape::SecretKind;
use shape::{Left, RULES, Rule};

/// What a redaction made of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction<'a> {
    /// The text to store; borrowed if nothing had to change.
    pub text: Cow<'a, str>,
    /// How many secrets of each kind were replaced, in the order of [`SecretKind::ALL`]; no zeroes.
    pub found: Vec<(SecretKind, u64)>,
    /// How many private passages were dropped.
    pub private: u64,
}

impl Redaction<'_> {
    /// Whether the text is as it was.
    pub fn is_clean(&self) -> bool {
        self.found.is_empty() && self.private == 0
    }
}

/// Replaces the secrets of a text and drops what is private.
pub fn redact(text: &str) -> Redaction<'_> {
    let (public, private) = without_private(text);
    let (redacted, counts) = without_secrets(&public);
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
    Redaction {
        text,
        found,
        private,
    }
}

/// One pass for the candidates, and each rule's shape at one of them.
struct Matcher {
    candidates: Regex,
    shapes: Vec<(&'static Rule, Regex)>,
}

#[expect(
    clippy::expect_used,
    reason = "the shapes are constants and a test compiles them; going on without would store secrets"
)]
static MATCHER: LazyLock<Matcher> = LazyLock::new(|| matcher().expect("constant shapes compile"));

fn matcher() -> Result<Matcher, regex::Error> {
    let prefixes = RULES.iter().flat_map(|rule| {
        let flag = if rule.shape.starts_with("(?i)") {
            "i-u"
        } else {
            "-u"
        };
        rule.prefixes
            .iter()
            .map(move |prefix| format!("(?{flag}:{})", regex::escape(prefix)))
    });
    let candidates = Regex::new(&prefixes.collect::<Vec<_>>().join("|"))?;
    let shape = |rule: &'static Rule| Ok((rule, Regex::new(&format!("^(?:{})", rule.shape))?));
    let shapes = RULES
        .iter()
        .map(shape)
        .collect::<Result<_, regex::Error>>()?;
    Ok(Matcher { candidates, shapes })
}

/// The text with its secrets replaced, if it has any, and their numbers in the order of [`SecretKind::ALL`].
fn without_secrets(text: &str) -> (Option<String>, Vec<u64>) {
    let mut counts = vec![0; SecretKind::ALL.len()];
    let (mut out, mut copied, mut at) = (None::<String>, 0, 0);
    while let Some(candidate) = MATCHER.candidates.find_at(text, at) {
        match secret_at(text, candidate.start()) {
            Hit::Secret(kind, start, end) => {
                let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
                out.push_str(text.get(copied..start).unwrap_or_default());
                out.push_str("[REDACTED:");
                out.push_str(kind.as_str());
                out.push(']');
                (copied, at) = (end, end);
                let place = SecretKind::ALL.iter().position(|known| *known == kind);
                if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                    *count += 1;
                }
            }
            Hit::None(next) => at = next,
        }
    }
    if let Some(out) = &mut out {
        out.push_str(text.get(copied..).unwrap_or_default());
    }
    (out, counts)
}

/// What a candidate turned out to be.
enum Hit {
    /// A secret and its bytes.
    Secret(SecretKind, usize, usize),
    /// Nothing; the next candidate may begin here.
    None(usize),
}

fn secret_at(text: &str, at: usize) -> Hit {
    let tail = text.get(at..).unwrap_or_default();
    let boundary = at_boundary(text, at);
    // Prefixes begin with an ASCII character, so the next byte begins one too.
    let mut next = at + 1;
    for (rule, shape) in &MATCHER.shapes {
        if rule.left == Left::Boundary && !boundary
            || !rule.prefixes.iter().any(|p| begins(tail, p))
        {
            continue;
        }
        let Some(secret) = shape.captures(tail).and_then(|found| found.get(1)) else {
            continue;
        };
        if (rule.check)(secret.as_str()) {
            return Hit::Secret(rule.kind, at + secret.start(), at + secret.end());
        }
        // No shorter run can pass the check either. Looking into this one again would make `sk-sk-sk-…` quadratic.
        next = next.max(at + secret.end());
    }
    Hit::None(next)
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
        for kind in SecretKind::ALL {
            assert!(
                RULES.iter().any(|rule| rule.kind == *kind),
                "{kind:?} has no rule"
            );
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
            assert_eq!(
                (redaction.text.as_ref(), redaction.private),
                (kept, passages),
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
            pieces in proptest::collection::vec((0_usize..64, "[ -~]{0,3}|[a-zA-Z0-9]{16,24}|é|\n"), 0..12)
        ) {
            let mut bits: Vec<String> = examples().into_iter().map(|(_, secret)| secret).collect();
            for rule in RULES {
                bits.extend(rule.prefixes.iter().map(|p| (*p).to_owned()));
            }
            bits.extend([OPEN, CLOSE, "<pri", "vate>", "Bearer ", ": ", "\\n", "%20", "[REDACTED:", "]"].map(str::to_owned));
            let input: String = pieces.iter().map(|(at, glue)| bits[at % bits.len()].clone() + glue).collect();
            let once = text(&input);
            let twice = redact(&once);
            prop_assert!(twice.is_clean(), "{:?} -> {:?} -> {:?}", input, once, twice);
            prop_assert_eq!(twice.text.as_ref(), once.as_str());
        }
    }
}
