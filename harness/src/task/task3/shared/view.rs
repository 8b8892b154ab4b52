//! A container as seen from outside: its processes, found by their namespaces, and its root,
//! mounts, /proc, /sys and /dev. The submission's `exec` is not used.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evidence::marker::Marker;
use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Namespaces, Process};
use crate::guest::observe::handles;
use crate::guest::observe::markers;
use crate::guest::observe::mounts;
use crate::guest::observe::processes;

/// Most processes of one container that are kept.
const PROCESSES_CAP: usize = 60;

/// The machine before the submission did anything; the record `machine`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// The guest half's own namespaces.
    pub namespaces: Namespaces,
    /// `/`.
    pub root: Directory,
    /// Its mounts.
    pub mounts: Vec<Mount>,
    /// The names in `/sys/class/net`.
    pub interfaces: Vec<String>,
    /// Its host name. Older evidence does not tell.
    #[serde(default)]
    pub hostname: String,
    /// Processes that were there, by PID and start time.
    pub processes: BTreeSet<(i32, u64)>,
    /// Files that were laid into its own folders, in the scenarios that look for them.
    #[serde(default)]
    pub markers: Vec<Marker>,
}

impl Machine {
    /// The machine as it is now.
    pub fn now() -> Self {
        Self {
            namespaces: processes::own().namespaces,
            root: processes::directory(Path::new("/")).unwrap_or_default(),
            mounts: mounts::of(nix::unistd::gettid().as_raw()),
            interfaces: names(Path::new(&handles::sys("class/net"))),
            hostname: hostname(),
            processes: processes::parents().keys().filter_map(|pid| identity(*pid)).collect(),
            markers: Vec::new(),
        }
    }

    /// What became of its mount points and of its host name: a sentence for each that is not as it
    /// was.
    pub fn disturbed(&self, now: &[Mount]) -> Vec<String> {
        let (old, new) = (&self.hostname, hostname());
        let renamed = (*old != new).then(|| format!("the machine's host name is {new}, and was {old}"));
        mounts::disturbed(&self.mounts, now).into_iter().chain(renamed).collect()
    }

    /// Processes that were not there from the start. One that is dead and only waited
    /// for has no namespaces.
    pub fn arrived(&self) -> Vec<Process> {
        processes::parents()
            .keys()
            .filter(|pid| identity(**pid).is_some_and(|identity| !self.processes.contains(&identity)))
            .filter_map(|pid| processes::read(*pid))
            .filter(|process| process.namespaces.mnt != 0)
            .collect()
    }

    /// Those of them that are in a container: in another namespace than the machine's,
    /// or below another root.
    pub fn contained(&self) -> Vec<Process> {
        self.arrived().into_iter().filter(|process| self.contains(process)).take(PROCESSES_CAP).collect()
    }

    /// PIDs and start times of those that are in another PID namespace or below another root, as a
    /// service of the machine with a mount namespace of its own is not.
    pub fn enclosed(&self) -> impl Iterator<Item = (i32, u64)> + use<> {
        let is_machines = |process: &Process| {
            let has_no_root = process.root.ino == 0 || process.root.is(&self.root);
            process.namespaces.pid == self.namespaces.pid && has_no_root
        };
        let mut contained = self.contained();
        contained.retain(|process| !is_machines(process));
        contained.into_iter().map(|process| (process.pid, process.start))
    }

    fn contains(&self, process: &Process) -> bool {
        let (own, machine) = (&process.namespaces, &self.namespaces);
        let elsewhere = [
            (own.pid, machine.pid),
            (own.mnt, machine.mnt),
            (own.net, machine.net),
            (own.uts, machine.uts),
            (own.ipc, machine.ipc),
        ];
        elsewhere.iter().any(|(own, machine)| own != machine)
            || process.root.ino != 0 && !process.root.is(&self.root)
    }
}

/// What is at one path of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proc {
    /// PIDs that this /proc lists.
    pub pids: Vec<i32>,
    /// The PID namespace of the process that it calls 1.
    pub first: u64,
}

/// Device nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dev {
    /// Its file system's device number is that of the machine's /dev.
    pub same: bool,
    /// Devices of the machine's /dev that are missing or different.
    pub missing: Vec<String>,
}

