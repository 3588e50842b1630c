//! Projects by the repository that a directory is in, and by other names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::TestApp;
use crate::process::command;

#[track_caller]
fn git(directory: &Path, args: &[&str]) {
    let output = Command::new("git")
        .current_dir(directory)
        .args([
            "-c",
            "user.name=ada",
            "-c",
            "user.email=ada@example.org",
            "-c",
            "protocol.file.allow=always",
        ])
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
}

#[track_caller]
fn current(directory: &Path) -> String {
    let output = command(Path::new("/nowhere/memory.db"))
        .args(["project", "current"])
        .arg(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn repository(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    fs::create_dir(&path).unwrap();
    git(&path, &["init", "-q", "-b", "main"]);
    git(&path, &["commit", "-q", "--allow-empty", "-m", "begin"]);
    path
}

#[test]
fn worktrees_subfolders_clones_and_renamed_folders_are_one_project() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let main = repository(&root, "main");
    fs::create_dir_all(main.join("a/b")).unwrap();
    git(&main, &["worktree", "add", "-q", "../side"]);
    let local = format!("dir:{}", main.display());
    for place in [main.clone(), main.join("a/b"), root.join("side")] {
        assert_eq!(current(&place), local);
    }
    git(&main, &["config", "agent-memory.project", "tide watch"]);
    assert_eq!(current(&root.join("side")), "tide watch");
    git(&main, &["config", "--unset", "agent-memory.project"]);
    git(
        &main,
        &[
            "remote",
            "add",
            "origin",
            "https://ada:secret@github.com/Ada/Tide.git",
        ],
    );
    for place in [main.clone(), main.join("a/b"), root.join("side")] {
        assert_eq!(current(&place), "github.com/ada/tide");
    }
    fs::rename(&main, root.join("renamed")).unwrap();
    assert_eq!(current(&root.join("renamed/a")), "github.com/ada/tide");
    // A clone that names the remote in another way.
    let clone = repository(&root, "clone");
    git(
        &clone,
        &["remote", "add", "origin", "git@github.com:ada/tide"],
    );
    assert_eq!(current(&clone), "github.com/ada/tide");
}

#[test]
fn a_submodule_and_a_plain_directory_are_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let part = repository(&root, "part");
    let whole = repository(&root, "whole");
    git(
        &whole,
        &["submodule", "add", "-q", part.to_str().unwrap(), "lib"],
    );
    assert_eq!(
        current(&whole.join("lib")),
        format!("file:{}", part.display())
    );
    assert_eq!(current(&whole), format!("dir:{}", whole.display()));
    let plain = root.join("plain");
    fs::create_dir(&plain).unwrap();
    assert_eq!(current(&plain), format!("dir:{}", plain.display()));
    // A `.git` that is none.
    fs::write(plain.join(".git"), "gitdir: /nowhere").unwrap();
    assert_eq!(current(&plain), format!("dir:{}", plain.display()));
}

#[test]
fn an_alias_moves_what_was_stored_and_what_comes() {
    let app = TestApp::start();
    let write = |project: &str, number: u32| {
        let session = format!("{project}-{number}");
        app.record(json!({"session_id": session, "project_id": project, "content": {"text": format!("the buoy {number} of {project}")}})).created();
        app.hand_off(json!({"session_id": session, "project_id": project, "remember": format!("paint buoy {number}")})).created();
    };
    for number in 0..3 {
        write("old", number);
    }
    write("new", 9);
    let found = |project: &str| {
        let body = json!({"query": "buoy", "project_id": project, "limit": 50, "min_score": 0});
        app.post("/api/v1/recall", &body).ok()["hits"]
            .as_array()
            .unwrap()
            .len()
    };
    let handoffs = |project: &str| {
        let page = app
            .get(&format!("/api/v1/handoffs?project_id={project}"))
            .ok();
        page["handoffs"].as_array().unwrap().len()
    };
    let sessions = |project: &str| {
        let woken = app
            .get(&format!("/api/v1/wake-up?project_id={project}"))
            .ok();
        woken["layers"]["metadata"].clone()
    };
    assert_eq!((handoffs("old"), handoffs("new")), (3, 1));
    let before = (found("old"), found("new"));
    let cli = |args: &[&str]| command(app.file()).args(args).output().unwrap();
    let said = cli(&["project", "alias", "new", "old"]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "new is also old\n");
    for name in ["old", "new"] {
        assert_eq!(handoffs(name), 4, "{name}");
        assert_eq!(found(name), before.0 + before.1, "{name}");
    }
    assert_eq!(sessions("old"), sessions("new"));
    assert!(
        sessions("new").to_string().contains('4'),
        "{}",
        sessions("new")
    );
    write("old", 7);
    assert_eq!(handoffs("new"), 5);
    let projects: Value = app.get("/api/v1/projects").ok();
    assert_eq!(projects["projects"].as_array().unwrap().len(), 1);
    assert_eq!(projects["projects"][0]["aliases"], json!(["old"]));
    // Twice is once; a circle, and a name that is taken, are refused.
    assert!(cli(&["project", "alias", "new", "old"]).status.success());
    for args in [["old", "new"], ["new", "new"], ["third", "old"]] {
        let refused = cli(&["project", "alias", args[0], args[1]]);
        assert_eq!(refused.status.code(), Some(5), "{args:?}: {refused:?}");
    }
    assert!(cli(&["doctor"]).status.success());
    // An alias of what has aliases brings them along, and an export has them.
    assert!(cli(&["project", "alias", "newest", "new"]).status.success());
    assert_eq!(handoffs("old"), 5);
    let export = cli(&["export"]);
    let copy = tempfile::tempdir().unwrap();
    let file = copy.path().join("all.jsonl");
    fs::write(&file, export.stdout).unwrap();
    let there = copy.path().join("memory.db");
    let imported = command(&there).arg("import").arg(&file).output().unwrap();
    assert!(imported.status.success(), "{imported:?}");
    let woken = |project: &str| {
        let output = command(&there)
            .args(["--json", "wake-up", "--project", project])
            .output()
            .unwrap();
        let woken: Value = serde_json::from_slice(&output.stdout).unwrap();
        woken["layers"]["metadata"].clone()
    };
    assert_eq!(woken("old"), woken("newest"));
    assert_ne!(woken("old"), woken("another"));
}
