//! Where an agent works: the project of a directory, and whether it was opted out.
//!
//! Git is not asked; its files are read: `.git` as a directory, or as the file that a worktree or a submodule has
//! instead, `commondir`, and `config`.
//!
//! **Invariant:** reads a handful of small files, and answers something for any directory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::domain::project::{RepositoryConfig, identify, read_config};

/// A file of this name keeps the directory it is in, and all below, out of memory.
pub const IGNORE: &str = ".agent-memory-ignore";
/// Largest file of git's that is read; a `config` has a few hundred bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where an agent works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The project's id.
    pub project: String,
    /// The directory that decides: what the worktrees share, or the one asked about.
    pub root: PathBuf,
    /// The file that opts it out.
    pub ignored: Option<PathBuf>,
}

/// The place that a directory is.
pub fn find(directory: &Path) -> Place {
    let directory = directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned());
    let mut ignored = None;
    let mut repository = None;
    for above in directory.ancestors() {
        let mark = above.join(IGNORE);
        if ignored.is_none() && mark.exists() {
            ignored = Some(mark);
        }
        if let Some(found) = common_directory(above) {
            repository = Some(found);
            break;
        }
    }
    let Some(common) = repository else {
        return Place {
            project: identify(&RepositoryConfig::default(), &directory.to_string_lossy()),
            root: directory,
            ignored,
        };
    };
    // The tree that the repository was made in; a bare repository and a submodule's have none of their own.
    let root = match common.file_name() {
        Some(name) if name == ".git" => common.parent().unwrap_or(&common).to_owned(),
        _ => common.clone(),
    };
    if ignored.is_none() {
        ignored = Some(root.join(IGNORE)).filter(|mark| mark.exists());
    }
    let config = text(&common.join("config"));
    let config = config.as_deref().map(read_config).unwrap_or_default();
    Place {
        project: identify(&config, &root.to_string_lossy()),
        root,
        ignored,
    }
}

/// The directory that the worktrees of a repository share, if `directory` is the top of one.
fn common_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    let own = if git.is_dir() {
        git
    } else {
        let link = text(&git)?;
        directory.join(link.trim().strip_prefix("gitdir:")?.trim())
    };
    if !own.join("HEAD").exists() {
        return None;
    }
    let common = match text(&own.join("commondir")) {
        Some(path) => own.join(path.trim()),
        None => own,
    };
    Some(common.canonicalize().unwrap_or(common))
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}
