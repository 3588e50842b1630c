//! Tells the build what it is made of: the revision of the source and the compiler.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=AGENT_MEMORY_REVISION");
    println!("cargo:rerun-if-changed=build.rs");
    let revision = revision().unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=AGENT_MEMORY_REVISION={revision}");
    #[expect(clippy::disallowed_methods, reason = "the environment of the build")]
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = said(&compiler, &["--version"]).unwrap_or_default();
    let version = version.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=AGENT_MEMORY_RUSTC={version}");
}

/// Of the source; unknown in a build for development, which each commit would have to make anew.
#[expect(clippy::disallowed_methods, reason = "the environment of the build")]
fn revision() -> Option<String> {
    if let Ok(given) = std::env::var("AGENT_MEMORY_REVISION") {
        return Some(given);
    }
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    // A commit moves one of these; an index that changes does not.
    for name in ["HEAD", "logs/HEAD"] {
        let path = said("git", &["rev-parse", "--git-path", name])?;
        println!("cargo:rerun-if-changed={path}");
    }
    said("git", &["rev-parse", "--short=12", "HEAD"])
}

/// The first line of what a command says, if it succeeds.
fn said(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
