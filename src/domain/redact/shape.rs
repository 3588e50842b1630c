//! Secrets that tell what they are: one row for each published shape.
//!
//! The shapes are those of the providers' own pages, of gitleaks (8.x) and of GitHub's secret scanning. Each is a prefix
//! and what follows it, in parts that are matched greedily and never go back: they need no compiling at the start of a
//! process, and no text can make them slow.
//!
//! **Invariant:** a shape begins with a fixed prefix, so that clean text costs one search for prefixes.

use crate::domain::redact::SecretKind::{self, *};
use crate::domain::redact::value::{LOOK, mixed, placeholder};

/// One part of a shape.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// These characters.
    Is(&'static str),
    /// As many as there are of a class, and this many at least.
    Of(Class, usize),
    /// So many of a class, then none.
    Just(Class, usize),
}

/// A class of characters.
type Class = fn(u8) -> bool;

/// One shape of secret.
pub(super) struct Shape {
    pub(super) kind: SecretKind,
    /// What it begins with, in this very case.
    pub(super) prefix: &'static str,
    /// What follows.
    parts: &'static [Part],
    /// What the parts cannot say.
    check: fn(&str) -> bool,
}

fn hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}
fn upper(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit()
}
fn digit(b: u8) -> bool {
    b.is_ascii_digit()
}
fn alnum(b: u8) -> bool {
    b.is_ascii_alphanumeric()
}
fn word(b: u8) -> bool {
    alnum(b) || b == b'_'
}
/// base64url, and what most tokens are made of.
fn url(b: u8) -> bool {
    word(b) || b == b'-'
}
fn dotted(b: u8) -> bool {
    url(b) || b == b'.'
}
fn base64(b: u8) -> bool {
    url(b) || matches!(b, b'+' | b'/' | b'=')
}
fn any(_: &str) -> bool {
    true
}

use Part::{Is, Just, Of};

