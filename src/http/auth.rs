//! Who is calling, and from where.
//!
//! A request passes in this order, before its body is read: one that carries the `Origin` of a foreign page is refused;
//! health and metrics, which carry no content, are let through; a key that is shown has to be good; without one, where
//! keys are asked for, nothing else is let through but the description; and where they are not, the request has to name
//! a host that the server is known by, so that a page on a rebound name does not get in. Who is let through may be
//! refused for asking too often.
//!
//! What is open is told by the route that a path leads to and not by its text, since a path may be written in many ways.
//!
//! **Invariant:** a request that names two tenants is refused, whichever would win; one with a key acts in the key's.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use actix_web::{HttpMessage as _, HttpRequest};
use ipnet::IpNet;

use crate::domain::{Actor, Caller, Channel, Invalid, Scope, TenantId};
use crate::http::State;
use crate::http::cors::Origins;
use crate::http::problem::Problem;
use crate::http::rate::Rate;
use crate::service::{Admission, Error};

/// Carries a key, like `Authorization: Bearer`.
const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
/// Where a proxy says for whom it asks.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The route that is open to whoever knows the server's name.
const DESCRIPTION: &str = "/openapi.json";

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

    /// Refuses a request whose `Host` is none of ours.
    fn check(&self, host: Option<&str>) -> Result<(), Problem> {
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

/// Who may ask.
#[derive(Debug, Default)]
pub struct Gate {
    /// Names under which the server may be called without a key.
    pub hosts: Hosts,
    /// Pages of other origins that may call it.
    pub origins: Origins,
    /// Whether a key is needed even if none was ever made, or asking for them was switched off.
    pub always_key: bool,
    /// Proxies whose word on a client's address is taken.
    pub proxies: Vec<IpNet>,
    /// How often somebody may ask.
    pub rate: Rate,
    /// What a proxy puts in front of every path.
    pub base_path: String,
}

/// Whoever was let in.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    pub(super) admission: Admission,
    pub(super) address: Option<IpAddr>,
}

impl Gate {
    /// Lets a request in or not; `pattern` is the route that it leads to. [`caller`] looks at who it was.
    pub(super) fn admit(
        &self,
        request: &ServiceRequest,
        pattern: Option<&str>,
        state: &State,
    ) -> Result<(), Problem> {
        let host = text(request.request(), &HOST).or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        });
        if let Some(origin) = text(request.request(), &ORIGIN)
            && !same_origin(origin, host)
            && !self.origins.allow(origin)
        {
            return Err(
                Error::Forbidden("pages of another origin may not call this server").into(),
            );
        }
        if pattern.is_some_and(is_open) {
            return Ok(());
        }
        let address = self.address(request.request());
        let admission = match self.admission(request.request(), pattern, state) {
            Err(Problem::Service(Error::Unauthenticated)) => {
                // Who tries keys gets no further than others.
                self.rate.take_address(address)?;
                return Err(Error::Unauthenticated.into());
            }
            other => other?,
        };
        match &admission {
            Admission::Key(key) => self.rate.take_key(key.known_as.0)?,
            Admission::Open => {
                self.hosts.check(host)?;
                self.rate.take_address(address)?;
            }
        }
        request
            .extensions_mut()
            .insert(Guest { admission, address });
        Ok(())
    }

    fn admission(
        &self,
        request: &HttpRequest,
        pattern: Option<&str>,
        state: &State,
    ) -> Result<Admission, Problem> {
        let shown = shown_key(request)?;
        if shown.is_none() && pattern == Some(DESCRIPTION) {
            return Ok(Admission::Open);
        }
        Ok(state.exec.services().admit(shown, self.always_key)?)
    }

    /// Where a request comes from. Of what a trusted proxy says, the last that is none itself is believed: what stands
    /// before it, the client may have written.
    pub(super) fn address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let is_proxy = |address: &IpAddr| self.proxies.iter().any(|net| net.contains(address));
        if !is_proxy(&peer) {
            return Some(peer);
        }
        let headers = request.headers().get_all(FORWARDED_FOR);
        let said: Vec<_> = headers.filter_map(|value| value.to_str().ok()).collect();
        let said = said.iter().rev().flat_map(|line| line.rsplit(','));
        let mut client = peer;
        for word in said {
            let Ok(address) = word.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
            if !is_proxy(&client) {
                break;
            }
        }
        Some(client)
    }
}

