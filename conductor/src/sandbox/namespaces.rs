//! Namespaces: create a process in new ones, or join those of another process.
//!
//! A namespace gives its members their own instance of a global resource: host name (UTS), process
//! IDs (PID), network stack (NET), mounts (MNT), System V and POSIX message queues (IPC). See
//! namespaces(7). A process is born into a PID namespace and never leaves it. New PID namespaces
//! are therefore created by clone(2), and joining one affects only later children
//! (`pid_namespaces(7)`).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::Pid;

use crate::sandbox::process::Child;

/// The five namespaces of a container.
pub const CONTAINER: CloneFlags = CloneFlags::CLONE_NEWUTS
    .union(CloneFlags::CLONE_NEWPID)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWIPC);

/// The namespaces of a command that builds an image. It uses the host's network.
pub const BUILD: CloneFlags = CONTAINER.difference(CloneFlags::CLONE_NEWNET);

/// The process in which [`fork_into`] returned.
#[derive(Debug)]
pub enum Fork {
    /// The caller, with its new child.
    Parent(Child),
    /// The new process.
    Child,
}

/// Like fork(2), but the child is in new namespaces and the parent gets a pidfd. One clone3(2) does
/// both, so the PID cannot belong to another process in between.
///
/// # Safety
/// As after every fork, only the calling thread exists in the child. Call it from a process with
/// one thread, or use only async-signal-safe functions in the child.
pub unsafe fn fork_into(namespaces: CloneFlags) -> io::Result<Fork> {
    // SAFETY: the caller's duty, see above.
    unsafe { clone3(namespaces.bits() as u64, None) }
}

/// Like [`fork_into`], but the child is born in the cgroup (version 2) whose directory is `cgroup`:
/// the group's limits apply from its first instruction.
///
/// # Safety
/// As for [`fork_into`].
pub unsafe fn fork_into_cgroup(namespaces: CloneFlags, cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    // SAFETY: the caller's duty, see above.
    unsafe { clone3(namespaces.bits() as u64, Some(cgroup.as_raw_fd())) }
}

/// From linux/sched.h. The constant in `libc` has too narrow a type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

unsafe fn clone3(namespaces: u64, cgroup: Option<RawFd>) -> io::Result<Fork> {
    // If our parent made us ignore SIGCHLD, the kernel would discard the exit statuses of our
    // children.
    // SAFETY: this program has no signal handlers.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) }?;
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers; zero means "not used".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | libc::CLONE_PIDFD as u64;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup as u64;
    }
    // SAFETY: the kernel reads `args` and writes `pidfd`, and both live here. Without CLONE_VM the
    // child gets a copy of this stack, as after fork.
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

/// Moves the caller into namespaces of the process `pidfd`. With a mount namespace the caller gets
/// its root and the working directory `/`. A PID namespace applies only to later children.
pub fn join(pidfd: impl AsFd, namespaces: CloneFlags) -> io::Result<()> {
    Ok(nix::sched::setns(pidfd, namespaces)?)
}
