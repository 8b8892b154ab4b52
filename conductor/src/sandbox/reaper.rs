//! Zombies, and the process that reaps them.
//!
//! A process that has ended stays a zombie until its parent waits for it. If its parent ended
//! first, process 1 of its PID namespace becomes its parent, and no process outside can wait for it
//! (`pid_namespaces(7)`). Process 1 of a container is the container's command. Shells and many
//! servers wait for all their children; other programs never wait. `run --init` gives such a
//! command a small process 1 as its parent.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use crate::sandbox::namespaces::{self, Fork};
use crate::sandbox::process;

/// The process that waits for orphans in a PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaper {
    /// Process 1, if it does so by itself.
    ProcessOne,
    /// The kernel, because the command ignores SIGCHLD. This suits only a command without children:
    /// it would not learn their exit statuses.
    Kernel,
    /// A process 1 of ours, with the command as its child.
    Init,
}

impl Reaper {
    /// Chooses the reaper for a container that runs `argv`. [`Reaper::Init`] is used only if `init`
    /// asks for it.
    pub fn choose(init: bool, argv: &[OsString]) -> Self {
        match init {
            true => Self::Init,
            false if never_waits(argv) => Self::Kernel,
            false => Self::ProcessOne,
        }
    }
}

/// Whether a command is one that keeps a container running and never waits for children, because it
/// has none.
fn never_waits(argv: &[OsString]) -> bool {
    let name = argv.first().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| ["sleep", "tail", "cat", "pause"].iter().any(|program| name == *program))
}

/// Turns the caller, process 1 of a PID namespace, into an init. Returns in a new child, which
/// becomes the command.
///
/// The caller passes all its signals to the child and waits for every process that ends. It ends
/// with the command, with the exit status that a shell would report; the kernel then kills all
/// other processes.
///
/// Call it from a process with one thread. The child has every signal blocked.
pub fn begin_init() -> io::Result<()> {
    leave_behind(CloneFlags::empty(), None)
}

/// Like [`begin_init`], but the child is process 1 of one more PID namespace, and `outcome` gets
/// its exact exit status.
///
/// The kernel forgets that a process wants to end with its parent (`PR_SET_PDEATHSIG`) when the
/// process changes its user, as `su` does. The caller stays root and keeps that wish. When it ends,
/// the kernel kills the child's namespace too.
pub fn begin_guard(outcome: &Outcome) -> io::Result<()> {
    leave_behind(CloneFlags::CLONE_NEWPID, Some(outcome))
}

fn leave_behind(namespaces: CloneFlags, outcome: Option<&Outcome>) -> io::Result<()> {
    // In its own session: signals of the caller's terminal arrive only through `run`, and not at
    // all if the caller ignores them. This comes before they are blocked, because a blocked signal
    // arrives even if it is ignored.
    let _ = nix::unistd::setsid();
    // Signals are blocked before the child exists, so none is lost. Process 1 gets only signals
    // that it blocks or handles.
    SigSet::all().thread_block()?;
    // SAFETY: the caller has one thread, as the documentation of the callers demands.
    match unsafe { namespaces::fork_into(namespaces) }? {
        Fork::Child => Ok(()),
        Fork::Parent(command) => serve(command.pid(), outcome),
    }
}

/// The exit status of a command whose parent is a guard ([`begin_guard`]): memory that the guard
/// and our process share. The exit status of the guard could not tell that a signal ended the
/// command.
#[derive(Debug)]
pub struct Outcome(NonNull<AtomicI32>);

impl Outcome {
    /// A bit that no status of wait(2) has: the command has ended.
    const ENDED: i32 = 1 << 16;

    /// Makes the memory.
    pub fn new() -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: the kernel chooses a free address. The memory begins as zeros, a valid value.
        let memory = unsafe { libc::mmap(null_mut(), size_of::<AtomicI32>(), access, kind, -1, 0) };
        match NonNull::new(memory.cast()) {
            Some(status) if memory != libc::MAP_FAILED => Ok(Self(status)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn cell(&self) -> &AtomicI32 {
        // SAFETY: the memory is mapped as long as this value lives.
        unsafe { self.0.as_ref() }
    }

    /// The status of wait(2), if the command has ended.
    pub fn status(&self) -> Option<i32> {
        let status = self.cell().load(Ordering::Acquire);
        (status & Self::ENDED != 0).then_some(status & !Self::ENDED)
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        // SAFETY: `new` mapped the memory, and nobody has a reference to it any more.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<AtomicI32>()) };
    }
}

fn serve(command: Pid, outcome: Option<&Outcome>) -> ! {
    let _ = prctl::set_name(c"init");
    // Let go of the host's folders too.
    let _ = nix::unistd::chdir(c"/");
    // Close the host's files. Pipes must end when the command closes them.
    // SAFETY: nothing that owns a descriptor is used or dropped from here on.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    // Unlike sigwait(3), signalfd keeps signals blocked while waiting. `run` reads that mask to see
    // that they are handled.
    let Ok(arriving) = SignalFd::new(&SigSet::all()) else { end(NO_SIGNALS) };
    loop {
        match arriving.read_signal() {
            Ok(Some(signal)) if signal.ssi_signo == libc::SIGCHLD as u32 => reap_children(command, outcome),
            Ok(Some(signal)) => {
                // Sent by number: real-time signals have no name. The PID stays the command's until
                // we wait for it, and then we end.
                // SAFETY: sends a signal.
                let _ = unsafe { libc::kill(command.as_raw(), signal.ssi_signo as i32) };
            }
            Ok(None) | Err(_) => {}
        }
    }
}

/// The exit status of an init that cannot receive signals.
const NO_SIGNALS: i32 = 255;

/// Ends the process without running exit handlers of the parent.
fn end(status: i32) -> ! {
    // SAFETY: see above.
    unsafe { libc::_exit(status) }
}

/// Waits for every child that has ended. Ends this process if the command has ended.
fn reap_children(command: Pid, outcome: Option<&Outcome>) {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one integer.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended == command.as_raw() {
            if let Some(outcome) = outcome {
                outcome.cell().store(status | Outcome::ENDED, Ordering::Release);
            }
            end(process::shell_status(ExitStatus::from_raw(status)).into());
        }
        if ended <= 0 {
            return;
        }
    }
}
