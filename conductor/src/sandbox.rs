//! A command in namespaces and a root of its own: what `run` starts containers with and `RUN` its
//! instructions.
//!
//! The command itself is process 1 of the sandbox, or the child of one that ends with it ([`crate::reaper`]). When that
//! ends, however it ends, the kernel kills every process left in its PID namespace, and the mounts vanish with the
//! last of them (`pid_namespaces(7)`): nothing needs cleaning up, even if we are killed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::launch::{self, Command, Prepared, Report, Reporter};
use crate::namespaces::{self, Fork};
use crate::process::Child;
use crate::rootfs::{self, Dev, Failure};

pub use crate::launch::{Error, Streams};

/// Mounts the root, called inside the new mount namespace; an error names the step that failed.
pub type MountRoot<'a> = dyn Fn() -> Result<(), Failure> + 'a;

/// What to run and what it finds around it.
pub struct Sandbox<'a> {
    /// New namespaces: [`namespaces::CONTAINER`] or [`namespaces::BUILD`]. PID and mount are needed.
    pub namespaces: CloneFlags,
    /// Directory that becomes `/`.
    pub root: &'a Path,
    /// Mounts something on `root` that only the sandbox sees. Without it `root` is used as it is.
    pub mount_root: Option<&'a MountRoot<'a>>,
    /// Which /dev it has.
    pub dev: Dev,
    /// Files of the host that are bound over files in the sandbox: (outside, inside); what the sandbox writes to
    /// them it writes to the file outside, so give it a copy. Where there is nothing
    /// inside to bind over, an empty file is made, which stays in the root when the sandbox is gone.
    pub files: &'a [(PathBuf, PathBuf)],
    /// Host name; needs a new UTS namespace.
    pub hostname: Option<&'a str>,
    /// The command.
    pub command: &'a Command,
    /// End the sandbox when we end, even by SIGKILL.
    pub dies_with_us: bool,
}

/// A sandbox that is being set up; its command waits for [`Held::start`]. If we end before, so does it.
#[derive(Debug)]
pub struct Held {
    child: Child,
    report: Report,
    command: Prepared,
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// Process 1 of the sandbox.
    pub child: Child,
    /// Master side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

impl Sandbox<'_> {
    /// Begins the sandbox. Call it from a process with one thread: the child is a fork that allocates.
    pub fn hold(&self) -> Result<Held, Error> {
        let setup = |step: &str| {
            let step = step.to_owned();
            |source| Error::Setup { step, source }
        };
        let command = self.command.prepare()?;
        let (report, reporter) = launch::channel().map_err(setup("make a socket"))?;
        // SAFETY: the process has one thread, as asked for above.
        match unsafe { namespaces::fork_into(self.namespaces) }.map_err(setup("make namespaces"))? {
            Fork::Parent(child) => {
                drop(reporter);
                Ok(Held { child, report, command })
            }
            Fork::Child => {
                drop(report);
                reporter.launch(&command, |reporter| self.set_up(reporter))
            }
        }
    }

    /// Runs the command to its end, as [`Sandbox::hold`] and [`Held::start`] do, and says how it ended. Signals are
    /// not passed on: process 1 of a PID namespace ignores most of them. One that ends us ends the sandbox, where
    /// `dies_with_us` is set.
    pub fn run(&self) -> Result<ExitStatus, Error> {
        let failed = |source| Error::Setup { step: "wait for the command".into(), source };
        self.hold()?.start()?.child.wait().map_err(failed)
    }

    fn set_up(&self, reporter: &Reporter) -> Result<(), Failure> {
        if self.dies_with_us {
            end_with_parent(reporter)?;
        }
        rootfs::make_private()?;
        match self.mount_root {
            Some(mount) => mount()?,
            None => rootfs::make_mount_point(self.root)?,
        }
        if let Some(name) = self.hostname {
            nix::unistd::sethostname(name).map_err(|error| ("set the host name".into(), error.into()))?;
        }
        rootfs::enter(self.root, self.files, self.dev)
    }
}

/// Asks for SIGKILL when the parent ends, unless it has ended before it could be asked for.
fn end_with_parent(reporter: &Reporter) -> Result<(), Failure> {
    let failed = |error: io::Error| ("tie the sandbox to its maker".to_owned(), error);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| failed(error.into()))?;
    if reporter.parent_lives() { Ok(()) } else { Err(failed(io::ErrorKind::BrokenPipe.into())) }
}

impl Held {
    /// Process 1 of the sandbox, before it becomes the command.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Lets the command start; returns once it runs.
    pub fn start(self) -> Result<Running, Error> {
        let started = self
            .report
            .go()
            .map_err(|source| Error::Setup { step: "start the command".into(), source })
            .and_then(|()| self.report.wait(&self.command));
        match started {
            Ok(terminal) => Ok(Running { child: self.child, terminal }),
            Err(error) => {
                // It is ending by itself: wait for that, so that nothing of it is left.
                let _ = self.child.wait();
                Err(error)
            }
        }
    }
}

/// Starts a command in the namespaces and the root of the process that `first` refers to. When that is process 1
/// of a PID namespace and ends, so does the command.
///
/// Call it from a process with one thread. The caller itself stays in its namespaces, except that its later
/// children are born into the PID namespace of `first`.
pub fn join(first: &OwnedFd, command: &Command) -> Result<Running, Error> {
    let setup = |step: &'static str| move |source| Error::Setup { step: step.into(), source };
    let command = command.prepare()?;
    let (report, reporter) = launch::channel().map_err(setup("make a socket"))?;
    namespaces::join(first, CloneFlags::CLONE_NEWPID).map_err(setup("join the PID namespace"))?;
    // SAFETY: the process has one thread, as asked for above.
    match unsafe { namespaces::fork_into(CloneFlags::empty()) }.map_err(setup("make a process"))? {
        Fork::Parent(child) => {
            drop(reporter);
            Held { child, report, command }.start()
        }
        Fork::Child => {
            drop(report);
            let others = namespaces::CONTAINER.difference(CloneFlags::CLONE_NEWPID);
            let enter = |_: &Reporter| {
                namespaces::join(first, others).map_err(|error| ("join the namespaces".to_owned(), error))
            };
            reporter.launch(&command, enter)
        }
    }
}
