//! The hooks and the MCP entry in the settings of coding agents.
//!
//! Each agent has a file for its MCP servers, and some have one for hooks. Formats and places are those that the agents'
//! own documentation gives as of 2026. What is ours is known by its content (a command of `agent-memory`, a server of
//! that name), so installing again changes it in place and uninstalling finds it, whoever moved it.
//!
//! **Invariant:** nothing but our entries is changed, a change is made only where there is one to make, and a dry run
//! writes nothing.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::client::settings::{self, BACKUP, Json, SettingsError, Toml, with_suffix};

/// The name of our MCP server in every agent's settings.
pub const SERVER: &str = "agent-memory";

/// An agent that can be installed into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
    /// Cursor.
    Cursor,
    /// Visual Studio Code.
    VsCode,
    /// The Claude desktop application.
    ClaudeDesktop,
}

/// Where agents keep their settings on this machine.
#[derive(Debug, Clone)]
pub struct Homes {
    /// The user's home.
    pub home: PathBuf,
    /// Where applications keep settings: `~/.config`, or as the platform has it.
    pub config: PathBuf,
    /// Claude Code's own directory, if it was moved.
    pub claude: Option<PathBuf>,
    /// Codex's own directory, if it was moved.
    pub codex: Option<PathBuf>,
    /// Visual Studio Code's data, if it is a portable one.
    pub vscode: Option<PathBuf>,
}

/// How our binary is called.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The binary.
    pub binary: String,
    /// Flags for every call: the memory's file, the tenant.
    pub flags: Vec<String>,
    /// Flags for hooks alone.
    pub hook_flags: Vec<String>,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The file.
    pub file: PathBuf,
    /// Which entries.
    pub entry: String,
    /// What became of them.
    pub what: Done,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was not there.
    Added,
    /// It was there and another.
    Updated,
    /// It was there as it should be.
    Unchanged,
    /// It was taken out.
    Removed,
    /// There was nothing to take out.
    Absent,
}

impl Done {
    /// Whether the file is another for it.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Added | Self::Updated | Self::Removed)
    }
}

/// How much of us stands in an agent's settings.
#[derive(Debug, Clone, Serialize)]
pub struct Standing {
    /// The agent.
    pub client: &'static str,
    /// Hooks that are there, and hooks there are.
    pub hooks: (usize, usize),
    /// Whether the MCP entry is there.
    pub mcp: bool,
    /// The files that are looked at.
    pub files: Vec<PathBuf>,
}

/// A hook in an agent's settings: the agent's name of it, ours, and how long it may take, in seconds.
type Event = (&'static str, &'static str, u32);

/// Claude Code. A start is waited for; what records has time to read a long session.
const EVENTS: [Event; 5] = [
    ("SessionStart", "session-start", 10),
    ("UserPromptSubmit", "prompt", 10),
    ("PreCompact", "pre-compact", 30),
    ("Stop", "stop", 30),
    ("SessionEnd", "session-end", 10),
];
/// Codex, which gives the end of a session three seconds and says so at each start to whoever asks for more.
const CODEX_EVENTS: [Event; 5] = [
    ("SessionStart", "session-start", 10),
    ("UserPromptSubmit", "prompt", 10),
    ("PreCompact", "pre-compact", 30),
    ("Stop", "stop", 30),
    ("SessionEnd", "session-end", 3),
];
/// Cursor, which takes no context with a prompt.
const CURSOR_EVENTS: [Event; 4] = [
    ("sessionStart", "session-start", 10),
    ("preCompact", "pre-compact", 30),
    ("stop", "stop", 30),
    ("sessionEnd", "session-end", 10),
];

