//! Makes the machine fail: the shim between the server and libc, mounts, immutable files.
//!
//! **Invariant:** what was mounted or locked is let go when it is dropped.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::process::{command, skip_as_user};
use crate::talk::beside;

/// The shim, compiled once.
static SHIM: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let library = dir.path().join("shim.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fault/shim.c");
    let built = Command::new("cc")
        .args([
            "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o",
        ])
        .arg(&library)
        .arg(source)
        .output()
        .expect("these tests compile a shim: install a C compiler that can be called as cc");
    assert!(
        built.status.success(),
        "{}",
        String::from_utf8_lossy(&built.stderr)
    );
    (dir, library)
});

/// A machine that can lose its power, fail to write and jump in time.
pub(crate) struct Machine {
    notes: TempDir,
    db: PathBuf,
}

impl Machine {
    /// For the file `db`.
    pub(crate) fn new(db: &Path) -> Self {
        let notes = tempfile::tempdir().unwrap();
        fs::write(notes.path().join("clock"), 0_i64.to_le_bytes()).unwrap();
        Self {
            notes,
            db: db.to_owned(),
        }
    }

    /// A command on this machine.
    pub(crate) fn command(&self) -> Command {
        let mut command = command(&self.db);
        command
            .env("LD_PRELOAD", &SHIM.1)
            .env("SHIM_DIR", self.notes.path())
            .env("SHIM_FILE", self.db.file_name().unwrap());
        command
    }

    /// From now on calls of this kind (`write`, `truncate`, `sync`) on the file and its log fail.
    pub(crate) fn fail(&self, call: &str, errno: i32) {
        let next = self.notes.path().join("fail.next");
        fs::write(&next, format!("{call} {errno}")).unwrap();
        fs::rename(next, self.notes.path().join("fail")).unwrap();
    }

    /// They work again.
    pub(crate) fn mend(&self) {
        fs::remove_file(self.notes.path().join("fail")).unwrap();
    }

    /// Sets the wall clock off by so many seconds.
    pub(crate) fn shift_clock(&self, seconds: i64) {
        // In place: the server looks at this very file.
        let mut clock = fs::OpenOptions::new()
            .write(true)
            .open(self.notes.path().join("clock"))
            .unwrap();
        clock.write_all(&(seconds * 1000).to_le_bytes()).unwrap();
    }

    /// After a kill: takes back what no fsync had put on disk. Answers how many writes that were.
    pub(crate) fn lose_power(&self, luck: Luck) -> usize {
        let mut lost = 0;
        for suffix in ["", "-wal"] {
            lost += take_back(&beside(&self.db, suffix), self.notes.path(), luck);
        }
        // It is memory, not disk. There is none if the server had stopped in order.
        let _gone = fs::remove_file(beside(&self.db, "-shm"));
        lost
    }
}

/// What becomes of writes that nobody had synced.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Luck {
    /// None reached the disk.
    None,
    /// About every other one did, in no order; which ones, the number says.
    Half(u64),
}

/// A write in the undo list.
struct Record<'a> {
    offset: u64,
    /// What was there.
    old: &'a [u8],
    /// How long the file was.
    length: u64,
    /// How many bytes were written.
    written: usize,
}

/// Plays the undo list of a file back, from its end.
fn take_back(file: &Path, notes: &Path, luck: Luck) -> usize {
    let mut list = notes.join(file.file_name().unwrap());
    list.as_mut_os_string().push(".undo");
    let Ok(bytes) = fs::read(&list) else { return 0 };
    let records = parse(&bytes);
    let Ok(full) = fs::read(file) else { return 0 };
    let target = fs::OpenOptions::new().write(true).open(file).unwrap();
    for record in records.iter().rev() {
        target.write_all_at(record.old, record.offset).unwrap();
        target.set_len(record.length).unwrap();
    }
    if let Luck::Half(seed) = luck {
        let mut dice = seed;
        for record in &records {
            // Knuth's MMIX generator; its high bits are good enough for heads or tails.
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let begin = usize::try_from(record.offset).unwrap();
            if dice >> 63 == 0
                && let Some(new) = full.get(begin..begin + record.written)
            {
                target.write_all_at(new, record.offset).unwrap();
            }
        }
    }
    fs::remove_file(list).unwrap();
    records.len()
}

fn parse(bytes: &[u8]) -> Vec<Record<'_>> {
    let number = |at: usize| {
        let bytes: Option<[u8; 8]> = bytes.get(at..at + 8)?.try_into().ok();
        bytes.map(u64::from_le_bytes)
    };
    let (mut records, mut at) = (Vec::new(), 0);
    while let (Some(offset), Some(count), Some(length), Some(written)) =
        (number(at), number(at + 8), number(at + 16), number(at + 24))
    {
        let begin = at + 32;
        let end = begin + usize::try_from(count).unwrap();
        // The kill came in the middle of a record: its write was never made.
        let Some(old) = bytes.get(begin..end) else {
            break;
        };
        records.push(Record {
            offset,
            old,
            length,
            written: usize::try_from(written).unwrap(),
        });
        at = end;
    }
    records
}

/// Runs a tool that only root may, and answers whether that went well; if not, what needs it is skipped.
#[track_caller]
fn as_root(tool: &str, args: &[&str]) -> bool {
    let failed = by_root(tool, args).err();
    if let Some(why) = &failed {
        skip_as_user(why);
    }
    failed.is_none()
}

/// Runs a tool, and answers why it did not go well.
fn by_root(tool: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(tool).args(args).output();
    let output = output.map_err(|error| format!("{tool} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{tool} {args:?} says {}", said.trim()))
}

/// Takes back what [`as_root`] did. A failure of a test must not be hidden by one of this.
fn let_go(tool: &str, args: &[&str]) {
    if let Err(why) = by_root(tool, args) {
        eprintln!("{why}");
    }
}

/// A file system of its own, unmounted when dropped.
pub(crate) struct Mount(TempDir);

impl Mount {
    /// One in memory of so many megabytes; `None` if it cannot be mounted here.
    pub(crate) fn in_memory(megabytes: usize) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m,mode=0700");
        let point = dir.path().to_str().unwrap();
        as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", point]).then_some(Self(dir))
    }

    /// Another view of a directory, which cannot be written through; `None` if it cannot be mounted here.
    pub(crate) fn read_only(of: &Path) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (of, point) = (of.to_str().unwrap(), dir.path().to_str().unwrap());
        if !as_root("mount", &["--bind", of, point]) {
            return None;
        }
        let mount = Self(dir);
        let point = mount.path().to_str().unwrap();
        as_root("mount", &["-o", "remount,bind,ro", point]).then_some(mount)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a server that a failed test leaves behind must not keep it.
        let_go("umount", &["-l", self.path().to_str().unwrap()]);
    }
}

/// Files that nobody can change, until dropped.
pub(crate) struct Frozen(Vec<PathBuf>);

impl Frozen {
    /// Freezes them; `None` if that cannot be done here.
    pub(crate) fn new(files: &[&Path]) -> Option<Self> {
        let mut frozen = Self(Vec::new());
        for file in files {
            if !as_root("chattr", &["+i", file.to_str().unwrap()]) {
                return None;
            }
            frozen.0.push((*file).to_owned());
        }
        Some(frozen)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for file in &self.0 {
            let_go("chattr", &["-i", file.to_str().unwrap()]);
        }
    }
}
