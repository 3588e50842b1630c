//! Settings of coding agents, changed by the real binary: theirs stays, ours comes and goes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::command;

const CLIENTS: [&str; 5] = ["claude-code", "codex", "cursor", "vscode", "claude-desktop"];

/// A home with agents in it.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = command(&self.path("data/memory.db"));
        command
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.path(".config"));
        for name in [
            "CLAUDE_CONFIG_DIR",
            "CODEX_HOME",
            "VSCODE_PORTABLE",
            "XDG_STATE_HOME",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn try_run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        let output = self.try_run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every file below with its bytes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut open = vec![self.dir.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }
}

fn is_backup(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".agent-memory.bak")
}

#[test]
fn an_empty_home_gets_what_each_agent_reads() {
    let home = Home::new();
    let db = home.path("data/memory.db");
    let binary = crate::process::BINARY;
    for client in CLIENTS {
        let dry = home.run(&["install", client, "--dry-run"]);
        assert!(dry.contains("would add"), "{dry}");
        assert!(home.files().is_empty(), "a dry run writes nothing");
    }
    for client in CLIENTS {
        let said = home.run(&["install", client]);
        assert!(said.contains("added MCP server"), "{said}");
    }
    let args = json!(["--db", db, "mcp"]);
    let settings = home.json(".claude/settings.json");
    let events: Vec<_> = settings["hooks"].as_object().unwrap().keys().collect();
    assert_eq!(
        events,
        [
            "SessionStart",
            "UserPromptSubmit",
            "PreCompact",
            "Stop",
            "SessionEnd"
        ]
    );
    let stop = &settings["hooks"]["Stop"][0]["hooks"][0];
    assert_eq!(stop["type"], "command");
    assert_eq!(stop["timeout"], 30);
    let called = format!(
        "{binary} --db {} hook stop --client claude-code",
        db.display()
    );
    assert_eq!(stop["command"], called);
    let server = &home.json(".claude.json")["mcpServers"]["agent-memory"];
    assert_eq!(
        server,
        &json!({"type": "stdio", "command": binary, "args": args})
    );

    assert_eq!(
        home.json(".codex/hooks.json")["hooks"]
            .as_object()
            .unwrap()
            .len(),
        5
    );
    // More than it gives would be a warning at each of its starts.
    let end = &home.json(".codex/hooks.json")["hooks"]["SessionEnd"][0]["hooks"][0];
    assert_eq!(end["timeout"], 3);
    let toml = home.text(".codex/config.toml");
    assert!(
        toml.starts_with("[mcp_servers.agent-memory]\ncommand = "),
        "{toml}"
    );

    let cursor = home.json(".cursor/hooks.json");
    assert_eq!(cursor["version"], 1);
    assert!(
        cursor["hooks"]["sessionStart"][0]["command"]
            .as_str()
            .unwrap()
            .ends_with("session-start --client cursor")
    );
    assert_eq!(
        home.json(".cursor/mcp.json")["mcpServers"]["agent-memory"]["args"],
        args
    );
    let code = home.json(".config/Code/User/mcp.json");
    assert_eq!(code["servers"]["agent-memory"]["type"], "stdio");
    let desktop = home.json(".config/Claude/claude_desktop_config.json");
    assert_eq!(desktop["mcpServers"]["agent-memory"]["command"], binary);

    let list = home.run(&["install", "--list"]);
    assert!(
        list.contains("claude-code     5 of 5 hooks, MCP server"),
        "{list}"
    );
    assert!(
        list.contains("cursor          4 of 4 hooks, MCP server"),
        "{list}"
    );
    assert!(
        list.contains("vscode          takes no hooks, MCP server"),
        "{list}"
    );

    // Again changes nothing, not even a time of a file.
    let before = home.files();
    for client in CLIENTS {
        let said = home.run(&["install", client]);
        assert!(
            !said.contains("added") && !said.contains("changed"),
            "{said}"
        );
    }
    assert_eq!(home.files(), before);

    // Another way to call is a change in place.
    let said = home.run(&["install", "claude-code", "--capture", "messages"]);
    assert!(said.contains("changed hooks SessionStart"), "{said}");
    let settings = home.json(".claude/settings.json");
    assert_eq!(settings["hooks"]["Stop"].as_array().unwrap().len(), 1);
    assert!(
        settings["hooks"]["Stop"][0]["hooks"][0]["command"]
            .as_str()
            .unwrap()
            .ends_with("--capture messages")
    );

    for client in CLIENTS {
        home.run(&["install", client, "--uninstall"]);
    }
    for (path, bytes) in home.files() {
        if !is_backup(&path) {
            assert!(
                !String::from_utf8_lossy(&bytes).contains("agent-memory"),
                "{}",
                path.display()
            );
        }
    }
    assert!(
        home.run(&["install", "--list"])
            .contains("claude-code     0 of 5 hooks, no MCP server")
    );
}

