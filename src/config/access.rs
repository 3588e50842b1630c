//! What the operator can set of who may ask.
//!
//! **Invariant:** what cannot be is refused at the start, in words that say what could.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use ipnet::IpNet;

/// Flags of `serve` about who may ask.
#[derive(Debug, Clone, Args)]
pub struct AccessArgs {
    /// Address and port for metrics and health alone, beside those of the API; it may be any, since they carry no content
    #[arg(long, env = "AGENT_MEMORY_METRICS_LISTEN", value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// The certificate of the server with its chain, in PEM; with it the API speaks TLS alone
    #[arg(
        long,
        env = "AGENT_MEMORY_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(
        long,
        env = "AGENT_MEMORY_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// An origin whose pages may call the server, such as `https://app.example`; may be repeated
    #[arg(
        long,
        env = "AGENT_MEMORY_CORS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,
    /// What a proxy puts in front of every path, such as `/memory`
    #[arg(
        long,
        env = "AGENT_MEMORY_BASE_PATH",
        value_name = "PATH",
        default_value = ""
    )]
    pub base_path: String,
    /// An address or network of proxies whose X-Forwarded-For is believed; may be repeated
    #[arg(
        long,
        env = "AGENT_MEMORY_TRUSTED_PROXY",
        value_name = "ADDR[/BITS]",
        value_delimiter = ','
    )]
    pub trusted_proxy: Vec<String>,
    /// Most requests a second of each key, and of each address that shows none and is not this machine's; or `off`
    #[arg(
        long,
        env = "AGENT_MEMORY_RATE_LIMIT",
        value_name = "N",
        default_value = "1000"
    )]
    pub rate_limit: String,
    /// Days for which it is kept who did what
    #[arg(long, env = "AGENT_MEMORY_AUDIT_DAYS", value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub audit_days: u32,
}

/// Who may ask, and how they are known; validated.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Where metrics and health alone are.
    pub metrics_listen: Option<SocketAddr>,
    /// What the API speaks TLS with.
    pub tls: Option<Tls>,
    /// Origins whose pages may call the server.
    pub cors_origins: Vec<String>,
    /// What a proxy puts in front of every path; empty, or with a slash in front and none at the end.
    pub base_path: String,
    /// Proxies whose word on a client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Most requests a second; any number, if none.
    pub rate_limit: Option<u32>,
    /// Days for which it is kept who did what; for ever, if none.
    pub audit_days: Option<u32>,
}

/// What the API speaks TLS with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate with its chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Access {
    /// Validates the flags.
    pub(super) fn new(args: &AccessArgs) -> anyhow::Result<Self> {
        let tls = args.tls_cert.clone().zip(args.tls_key.clone());
        Ok(Self {
            metrics_listen: args.metrics_listen,
            tls: tls.map(|(cert, key)| Tls { cert, key }),
            cors_origins: args
                .cors_origin
                .iter()
                .map(|origin| read_origin(origin))
                .collect::<anyhow::Result<_>>()?,
            base_path: base_path(&args.base_path)?,
            trusted_proxies: args
                .trusted_proxy
                .iter()
                .map(|net| network(net))
                .collect::<anyhow::Result<_>>()?,
            rate_limit: rate(&args.rate_limit)?,
            audit_days: Some(args.audit_days),
        })
    }
}

/// An origin as a browser writes it: scheme, name in lower case, port unless it is the scheme's own.
fn read_origin(text: &str) -> anyhow::Result<String> {
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let is_host = |rest: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
        !rest.is_empty() && rest.bytes().all(good)
    };
    if !rest.is_some_and(is_host) {
        bail!("--cors-origin {text} is no origin such as https://app.example, without a path");
    }
    Ok(text.to_ascii_lowercase())
}

fn base_path(text: &str) -> anyhow::Result<String> {
    let path = text.trim_end_matches('/');
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.is_empty()
        && (!path.starts_with('/') || path.contains("//") || !path.bytes().all(good))
    {
        bail!("--base-path {text} is no path such as /memory");
    }
    Ok(path.to_owned())
}

fn network(text: &str) -> anyhow::Result<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    text.parse().with_context(|| {
        format!("--trusted-proxy {text} is no address and no network such as 10.0.0.0/8")
    })
}

fn rate(text: &str) -> anyhow::Result<Option<u32>> {
    match text.parse() {
        Ok(rate) if (1..=1_000_000).contains(&rate) => Ok(Some(rate)),
        _ if text == "off" => Ok(None),
        _ => bail!("--rate-limit {text} is neither between 1 and 1000000 nor off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_do() {
        assert_eq!(
            read_origin("https://App.example").unwrap(),
            "https://app.example"
        );
        assert_eq!(
            read_origin("http://[::1]:5173").unwrap(),
            "http://[::1]:5173"
        );
        for text in [
            "*",
            "null",
            "app.example",
            "https://",
            "https://a/",
            "https://a/b",
            "ftp://a",
        ] {
            assert!(read_origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_networks_and_rates_are_what_they_say() {
        assert_eq!(base_path("/memory/").unwrap(), "/memory");
        assert_eq!(base_path("/").unwrap(), "");
        for text in ["memory", "/a b", "//a", "/a?b"] {
            assert!(base_path(text).is_err(), "{text}");
        }
        assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        for text in ["", "proxy", "10.0.0.0/33"] {
            assert!(network(text).is_err(), "{text}");
        }
        assert_eq!((rate("7").unwrap(), rate("off").unwrap()), (Some(7), None));
        for text in ["0", "-1", "", "fast", "1000001"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
