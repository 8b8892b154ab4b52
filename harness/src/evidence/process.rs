//! A process, its namespaces and its directories, as the kernel described them at one moment.

use serde::{Deserialize, Serialize};

/// One process (or thread) as the kernel described it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its PID in the namespace of the guest half.
    pub pid: i32,
    /// The PID of the thread's process; equal to the own PID for a process.
    pub tgid: i32,
    /// Its parent's PID.
    pub ppid: i32,
    /// Its PIDs from the outermost PID namespace to its own (`NSpid` in proc(5)).
    pub nspid: Vec<i32>,
    /// Start time in clock ticks since boot: with the PID, its identity.
    pub start: u64,
    /// The program's path as that process sees it, or as its file system names it.
    pub exe: String,
    /// Its arguments.
    pub cmdline: Vec<String>,
    /// Inodes of its namespaces.
    pub namespaces: Namespaces,
    /// Its root directory.
    pub root: Directory,
    /// Its path in the cgroup v2 hierarchy, from that hierarchy's root; empty without one.
    pub cgroup: String,
}

/// Inodes of a process's namespaces (namespaces(7)): equal numbers, same namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Process ids.
    pub pid: u64,
    /// Process ids of children yet to be created.
    pub pid_for_children: u64,
    /// Host and domain name.
    pub uts: u64,
    /// Mounts.
    pub mnt: u64,
    /// System V IPC and message queues.
    pub ipc: u64,
    /// Network.
    pub net: u64,
    /// Users and capabilities.
    pub user: u64,
    /// Cgroup roots.
    pub cgroup: u64,
}

/// A directory by device and inode, which no other name can fake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The path that the guest half sees.
    pub path: String,
    /// The file system's device number.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

impl Directory {
    /// Whether both are the same directory, under any name.
    pub fn is(&self, other: &Self) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

impl Process {
    /// Its PID in its own PID namespace; 0 where unknown.
    pub fn own_pid(&self) -> i32 {
        self.nspid.last().copied().unwrap_or(0)
    }

    /// Whether it runs a dynamic loader that was called by its own name: the program to be loaded
    /// is among its arguments (ld.so(8)).
    pub fn is_loader(&self) -> bool {
        let name = self.exe.rsplit('/').next().unwrap_or_default();
        (name.starts_with("ld-") || name.starts_with("ld.")) && name.contains(".so")
    }
}