/// A container at one moment; the record `container`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ContainerView {
    /// What the scenario calls this moment.
    pub step: String,
    /// The process that runs what was asked for.
    pub main: Process,
    /// Its working directory, as the guest half sees it.
    pub cwd: String,
    /// All processes in its namespaces or below its root.
    pub processes: Vec<Process>,
    /// The mode of its root directory.
    pub root_mode: u32,
    /// Its /proc.
    pub proc: Proc,
    /// The names in its /sys/class/net.
    pub interfaces: Vec<String>,
    /// The interfaces of its network namespace.
    pub links: Vec<String>,
    /// Its /dev.
    pub dev: Dev,
    /// What it sees mounted.
    pub mounts: Vec<Mount>,
    /// Which files of the machine's own folders its root shows. Older evidence does not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machine_files: Vec<String>,
}

impl ContainerView {
    /// Looks at the container that `main` is in.
    pub fn of(step: &str, machine: &Machine, main: Process) -> Self {
        let dir = PathBuf::from(handles::proc(main.pid));
        let root = dir.join("root");
        let processes =
            machine.contained().into_iter().filter(|other| shares(&main, other, machine)).collect();
        let mut links = links_of(main.pid);
        links.sort();
        let mounts = mounts::of(main.pid);
        Self {
            step: step.to_owned(),
            cwd: fs::read_link(dir.join("cwd"))
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            processes,
            root_mode: fs::metadata(&root).map_or(0, |meta| meta.mode() & 0o7777),
            proc: Proc {
                pids: pids(&root.join("proc")),
                first: fs::metadata(root.join("proc/1/ns/pid")).map_or(0, |meta| meta.ino()),
            },
            interfaces: names(&root.join("sys/class/net")),
            links,
            dev: dev(&root.join("dev")),
            machine_files: markers::seen(&machine.markers, &root, &markers::silent(main.pid, &mounts)),
            mounts,
            main,
        }
    }

    /// Its processes that are still there, and any others in its namespaces.
    pub fn remains(&self, machine: &Machine) -> Vec<Process> {
        let is_old = |now: &Process| {
            self.processes.iter().chain([&self.main]).any(|old| (old.pid, old.start) == (now.pid, now.start))
        };
        let arrived = machine.arrived().into_iter();
        arrived.filter(|now| is_old(now) || shares(&self.main, now, machine)).collect()
    }

    /// The process that is PID 1 in the container's PID namespace.
    pub fn init(&self) -> Option<&Process> {
        self.processes
            .iter()
            .find(|process| process.namespaces.pid == self.main.namespaces.pid && process.own_pid() == 1)
    }
}

/// Whether two processes are in the same container: any namespace that is not the
/// machine's, or the root.
fn shares(main: &Process, other: &Process, machine: &Machine) -> bool {
    let (a, b, outside) = (&main.namespaces, &other.namespaces, &machine.namespaces);
    [(a.pid, b.pid, outside.pid), (a.mnt, b.mnt, outside.mnt), (a.net, b.net, outside.net)]
        .iter()
        .any(|(own, other, machine)| own == other && own != machine)
        || main.root.is(&other.root) && !main.root.is(&machine.root)
}

/// The host name in the guest half's own UTS namespace.
fn hostname() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn identity(pid: i32) -> Option<(i32, u64)> {
    Some((pid, processes::start_time(pid)?))
}

/// Interfaces by /proc/PID/net/dev, which tells of that process's network namespace (proc(5)).
fn links_of(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(handles::proc(format!("{pid}/net/dev"))).unwrap_or_default();
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).take(400).collect();
    names.sort();
    names
}

fn pids(proc: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = names(proc).iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// Compares a container's /dev with the machine's, whose null, zero, tty and
/// the like must be there.
fn dev(container: &Path) -> Dev {
    let device = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.dev());
    let machine = PathBuf::from(handles::dev());
    let missing = names(&machine)
        .into_iter()
        .filter(|name| {
            let Ok(ours) = fs::symlink_metadata(machine.join(name)) else { return false };
            let is_device = ours.file_type().is_char_device() || ours.file_type().is_block_device();
            let theirs = fs::symlink_metadata(container.join(name)).map_or(0, |meta| meta.rdev());
            is_device && theirs != ours.rdev()
        })
        .collect();
    Dev { same: device(container) == device(&machine), missing }
}

#[cfg(test)]
mod tests {
    use super::{Machine, hostname};

    #[test]
    fn a_new_host_name_of_the_machine_is_told() {
        let machine = |hostname: String| Machine { hostname, ..Machine::default() };
        assert_eq!(machine(hostname()).disturbed(&[]), [""; 0]);
        let renamed = machine("of-before".to_owned()).disturbed(&[]);
        assert_eq!(renamed, [format!("the machine's host name is {}, and was of-before", hostname())]);
    }
}
