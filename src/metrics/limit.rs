//! How much memory this process may use: the least that a control group, one above it, or the machine allows.
//!
//! **Invariant:** where nothing can be found out there is no limit, and never a wrong one.

use std::fs;
use std::path::{Path, PathBuf};

/// Where limits are read, found once at the start; what stands there may change.
#[derive(Debug)]
pub(super) struct Limit {
    machine: Option<u64>,
    files: Vec<PathBuf>,
}

impl Limit {
    /// Of this process.
    pub(super) fn find() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            machine: machine
                .lines()
                .find_map(|line| line.strip_prefix("MemTotal:"))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .map(|kibibytes| kibibytes * 1024),
            files: files(&groups, Path::new("/sys/fs/cgroup")),
        }
    }

    /// What it is now.
    pub(super) fn read(&self) -> Option<u64> {
        let groups = self
            .files
            .iter()
            .filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
        // "max", or what the first version says instead, which is more than any machine has.
        groups.chain(self.machine).min()
    }
}

/// The files that bound the memory of a process in these groups (proc(5) `cgroup`): its own group's and those of the
/// groups above, of the second version and of the first.
fn files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            list if list.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // A container often sees its own group as the root, whatever the path says.
        let group = mount.join(path.trim_start_matches('/'));
        let above = group
            .ancestors()
            .take_while(|folder| folder.starts_with(&mount));
        found.extend(
            above
                .map(|folder| folder.join(file))
                .filter(|file| file.is_file()),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(groups: &str, limits: &[(&str, &str)], machine: Option<u64>) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in limits {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let files = files(groups, root.path());
        Limit { machine, files }.read()
    }

    #[test]
    fn the_least_of_group_groups_above_and_machine_holds() {
        let two = "0::/a/b\n";
        for (own, above, machine, expected) in [
            ("max\n", "max\n", Some(9_000), Some(9_000)),
            ("512\n", "max\n", Some(9_000), Some(512)),
            ("512\n", "100\n", Some(9_000), Some(100)),
            ("max\n", "100\n", Some(50), Some(50)),
            ("max\n", "max\n", None, None),
        ] {
            let limits = [("a/b/memory.max", own), ("a/memory.max", above)];
            assert_eq!(limit(two, &limits, machine), expected, "{own} {above}");
        }
    }

    #[test]
    fn the_first_version_is_read_too_and_no_other_controller() {
        let groups = "5:cpu,cpuacct:/x\n4:memory:/y\n0::/\n";
        let limits = [
            ("memory/y/memory.limit_in_bytes", "4096\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cpu,cpuacct/x/memory.limit_in_bytes", "1\n"),
        ];
        assert_eq!(limit(groups, &limits, Some(1 << 30)), Some(4096));
    }

    #[test]
    fn a_container_that_does_not_see_its_path_goes_by_what_it_sees() {
        let limits = [("memory/memory.limit_in_bytes", "4096")];
        assert_eq!(limit("4:memory:/docker/5f\n", &limits, None), Some(4096));
        assert_eq!(limit("nonsense", &limits, None), None);
    }
}