/// What others wrote, in forms that occur.
const SETTINGS: &str = "{\r\n    // mine\r\n    \"model\": \"opus\", /* the large one */\r\n    \"hooks\": {\r\n        \"Stop\": [\r\n            {\r\n                \"matcher\": \"\",\r\n                \"hooks\": [\r\n                    { \"type\": \"command\", \"command\": \"say done\" },\r\n                ],\r\n            },\r\n        ],\r\n        \"PostToolUse\": []\r\n    },\r\n    \"env\": { \"A\": \"1\" }\r\n}\r\n";
const SERVERS: &str = "{\n\t\"numStartups\": 7,\n\t\"mcpServers\": {\n\t\t\"other\": {\"type\": \"http\", \"url\": \"http://127.0.0.1:1/mcp\"}\n\t},\n\t\"big\": 12345678901234567890.5,\n\t\"projects\": {\"/w\": {\"allowedTools\": []}}\n}";
const CODEX: &str = "# mine\r\nmodel = \"gpt\"   # the large one\r\n\r\n[mcp_servers.other]\r\ncommand = 'x'\r\n\r\n[features]\r\nhooks = true\r\n";

#[test]
fn what_others_wrote_stays_byte_for_byte() {
    let home = Home::new();
    home.put(".claude/settings.json", SETTINGS);
    home.put(".claude.json", &format!("\u{feff}{SERVERS}"));
    home.put(".codex/config.toml", CODEX);
    home.put(".codex/hooks.json", "");
    home.put(".cursor/mcp.json", "{}");
    home.put(
        ".config/Code/User/mcp.json",
        "{\n  \"inputs\": [],\n  // none yet\n  \"servers\": {}\n}\n",
    );
    home.put(".config/Claude/claude_desktop_config.json", "  \n");
    for client in CLIENTS {
        home.run(&["install", client]);
    }
    let settings = home.text(".claude/settings.json");
    for line in SETTINGS
        .split("\r\n")
        .filter(|line| line.contains("//") || line.contains("/*") || line.contains("say done"))
    {
        assert!(settings.contains(line), "{line} is not in\n{settings}");
    }
    assert_eq!(
        settings.matches('\n').count(),
        settings.matches("\r\n").count(),
        "{settings:?}"
    );
    assert_eq!(settings.matches("say done").count(), 1);
    assert!(home.text(".claude.json").starts_with('\u{feff}'));
    assert!(
        home.text(".claude.json")
            .contains("\t\"big\": 12345678901234567890.5,")
    );
    let toml = home.text(".codex/config.toml");
    assert!(
        toml.contains("model = \"gpt\"   # the large one\r\n")
            && toml.contains("[mcp_servers.agent-memory]\r\n"),
        "{toml:?}"
    );
    assert_eq!(
        toml.matches('\n').count(),
        toml.matches("\r\n").count(),
        "{toml:?}"
    );
    assert!(
        home.text(".config/Code/User/mcp.json")
            .contains("// none yet")
    );
    assert_eq!(
        home.text(".claude/settings.json.agent-memory.bak"),
        SETTINGS
    );
    assert_eq!(home.text(".codex/config.toml.agent-memory.bak"), CODEX);

    for client in CLIENTS {
        home.run(&["install", client, "--uninstall"]);
    }
    assert_eq!(home.text(".claude/settings.json"), SETTINGS);
    assert_eq!(home.text(".claude.json"), format!("\u{feff}{SERVERS}"));
    assert_eq!(home.text(".codex/config.toml"), CODEX);
}

