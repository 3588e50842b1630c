//! A real browser: what a page of another origin, and a page of a host name that was bound anew to this machine, can do.
//!
//! Chromium loads a page that tries to read and to write the memory, by `fetch` in every mode and by a form, and leaves
//! what it saw in its document. The same page on the server's own origin, and the same tries at a server without checks,
//! succeed: so that it can fail.
//!
//! **Invariant:** nothing leaves this machine; every name is resolved to a loopback address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::{TestApp, event};
use crate::process::skip;

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A page that tries, with `target` as the origin it tries on.
fn page(target: &str) -> String {
    let body = event(&json!({"content": {"text": "written by a page"}}));
    let (body, plain) = (body.to_string(), json!(body.to_string()));
    format!(
        r#"<!doctype html><title>t</title><pre id=out></pre><iframe name=sink></iframe>
<form id=f method=post enctype=text/plain target=sink action="{target}/api/v1/events"><input name='{{"x' value='":1}}'></form>
<script>
const say = text => document.getElementById("out").textContent += text + "\n";
const body = {body};
async function run() {{
  const tries = {{
    read: () => fetch("{target}/api/v1/events"),
    write: () => fetch("{target}/api/v1/events", {{method: "POST", headers: {{"content-type": "application/json"}}, body: JSON.stringify(body)}}),
    simple: () => fetch("{target}/api/v1/events", {{method: "POST", mode: "no-cors", headers: {{"content-type": "text/plain"}}, body: {plain}}}),
    untyped: () => fetch("{target}/api/v1/events", {{method: "POST", mode: "no-cors", body: new Blob([{plain}])}}),
    wipe: () => fetch("{target}/api/v1/tenants/default", {{method: "DELETE"}}),
  }};
  for (const [name, attempt] of Object.entries(tries)) {{
    if (name === "wipe" && location.search === "?keep") continue;
    try {{ const answer = await attempt(); say(name + " " + answer.status + " " + (await answer.text()).slice(0, 2000)); }}
    catch (error) {{ say(name + " failed"); }}
  }}
  document.getElementById("f").submit();
  await new Promise(done => setTimeout(done, 500));
  say("done");
}}
run();
</script>"#
    )
}

/// Answers every request with a page, until the process ends.
fn host(page: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = |mut stream: TcpStream| -> std::io::Result<()> {
                let mut seen = [0; 4096];
                let _read = stream.read(&mut seen)?;
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}",
                    page.len()
                )
            };
            // A connection that the browser opened and did not use.
            let _unused = stream.and_then(answer);
        }
    });
    port
}

/// Gives the page for `/`, and passes everything else on to the server, so that to the browser both are of one origin: as
/// after a name was bound anew. `checked` passes the very bytes on; without it the headers are left out that the server's
/// checks go by, which is what it would be without them.
fn front(page: String, server: SocketAddr, checked: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = page.clone();
            thread::spawn(move || pass(stream, &page, server, checked));
        }
    });
    port
}

fn pass(mut client: TcpStream, page: &str, server: SocketAddr, checked: bool) -> Option<()> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    client
        .set_read_timeout(Some(Duration::from_millis(300)))
        .ok()?;
    while let Ok(read @ 1..) = client.read(&mut part) {
        bytes.extend_from_slice(&part[..read]);
    }
    let text = String::from_utf8(bytes).ok()?;
    if text.starts_with("GET / ") || text.starts_with("GET /?") {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
        return write!(client, "{head}content-length: {}\r\n\r\n{page}", page.len()).ok();
    }
    let (head, body) = text.split_once("\r\n\r\n")?;
    let telling = ["host:", "origin:", "referer:", "sec-"];
    let kept: Vec<&str> = head
        .lines()
        .filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("connection:")
                && (checked || !telling.iter().any(|name| line.starts_with(name)))
        })
        .collect();
    let host = if checked { "" } else { "host: localhost\r\n" };
    let mut upstream = TcpStream::connect(server).ok()?;
    write!(
        upstream,
        "{}\r\n{host}connection: close\r\n\r\n{body}",
        kept.join("\r\n")
    )
    .ok()?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer).ok()?;
    client.write_all(&answer).ok()
}

/// What the page said in a browser that knows `name` as this machine; none if there is no browser here.
fn browse(url: &str, name: &str) -> Option<String> {
    let program = BROWSERS.into_iter().find(|name| {
        let known = Command::new(name)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        known.is_ok_and(|status| status.success())
    })?;
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    // Root has no sandbox to go into.
    if std::fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
    {
        command.arg("--no-sandbox");
    }
    let output = command
        .args(["--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .arg("--disable-features=LocalNetworkAccessChecks,PrivateNetworkAccessRespectPreflightResults,BlockInsecurePrivateNetworkRequests")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--host-resolver-rules=MAP {name} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
        .args(["--virtual-time-budget=20000", "--timeout=30000", "--dump-dom"])
        .arg(url)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = dom
        .split_once("<pre id=\"out\">")?
        .1
        .split_once("</pre>")?
        .0
        .to_owned();
    Some(said)
}

fn events(app: &TestApp) -> usize {
    app.get("/api/v1/events").ok()["events"]
        .as_array()
        .unwrap()
        .len()
}

/// Without a browser there is nothing to see.
#[track_caller]
fn seen(said: Option<String>) -> Option<String> {
    if said.is_none() {
        skip("there is no Chromium here");
    }
    said
}

#[test]
fn a_page_of_another_origin_can_neither_read_nor_write() {
    let app = TestApp::start();
    app.say("a word for the owner alone");
    let port = host(page(&format!("http://{}", app.address())));
    let Some(said) = seen(browse(&format!("http://pages.test:{port}/"), "pages.test")) else {
        return;
    };
    assert!(
        said.contains("read failed")
            && said.contains("write failed")
            && said.contains("wipe failed"),
        "{said}"
    );
    assert!(!said.contains("owner alone"), "{said}");
    assert_eq!(events(&app), 1, "{said}");
}

#[test]
fn a_name_bound_anew_to_this_machine_can_neither_read_nor_write() {
    let app = TestApp::start();
    app.say("a word for the owner alone");
    let port = front(page(""), app.address(), true);
    let url = format!("http://rebound.test:{port}/");
    let Some(said) = seen(browse(&url, "rebound.test")) else {
        return;
    };
    for attempt in ["read", "write", "wipe"] {
        assert!(said.contains(&format!("{attempt} 403")), "{said}");
    }
    assert!(!said.contains("owner alone"), "{said}");
    assert_eq!(events(&app), 1, "{said}");
}

#[test]
fn the_same_page_reads_and_writes_where_nothing_checks() {
    let app = TestApp::start();
    app.say("a word for the owner alone");
    let port = front(page(""), app.address(), false);
    let url = format!("http://rebound.test:{port}/?keep");
    let Some(said) = seen(browse(&url, "rebound.test")) else {
        return;
    };
    assert!(
        said.contains("read 200") && said.contains("owner alone"),
        "{said}"
    );
    assert!(said.contains("write 201") && events(&app) > 1, "{said}");
}
