//! Parents outside a container that keep it from ending.
//!
//! Process 1 of a PID namespace ends only after the kernel has got rid of all other processes in
//! it (`pid_namespaces(7)`). A process that `exec` started has its parent outside, and stays a
//! zombie until that parent waits for it. A parent that was stopped, by Ctrl-Z or SIGSTOP, waits
//! for nobody.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process outside that does not wait for its child in a container.
#[derive(Debug)]
pub struct Parent {
    pid: i32,
    state: u8,
}

/// Whether a process is about to end: as process 1 it may still wait for others to end.
pub fn is_ending(pid: Pid) -> bool {
    /// `PF_EXITING` of linux/sched.h.
    const EXITING: u64 = 0x4;
    let flags = Stat::of(pid.as_raw()).map(|stat| stat.flags);
    flags.is_some_and(|flags| flags & EXITING != 0)
}

/// The outside parents of zombies in the PID namespace of `first`.
pub fn parents(first: Pid) -> Vec<Parent> {
    let Some(inside) = namespace(first.as_raw()) else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let zombies = pids.filter(|pid| *pid != first.as_raw()).filter_map(|pid| {
        let stat = Stat::of(pid)?;
        (stat.state == b'Z' && namespace(pid)? == inside).then_some(stat)
    });
    zombies
        .filter_map(|zombie| {
            let parent = Stat::of(zombie.parent)?;
            let is_outside = namespace(zombie.parent)? != inside;
            is_outside.then_some(Parent { pid: zombie.parent, state: parent.state })
        })
        .collect()
}

impl Parent {
    /// Its PID.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it go on, if it is a stopped conductor.
    pub fn wake(&self) {
        if self.state == b'T' && program(self.pid).is_some_and(|theirs| program("self") == Some(theirs)) {
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGCONT);
        }
    }
}

/// The file name of a process's program. An update of conductor may have replaced the file.
fn program(pid: impl std::fmt::Display) -> Option<String> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    Some(name.trim_end_matches(" (deleted)").to_owned())
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(pid.to_string()).join("ns/pid")).ok()
}

/// Some fields of `/proc/PID/stat` (`proc_pid_stat(5)`).
struct Stat {
    state: u8,
    parent: i32,
    flags: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses, and the name may contain any
        // character.
        let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace();
        Some(Self {
            state: *fields.next()?.as_bytes().first()?,
            parent: fields.next()?.parse().ok()?,
            flags: fields.nth(4)?.parse().ok()?,
        })
    }
}
