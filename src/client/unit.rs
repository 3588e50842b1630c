//! The service that keeps a server running for a user: a systemd unit, or a launchd agent.
//!
//! **Invariant:** writes one file of its own, and says which command the platform needs next if it cannot run it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What keeps services on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// systemd, in the user's own instance.
    Systemd,
    /// launchd, as an agent of the user's.
    Launchd,
}

/// The name of the systemd unit.
pub const UNIT: &str = "agent-memory.service";
/// The label of the launchd agent.
pub const LABEL: &str = "agent-memory";

impl Platform {
    /// That of the machine this was built for.
    pub fn here() -> Self {
        if cfg!(target_os = "macos") {
            Self::Launchd
        } else {
            Self::Systemd
        }
    }

    /// Where the file stands. `config` is `~/.config` or what stands in for it.
    pub fn file(self, home: &Path, config: &Path) -> PathBuf {
        match self {
            Self::Systemd => config.join("systemd/user").join(UNIT),
            Self::Launchd => home
                .join("Library/LaunchAgents")
                .join(format!("{LABEL}.plist")),
        }
    }

    /// The file for a server with these arguments.
    pub fn text(self, binary: &str, args: &[String]) -> String {
        match self {
            Self::Systemd => systemd(binary, args),
            Self::Launchd => launchd(binary, args),
        }
    }

    /// The commands that start it now and at each login, stop it, and ask for it.
    pub fn commands(self, file: &Path) -> Commands {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let file = file.to_string_lossy().into_owned();
        match self {
            Self::Systemd => Commands {
                start: vec![
                    words(&["systemctl", "--user", "daemon-reload"]),
                    words(&["systemctl", "--user", "enable", UNIT]),
                    words(&["systemctl", "--user", "restart", UNIT]),
                ],
                stop: vec![words(&["systemctl", "--user", "disable", "--now", UNIT])],
                ask: words(&["systemctl", "--user", "is-active", UNIT]),
            },
            Self::Launchd => Commands {
                start: vec![words(&["launchctl", "load", "-w", &file])],
                stop: vec![words(&["launchctl", "unload", "-w", &file])],
                ask: words(&["launchctl", "list", LABEL]),
            },
        }
    }
}

/// Commands of a platform.
#[derive(Debug, Clone)]
pub struct Commands {
    /// Start it, now and at each login.
    pub start: Vec<Vec<String>>,
    /// Stop it, now and for good.
    pub stop: Vec<Vec<String>>,
    /// Ask whether it runs: exits 0 if it does.
    pub ask: Vec<String>,
}

/// Writes the file. Answers whether it is another than before.
///
/// # Errors
/// It cannot be written.
pub fn write(file: &Path, text: &str) -> io::Result<bool> {
    if fs::read_to_string(file).is_ok_and(|before| before == text) {
        return Ok(false);
    }
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(file, text)?;
    Ok(true)
}

fn systemd(binary: &str, args: &[String]) -> String {
    let words = std::iter::once(binary).chain(args.iter().map(String::as_str));
    let start = words.map(systemd_word).collect::<Vec<_>>().join(" ");
    // The server binds loopback alone and writes its own file; what it does not need is taken from it. Ten seconds is
    // what it promises to end in.
    format!(
        "[Unit]\nDescription=agent-memory, the memory AI agents keep between sessions\n\n\
         [Service]\nExecStart={start}\nRestart=on-failure\nRestartSec=2\nTimeoutStopSec=15\nUMask=0077\nNoNewPrivileges=yes\n\n\
         [Install]\nWantedBy=default.target\n"
    )
}

/// A word of `ExecStart`: quoted, and with what systemd would expand doubled.
fn systemd_word(word: &str) -> String {
    let word = word.replace('%', "%%").replace('$', "$$");
    let plain = |char: char| char.is_alphanumeric() || "/._-+=:@,%$".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

fn launchd(binary: &str, args: &[String]) -> String {
    let words = std::iter::once(binary).chain(args.iter().map(String::as_str));
    let words: String = words
        .map(|word| format!("    <string>{}</string>\n", xml(word)))
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n  <key>Label</key>\n  <string>{LABEL}</string>\n  <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n  \
         <key>RunAtLoad</key>\n  <true/>\n  <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n  \
         <key>Umask</key>\n  <integer>63</integer>\n</dict>\n</plist>\n"
    )
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_characters_is_one_word() {
        let args = [
            "serve".to_owned(),
            "--db".to_owned(),
            "/a b/100%/$x&\"y\".db".to_owned(),
        ];
        let unit = Platform::Systemd.text("/opt/agent-memory", &args);
        assert!(
            unit.contains(
                "ExecStart=/opt/agent-memory serve --db \"/a b/100%%/$$x&\\\"y\\\".db\"\n"
            ),
            "{unit}"
        );
        let plist = Platform::Launchd.text("/opt/agent-memory", &args);
        assert!(
            plist.contains("<string>/a b/100%/$x&amp;\"y\".db</string>"),
            "{plist}"
        );
    }
}
