//! The cgroup v2 hierarchy: who is in which group, how much CPU a group may use, how much it used.
//!
//! Nothing here assumes where the hierarchy is mounted, nor that it is mounted at all when a
//! submission is done with it: it is opened once, before student code runs, and read through that
//! handle from then on.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Component, Path, PathBuf};

use super::{handles, processes};
use crate::evidence::cgroup::Group;
use nix::fcntl::{OFlag, openat};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::stat::Mode;

/// A process's path in the cgroup v2 hierarchy, from its root; empty without one (cgroups(7)).
pub fn of(pid: i32) -> String {
    let text = fs::read_to_string(handles::proc(format!("{pid}/cgroup"))).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}

/// The living processes of the group of programs, and of groups in it, by PID and start time. The
/// machine's services, the kernel's threads and the guest half have other groups. Nothing where the
/// handles were not taken: then programs have no group of their own.
pub fn programs() -> BTreeSet<(i32, u64)> {
    if handles::cgroup().is_none() {
        return BTreeSet::new();
    }
    let is_program = |pid: &i32| Path::new(&of(*pid)).starts_with(format!("/{}", vm::agent::PROGRAMS));
    let is_alive = |pid: &i32| !matches!(processes::state(*pid), None | Some('Z' | 'X'));
    let pids = processes::parents().into_keys().filter(is_program).filter(is_alive);
    pids.filter_map(|pid| Some((pid, processes::start_time(pid)?))).collect()
}

/// The hierarchy's root, held open.
#[derive(Debug)]
pub struct Hierarchy {
    root: File,
    /// Where it was mounted when it was opened.
    pub mounted_at: PathBuf,
}

impl Hierarchy {
    /// Opens the cgroup v2 hierarchy wherever it is mounted.
    ///
    /// # Errors
    /// When none is mounted.
    pub fn open() -> io::Result<Self> {
        let mount = super::mounts::of(nix::unistd::gettid().as_raw())
            .into_iter()
            .rfind(|mount| mount.fs_type == "cgroup2")
            .ok_or_else(|| io::Error::other("no cgroup v2 hierarchy is mounted"))?;
        let mounted_at = PathBuf::from(mount.mount_point);
        let root = handles::cgroup().map_or_else(|| mounted_at.clone(), PathBuf::from);
        Ok(Self { root: File::open(root)?, mounted_at })
    }

    /// The text of a file of a group; `None` where there is none.
    pub fn read(&self, group: &str, file: &str) -> Option<String> {
        let path = inside(group)?.join(file);
        let fd = openat(self.root.as_fd(), &path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(fd).take(1 << 20).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Writes to a file of a group.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn write(&self, group: &str, file: &str, text: &str) -> io::Result<()> {
        let path = inside(group).ok_or_else(|| io::Error::other("a cgroup path without .."))?.join(file);
        let fd = openat(self.root.as_fd(), &path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        File::from(fd).write_all(text.as_bytes())
    }

    /// Makes a group below the root.
    ///
    /// # Errors
    /// What the kernel answers; that it is there already is none.
    pub fn create(&self, group: &str) -> io::Result<()> {
        let path = inside(group).ok_or_else(|| io::Error::other("a cgroup path without .."))?;
        match nix::sys::stat::mkdirat(self.root.as_fd(), &path, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(nix::Error::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a group exists.
    pub fn exists(&self, group: &str) -> bool {
        self.read(group, "cgroup.controllers").is_some()
    }

    /// A group and its ancestors, innermost first, the root left out.
    pub fn chain(&self, group: &str) -> Vec<Group> {
        Path::new(group)
            .ancestors()
            .filter(|path| path.parent().is_some())
            .map(|path| self.group(&path.to_string_lossy()))
            .collect()
    }

    /// What one group's files say.
    pub fn group(&self, path: &str) -> Group {
        let stat = self.read(path, "cpu.stat").unwrap_or_default();
        let number = |name: &str| {
            stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
        };
        Group {
            path: path.to_owned(),
            cpu_max: self.read(path, "cpu.max").map(|text| text.trim().to_owned()),
            nr_throttled: number("nr_throttled "),
            throttled_usec: number("throttled_usec "),
            usage_usec: number("usage_usec "),
        }
    }

    /// Leads to the root even when it is not mounted any more.
    fn base(&self) -> PathBuf {
        PathBuf::from(handles::proc(format!("self/fd/{}", self.root.as_raw_fd())))
    }

    /// Every group there is, by path, the root left out.
    pub fn all(&self) -> Vec<String> {
        let base = self.base();
        let mut found = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(dir) = open.pop() {
            let Ok(entries) = fs::read_dir(base.join(&dir)) else { continue };
            for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                let path = dir.join(entry.file_name());
                found.push(format!("/{}", path.to_string_lossy()));
                open.push(path);
            }
        }
        found.sort();
        found
    }
}

/// Sees every group that is made, however short it lives.
#[derive(Debug)]
pub struct Watch {
    inotify: Inotify,
    base: PathBuf,
    /// The watched groups by what the kernel calls them.
    watched: HashMap<WatchDescriptor, String>,
    created: BTreeSet<String>,
}

impl Watch {
    /// Watches all groups there are from now on.
    ///
    /// # Errors
    /// When the kernel has no more watches to give.
    pub fn start(hierarchy: &Hierarchy) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let mut watch =
            Self { inotify, base: hierarchy.base(), watched: HashMap::new(), created: BTreeSet::new() };
        watch.add("");
        for group in hierarchy.all() {
            watch.add(&group);
        }
        Ok(watch)
    }

    /// The groups made since the start, by path.
    pub fn created(&mut self) -> &BTreeSet<String> {
        while let Ok(events) = self.inotify.read_events() {
            for event in events.into_iter().filter(|event| event.mask.contains(AddWatchFlags::IN_ISDIR)) {
                let (Some(parent), Some(name)) = (self.watched.get(&event.wd), event.name) else { continue };
                self.made(format!("{parent}/{}", name.to_string_lossy()));
            }
        }
        &self.created
    }

    fn made(&mut self, group: String) {
        self.add(&group);
        // What was made in it before it was watched.
        let inner = fs::read_dir(self.base.join(&group[1..])).into_iter().flatten().flatten();
        for entry in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            self.made(format!("{group}/{}", entry.file_name().to_string_lossy()));
        }
        self.created.insert(group);
    }

    fn add(&mut self, group: &str) {
        let path = self.base.join(group.trim_start_matches('/'));
        if let Ok(watch) = self.inotify.add_watch(&path, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR)
        {
            self.watched.insert(watch, group.to_owned());
        }
    }
}

/// A group's path relative to the hierarchy's root; `None` if it leads out of it.
fn inside(group: &str) -> Option<PathBuf> {
    let path = Path::new(group.trim_start_matches('/'));
    let ok = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    ok.then(|| Path::new(".").join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_path_never_leads_out_of_the_hierarchy() {
        assert_eq!(inside("/../../etc"), None);
        assert_eq!(inside("/a/b"), Some(PathBuf::from("./a/b")));
    }
}