#[test]
fn what_is_not_understood_is_refused_and_left_alone() {
    for (client, file, text) in [
        ("claude-code", ".claude/settings.json", "{ \"hooks\": "),
        ("claude-code", ".claude/settings.json", "[]"),
        ("claude-code", ".claude/settings.json", "{\"hooks\": []}"),
        (
            "claude-code",
            ".claude/settings.json",
            "{\"hooks\": {\"Stop\": {}}}",
        ),
        ("claude-code", ".claude.json", "{\"mcpServers\": 7}"),
        ("codex", ".codex/config.toml", "model = "),
        ("codex", ".codex/config.toml", "mcp_servers = 7"),
        ("cursor", ".cursor/mcp.json", "not json"),
        (
            "vscode",
            ".config/Code/User/mcp.json",
            "{\"servers\": \"none\"}",
        ),
    ] {
        let home = Home::new();
        home.put(file, text);
        let output = home.try_run(&["install", client]);
        assert_eq!(output.status.code(), Some(1), "{client} {text}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(file) && said.contains("left as it is"),
            "{said}"
        );
        assert_eq!(home.text(file), text);
        assert!(
            !home
                .files()
                .iter()
                .any(|(path, _)| path.to_string_lossy().ends_with(".part"))
        );
    }
}

#[test]
fn agents_that_were_moved_are_found_and_links_are_followed() {
    let home = Home::new();
    home.put("dotfiles/settings.json", "{}\n");
    fs::create_dir_all(home.path("moved")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        home.path("dotfiles/settings.json"),
        home.path("moved/settings.json"),
    )
    .unwrap();
    let output = home
        .command()
        .env("CLAUDE_CONFIG_DIR", home.path("moved"))
        .args(["install", "claude-code"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(home.text("dotfiles/settings.json").contains("hook stop"));
    assert!(
        fs::symlink_metadata(home.path("moved/settings.json"))
            .unwrap()
            .is_symlink()
    );
    assert!(home.path("moved/.claude.json").exists() && !home.path(".claude.json").exists());
    let output = home
        .command()
        .env("CODEX_HOME", home.path("cx"))
        .args(["install", "codex"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(home.path("cx/config.toml").exists() && home.path("cx/hooks.json").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        home.put(".claude.json", "{}");
        fs::set_permissions(home.path(".claude.json"), fs::Permissions::from_mode(0o600)).unwrap();
        home.run(&["install", "claude-code"]);
        let mode = fs::metadata(home.path(".claude.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_purge_takes_everything_and_asks_first() {
    let home = Home::new();
    home.put("data/other.txt", "mine");
    home.put(".claude/settings.json", "{\"model\": \"opus\"}");
    home.run(&["install", "claude-code"]);
    home.run(&["service", "install", "--no-start"]);
    home.run(&["note", "the tide is high"]);
    home.run(&["key", "create", "laptop"]);
    let refused = home.try_run(&["install", "--uninstall", "--purge"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let dry = home.run(&["install", "--uninstall", "--purge", "--dry-run"]);
    assert!(
        dry.contains("would delete") && home.path("data/memory.db").exists(),
        "{dry}"
    );
    home.run(&["install", "--uninstall", "--purge", "--yes"]);
    let mut left: Vec<_> = home
        .files()
        .into_iter()
        .map(|(path, _)| {
            path.strip_prefix(home.dir.path())
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    left.sort();
    assert_eq!(
        left,
        [".claude.json", ".claude/settings.json", "data/other.txt"]
    );
    assert_eq!(home.json(".claude/settings.json"), json!({"model": "opus"}));
}

#[test]
fn the_service_is_one_that_systemd_takes() {
    let home = Home::new();
    let text = home.run(&[
        "service",
        "install",
        "--dry-run",
        "--",
        "--listen",
        "127.0.0.1:4000",
    ]);
    assert!(text.contains("serve --listen 127.0.0.1:4000\n"), "{text}");
    let status = home.try_run(&["service", "status"]);
    assert_eq!(status.status.code(), Some(4));
    home.run(&["service", "install", "--no-start"]);
    let unit = home.path(".config/systemd/user/agent-memory.service");
    assert!(unit.exists());
    // Where there is one, the real reader of units judges it.
    let Ok(verdict) = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--user")
        .arg(&unit)
        .output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&verdict.stderr);
    assert!(!said.contains("agent-memory.service"), "{said}");
}
