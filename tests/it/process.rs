//! The real binary as a process: started, waited for, killed.
//!
//! **Invariant:** nothing outlives its test: dropping a server kills it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_agent-memory");

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    base: String,
    agent: ureq::Agent,
}

/// A command of the binary, without the environment's settings.
pub(crate) fn command(db: &Path) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AGENT_MEMORY_") {
            command.env_remove(name);
        }
    }
    command.arg("--db").arg(db);
    command
}

/// For a test that cannot run here: says so, and is a failure where every test has to run. The gate, which installs what
/// they need, asks for that by `AGENT_MEMORY_ALL`.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("AGENT_MEMORY_ALL").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

/// The same for what only root may do: without root it is skipped in the gate too, which says so at its end.
#[cfg(unix)]
#[track_caller]
pub(crate) fn skip_as_user(why: &str) {
    if rustix::process::geteuid().is_root() {
        skip(why);
    } else {
        eprintln!("SKIPPED: {why}");
    }
}

/// Waits for a condition, looking every few milliseconds.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An HTTP client that answers 4xx and 5xx like any other status. What else it does with answers, the crate says.
pub(crate) fn client() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE));
    crate::watched(config).build().into()
}

impl Server {
    /// Starts a server on `db` and waits until it answers.
    pub(crate) fn start(db: &Path) -> Self {
        Self::start_with(db, &[])
    }

    /// The same with flags.
    pub(crate) fn start_with(db: &Path, flags: &[&str]) -> Self {
        Self::launch(command(db), flags)
    }

    /// Starts a server by a command that was prepared, and waits until it answers.
    pub(crate) fn start_by(command: Command) -> Self {
        Self::launch(command, &[])
    }

    fn launch(mut command: Command, flags: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let child = command
            .args([
                "serve",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--log",
                "error",
            ])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            base: format!("http://127.0.0.1:{port}"),
            agent: client(),
        };
        wait_for("the server", || server.get("/health/live").map(|_| ()));
        server
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A body by GET, if the answer is 200.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        let mut answer = self.agent.get(self.url(path)).call().ok()?;
        (answer.status() == 200).then(|| answer.body_mut().read_json().ok())?
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let sent = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and how the server ended.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.ask_to_stop();
        wait_for("the server's end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
