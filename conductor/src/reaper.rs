//! Zombies: who waits for processes that their parents left behind.
//!
//! A process that has ended stays a zombie until its parent waits for it. One whose parent ended before belongs to
//! process 1 of its PID namespace from then on, and nobody outside can wait for it (`pid_namespaces(7)`). The first
//! process of a container is the command it was started with; shells and servers wait for whatever child they have,
//! many programs never do. For those there is a small process 1 of our own, whose child the command then is: `run
//! --init`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use nix::libc;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;

use crate::namespaces::{self, Fork};
use crate::process;

/// Who waits for the orphans of a PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaper {
    /// Process 1, whatever it is and if it does: nothing is arranged.
    ProcessOne,
    /// The kernel, because the command ignores SIGCHLD: only for one that has no children of its own, it would not
    /// learn how they ended.
    Kernel,
    /// A process 1 made for this, with the command as its child.
    Init,
}

impl Reaper {
    /// The reaper of a container whose first process shall be `argv`: [`Reaper::Init`] only where it is asked for.
    pub fn choose(init: bool, argv: &[OsString]) -> Self {
        match init {
            true => Self::Init,
            false if never_waits(argv) => Self::Kernel,
            false => Self::ProcessOne,
        }
    }
}

/// Whether a command is one of those that people keep a container running with and that never wait for a
/// child, because they have none.
fn never_waits(argv: &[OsString]) -> bool {
    let name = argv.first().map(Path::new).and_then(Path::file_name);
    name.is_some_and(|name| ["sleep", "tail", "cat", "pause"].iter().any(|program| name == *program))
}

/// Makes the caller, process 1 of a PID namespace, its init: returns in a child, which is to become the command. The
/// caller passes on to it every signal it gets, waits for whatever ends, and ends with the command and with its
/// status, as shells report it; the kernel then kills what is left.
///
/// Call it from a process with one thread. The child has every signal blocked.
pub fn begin_init() -> io::Result<()> {
    // Before there is a child, so that no signal comes in between; process 1 only gets those that it blocks or handles.
    SigSet::all().thread_block()?;
    // SAFETY: the process has one thread, as asked for above.
    match unsafe { namespaces::fork_into(CloneFlags::empty()) }? {
        Fork::Child => Ok(()),
        Fork::Parent(command) => serve(command.pid()),
    }
}

fn serve(command: Pid) -> ! {
    let _ = prctl::set_name(c"init");
    // Not in the group of who started us: what its terminal sends comes by way of `run`, once.
    let _ = nix::unistd::setsid();
    // Nothing of the host's stays open here, and pipes end when the command closes them.
    // SAFETY: nothing that owns a descriptor is used or dropped from here on.
    unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
    // Unlike in sigwait(3), signals stay blocked while they are waited for here, so that `run` can see that they
    // get somewhere.
    let Ok(arriving) = SignalFd::new(&SigSet::all()) else { end(NO_SIGNALS) };
    loop {
        match arriving.read_signal() {
            Ok(Some(signal)) if signal.ssi_signo == libc::SIGCHLD as u32 => bury(command),
            Ok(Some(signal)) => {
                // By number: a real-time signal has no name. The pid is the command's until it has been waited for,
                // and we end then.
                // SAFETY: sends a signal.
                let _ = unsafe { libc::kill(command.as_raw(), signal.ssi_signo as i32) };
            }
            Ok(None) | Err(_) => {}
        }
    }
}

/// Status of an init that the kernel gives no signals to.
const NO_SIGNALS: i32 = 255;

/// Ends the process without running what its maker registered to be run at exit.
fn end(status: i32) -> ! {
    // SAFETY: see above.
    unsafe { libc::_exit(status) }
}

/// Waits for every child that has ended; ends with the command.
fn bury(command: Pid) {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one integer.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if ended == command.as_raw() {
            end(process::shell_status(ExitStatus::from_raw(status)).into());
        }
        if ended <= 0 {
            return;
        }
    }
}
