//! Who is calling, and from where.
//!
//! A local server is open to everybody on the machine, so a web page in a browser there must not get in: a request has
//! to name a host that the server is known by (a rebound name is not), and one that carries an `Origin` has to carry
//! the server's own.
//!
//! **Invariant:** a request that names two tenants is refused, whichever would win.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};

use crate::domain::{Caller, Channel, Invalid, TenantId, Via};
use crate::http::problem::Problem;
use crate::service::Error;

/// Names the tenant of a request.
pub(super) const TENANT_HEADER: HeaderName = HeaderName::from_static("x-tenant-id");

/// The names that the server may be called by.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The loopback names and these.
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Self {
        Self(
            allowed
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
        )
    }

    /// Refuses a request whose `Host` is none of ours. Metrics and health carry no content and are exempt, since
    /// scrapers come by other names.
    pub(super) fn check(&self, request: &HttpRequest) -> Result<(), Problem> {
        let header = |name: &HeaderName| {
            request
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap_or_default())
        };
        let host = header(&HOST).or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        });
        if let Some(origin) = header(&ORIGIN)
            && !same_origin(origin, host)
        {
            return Err(
                Error::Forbidden("pages of another origin may not call this server").into(),
            );
        }
        let path = request.path();
        if ["/health", "/metrics"]
            .iter()
            .any(|open| path == *open || path.starts_with(&format!("{open}/")))
        {
            return Ok(());
        }
        if host.is_some_and(|host| self.knows(host)) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "the Host header names none of this server's names; see --allowed-host",
        )
        .into())
    }

    fn knows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        name == "localhost"
            || name
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
            || self.0.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn same_origin(origin: &str, host: Option<&str>) -> bool {
    let origin = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    origin.is_some() && origin == host
}

/// The tenant that query and header name, if any.
pub(super) fn tenant(
    request: &HttpRequest,
    query: Option<&str>,
) -> Result<Option<TenantId>, Problem> {
    let header = match request.headers().get(&TENANT_HEADER) {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_| Invalid::new("X-Tenant-Id", "is not plain text"))?,
        ),
    };
    let header = header
        .map(|text| TenantId::parse("X-Tenant-Id", text))
        .transpose()?;
    let query = query
        .map(|text| TenantId::parse("tenant_id", text))
        .transpose()?;
    match (header, query) {
        (Some(header), Some(query)) if header != query => {
            Err(Invalid::new("tenant_id", "differs from X-Tenant-Id").into())
        }
        (header, query) => Ok(header.or(query)),
    }
}

/// The caller: in the tenant of the request, of its body, or `default`.
pub(super) fn caller(
    named: Option<&TenantId>,
    body: Option<&str>,
    channel: Option<Channel>,
) -> Result<Caller, Problem> {
    let tenant = match (named, body) {
        (Some(tenant), _) => tenant.clone(),
        (None, Some(text)) => TenantId::parse("tenant_id", text)?,
        (None, None) => TenantId::default_tenant(),
    };
    Ok(Caller {
        tenant,
        channel: channel.unwrap_or(Channel::Private),
        via: Via::Http,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_loopback_names_and_those_it_was_given() {
        let hosts = Hosts::new(["Memory.Example".to_owned()]);
        for host in [
            "localhost",
            "localhost:3456",
            "127.0.0.1:3456",
            "127.9.9.9",
            "[::1]:3456",
            "[::1]",
            "LOCALHOST",
            "memory.example:80",
        ] {
            assert!(hosts.knows(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.nip.io:3456",
            "[fe80::1]",
        ] {
            assert!(!hosts.knows(host), "{host}");
        }
    }

    #[test]
    fn only_the_servers_own_origin_is_not_foreign() {
        assert!(same_origin("http://localhost:3456", Some("localhost:3456")));
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost:5173",
            "file://",
            "",
        ] {
            assert!(!same_origin(origin, Some("localhost:3456")), "{origin}");
        }
    }
}
