//! A client of the very bytes: what it sends, when it sends it, and whether it reads.
//!
//! **Invariant:** never waits without a bound.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::Server;

/// How long anything may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(25);

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Sends bytes; whether the connection still took them.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a byte each `every` for as long as the server takes them, at most `most` long, and does not read.
    pub(crate) fn drip(
        &mut self,
        bytes: impl Iterator<Item = Vec<u8>>,
        every: Duration,
        most: Duration,
    ) {
        let end = Instant::now() + most;
        for piece in bytes {
            if Instant::now() > end || !self.send(&piece) || self.has_something() {
                return;
            }
            std::thread::sleep(every);
        }
    }

    /// Whether an answer, or the end, is there to be read.
    fn has_something(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let found = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(found, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// The next answer, whose length is given.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8(self.bytes[..end].to_vec()).unwrap();
        let length: usize =
            header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while self.bytes.len() < end + length {
            self.fill()?;
        }
        let body = self.bytes[end..end + length].to_vec();
        self.bytes.drain(..end + length);
        Some(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body,
        })
    }

    /// Some bytes of what comes, or none at the end.
    pub(crate) fn fill(&mut self) -> Option<usize> {
        let mut part = [0; 64 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => None,
            Ok(read) => {
                self.bytes.extend_from_slice(&part[..read]);
                Some(read)
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the connection was neither answered nor closed: {error}"),
        }
    }

    /// Whether what was read begins an answer of this status.
    pub(crate) fn has_status(&self, status: u16) -> bool {
        self.bytes
            .starts_with(format!("HTTP/1.1 {status} ").as_bytes())
    }

    /// Makes the system hold little of what was not read yet; it would hold all of a long answer.
    pub(crate) fn shrink(&self) {
        rustix::net::sockopt::set_socket_recv_buffer_size(&self.stream, 64 * 1024).unwrap();
    }

    /// Waits until the server has closed the connection and nothing more comes.
    pub(crate) fn ends(&mut self) {
        while self.fill().is_some() {}
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        assert!(self.send(request), "the connection was closed");
        self.answer().expect("no answer")
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The problem that it is, of this status.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.head);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A request with JSON.
pub(crate) fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A plain event.
pub(crate) fn event(text: &str) -> Value {
    json!({
        "session_id": "overload", "channel": "private", "actor": {"type": "agent", "id": "client"}, "kind": "message",
        "content": {"text": text},
    })
}

/// How many events are stored.
pub(crate) fn stored(server: &Server) -> u64 {
    metric(server, "agent_memory_events{kind=\"message\"}")
}

/// A series of a scrape.
pub(crate) fn metric(server: &Server, series: &str) -> u64 {
    let answer = Wire::connect(server).ask(&get("/metrics"));
    let text = String::from_utf8(answer.body).unwrap();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {series}"));
    value.parse().unwrap()
}

/// A number of `/proc/PID/status` in kB, or a plain one.
pub(crate) fn status(server: &Server, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// Resident memory that is the server's own, in MB.
pub(crate) fn anonymous_mb(server: &Server) -> u64 {
    status(server, "RssAnon") / 1000
}
