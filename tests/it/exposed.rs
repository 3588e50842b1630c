//! A server that others than this machine can reach: an address beyond loopback, TLS, keys, and curl as the client.
//!
//! It runs in a network of its own, made for the test, in which the address is nobody else's.
//!
//! **Invariant:** nothing is sent outside of that network.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{event, texts};
use crate::process::{BINARY, command, skip, wait_for};

/// An address of RFC 5737, which nothing in the world has.
const ADDRESS: &str = "192.0.2.1";
const PORT: u16 = 3456;

/// A server in a network that has loopback and this one address.
struct Exposed(Child);

/// What curl says: its exit code, the status, the body.
struct Heard {
    exit: i32,
    status: u16,
    body: String,
}

impl Exposed {
    /// `None` where a network cannot be made.
    fn start(db: &Path, flags: &[&str]) -> Option<Self> {
        let network = "ip link set lo up && ip addr add \"$0\"/32 dev lo && exec \"$@\"";
        let unshare = |rest: &[&str]| {
            let mut command = Command::new("unshare");
            command.args(["-rn", "sh", "-c", network, ADDRESS]);
            command.args(rest).stdin(Stdio::null());
            command
        };
        let made = unshare(&["true"]).output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            skip(&format!("no network of its own can be made here: {made:?}"));
            return None;
        }
        let child = unshare(&[BINARY, "--db"])
            .arg(db)
            .args(["serve", "--listen", &format!("0.0.0.0:{PORT}")])
            .args(["--log", "error"])
            .args(flags)
            .spawn()
            .unwrap();
        let server = Self(child);
        wait_for("the server", || {
            (server.curl("/health/live", &[]).status == 200).then_some(())
        });
        Some(server)
    }

    /// curl in the server's network.
    fn run(&self, args: &[&str]) -> Heard {
        let ran = Command::new("nsenter")
            .args(["--preserve-credentials", "-U", "-n", "-t"])
            .arg(self.0.id().to_string())
            .args(["curl", "--silent", "--max-time", "20"])
            .args(["--write-out", "\n%{http_code}"])
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap_or_default();
        Heard {
            exit: ran.status.code().unwrap(),
            status: status.parse().unwrap_or(0),
            body: body.to_owned(),
        }
    }

    /// The same by TLS, at the address that is not loopback's and by the name that the certificate has.
    fn curl(&self, path: &str, args: &[&str]) -> Heard {
        let at = format!("localhost:{PORT}:{ADDRESS}:{PORT}");
        let url = format!("https://localhost:{PORT}{path}");
        let cert = cert("cert.pem");
        let mut all = vec!["--cacert", cert.as_str(), "--connect-to", &at, &url];
        all.extend(args);
        self.run(&all)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn cert(name: &str) -> String {
    format!("{}/tests/data/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn beyond_loopback_nothing_is_said_to_who_has_no_key_or_does_not_speak_tls() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("memory.db");
    let cli = |args: &[&str]| {
        let ran = command(&db).args(args).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let key = cli(&["key", "create", "laptop", "--scope", "write"]);
    let (chain, private) = (cert("cert.pem"), cert("key.pem"));
    let flags = ["--tls-cert", chain.as_str(), "--tls-key", private.as_str()];
    let Some(server) = Exposed::start(&db, &flags) else {
        return;
    };
    let shown = format!("Authorization: Bearer {key}");
    let kind = ["-H", "Content-Type: application/json"];
    let body = event(&json!({"content": {"text": "the gauge stands on the pier"}})).to_string();
    let ping = crate::mcp::message("ping", &json!({})).to_string();

    // Without a key, and with one that is none, there is nothing but what carries no content.
    for wrong in [&[][..], &["-H", "X-API-Key: amk_no"]] {
        for (path, data) in [
            ("/api/v1/events", None),
            ("/api/v1/events", Some(&body)),
            ("/api/v1/export/all", None),
            ("/mcp", Some(&ping)),
            ("/nowhere", None),
        ] {
            let mut args = wrong.to_vec();
            args.extend(kind);
            args.extend(data.iter().flat_map(|data| ["--data", data.as_str()]));
            let heard = server.curl(path, &args);
            assert_eq!(heard.status, 401, "{path} {}", heard.body);
        }
    }
    for path in ["/health", "/metrics", "/openapi.json"] {
        assert_eq!(server.curl(path, &[]).status, 200, "{path}");
    }

    // With one there is everything, under whatever name it is asked for.
    let with = ["-H", shown.as_str()];
    let posted = server.curl(
        "/api/v1/events",
        &[&with[..], &kind, &["--data", &body]].concat(),
    );
    assert_eq!(posted.status, 201, "{}", posted.body);
    for host in ["Host: localhost", "Host: memory.example"] {
        let read = server.curl("/api/v1/events", &[&with[..], &["-H", host]].concat());
        assert_eq!(read.status, 200, "{host}: {}", read.body);
        assert!(read.body.contains("the gauge stands"), "{}", read.body);
    }
    let pong = server.curl("/mcp", &[&with[..], &kind, &["--data", &ping]].concat());
    assert_eq!(pong.status, 200, "{}", pong.body);
    let page = ["-H", "Origin: https://evil.example"];
    let page = server.curl("/api/v1/events", &[&with[..], &page].concat());
    assert_eq!(page.status, 403, "{}", page.body);

    // In the clear, by an older TLS, or to whoever looks at the certificate and finds another, not a word. The exit codes
    // are those of curl: 35 no agreement on TLS, 60 the certificate is not trusted, 1 no HTTP that it knows, 52 and 56 an end.
    let plain = format!("http://{ADDRESS}:{PORT}/health");
    let heard = server.run(&[&plain]);
    assert!([1, 52, 56].contains(&heard.exit), "{}", heard.exit);
    assert_eq!(heard.body, "");
    let old = ["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"];
    assert_eq!(server.curl("/health", &old).exit, 35);
    let url = format!("https://{ADDRESS}:{PORT}/health");
    for args in [
        &[url.as_str()][..],
        &["--cacert", chain.as_str(), url.as_str()],
    ] {
        assert_eq!(server.run(args).exit, 60, "{args:?}");
    }

    // A command beside it takes the key back, and the audit says where the caller was.
    cli(&["key", "revoke", "laptop"]);
    assert_eq!(server.curl("/api/v1/events", &with).status, 401);
    let rows: Value = serde_json::from_str(&cli(&["audit", "--json"])).unwrap();
    let rows: Vec<_> = rows["audit"].as_array().unwrap().iter().collect();
    let recorded = rows.iter().find(|row| row["action"] == "event_record");
    let recorded = recorded.unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(recorded["address"], ADDRESS, "{recorded}");
    assert_eq!(recorded["key_name"], "laptop", "{recorded}");
    let listed: Value = serde_json::from_str(&cli(&["list", "events", "--json"])).unwrap();
    assert_eq!(texts(&listed["events"], "session_id").len(), 1, "{listed}");
}
