//! Copies of the memory: asked for by hand, or made by the clock.
//!
//! **Invariant:** of the copies in a directory it removes none that it did not name itself, and none before a newer one is
//! there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::backup::{copy_name, copy_time};
use crate::domain::{BackupPlan, Timestamp};
use crate::service::Services;
use crate::store::{CopyError, Follow, Manifest, Store};

/// Copies that are looked at in a directory; beyond that, somebody keeps other things there.
const MOST_ENTRIES: usize = 100_000;

impl Services {
    /// Copies the memory to `target`; blocks until the copy is checked and on the disk.
    ///
    /// # Errors
    /// As [`Store::back_up`](crate::store::Store::back_up).
    pub fn back_up(
        &self,
        target: &Path,
        replace: bool,
        follow: Follow<'_>,
    ) -> Result<Manifest, CopyError> {
        self.store
            .back_up(target, replace, self.clock.now(), follow)
    }

    /// Whether a copy is due; `stem` is the name of the memory's file without its extension.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn backup_is_due(&self, plan: &BackupPlan, stem: &str) -> io::Result<bool> {
        let newest = copies(&plan.dir, stem)?.last().map(|(at, _)| *at);
        Ok(plan.is_due(newest, self.clock.now()))
    }

    /// Makes a copy in the plan's directory, which is made if need be, and lets go of the oldest ones.
    ///
    /// # Errors
    /// As [`Services::back_up`].
    pub fn back_up_by_plan(
        &self,
        plan: &BackupPlan,
        stem: &str,
        stop: &(dyn Fn() -> bool + Sync),
    ) -> Result<(PathBuf, Manifest), CopyError> {
        let target = plan.dir.join(copy_name(stem, self.clock.now()));
        if let Err(error) = create_dir(&plan.dir) {
            self.store.note_failed_backup(self.clock.now());
            return Err(CopyError::io("cannot create", &plan.dir)(error));
        }
        // Of copies that were killed; a part is as large as a copy.
        if let Err(error) = clear(&plan.dir, stem) {
            tracing::warn!(%error, "what is left of unfinished copies could not be removed");
        }
        let follow = Follow {
            stop,
            told: &|_, _| {},
        };
        let manifest = self.back_up(&target, false, follow)?;
        if let Err(error) = let_go(plan, stem) {
            tracing::warn!(%error, "old copies could not be removed");
        }
        Ok((target, manifest))
    }
}

fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// The copies in a directory, oldest first.
fn copies(dir: &Path, stem: &str) -> io::Result<Vec<(Timestamp, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut copies = Vec::new();
    for entry in entries.take(MOST_ENTRIES) {
        let entry = entry?;
        if let Some(at) = entry
            .file_name()
            .to_str()
            .and_then(|name| copy_time(stem, name))
        {
            copies.push((at, entry.path()));
        }
    }
    copies.sort();
    Ok(copies)
}

/// Removes what copies by the clock left behind that were killed while they were made.
fn clear(dir: &Path, stem: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)?.take(MOST_ENTRIES) {
        let name = entry?.file_name();
        let unfinished = name.to_str().and_then(|name| {
            let copy = name
                .strip_suffix(".part")
                .or_else(|| name.strip_suffix(".part-journal"))?;
            Some(copy.strip_suffix(".manifest.json").unwrap_or(copy))
        });
        if let Some(copy) = unfinished
            && copy_time(stem, copy).is_some()
            && Store::remove_unfinished_copy(&dir.join(copy))?
        {
            tracing::info!(
                copy,
                "removed what was left of a copy that was never finished"
            );
        }
    }
    Ok(())
}

/// Removes the oldest copies, so that as many are left as the plan keeps.
fn let_go(plan: &BackupPlan, stem: &str) -> io::Result<()> {
    let copies = copies(&plan.dir, stem)?;
    let surplus = copies.len().saturating_sub(plan.keep.max(1));
    for (_, copy) in copies.iter().take(surplus) {
        // The manifest first: one without its copy is nothing, a copy without it still a copy.
        let mut manifest = copy.clone().into_os_string();
        manifest.push(".manifest.json");
        match fs::remove_file(manifest) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::remove_file(copy)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_finished_goes_unless_somebody_is_at_it() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "memory-20260301T020000Z.db.part",
            "memory-20260301T020000Z.db.manifest.json.part",
            "memory-20260302T020000Z.db.part",
            "memory-20260303T020000Z.db",
            "memory.db.part",
            "other-20260101T020000Z.db.part",
        ];
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let at_it = fs::File::open(dir.path().join(names[2])).unwrap();
        at_it.lock().unwrap();
        clear(dir.path(), "memory").unwrap();
        let left = |name: &str| dir.path().join(name).exists();
        assert_eq!(
            names.map(left),
            [false, false, true, true, true, true],
            "{names:?}"
        );
        drop(at_it);
        clear(dir.path(), "memory").unwrap();
        assert!(!left(names[2]) && left(names[3]));
    }

    #[test]
    fn the_oldest_go_with_their_manifests_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "memory-20260301T020000Z.db",
            "memory-20260301T020000Z.db.manifest.json",
            "memory-20260302T020000Z.db",
            "memory-20260302T020000Z.db.manifest.json",
            "memory-20260303T020000Z.db",
            "memory.db",
            "other-20260101T020000Z.db",
            "memory-20260101T020000Z.db.part",
            "holiday.jpg",
        ];
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let plan = BackupPlan {
            schedule: "02:00".parse().unwrap(),
            dir: dir.path().to_owned(),
            keep: 2,
        };
        let_go(&plan, "memory").unwrap();
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left(names[0]) && !left(names[1]));
        assert!(names[2..].iter().all(|name| left(name)));
        assert_eq!(copies(dir.path(), "memory").unwrap().len(), 2);
        assert!(
            copies(&dir.path().join("none"), "memory")
                .unwrap()
                .is_empty()
        );
    }
}
