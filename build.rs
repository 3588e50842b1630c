//! Tells the build what it is made of: the revision of the source and the compiler.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=AGENT_MEMORY_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    // A commit moves one of these; an index that changes does not.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = said("git", &["rev-parse", "--git-path", name]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    #[expect(clippy::disallowed_methods, reason = "the environment of the build")]
    let given = std::env::var("AGENT_MEMORY_REVISION").ok();
    let revision = given
        .or_else(|| said("git", &["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=AGENT_MEMORY_REVISION={revision}");
    #[expect(clippy::disallowed_methods, reason = "the environment of the build")]
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = said(&compiler, &["--version"]).unwrap_or_default();
    let version = version.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=AGENT_MEMORY_RUSTC={version}");
}

/// The first line of what a command says, if it succeeds.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
