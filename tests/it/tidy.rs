//! The rules of the house that a compiler does not know.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use agent_memory::http::ROUTES;

/// Which modules each module may name. A front end reaches the store through `service` alone, apart from the types
/// that a unit of work answers with.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    (
        "cli",
        &[
            "app", "client", "clock", "config", "domain", "fault", "mcp", "metrics", "service",
            "store",
        ],
    ),
    (
        "app",
        &[
            "clock", "config", "exec", "http", "jobs", "metrics", "service", "store",
        ],
    ),
    (
        "http",
        &["domain", "exec", "mcp", "metrics", "service", "store"],
    ),
    ("mcp", &["domain", "exec", "metrics", "service", "store"]),
    ("client", &["domain", "service", "store"]),
    ("jobs", &["service", "store"]),
    ("exec", &["fault", "service", "store"]),
    ("service", &["clock", "domain", "store"]),
    ("store", &["domain", "fault", "store"]),
    ("fault", &[]),
    ("metrics", &["domain", "fault", "store"]),
    ("clock", &["domain"]),
    ("config", &["domain", "fault", "store"]),
    ("domain", &[]),
];
/// Longest source file, its tests included.
const MOST_LINES: usize = 500;

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// The module a file belongs to: the first folder or file name under `src`.
fn module(path: &Path) -> String {
    let inside = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inside.iter().next().unwrap().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn dependencies_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module(&path);
        if module == "lib" {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("{module} is not in MAY_USE"));
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for rest in line.split("crate::").skip(1) {
                let used: String = rest
                    .chars()
                    .take_while(|char| char.is_alphanumeric() || *char == '_')
                    .collect();
                let known = MAY_USE.iter().any(|(name, _)| *name == used);
                if known && used != module && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}: {module} names {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_and_what_it_is_not() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{} has no module doc",
            path.display()
        );
        let head: String = text
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .collect();
        assert!(
            head.contains("**Invariant:**"),
            "{} names no invariant",
            path.display()
        );
        assert!(
            text.lines().count() <= MOST_LINES,
            "{} is longer than {MOST_LINES} lines",
            path.display()
        );
        assert!(
            !text.contains("super::super"),
            "{} climbs with super::super",
            path.display()
        );
    }
}

#[test]
fn only_the_engine_knows_sqlite() {
    for (path, text) in sources() {
        if path.components().any(|part| part.as_os_str() == "sqlite") {
            continue;
        }
        for word in ["rusqlite", "r2d2"] {
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            assert!(
                !code.into_iter().any(|line| line.contains(word)),
                "{} names {word}",
                path.display()
            );
        }
    }
}

#[test]
fn metric_names_stand_in_metrics_alone() {
    for (path, text) in sources() {
        if module(&path) != "metrics" {
            assert!(
                !text.contains("\"agent_memory_"),
                "{} names a metric",
                path.display()
            );
        }
    }
}

#[test]
fn the_readme_lists_every_route_and_no_other() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let listed: BTreeSet<(String, String)> = readme
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| {
            line.split('`')
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter_map(|route| {
            route
                .split_once(' ')
                .map(|(methods, path)| (methods.to_owned(), path.to_owned()))
        })
        .filter(|(_, path)| path.starts_with('/'))
        .collect();
    let served: BTreeSet<(String, String)> = ROUTES
        .iter()
        .filter(|route| route.method != "HEAD")
        .map(|route| (route.method.to_owned(), route.pattern.to_owned()))
        .collect();
    assert_eq!(listed, served);
}

#[test]
fn the_readme_names_every_series() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for (path, text) in sources()
        .into_iter()
        .filter(|(path, _)| module(path) == "metrics")
    {
        for name in text
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|text| text.starts_with("agent_memory_"))
        {
            let known = name
                .chars()
                .all(|char| char.is_ascii_lowercase() || char == '_');
            assert!(
                !known || readme.contains(name),
                "{name} of {} is not in the README",
                path.display()
            );
        }
    }
}
