//! What secrets look like: one row for each published shape.
//!
//! **Invariant:** a shape begins with a fixed prefix, so that clean text costs one search for prefixes; there is no
//! guessing by entropy and no word such as "password" that makes its neighbour a secret.

macro_rules! secret_kinds {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// The kinds of secret that are known by their shape.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SecretKind { $($(#[$doc])+ $variant,)+ }

        impl SecretKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in `[REDACTED:<name>]` and in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

secret_kinds! {
    /// `sk-ant-…`
    AnthropicKey = "anthropic_key",
    /// `sk-…`, `sk-proj-…`
    OpenAiKey = "openai_key",
    /// `AIza…`
    GoogleKey = "google_key",
    /// `AKIA…`, `ASIA…`
    AwsAccessKey = "aws_access_key",
    /// `ghp_…`, `gho_…`, `ghu_…`, `ghs_…`, `ghr_…`, `github_pat_…`
    GitHubToken = "github_token",
    /// `glpat-…`
    GitLabToken = "gitlab_token",
    /// `xoxb-…` and its siblings
    SlackToken = "slack_token",
    /// `sk_live_…`, `rk_live_…`
    StripeKey = "stripe_key",
    /// `npm_…`
    NpmToken = "npm_token",
    /// `pypi-AgEI…`
    PypiToken = "pypi_token",
    /// `hf_…`
    HuggingFaceToken = "hugging_face_token",
    /// `SG.….…`
    SendGridKey = "sendgrid_key",
    /// `-----BEGIN … PRIVATE KEY-----`
    PrivateKey = "private_key",
    /// The token after `Bearer`
    BearerToken = "bearer_token",
    /// The credentials of `Authorization: Basic …`
    BasicCredentials = "basic_credentials",
}

/// Where a secret may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Anywhere,
    /// Not inside a word: `sk-` is also the middle of `task-force`.
    Boundary,
}

/// One shape of secret.
pub(super) struct Rule {
    pub(super) kind: SecretKind,
    /// What a candidate begins with, in any case; the one pass over clean text looks for nothing else.
    pub(super) prefixes: &'static [&'static str],
    pub(super) left: Left,
    /// The whole, from the prefix on. Its group is what gets replaced. It must end where a word ends (greedily, or with
    /// `\b`): then replacing it makes no new candidate, so that a second run finds nothing.
    pub(super) shape: &'static str,
    /// What a regular expression cannot say of the group. Must hold for any longer run if it holds for a shorter.
    pub(super) check: fn(&str) -> bool,
}

/// The shapes as their providers publish them or as gitleaks (8.x) and GitHub's secret scanning list them. Of two that fit,
/// the first wins.
#[rustfmt::skip]
pub(super) const RULES: &[Rule] = &[
    rule(SecretKind::AnthropicKey, &["sk-ant-"], Left::Boundary, r"(sk-ant-[A-Za-z0-9_-]{20,})", mixed),
    rule(SecretKind::OpenAiKey, &["sk-"], Left::Boundary, r"(sk-[A-Za-z0-9_-]{20,})", mixed),
    rule(SecretKind::GoogleKey, &["AIza"], Left::Boundary, r"(AIza[A-Za-z0-9_-]{35,})", any),
    rule(SecretKind::AwsAccessKey, &["AKIA", "ASIA"], Left::Boundary, r"(A[KS]IA[A-Z0-9]{16})(?-u:\b)", any),
    rule(SecretKind::GitHubToken, &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Left::Boundary, r"(gh[pousr]_[A-Za-z0-9_]{36,})", any),
    rule(SecretKind::GitHubToken, &["github_pat_"], Left::Boundary, r"(github_pat_[A-Za-z0-9_]{22,})", any),
    rule(SecretKind::GitLabToken, &["glpat-"], Left::Boundary, r"(glpat-[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]+)*)", any),
    rule(SecretKind::SlackToken, &["xox"], Left::Boundary, r"(xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9_-]{10,})", mixed),
    rule(SecretKind::StripeKey, &["sk_live_", "rk_live_"], Left::Boundary, r"([sr]k_live_[A-Za-z0-9_]{16,})", any),
    rule(SecretKind::NpmToken, &["npm_"], Left::Boundary, r"(npm_[A-Za-z0-9]{36})(?-u:\b)", mixed),
    rule(SecretKind::PypiToken, &["pypi-AgEI"], Left::Boundary, r"(pypi-AgEI[A-Za-z0-9_-]{50,})", any),
    rule(SecretKind::HuggingFaceToken, &["hf_"], Left::Boundary, r"(hf_[A-Za-z0-9]{30,})(?-u:\b)", any),
    rule(SecretKind::SendGridKey, &["SG."], Left::Boundary, r"(SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})", any),
    rule(SecretKind::PrivateKey, &["-----BEGIN "], Left::Anywhere, PRIVATE_KEY, any),
    rule(SecretKind::BearerToken, &["authorization"], Left::Anywhere, BEARER_HEADER, any),
    rule(SecretKind::BasicCredentials, &["authorization"], Left::Anywhere, BASIC_HEADER, any),
    // Without the header's name it is prose unless it is long and looks drawn by lot. 20: the shortest token in the
    // examples of RFC 6749 has 22 characters.
    rule(SecretKind::BearerToken, &["bearer"], Left::Boundary, r"(?i)bearer[ \t]{1,4}([a-z0-9._~+/=-]{20,})", mixed),
];

/// To its end, or to the end of the text: a key cut short is still most of a key.
const PRIVATE_KEY: &str = concat!(
    r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)",
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z))",
);

/// A header as in HTTP, in JSON (perhaps as a string inside a string) or on a command line.
const BEARER_HEADER: &str = concat!(
    r#"(?i)authorization[\\"']{0,4}[ \t]{0,4}[:=][ \t]{0,4}[\\"']{0,4}"#,
    r"(?:bearer|token)[ \t]{1,4}([a-z0-9._~+/=-]{8,})",
);

/// Likewise.
const BASIC_HEADER: &str = concat!(
    r#"(?i)authorization[\\"']{0,4}[ \t]{0,4}[:=][ \t]{0,4}[\\"']{0,4}"#,
    r"basic[ \t]{1,4}([a-z0-9_+/=-]{8,})",
);

const fn rule(
    kind: SecretKind,
    prefixes: &'static [&'static str],
    left: Left,
    shape: &'static str,
    check: fn(&str) -> bool,
) -> Rule {
    Rule {
        kind,
        prefixes,
        left,
        shape,
        check,
    }
}

/// The shape says enough.
fn any(_: &str) -> bool {
    true
}

/// Drawn by lot, not written: words joined by hyphens have no digit.
fn mixed(secret: &str) -> bool {
    secret.bytes().any(|b| b.is_ascii_digit()) && secret.bytes().any(|b| b.is_ascii_alphabetic())
}