/// Whether a route carries no content, so that a scraper may come by any name.
fn is_open(pattern: &str) -> bool {
    ["/health", "/metrics"].iter().any(|open| {
        pattern
            .strip_prefix(open)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let value = request.headers().get(name)?;
    Some(value.to_str().unwrap_or_default())
}

/// The key that a request shows in either header; one that shows two is refused unless they are the same.
fn shown_key(request: &HttpRequest) -> Result<Option<&str>, Error> {
    let bearer = match text(request, &AUTHORIZATION) {
        None => None,
        Some(value) => {
            let (scheme, key) = value.trim().split_once(' ').ok_or(Error::Unauthenticated)?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Err(Error::Unauthenticated);
            }
            Some(key.trim())
        }
    };
    match (bearer, text(request, &KEY_HEADER).map(str::trim)) {
        (Some(one), Some(other)) if one != other => Err(Error::Unauthenticated),
        (bearer, header) => Ok(bearer.or(header)),
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

/// The caller: in the tenant of its key, else of the request, of its body, or `default`.
pub(super) fn caller(
    request: &HttpRequest,
    named: Option<&TenantId>,
    body: Option<&str>,
    channel: Option<Channel>,
) -> Result<Caller, Problem> {
    let named = match (named, body) {
        (Some(tenant), _) => Some(tenant.clone()),
        (None, Some(text)) => Some(TenantId::parse("tenant_id", text)?),
        (None, None) => None,
    };
    let guest = request.extensions().get::<Guest>().cloned();
    // Nothing gets here but by the gate.
    let guest = guest.ok_or(Error::Unauthenticated)?;
    let channel = channel.unwrap_or(Channel::Private);
    match guest.admission {
        Admission::Key(key) => {
            if named.is_some_and(|named| named != key.tenant) {
                return Err(Error::Forbidden("this key opens another tenant").into());
            }
            let actor = Actor::remote(Some(key.known_as.clone()), guest.address);
            Ok(Caller::remote(
                key.tenant.clone(),
                channel,
                key.scope,
                actor,
            ))
        }
        Admission::Open => {
            let tenant = named.unwrap_or_else(TenantId::default_tenant);
            let actor = Actor::remote(None, guest.address);
            Ok(Caller::remote(tenant, channel, Scope::Admin, actor))
        }
    }
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

    fn asked(peer: &str, forwarded: &[&str]) -> HttpRequest {
        let peer = std::net::SocketAddr::new(peer.parse().unwrap(), 1);
        let mut request = actix_web::test::TestRequest::get().peer_addr(peer);
        for line in forwarded {
            request = request.append_header(("x-forwarded-for", *line));
        }
        request.to_http_request()
    }

    #[test]
    fn a_trusted_proxys_word_is_taken_as_far_as_it_goes() {
        let gate = Gate {
            proxies: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..Gate::default()
        };
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            (
                "10.0.0.1",
                &["6.6.6.6, 198.51.100.7, 10.0.0.2"],
                "198.51.100.7",
            ),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["6.6.6.6, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, nonsense, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("::1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            let found = gate.address(&asked(peer, forwarded));
            assert_eq!(found, Some(client.parse().unwrap()), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_key_is_shown_in_either_header() {
        let shown = |headers: &[(&str, &str)]| {
            let mut request = actix_web::test::TestRequest::get();
            for (name, value) in headers {
                request = request.append_header((*name, *value));
            }
            let request = request.to_http_request();
            shown_key(&request).map(|key| key.map(str::to_owned)).ok()
        };
        let a = Some(Some("a".to_owned()));
        assert_eq!(shown(&[]), Some(None));
        assert_eq!(shown(&[("authorization", "Bearer a")]), a);
        assert_eq!(shown(&[("authorization", "bearer   a ")]), a);
        assert_eq!(shown(&[("x-api-key", "a")]), a);
        assert_eq!(
            shown(&[("x-api-key", "a"), ("authorization", "Bearer a")]),
            a
        );
        assert_eq!(
            shown(&[("x-api-key", "a"), ("authorization", "Bearer b")]),
            None
        );
        assert_eq!(shown(&[("authorization", "Basic a")]), None);
        assert_eq!(shown(&[("authorization", "a")]), None);
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
