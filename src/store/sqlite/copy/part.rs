//! A copy while it is made: under a name of its own, locked, and named when it is whole.
//!
//! **Invariant:** what is emptied or removed here has the name of a part, is no link, and nobody else is at it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::store::sqlite::copy::{manifest_path, only_ours, parent, remove, sync, taken};
use crate::store::sqlite::examine::with_suffix;
use crate::store::sqlite::file::create_file;
use crate::store::{CopyError, Manifest};

/// A copy that is not finished; what is left of it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Its manifest, before that has its name.
    manifest: PathBuf,
    /// Held until the end, so that two copies to one name do not mix.
    _lock: File,
    /// Whether it has its name, so that what is called like the part is somebody else's.
    named: bool,
}

impl Part {
    pub(super) fn begin(target: &Path) -> Result<Self, CopyError> {
        let path = with_suffix(target, ".part");
        let failed = |error: io::Error| CopyError::of("cannot write", &path, error);
        // Not through a link that somebody else laid there: it is emptied.
        if path.is_symlink() {
            let said = format!("{} is a link: remove it", path.display());
            return Err(CopyError::Refused(said));
        }
        create_file(&path).map_err(failed)?;
        let lock = open_part(&path).map_err(failed)?;
        if lock.try_lock().is_err() {
            let said = format!("another copy to {} is being made", target.display());
            return Err(CopyError::InTheWay(said));
        }
        // What one left that was killed.
        lock.set_len(0).map_err(failed)?;
        only_ours(&lock).map_err(failed)?;
        for suffix in ["-journal", "-wal", "-shm"] {
            remove(&with_suffix(&path, suffix)).map_err(failed)?;
        }
        Ok(Self {
            manifest: with_suffix(&manifest_path(target), ".part"),
            path,
            _lock: lock,
            named: false,
        })
    }

    /// Gives the copy its name, and then its manifest's. A manifest of another copy is never beside it.
    pub(super) fn publish(
        mut self,
        target: &Path,
        replace: bool,
        manifest: &Manifest,
    ) -> Result<(), CopyError> {
        let named = manifest_path(target);
        let written = &self.manifest;
        let cannot = |path| CopyError::io("cannot write", path);
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| CopyError::of("cannot write", written, error))?;
        remove(written).map_err(cannot(written))?;
        create_file(written).map_err(cannot(written))?;
        std::fs::write(written, text)
            .and_then(|()| sync(written))
            .map_err(cannot(written))?;
        if replace {
            remove(&named).map_err(cannot(&named))?;
            std::fs::rename(&self.path, target).map_err(cannot(target))?;
        } else {
            name_new(&self.path, target)?;
            remove(&named).map_err(cannot(&named))?;
        }
        self.named = true;
        std::fs::rename(written, &named)
            .and_then(|()| sync(parent(target)))
            .map_err(cannot(&named))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.named {
            return;
        }
        for suffix in ["", "-journal", "-wal", "-shm"] {
            // The next copy to this name would take it away as well.
            drop(remove(&with_suffix(&self.path, suffix)));
        }
        drop(remove(&self.manifest));
    }
}

/// Removes what is left of a copy that was begun at `target` and never finished, unless somebody is at it. Answers whether
/// there was something.
pub(in crate::store) fn remove_unfinished(target: &Path) -> io::Result<bool> {
    let path = with_suffix(target, ".part");
    let lock = match open_part(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        lock => Some(lock?),
    };
    if lock.as_ref().is_some_and(|lock| lock.try_lock().is_err()) {
        return Ok(false);
    }
    for suffix in ["-journal", "-wal", "-shm", ""] {
        remove(&with_suffix(&path, suffix))?;
    }
    remove(&with_suffix(&manifest_path(target), ".part"))?;
    Ok(true)
}

fn open_part(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        i32::from_ne_bytes(rustix::fs::OFlags::NOFOLLOW.bits().to_ne_bytes()),
    );
    options.open(path)
}

/// Gives a file its name if nobody has it.
fn name_new(part: &Path, target: &Path) -> Result<(), CopyError> {
    match std::fs::hard_link(part, target) {
        Ok(()) => std::fs::remove_file(part).map_err(CopyError::io("cannot remove", part)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(target)),
        // A file system without links.
        Err(_) if target.exists() => Err(taken(target)),
        Err(_) => std::fs::rename(part, target).map_err(CopyError::io("cannot write", target)),
    }
}
