//! Unambiguous references to processes. The kernel reuses PIDs, so a process is held by a pidfd
//! (`pidfd_open(2)`) or recorded together with its start time.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::sandbox::outside;
use crate::sandbox::reaper::Outcome;

/// A child process that has not been waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    outcome: Option<Outcome>,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, outcome: None }
    }

    /// A child that guards a command: [`Child::wait`] returns the exit status of the command.
    pub(crate) fn guarding(self, outcome: Option<Outcome>) -> Self {
        Self { outcome, ..self }
    }

    /// Its pid, in our PID namespace.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until it ends and returns its exit status.
    pub fn wait(self) -> io::Result<ExitStatus> {
        let mut status = 0;
        loop {
            // SAFETY: the kernel writes one integer. The PID is ours until this call returns.
            match Errno::result(unsafe { libc::waitpid(self.pid.as_raw(), &raw mut status, 0) }) {
                Ok(_) => {
                    let of_command = self.outcome.as_ref().and_then(Outcome::status);
                    return Ok(ExitStatus::from_raw(of_command.unwrap_or(status)));
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends it a signal, given by number.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        send(self.pidfd.as_fd(), signal)
    }
}

impl AsFd for Child {
    /// The pidfd: readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The exit status as shells report it: the status of the process, or 128 plus the signal that
/// ended it.
pub fn shell_status(status: ExitStatus) -> u8 {
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(255) as u8
}

fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the kernel checks the number, and the call touches no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            std::os::fd::AsRawFd::as_raw_fd(&pidfd),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    Errno::result(result)?;
    Ok(())
}

/// Identifies a process beyond its lifetime and ours: PID, boot, and start time in clock ticks
/// (`proc_pid_stat(5)`, field 22).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The PID in the PID namespace of the process that recorded it.
    pub pid: i32,
    /// Clock ticks from boot to its start: for older kernels, and for earlier versions of this
    /// program.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    /// The inode of its pidfds, which no other process of the boot has. The kernel has them since
    /// Linux 6.9.
    #[serde(default)]
    pub inode: Option<u64>,
}

impl Identity {
    /// The identity of a child that runs or is a zombie.
    pub fn of(child: &Child) -> io::Result<Self> {
        let pid = child.pid();
        Ok(Self {
            pid: pid.as_raw(),
            start_ticks: start_ticks(pid)?.ok_or(io::ErrorKind::NotFound)?,
            boot: boot_id()?,
            inode: inode(child)?,
        })
    }

    /// Opens a pidfd for the process, or returns `None` if it has ended. Never returns a later
    /// process with the same PID. `boot` is the running boot.
    pub fn open(&self, boot: &str) -> io::Result<Option<OwnedFd>> {
        if self.boot != boot {
            return Ok(None);
        }
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd?,
        };
        // The pidfd refers to the process that has the PID now. If that is another one, its inode
        // and its start time differ.
        let is_it = match self.inode {
            Some(known) => inode(&pidfd)? == Some(known),
            None => start_ticks(Pid::from_raw(self.pid))? == Some(self.start_ticks),
        };
        Ok((is_it && !has_ended(&pidfd)?).then_some(pidfd))
    }
}

/// The inode of a pidfd, if the kernel gives each process its own.
fn inode(pidfd: impl AsFd) -> io::Result<Option<u64>> {
    /// `PID_FS_MAGIC` of linux/magic.h. Before, all pidfds had one inode.
    const MAGIC: i64 = 0x5049_4446;
    if rustix::fs::fstatfs(&pidfd)?.f_type != MAGIC {
        return Ok(None);
    }
    Ok(Some(rustix::fs::fstat(&pidfd)?.st_ino))
}

/// Whether the process of `pidfd` has ended, waited for or not.
pub fn has_ended(pidfd: &OwnedFd) -> io::Result<bool> {
    let mut ready = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut ready, PollTimeout::ZERO)? > 0)
}

/// Kills a process with SIGKILL and waits until it has ended. If it is process 1 of a PID
/// namespace, all processes in the namespace end before it (`pid_namespaces(7)`). Stopped clients
/// of `exec` go on, because they must wait for their commands ([`outside`]). Another parent outside
/// that does not wait is an error.
///
/// `pid` is the PID of the process.
pub fn kill(pidfd: &OwnedFd, pid: Pid) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let begin = Instant::now();
    while !ends_within(pidfd, 100)? {
        let parents = outside::parents(pid);
        parents.iter().for_each(outside::Parent::wake);
        if let Some(parent) = parents.first()
            && begin.elapsed() > PATIENCE
        {
            let parent = parent.pid();
            let what = format!("process {parent} does not wait for its child in the container: end it first");
            return Err(io::Error::other(what));
        }
    }
    Ok(())
}

/// How long a parent outside may take to wait for its child.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a process ends within some milliseconds.
fn ends_within(pidfd: &OwnedFd, milliseconds: u16) -> io::Result<bool> {
    match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], milliseconds) {
        Err(Errno::EINTR) => Ok(false),
        ready => Ok(ready? > 0),
    }
}

/// The file with the identity of the running boot.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The identity of the running boot.
pub fn boot_id() -> io::Result<String> {
    let mut text = [0; 64];
    let length = File::open(BOOT_ID)?.read(&mut text)?;
    Ok(String::from_utf8_lossy(&text[..length]).trim_end().to_owned())
}

/// The start time of a process: field 22 of `/proc/PID/stat` (`proc_pid_stat(5)`). `None` if the
/// process has ended, before or while the file was read.
fn start_ticks(pid: Pid) -> io::Result<Option<u64>> {
    // Longer than the line can be, so that one system call reads it.
    let mut line = [0; 2048];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(None),
        length => match parse_start_ticks(&line[..length?]) {
            Some(ticks) => Ok(Some(ticks)),
            None => Err(io::ErrorKind::InvalidData.into()),
        },
    }
}

fn parse_start_ticks(line: &[u8]) -> Option<u64> {
    // The second field is the program's name in parentheses, and the name may contain any
    // character.
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(&line[end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_finds_its_process_and_no_later_one_with_its_pid() {
        let mut program = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_raw(program.id() as i32);
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(pid.as_raw()).unwrap(),
            PidfdFlags::empty(),
        );
        let new = Identity::of(&Child::new(pid, pidfd.unwrap())).unwrap();
        // What an earlier version or an older kernel recorded.
        let json = format!(r#"{{"pid":{pid},"start_ticks":{},"boot":"{}"}}"#, new.start_ticks, new.boot);
        let old: Identity = serde_json::from_str(&json).unwrap();
        for identity in [&new, &old] {
            assert!(identity.open(&identity.boot).unwrap().is_some(), "it runs");
            assert!(identity.open("another boot").unwrap().is_none());
        }
        let earlier = Identity { start_ticks: old.start_ticks - 1, ..old.clone() };
        assert!(earlier.open(&earlier.boot).unwrap().is_none());
        if let Some(inode) = new.inode {
            let earlier = Identity { inode: Some(inode - 1), ..new.clone() };
            assert!(earlier.open(&earlier.boot).unwrap().is_none());
        }
        kill(&new.open(&new.boot).unwrap().unwrap(), pid).unwrap();
        for identity in [&new, &old] {
            assert!(identity.open(&identity.boot).unwrap().is_none(), "a zombie has ended");
        }
        program.wait().unwrap();
        for identity in [&new, &old] {
            assert!(identity.open(&identity.boot).unwrap().is_none());
        }
    }

    #[test]
    fn a_status_reads_as_in_a_shell() {
        assert_eq!(shell_status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(shell_status(ExitStatus::from_raw(9)), 137);
    }
}
