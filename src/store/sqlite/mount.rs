//! Where a file lies.
//!
//! **Invariant:** a mount that cannot be read is not held against the file.

use std::path::Path;

use crate::store::OpenError;
use crate::store::sqlite::file::refuse;

/// Refuses network file systems: their locks and shared memory do not keep WAL safe.
#[cfg(target_os = "linux")]
pub(super) fn refuse_network(path: &Path) -> Result<(), OpenError> {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return Ok(());
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let Ok(parent) = parent.canonicalize() else {
        return Ok(());
    };
    match network_kind(&mounts, &parent) {
        Some(kind) => Err(refuse(
            path,
            format!("it lies on a network file system ({kind}), where SQLite can lose data"),
        )),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_network(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// The type of the mount that `path` is on, if it is a network's. Format: proc(5), `mountinfo`.
#[cfg(any(target_os = "linux", test))]
fn network_kind<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    const NETWORK: &[&str] = &[
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "afs",
        "ceph",
        "fuse.sshfs",
        "fuse.glusterfs",
        "lustre",
    ];
    let mount = |line: &'a str| {
        let point = line.split(' ').nth(4)?.replace("\\040", " ");
        let kind = line.split(" - ").nth(1)?.split(' ').next()?;
        path.starts_with(&point).then_some((point.len(), kind))
    };
    // Of two mounts on one point the later one is on top.
    let (_, kind) = mounts
        .lines()
        .filter_map(mount)
        .max_by_key(|(length, _)| *length)?;
    NETWORK.contains(&kind).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_mounts_are_known_by_their_type() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /mnt/my\\040nfs rw - nfs4 host:/x rw\n3 1 8:2 / /mnt/my\\040nfs/local rw - ext4 /dev/b rw\n";
        assert_eq!(network_kind(mounts, Path::new("/home/a")), None);
        assert_eq!(
            network_kind(mounts, Path::new("/mnt/my nfs/a")),
            Some("nfs4")
        );
        assert_eq!(network_kind(mounts, Path::new("/mnt/my nfs/local/a")), None);
    }
}
