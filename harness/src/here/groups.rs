//! The control groups of machines: one for each run of the harness, and one in it for each machine.
//!
//! The name of a run's group says which process made it and which controllers it switched on for
//! all groups, so that the next command can undo both when that process is gone. A command in
//! another PID namespace (a container that shares the hierarchy) cannot see that process, so the
//! name has the namespace, too. The module reaches the hierarchy through a detached mount of its
//! own, because hosts mount it in different places.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::guest::observe::handles::detached;
use crate::lifetime::started;

/// How the names of our groups begin.
const PREFIX: &str = "harness-here-";
/// The controllers that machines can share out, where the kernel has them in this hierarchy.
const CONTROLLERS: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// In a machine's group: its first processes. Those of the submission are in
/// [`vm::agent::PROGRAMS`].
pub(super) const INIT: &str = "vm.init";

/// The hierarchy's root.
#[derive(Debug)]
struct Root(OwnedFd);

impl Root {
    fn open() -> io::Result<Self> {
        detached("cgroup2").map(Self)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/.", self.0.as_raw_fd()))
    }

    fn join(&self, group: &str) -> PathBuf {
        self.path().join(group)
    }
}

/// A run's group. Removed when dropped.
#[derive(Debug)]
pub(super) struct Groups {
    root: Root,
    name: String,
    made: AtomicU32,
    has_cpu: bool,
}

impl Groups {
    /// Makes the group of this process, and lets it share out what the kernel can.
    pub fn make() -> io::Result<Self> {
        let root = Root::open()?;
        let enabled = words(&root.join("cgroup.subtree_control"));
        let added: Vec<&str> = words(&root.join("cgroup.controllers"))
            .iter()
            .filter_map(|name| CONTROLLERS.into_iter().find(|known| known == name))
            .filter(|name| !enabled.iter().any(|one| one == name))
            .collect();
        let own = std::process::id();
        let started = started(own).ok_or_else(|| io::Error::other("no /proc"))?;
        let mut name = format!("{PREFIX}{}-{own}-{started}", pid_namespace()?);
        for controller in &added {
            name = format!("{name}+{controller}");
        }
        // Before anything is switched on, so that a killed run leaves its name.
        let at = root.join(&name);
        fs::create_dir(&at)?;
        let mut groups = Self { root, name, made: AtomicU32::new(0), has_cpu: false };
        for controller in added {
            // The root of a container's groups may refuse: then the machine has no such controller.
            let _ = fs::write(groups.root.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        for controller in words(&at.join("cgroup.controllers")) {
            let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        groups.has_cpu = words(&at.join("cgroup.subtree_control")).iter().any(|name| name == "cpu");
        Ok(groups)
    }

    /// Whether groups in a machine can limit the CPU.
    pub fn has_cpu(&self) -> bool {
        self.has_cpu
    }

    /// Makes the group of one machine.
    pub fn one(&self) -> io::Result<Group<'_>> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let group = Group { root: &self.root, path: format!("{}/{number}", self.name) };
        let at = self.root.join(&group.path);
        fs::create_dir(&at)?;
        for inner in [INIT, vm::agent::PROGRAMS] {
            fs::create_dir(at.join(inner))?;
        }
        Ok(group)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        remove_run(&self.root, &self.name);
    }
}

/// A machine's group. Its processes are killed and it is removed when dropped.
#[derive(Debug)]
pub(super) struct Group<'a> {
    root: &'a Root,
    path: String,
}

impl Group<'_> {
    /// From the root of the groups.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        remove(&self.root.join(&self.path));
    }
}

/// Moves the calling process into a group.
pub(super) fn join(group: &str) -> io::Result<()> {
    fs::write(Root::open()?.join(group).join("cgroup.procs"), "0")
}

/// Removes the groups of runs that were killed. Does nothing for users other than root.
pub fn sweep() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let (Ok(root), Ok(here)) = (Root::open(), pid_namespace()) else { return };
    for entry in fs::read_dir(root.path()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dead = |(space, pid, began)| space == here && started(pid) != Some(began);
        if name.strip_prefix(PREFIX).and_then(owner).is_some_and(is_dead) {
            remove_run(&root, &name);
        }
    }
}

/// The process that a group is named after: its PID namespace, its PID there, and when it started.
fn owner(name: &str) -> Option<(u64, u32, u64)> {
    let mut parts = name.split('+').next()?.split('-');
    let owner = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some(owner)
}

/// The inode of this process's PID namespace.
fn pid_namespace() -> io::Result<u64> {
    fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino())
}

fn remove_run(root: &Root, name: &str) {
    remove(&root.join(name));
    let others = fs::read_dir(root.path()).into_iter().flatten().flatten();
    if others.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)).count() > 0 {
        return;
    }
    for controller in name.split('+').skip(1) {
        // The kernel refuses if another group uses the controller by now.
        let _ = fs::write(root.join("cgroup.subtree_control"), format!("-{controller}"));
    }
}

/// Kills the processes of a group, and removes it with its subgroups. Dying processes keep
/// their group for a moment.
fn remove(group: &Path) {
    let _ = fs::write(group.join("cgroup.kill"), "1");
    for _ in 0..100 {
        remove_tree(group);
        if !group.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes the empty groups of a tree, innermost first.
fn remove_tree(group: &Path) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    for inner in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&inner.path());
    }
    let _ = fs::remove_dir(group);
}

fn words(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_name_says_who_made_it() {
        assert_eq!(owner("8-4711-99+cpu+cpuset"), Some((8, 4711, 99)));
        assert_eq!(owner("8-4711-99"), Some((8, 4711, 99)));
        assert_eq!(owner("4711-99"), None);
        assert_eq!(owner("other"), None);
    }

    #[test]
    fn the_group_of_a_run_in_another_pid_namespace_stays() {
        // Only root may make groups.
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let root = Root::open().unwrap();
        let here = pid_namespace().unwrap();
        // No process has this PID: the kernel's largest is 4194304.
        let [dead, other] = [here, here + 1].map(|space| format!("{PREFIX}{space}-4194305-1"));
        for name in [&dead, &other] {
            fs::create_dir(root.join(name)).unwrap();
        }
        sweep();
        let stays = root.join(&other).exists();
        remove(&root.join(&other));
        assert!(stays && !root.join(&dead).exists());
    }
}
