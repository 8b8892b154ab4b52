//! Unambiguous references to processes. The kernel reuses PIDs, so a process is held by a pidfd
//! (`pidfd_open(2)`) or recorded together with its start time.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// A child process that has not been waited for.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Child {
    pub(crate) fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd }
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
                Ok(_) => return Ok(ExitStatus::from_raw(status)),
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
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

impl Identity {
    /// The identity of a process that runs or is a zombie.
    pub fn of(pid: Pid) -> io::Result<Self> {
        Ok(Self { pid: pid.as_raw(), start_ticks: Stat::read(pid)?.start_ticks, boot: boot_id()? })
    }

    /// Whether the process runs, in the boot `boot`. Faster than [`Identity::open`], for a listing.
    pub fn runs(&self, boot: &str) -> bool {
        let running =
            |stat: &Stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, b'Z' | b'X');
        self.boot == boot && Stat::read(Pid::from_raw(self.pid)).is_ok_and(|stat| running(&stat))
    }

    /// Opens a pidfd for the process, or returns `None` if it has ended. Never returns a later
    /// process with the same PID.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            pidfd => pidfd?,
        };
        // The pidfd refers to the process that has the PID now. If that is another one, its start
        // time differs. If its start time cannot be read, it has ended.
        match Stat::read(Pid::from_raw(self.pid)) {
            Ok(stat) if stat.start_ticks == self.start_ticks && boot_id()? == self.boot => {}
            _ => return Ok(None),
        }
        Ok((!has_ended(&pidfd)?).then_some(pidfd))
    }
}

/// Whether the process of `pidfd` has ended, waited for or not.
pub fn has_ended(pidfd: &OwnedFd) -> io::Result<bool> {
    let mut ready = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut ready, PollTimeout::ZERO)? > 0)
}

/// Kills a process with SIGKILL and waits until it has ended. If it is process 1 of a PID
/// namespace, all processes in the namespace end before it (`pid_namespaces(7)`).
pub fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The identity of the running boot.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

/// The fields of `/proc/PID/stat` that we use (`proc_pid_stat(5)`).
struct Stat {
    /// Field 3: `R`, `S`, `Z` for a zombie and so on.
    state: u8,
    /// Field 22.
    start_ticks: u64,
}

impl Stat {
    fn read(pid: Pid) -> io::Result<Self> {
        // Longer than the line can be, so that one system call reads it.
        let mut line = [0; 2048];
        let length = File::open(format!("/proc/{pid}/stat"))?.read(&mut line)?;
        Self::parse(&line[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The second field is the program's name in parentheses, and the name may contain any
        // character.
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(&line[end + 1..]).ok()?;
        let mut fields = fields.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        Some(Self { state, start_ticks: fields.nth(22 - 4)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_finds_its_process_and_no_later_one_with_its_pid() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(Pid::from_raw(child.id() as i32)).unwrap();
        let pidfd = identity.open().unwrap().expect("it runs");
        assert!(identity.runs(&identity.boot) && !identity.runs("another"));
        let earlier = Identity { start_ticks: identity.start_ticks - 1, ..identity.clone() };
        assert!(earlier.open().unwrap().is_none() && !earlier.runs(&identity.boot));
        let before_reboot = Identity { boot: "another".into(), ..identity.clone() };
        assert!(before_reboot.open().unwrap().is_none());
        kill(&pidfd).unwrap();
        assert!(identity.open().unwrap().is_none(), "a zombie has ended");
        assert!(!identity.runs(&identity.boot), "a zombie has ended");
        child.wait().unwrap();
        assert!(identity.open().unwrap().is_none());
    }

    #[test]
    fn a_status_reads_as_in_a_shell() {
        assert_eq!(shell_status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(shell_status(ExitStatus::from_raw(9)), 137);
    }
}
