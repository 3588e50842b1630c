//! One GET from a server on this machine or behind a tunnel to it.
//!
//! **Invariant:** plain HTTP, no redirects, bounded in time and size.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::cli::Failure;

/// A server that is well answers a scrape in milliseconds, and one that is not should be told about soon.
const PATIENCE: Duration = Duration::from_secs(5);
/// A scrape has a tenth of it.
const MOST_BYTES: u64 = 4 * 1024 * 1024;

/// The body of a 200.
pub(super) fn get(url: &str, path: &str) -> anyhow::Result<String> {
    let wrong = || Failure {
        code: 2,
        message: format!("--url {url} is not like http://127.0.0.1:3456"),
    };
    let host = url.strip_prefix("http://").ok_or_else(wrong)?;
    let host = host.trim_end_matches('/');
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if host.contains('/') || host.chars().any(|char| char.is_control() || char == ' ') {
        return Err(wrong().into());
    }
    let address = if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let silent = |why: std::io::Error| Failure {
        code: 75,
        message: format!("no answer from {url}: {why}; is a server running there?"),
    };
    let answer = exchange(&address, host, path).map_err(silent)?;
    let strange = |what: &str| Failure {
        code: 1,
        message: format!("{url}{path} answered {what}"),
    };
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| strange("no HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(strange(&format!("with {status}")).into());
    }
    Ok(body.to_owned())
}

fn exchange(address: &str, host: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return talk(stream, host, path),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn talk(mut stream: TcpStream, host: &str, path: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: text/plain\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}