#[rustfmt::skip]
pub(super) const SHAPES: &[Shape] = &[
    shape(AnthropicKey, "sk-ant-", &[Of(url, 20)], mixed),
    shape(OpenAiKey, "sk-", &[Of(url, 20)], openai),
    shape(GoogleKey, "AIza", &[Of(url, 35)], any),
    shape(GoogleKey, "GOCSPX-", &[Of(url, 28)], any),
    shape(GoogleKey, "ya29.", &[Of(dotted, 40)], any),
    shape(GoogleKey, "1//0", &[Of(url, 40)], mixed),
    shape(AwsAccessKey, "AKIA", &[Just(upper, 16)], any),
    shape(AwsAccessKey, "ASIA", &[Just(upper, 16)], any),
    shape(AwsAccessKey, "ABIA", &[Just(upper, 16)], any),
    shape(AwsAccessKey, "ACCA", &[Just(upper, 16)], any),
    shape(GitHubToken, "ghp_", &[Of(word, 36)], any),
    shape(GitHubToken, "gho_", &[Of(word, 36)], any),
    shape(GitHubToken, "ghu_", &[Of(word, 36)], any),
    shape(GitHubToken, "ghs_", &[Of(word, 36)], any),
    shape(GitHubToken, "ghr_", &[Of(word, 36)], any),
    shape(GitHubToken, "github_pat_", &[Of(word, 22)], any),
    shape(GitLabToken, "glpat-", &[Of(dotted, 20)], any),
    shape(GitLabToken, "glrt-", &[Of(dotted, 20)], any),
    shape(GitLabToken, "gldt-", &[Of(dotted, 20)], any),
    shape(GitLabToken, "glptt-", &[Of(hex, 40)], any),
    shape(GitLabToken, "glcbt-", &[Of(url, 20)], mixed),
    shape(GitLabToken, "glagent-", &[Of(url, 50)], any),
    shape(GitLabToken, "glsoat-", &[Of(url, 20)], mixed),
    shape(SlackToken, "xox", &[Of(dotted, 16)], slack),
    shape(SlackToken, "xapp-", &[Of(url, 40)], mixed),
    shape(StripeKey, "sk_live_", &[Of(word, 16)], any),
    shape(StripeKey, "rk_live_", &[Of(word, 16)], any),
    shape(StripeKey, "sk_test_", &[Of(word, 24)], mixed),
    shape(StripeKey, "rk_test_", &[Of(word, 24)], mixed),
    shape(StripeKey, "whsec_", &[Of(base64, 24)], mixed),
    shape(NpmToken, "npm_", &[Just(alnum, 36)], mixed),
    shape(PypiToken, "pypi-AgE", &[Of(url, 50)], any),
    shape(HuggingFaceToken, "hf_", &[Of(alnum, 30)], any),
    shape(SendGridKey, "SG.", &[Of(url, 16), Is("."), Of(url, 16)], any),
    shape(DockerToken, "dckr_pat_", &[Of(url, 20)], any),
    shape(DockerToken, "dckr_oat_", &[Of(url, 20)], any),
    shape(DigitalOceanToken, "dop_v1_", &[Of(hex, 64)], any),
    shape(DigitalOceanToken, "doo_v1_", &[Of(hex, 64)], any),
    shape(DigitalOceanToken, "dor_v1_", &[Of(hex, 64)], any),
    shape(VaultToken, "hvs.", &[Of(url, 24)], any),
    shape(VaultToken, "hvb.", &[Of(url, 24)], any),
    shape(VaultToken, "hvr.", &[Of(url, 24)], any),
    shape(Webhook, "hooks.slack.com/services/", &[Of(upper, 9), Is("/"), Of(upper, 9), Is("/"), Of(alnum, 20)], any),
    shape(Webhook, "hooks.slack.com/triggers/", &[Of(upper, 9), Is("/"), Of(digit, 9), Is("/"), Of(alnum, 20)], any),
    shape(Webhook, "discord.com/api/webhooks/", &[Of(digit, 17), Is("/"), Of(url, 60)], any),
    shape(Webhook, "discordapp.com/api/webhooks/", &[Of(digit, 17), Is("/"), Of(url, 60)], any),
    shape(Jwt, "eyJ", &[Of(url, 10), Is(".eyJ"), Of(url, 7), Is("."), Of(url, 16)], any),
    shape(PrivateKey, "AGE-SECRET-KEY-1", &[Just(upper, 58)], any),
    shape(ServiceToken, "amk_", &[Just(url, 43)], any),
    shape(ServiceToken, "rubygems_", &[Of(hex, 48)], any),
    shape(ServiceToken, "cio", &[Just(alnum, 32)], mixed),
    shape(ServiceToken, "key-", &[Just(hex, 32)], mixed),
    shape(ServiceToken, "shpat_", &[Of(alnum, 32)], any),
    shape(ServiceToken, "shpss_", &[Of(alnum, 32)], any),
    shape(ServiceToken, "shpca_", &[Of(alnum, 32)], any),
    shape(ServiceToken, "shppa_", &[Of(alnum, 32)], any),
    shape(ServiceToken, "sq0csp-", &[Of(url, 43)], any),
    shape(ServiceToken, "sq0atp-", &[Of(url, 22)], any),
    shape(ServiceToken, "EAAA", &[Of(url, 60)], square),
    shape(ServiceToken, "dapi", &[Just(hex, 32)], mixed),
    shape(ServiceToken, "dp.pt.", &[Of(alnum, 40)], any),
    shape(ServiceToken, "dp.st.", &[Of(dotted, 40)], any),
    shape(ServiceToken, "dp.ct.", &[Of(alnum, 40)], any),
    shape(ServiceToken, "dp.sa.", &[Of(alnum, 40)], any),
    shape(ServiceToken, "lin_api_", &[Of(alnum, 32)], any),
    shape(ServiceToken, "lin_oauth_", &[Of(hex, 64)], any),
    shape(ServiceToken, "secret_", &[Just(alnum, 43)], mixed),
    shape(ServiceToken, "ntn_", &[Of(digit, 11), Of(alnum, 30)], any),
    shape(ServiceToken, "glsa_", &[Of(alnum, 32), Is("_"), Of(hex, 8)], any),
    shape(ServiceToken, "glc_eyJ", &[Of(base64, 32)], any),
    shape(ServiceToken, "NRAK-", &[Of(upper, 27)], any),
    shape(ServiceToken, "PMAK-", &[Of(hex, 24), Is("-"), Of(hex, 34)], any),
    shape(ServiceToken, "HRKU-", &[Of(url, 36)], mixed),
    shape(ServiceToken, "pscale_tkn_", &[Of(dotted, 32)], any),
    shape(ServiceToken, "pscale_pw_", &[Of(dotted, 32)], any),
    shape(ServiceToken, "pscale_oauth_", &[Of(dotted, 32)], any),
    shape(ServiceToken, "figd_", &[Of(url, 40)], any),
    shape(ServiceToken, "sntrys_", &[Of(base64, 64)], any),
    shape(ServiceToken, "sntryu_", &[Of(hex, 64)], any),
    shape(ServiceToken, "gsk_", &[Of(alnum, 40)], mixed),
    shape(ServiceToken, "xai-", &[Of(alnum, 64)], mixed),
    shape(ServiceToken, "r8_", &[Of(alnum, 37)], mixed),
    shape(ServiceToken, "pplx-", &[Of(alnum, 40)], mixed),
    shape(ServiceToken, "sbp_", &[Of(hex, 40)], any),
    shape(ServiceToken, "sb_secret_", &[Of(url, 24)], any),
    shape(ServiceToken, "tskey-", &[Of(url, 24)], mixed),
    shape(ServiceToken, "pul-", &[Just(hex, 40)], any),
    shape(ServiceToken, "ATATT3", &[Of(base64, 100)], any),
    shape(ServiceToken, "lsv2_pt_", &[Of(hex, 32), Is("_"), Of(hex, 10)], any),
    shape(ServiceToken, "lsv2_sk_", &[Of(hex, 32), Is("_"), Of(hex, 10)], any),
    shape(ServiceToken, "ops_eyJ", &[Of(base64, 100)], any),
    shape(ServiceToken, "fo1_", &[Of(url, 43)], any),
    shape(ServiceToken, "CFPAT-", &[Of(url, 43)], any),
    shape(ServiceToken, "sgp_", &[Of(word, 40)], mixed),
    shape(ServiceToken, "phx_", &[Of(alnum, 40)], mixed),
    shape(ServiceToken, "nfp_", &[Of(alnum, 36)], mixed),
    shape(ServiceToken, "nvapi-", &[Of(url, 60)], any),
    shape(ServiceToken, "tvly-", &[Of(url, 32)], mixed),
];