impl Target {
    /// Every agent.
    pub const ALL: [Self; 5] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::Cursor,
        Self::VsCode,
        Self::ClaudeDesktop,
    ];

    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Codex => "codex",
            Self::Cursor => "cursor",
            Self::VsCode => "vscode",
            Self::ClaudeDesktop => "claude-desktop",
        }
    }

    /// What a person has to do for it to be seen.
    pub fn next_step(self) -> &'static str {
        match self {
            Self::ClaudeCode => "start a new session; `/hooks` and `/mcp` there show it",
            Self::Codex => "start a new session, and trust the hooks with `/hooks` if it asks",
            Self::Cursor | Self::VsCode | Self::ClaudeDesktop => "restart it",
        }
    }

    /// Where its hooks stand, and which there are.
    fn hooks(self, homes: &Homes) -> Option<(PathBuf, &'static [Event])> {
        match self {
            Self::ClaudeCode => Some((homes.claude_dir().join("settings.json"), &EVENTS)),
            Self::Codex => Some((homes.codex_dir().join("hooks.json"), &CODEX_EVENTS)),
            Self::Cursor => Some((homes.home.join(".cursor/hooks.json"), &CURSOR_EVENTS)),
            Self::VsCode | Self::ClaudeDesktop => None,
        }
    }

    /// Where its MCP servers stand, and under which member; none for TOML.
    fn servers(self, homes: &Homes) -> (PathBuf, Option<&'static str>) {
        match self {
            Self::ClaudeCode => {
                // In the home unless its directory was moved.
                let dir = homes.claude.as_ref().unwrap_or(&homes.home);
                (dir.join(".claude.json"), Some("mcpServers"))
            }
            Self::Codex => (homes.codex_dir().join("config.toml"), None),
            Self::Cursor => (homes.home.join(".cursor/mcp.json"), Some("mcpServers")),
            Self::VsCode => {
                let user = match &homes.vscode {
                    Some(data) => data.join("user-data/User"),
                    None => homes.config.join("Code/User"),
                };
                (user.join("mcp.json"), Some("servers"))
            }
            Self::ClaudeDesktop => (
                homes.config.join("Claude/claude_desktop_config.json"),
                Some("mcpServers"),
            ),
        }
    }

    /// Installs, or changes what is there to what it should be.
    ///
    /// # Errors
    /// A file cannot be read, understood or written. Files that come before it are changed.
    pub fn install(
        self,
        homes: &Homes,
        how: &Invocation,
        dry_run: bool,
    ) -> Result<Vec<Change>, SettingsError> {
        let mut changes = Vec::new();
        if let Some((path, events)) = self.hooks(homes) {
            let json = Json::parse(&path, &settings::read(&path)?.unwrap_or_default())?;
            if self == Self::Cursor {
                json.set_default("version", &json!(1));
            }
            let mut done = Vec::new();
            for event in events {
                let wanted = self.hook(how, event);
                let ours: Vec<Value> = json
                    .hooks(event.0)
                    .into_iter()
                    .filter(is_our_item)
                    .collect();
                let what = match ours.as_slice() {
                    [one] if *one == wanted => Done::Unchanged,
                    [] => Done::Added,
                    _ => Done::Updated,
                };
                if what.is_change() {
                    json.remove_hooks(event.0, is_ours);
                    json.add_hook(event.0, &wanted)?;
                }
                done.push((event.0, what));
            }
            changes.extend(grouped(&path, &done));
            keep(&path, &json.text(), &done, dry_run)?;
        }
        let change = self.set_server(homes, how, dry_run)?;
        changes.push(change);
        Ok(changes)
    }

    /// Takes everything of ours out.
    ///
    /// # Errors
    /// As [`Target::install`].
    pub fn uninstall(self, homes: &Homes, dry_run: bool) -> Result<Vec<Change>, SettingsError> {
        let mut changes = Vec::new();
        if let Some((path, events)) = self.hooks(homes)
            && let Some(text) = settings::read(&path)?
        {
            let json = Json::parse(&path, &text)?;
            let mut done = Vec::new();
            for (event, ..) in events {
                let found = json.hooks(event).iter().any(is_our_item);
                if found {
                    json.remove_hooks(event, is_ours);
                }
                done.push((*event, if found { Done::Removed } else { Done::Absent }));
            }
            changes.extend(grouped(&path, &done));
            keep(&path, &json.text(), &done, dry_run)?;
        }
        let (path, section) = self.servers(homes);
        if let Some(text) = settings::read(&path)? {
            let (found, text) = match section {
                Some(section) => {
                    let json = Json::parse(&path, &text)?;
                    let found = json.entry(section, SERVER).is_some();
                    json.remove_entry(section, SERVER);
                    (found, json.text())
                }
                None => {
                    let mut toml = Toml::parse(&path, &text)?;
                    let found = toml.server(SERVER).is_some();
                    toml.remove_server(SERVER);
                    (found, toml.text())
                }
            };
            let done = [(SERVER, if found { Done::Removed } else { Done::Absent })];
            changes.push(change(&path, "MCP server", done[0].1));
            keep(&path, &text, &done, dry_run)?;
        }
        Ok(changes)
    }

    /// How much of us there is.
    ///
    /// # Errors
    /// A file cannot be read or understood.
    pub fn standing(self, homes: &Homes) -> Result<Standing, SettingsError> {
        let mut files = Vec::new();
        let mut hooks = (0, 0);
        if let Some((path, events)) = self.hooks(homes) {
            let json = Json::parse(&path, &settings::read(&path)?.unwrap_or_default())?;
            let is_there = |(event, ..): &&Event| json.hooks(event).iter().any(is_our_item);
            hooks = (events.iter().filter(is_there).count(), events.len());
            files.push(path);
        }
        let (path, section) = self.servers(homes);
        let text = settings::read(&path)?.unwrap_or_default();
        let mcp = match section {
            Some(section) => Json::parse(&path, &text)?.entry(section, SERVER).is_some(),
            None => Toml::parse(&path, &text)?.server(SERVER).is_some(),
        };
        files.push(path);
        Ok(Standing {
            client: self.as_str(),
            hooks,
            mcp,
            files,
        })
    }

    /// The copies that were made before changes.
    pub fn backups(self, homes: &Homes) -> Vec<PathBuf> {
        let hooks = self.hooks(homes).map(|(path, _)| path);
        let files = hooks.into_iter().chain([self.servers(homes).0]);
        files
            .map(|path| path.canonicalize().unwrap_or(path))
            .map(|path| with_suffix(&path, BACKUP))
            .filter(|path| path.exists())
            .collect()
    }

    fn set_server(
        self,
        homes: &Homes,
        how: &Invocation,
        dry_run: bool,
    ) -> Result<Change, SettingsError> {
        let (path, section) = self.servers(homes);
        let before = settings::read(&path)?.unwrap_or_default();
        let mut args = how.flags.clone();
        args.push("mcp".to_owned());
        let (found, text) = match section {
            Some(section) => {
                let json = Json::parse(&path, &before)?;
                let found = json.entry(section, SERVER);
                // What somebody added to it stays.
                let mut wanted = match &found {
                    Some(Value::Object(map)) => map.clone(),
                    _ => serde_json::Map::new(),
                };
                // What a server that is reached over HTTP has, and this one has not.
                wanted.retain(|key, _| key != "url" && key != "headers");
                if matches!(self, Self::ClaudeCode | Self::VsCode) {
                    wanted.insert("type".to_owned(), json!("stdio"));
                }
                wanted.insert("command".to_owned(), json!(how.binary));
                wanted.insert("args".to_owned(), json!(args));
                let wanted = Value::Object(wanted);
                let what = compare(found.as_ref(), &wanted);
                if what.is_change() {
                    json.set_entry(section, SERVER, &wanted)?;
                }
                (what, json.text())
            }
            None => {
                let mut toml = Toml::parse(&path, &before)?;
                let what = compare(
                    toml.server(SERVER).as_ref(),
                    &(how.binary.clone(), args.clone()),
                );
                if what.is_change() {
                    toml.set_server(SERVER, &how.binary, &args)?;
                }
                (what, toml.text())
            }
        };
        keep(&path, &text, &[(SERVER, found)], dry_run)?;
        Ok(change(&path, "MCP server", found))
    }

    fn hook(self, how: &Invocation, (_, hook, seconds): &Event) -> Value {
        let mut words = vec![how.binary.clone()];
        words.extend(how.flags.iter().cloned());
        words.extend(["hook".to_owned(), (*hook).to_owned()]);
        words.extend(["--client".to_owned(), self.as_str().to_owned()]);
        words.extend(how.hook_flags.iter().cloned());
        let command = words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ");
        match self {
            Self::Cursor => json!({ "command": command }),
            _ => json!({"hooks": [{"type": "command", "command": command, "timeout": seconds}]}),
        }
    }
}

