//! Namespaces: which of them a container has, making a process in new ones, joining those of another process.
//!
//! A namespace gives its members their own instance of something global: host name (UTS), process ids (PID),
//! network stack (NET), mounts (MNT), System V and POSIX message queues (IPC). See namespaces(7). A process is
//! born into a PID namespace and never changes it, so new ones are asked for at clone(2), and joining one only
//! counts for the children (`pid_namespaces(7)`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::Pid;

use crate::process::Child;

/// The five namespaces of a container.
pub const CONTAINER: CloneFlags = CloneFlags::CLONE_NEWUTS
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWIPC);

/// Those of a command that builds an image: it uses the host's network.
pub const BUILD: CloneFlags =
    CloneFlags::CLONE_NEWUTS.union(CloneFlags::CLONE_NEWPID).union(CloneFlags::CLONE_NEWNS);

/// In which of the two processes [`fork_into`] returned.
#[derive(Debug)]
pub enum Fork {
    /// The caller, with the process it made.
    Parent(Child),
    /// The new process.
    Child,
}

/// Like fork(2), with the child in new namespaces and a pidfd for the parent, by one clone3(2): there is no
/// moment at which the pid could be somebody else's.
///
/// # Safety
/// As after every fork, only the calling thread exists in the child. Call it from a process with one thread, or
/// do nothing in the child but async-signal-safe calls.
pub unsafe fn fork_into(namespaces: CloneFlags) -> io::Result<Fork> {
    // SAFETY: passed on to the caller.
    unsafe { clone3(namespaces.bits() as u64, None) }
}

/// Like [`fork_into`], with the child born in the cgroup (version 2) that `cgroup` is a directory of: it is under
/// the group's limits from its first instruction.
///
/// # Safety
/// As for [`fork_into`].
pub unsafe fn fork_into_cgroup(namespaces: CloneFlags, cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    // SAFETY: passed on to the caller.
    unsafe { clone3(namespaces.bits() as u64, Some(cgroup.as_raw_fd())) }
}

/// From linux/sched.h; the one in `libc` has too narrow a type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

unsafe fn clone3(namespaces: u64, cgroup: Option<RawFd>) -> io::Result<Fork> {
    // Whoever started us may ignore SIGCHLD, and so would we: the kernel would not keep for us how a child ended.
    // SAFETY: no handler of ours is replaced.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup as u64;
    }
    // SAFETY: the kernel reads `args` and writes `pidfd`, both alive here; without CLONE_VM the child goes on with
    // a copy of this stack, as after fork.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        // SAFETY: the kernel has just opened this descriptor for us.
        pid => Ok(Fork::Parent(Child::new(Pid::from_raw(pid as libc::pid_t), unsafe {
            OwnedFd::from_raw_fd(pidfd)
        }))),
    }
}

/// Moves the caller into namespaces of the process that `pidfd` refers to; with the mount namespace come its root
/// and the working directory `/`, and a joined PID namespace holds the children from now on.
pub fn join(pidfd: impl AsFd, namespaces: CloneFlags) -> io::Result<()> {
    Ok(nix::sched::setns(pidfd, namespaces)?)
}