const fn shape(
    kind: SecretKind,
    prefix: &'static str,
    parts: &'static [Part],
    check: fn(&str) -> bool,
) -> Shape {
    Shape {
        kind,
        prefix,
        parts,
        check,
    }
}

/// Not the middle of a file in base64, where four such letters are common.
fn square(token: &str) -> bool {
    mixed(token) && token.len() <= 100
}

/// Not Anthropic's, which begins like it.
fn openai(token: &str) -> bool {
    mixed(token) && !token.starts_with("sk-ant-")
}

/// `xoxb-12…`: one of the letters that Slack gives out, and a number after it.
fn slack(token: &str) -> bool {
    let Some(rest) = token.strip_prefix("xox") else {
        return false;
    };
    rest.starts_with(|c: char| c.is_ascii_lowercase())
        && rest.get(1..).is_some_and(|r| r.starts_with(['-', '.']))
        && mixed(rest)
}

impl Shape {
    /// The end of the secret that begins at `at` and whose prefix ends at `body`.
    pub(super) fn end(&self, text: &str, at: usize, body: usize) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut end = body;
        for part in self.parts {
            end = match *part {
                Is(literal) => bytes
                    .get(end..)?
                    .starts_with(literal.as_bytes())
                    .then_some(end + literal.len())?,
                Of(class, least) => {
                    let run = run(bytes, end, class, LOOK);
                    (run >= least).then_some(end + run)?
                }
                Just(class, count) => {
                    let run = run(bytes, end, class, count + 1);
                    let next = bytes.get(end + run).copied();
                    (run == count && !next.is_some_and(word)).then_some(end + run)?
                }
            };
        }
        let looked_at = text.get(at..end)?;
        if !(self.check)(looked_at) || placeholder(looked_at) || placeholder(text.get(body..end)?) {
            return None;
        }
        // The last run was looked at so far; a secret goes on to where it ends.
        if let Some(Of(class, _)) = self.parts.last() {
            end += run(bytes, end, *class, usize::MAX);
        }
        // A full stop or comma that ends the sentence is not the token's.
        while matches!(bytes.get(end - 1), Some(b'.')) && end > body {
            end -= 1;
        }
        Some(end)
    }
}

/// How many bytes of a class there are from `at` on, counted to `most`.
pub(super) fn run(bytes: &[u8], at: usize, class: impl Fn(u8) -> bool, most: usize) -> usize {
    bytes
        .get(at..)
        .unwrap_or_default()
        .iter()
        .take(most)
        .take_while(|b| class(**b))
        .count()
}
