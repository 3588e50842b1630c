//! The kinds of secret, as they are counted and shown.
//!
//! **Invariant:** the set is closed and its names are labels of a metric, so providers that are rarely met share one.

macro_rules! secret_kinds {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// The kinds of secret that are taken out of a text.
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
    /// `sk-…`, `sk-proj-…`, and `sk-or-…` of `OpenRouter`
    OpenAiKey = "openai_key",
    /// `AIza…`, `GOCSPX-…`, `ya29.…`, `1//0…`
    GoogleKey = "google_key",
    /// `AKIA…`, `ASIA…`, `ABIA…`, `ACCA…`
    AwsAccessKey = "aws_access_key",
    /// `ghp_…`, `gho_…`, `ghu_…`, `ghs_…`, `ghr_…`, `github_pat_…`
    GitHubToken = "github_token",
    /// `glpat-…` and its siblings
    GitLabToken = "gitlab_token",
    /// `xoxb-…` and its siblings, `xapp-…`
    SlackToken = "slack_token",
    /// `sk_live_…`, `rk_live_…`, `sk_test_…`, `whsec_…`
    StripeKey = "stripe_key",
    /// `npm_…`
    NpmToken = "npm_token",
    /// `pypi-AgE…`
    PypiToken = "pypi_token",
    /// `hf_…`
    HuggingFaceToken = "hugging_face_token",
    /// `SG.….…`
    SendGridKey = "sendgrid_key",
    /// `dckr_pat_…`
    DockerToken = "docker_token",
    /// `dop_v1_…` and its siblings
    DigitalOceanToken = "digitalocean_token",
    /// `hvs.…`, `hvb.…`, `hvr.…`
    VaultToken = "vault_token",
    /// A bot's token of Telegram or Discord
    BotToken = "bot_token",
    /// An address whose knowledge is the permission: Slack's and Discord's webhooks
    Webhook = "webhook",
    /// A token that tells its issuer, of one of the many others
    ServiceToken = "service_token",
    /// Three parts in base64, two of them JSON
    Jwt = "jwt",
    /// `-----BEGIN … PRIVATE KEY-----`, `AGE-SECRET-KEY-1…`
    PrivateKey = "private_key",
    /// The token after `Bearer`
    BearerToken = "bearer_token",
    /// The credentials of `Authorization: Basic …`
    BasicCredentials = "basic_credentials",
    /// The password in an address: `scheme://user:…@host`
    ConnectionPassword = "connection_password",
    /// What stands after a name such as `DB_PASSWORD=`, or after the switch of a command that takes one
    Password = "password",
    /// What stands after a name such as `api_key:`
    ApiKey = "api_key",
    /// What stood between `<private>` and `</private>`: dropped, so this name is not in the text
    PrivatePassage = "private_passage",
}