impl Homes {
    fn claude_dir(&self) -> PathBuf {
        let moved = self.claude.clone();
        moved.unwrap_or_else(|| self.home.join(".claude"))
    }

    fn codex_dir(&self) -> PathBuf {
        let moved = self.codex.clone();
        moved.unwrap_or_else(|| self.home.join(".codex"))
    }
}

fn compare<T: PartialEq>(found: Option<&T>, wanted: &T) -> Done {
    match found {
        None => Done::Added,
        Some(found) if found == wanted => Done::Unchanged,
        Some(_) => Done::Updated,
    }
}

fn change(path: &Path, entry: &str, what: Done) -> Change {
    Change {
        file: path.to_owned(),
        entry: entry.to_owned(),
        what,
    }
}

/// One change for the hooks of a file that had the same happen to them.
fn grouped(path: &Path, done: &[(&str, Done)]) -> Vec<Change> {
    let all = [
        Done::Added,
        Done::Updated,
        Done::Unchanged,
        Done::Removed,
        Done::Absent,
    ];
    all.into_iter()
        .filter_map(|what| {
            let of: Vec<&str> = done
                .iter()
                .filter(|(_, done)| *done == what)
                .map(|(event, _)| *event)
                .collect();
            (!of.is_empty()).then(|| change(path, &format!("hooks {}", of.join(", ")), what))
        })
        .collect()
}

fn keep(
    path: &Path,
    text: &str,
    done: &[(&str, Done)],
    dry_run: bool,
) -> Result<(), SettingsError> {
    if dry_run || !done.iter().any(|(_, done)| done.is_change()) {
        return Ok(());
    }
    settings::write(path, text).map(drop)
}

/// Whether a hook's command is one of ours: of whatever path, with whatever flags.
fn is_ours(command: &str) -> bool {
    command.contains("agent-memory") && command.contains(" hook ")
}

fn is_our_item(item: &Value) -> bool {
    let of = |item: &Value| {
        let command = item.get("command").and_then(Value::as_str);
        command.is_some_and(is_ours)
    };
    let inner = item.get("hooks").and_then(Value::as_array);
    of(item) || inner.is_some_and(|inner| inner.iter().any(of))
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:@,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
