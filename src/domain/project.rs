//! Which project a working directory belongs to, from what its repository says of itself.
//!
//! In this order: the name that the repository was given (`git config agent-memory.project NAME`), its remote, the
//! directory that its worktrees share, the directory itself. So worktrees, subfolders and clones of one remote share a
//! project, a renamed folder keeps it as long as there is a remote or a name, and a submodule has its own.
//!
//! **Invariant:** touches no file; an id holds neither a user nor a password of a remote.

use crate::domain::name::MAX_NAME_BYTES;
use crate::domain::transcript::hash;

/// What a repository's configuration says that matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryConfig {
    /// The name it was given.
    pub name: Option<String>,
    /// Where its remote is: `origin`, or else the first one.
    pub remote: Option<String>,
}

/// Reads a repository's `config` file: sections, keys in any case, quotes, comments. What it includes is not looked at.
pub fn read_config(text: &str) -> RepositoryConfig {
    let mut found = RepositoryConfig::default();
    let mut origin = None;
    let (mut section, mut part) = (String::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[') {
            let head = head.split(']').next().unwrap_or_default();
            let (name, rest) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
            section = name.to_ascii_lowercase();
            part = rest.trim().trim_matches('"').to_owned();
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value_of(value));
        match (section.as_str(), key.as_str()) {
            ("remote", "url") if part == "origin" => origin = Some(value),
            ("remote", "url") if found.remote.is_none() => found.remote = Some(value),
            ("agent-memory", "project") => found.name = Some(value),
            _ => {}
        }
    }
    found.remote = origin.or(found.remote);
    found.name = found.name.filter(|name| !name.is_empty());
    found.remote = found.remote.filter(|remote| !remote.is_empty());
    found
}

fn value_of(text: &str) -> String {
    let text = text.trim();
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default().to_owned();
    }
    let end = text
        .find(" #")
        .or_else(|| text.find(" ;"))
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default().trim().to_owned()
}

/// Hosts that take the case of a path for the same.
const CASELESS: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];

/// `github.com/owner/name` of any way to write it: with a user, a password, a port, as `ssh`, `https` or
/// `host:path`, with or without `.git`. A remote on this machine is its path.
pub fn normal_remote(url: &str) -> Option<String> {
    let url = url.trim();
    let (host, path) = match url.split_once("://") {
        Some(("file", path)) => ("", path),
        Some((_, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let host = authority.rsplit('@').next().unwrap_or_default();
            (without_port(host), path)
        }
        None if url.starts_with(['/', '.']) => ("", url),
        None => match url.split_once(':') {
            Some((authority, path)) if !authority.contains('/') => {
                (authority.rsplit('@').next().unwrap_or_default(), path)
            }
            _ => ("", url),
        },
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    if host.is_empty() {
        let path = path.trim_end_matches('/');
        return (!path.is_empty()).then(|| format!("file:{path}"));
    }
    let host = host.to_ascii_lowercase();
    let path = path.trim_matches('/');
    if path.is_empty() {
        return None;
    }
    if CASELESS.contains(&host.as_str()) {
        return Some(format!("{host}/{}", path.to_lowercase()));
    }
    Some(format!("{host}/{path}"))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

/// The id of the project in `directory`: the one that the worktrees share, or, without a repository, where the agent is.
pub fn identify(config: &RepositoryConfig, directory: &str) -> String {
    let named = config.name.clone();
    let remote = || config.remote.as_deref().and_then(normal_remote);
    let id = named
        .or_else(remote)
        .unwrap_or_else(|| format!("dir:{directory}"));
    let id: String = id.chars().filter(|char| !char.is_control()).collect();
    if id.len() <= MAX_NAME_BYTES {
        return id;
    }
    // Too long for a name: its end, which differs most, and a hash of the whole.
    let mark: String = hash(&[id.as_bytes()])
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let room = MAX_NAME_BYTES - mark.len() - 2;
    let tail = id.get(id.ceil_char_boundary(id.len() - room)..);
    format!("{mark}:{}", tail.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_remote_is_one() {
        for url in [
            "git@github.com:Ada/Tide-Watch.git",
            "ssh://git@github.com:22/Ada/Tide-Watch.git",
            "https://ada:token@github.com/ada/tide-watch/",
            "https://github.com/ada/tide-watch",
            "git://GITHUB.com/ada/tide-watch.git/",
            "github.com:ada/tide-watch",
        ] {
            assert_eq!(
                normal_remote(url).as_deref(),
                Some("github.com/ada/tide-watch"),
                "{url}"
            );
        }
        assert_eq!(
            normal_remote("ssh://git@code.example.org:2222/Ada/X.git").as_deref(),
            Some("code.example.org/Ada/X")
        );
        for url in [
            "/srv/git/x.git",
            "file:///srv/git/x.git",
            "file:///srv/git/x/",
        ] {
            assert_eq!(
                normal_remote(url).as_deref(),
                Some("file:/srv/git/x"),
                "{url}"
            );
        }
        for url in ["", "https://github.com/", "https://github.com"] {
            assert_eq!(normal_remote(url), None, "{url}");
        }
    }

    #[test]
    fn a_configuration_is_read_as_git_reads_it() {
        let text = "[core]\n\tbare = false\n[remote \"fork\"]\n\turl = a:b\n[Remote \"origin\"]\n\tURL = \"git@x.org:y/z.git\" # mine\n\
                    \tfetch = +refs/heads/*\n[branch \"main\"]\n\tremote = origin\n";
        assert_eq!(
            read_config(text).remote.as_deref(),
            Some("git@x.org:y/z.git")
        );
        let only =
            read_config("[remote \"up\"]\nurl = a:b ; note\n[agent-memory]\nproject = tide\n");
        assert_eq!(
            (only.remote.as_deref(), only.name.as_deref()),
            (Some("a:b"), Some("tide"))
        );
        assert_eq!(identify(&only, "/w"), "tide");
        assert_eq!(identify(&RepositoryConfig::default(), "/w/x"), "dir:/w/x");
    }

    #[test]
    fn an_id_fits_a_name() {
        for length in [400, 513, 4_000] {
            let directory = format!("/{}é", "d".repeat(length));
            let id = identify(&RepositoryConfig::default(), &directory);
            assert!(
                id.len() <= MAX_NAME_BYTES && id.ends_with("dé"),
                "{}",
                id.len()
            );
        }
    }
}
