//! Processes in their own namespaces and root: containers started by `run`, and `RUN` instructions
//! of a build.
//!
//! The command is process 1 of the sandbox, or the only child of an init ([`reaper`]). The command
//! of a `RUN` is process 1, and its parent is a guard in one more PID namespace around it. When
//! process 1 ends, the kernel kills all other processes in its PID namespace, and the mounts vanish
//! with the last of them (`pid_namespaces(7)`). So nothing needs cleaning up, even if conductor
//! itself is killed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::sandbox::launch::{Command, Prepared, Report, Reporter};
use crate::sandbox::namespaces::Fork;
use crate::sandbox::process::Child;
use crate::sandbox::reaper::Outcome;
use crate::sandbox::rootfs::{Dev, Failure};

pub use crate::sandbox::launch::{Error, Streams};

pub mod cgroup;
mod hosts;
pub mod launch;
pub mod namespaces;
pub mod outside;
pub mod overlay;
pub mod process;
pub mod reaper;
pub mod rootfs;
pub mod start;
pub mod supervise;
pub mod tty;

/// Mounts the root. Called inside the new mount namespace; an error names the step that failed.
pub type MountRoot<'a> = dyn Fn() -> Result<(), Failure> + 'a;

/// A command, and the sandbox to run it in.
pub struct Sandbox<'a> {
    /// The new namespaces: [`namespaces::CONTAINER`] or [`namespaces::BUILD`]. PID and mount are
    /// required.
    pub namespaces: CloneFlags,
    /// The directory that becomes `/`.
    pub root: &'a Path,
    /// Mounts something on `root` that only the sandbox sees. Without it, `root` is used as it is.
    pub mount_root: Option<&'a MountRoot<'a>>,
    /// Its /dev.
    pub dev: Dev,
    /// Files of the host that are bound over files in the sandbox: (outside, inside). The sandbox
    /// can write to them, so give it copies. If a file does not exist inside, an empty one is
    /// created and stays in the root.
    pub files: &'a [(PathBuf, PathBuf)],
    /// The host name. It requires a new UTS namespace, and /etc/hosts gets it too.
    pub hostname: Option<&'a str>,
    /// The command.
    pub command: &'a Command,
    /// Whether the sandbox ends when this process ends, even by SIGKILL.
    pub dies_with_us: bool,
}

/// A sandbox whose command waits for [`Held::start`]. If this process ends before, the sandbox ends
/// too.
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
    /// The master side of its terminal, if it has one.
    pub terminal: Option<OwnedFd>,
}

impl Sandbox<'_> {
    /// Creates the sandbox. Call it from a process with one thread: the child is a fork that
    /// allocates memory.
    pub fn hold(&self) -> Result<Held, Error> {
        let setup = |step: &str| {
            let step = step.to_owned();
            |source| Error::Setup { step, source }
        };
        let command = self.command.prepare()?;
        let (report, reporter) = launch::channel().map_err(setup("make a socket"))?;
        let outcome = self.dies_with_us.then(Outcome::new).transpose().map_err(setup("map memory"))?;
        // SAFETY: the caller has one thread, as the documentation above demands.
        match unsafe { namespaces::fork_into(self.namespaces) }.map_err(setup("make namespaces"))? {
            Fork::Parent(child) => {
                drop(reporter);
                Ok(Held { child: child.guarding(outcome), report, command })
            }
            Fork::Child => {
                drop(report);
                reporter.launch(&command, |reporter| self.set_up(reporter, outcome.as_ref()))
            }
        }
    }

    /// Runs the command to its end, like [`Sandbox::hold`] and [`Held::start`], and returns its
    /// exit status. Signals are not passed on: process 1 of a PID namespace ignores most of them.
    /// If `dies_with_us` is set, a signal that ends this process ends the sandbox.
    pub fn run(&self) -> Result<ExitStatus, Error> {
        let failed = |source| Error::Setup { step: "wait for the command".into(), source };
        self.hold()?.start()?.child.wait().map_err(failed)
    }

    fn set_up(&self, reporter: &Reporter, outcome: Option<&Outcome>) -> Result<(), Failure> {
        reporter.close_others().map_err(|error| ("close the descriptors of the parent".into(), error))?;
        if let Some(outcome) = outcome {
            end_with_parent(reporter)?;
            reaper::begin_guard(outcome).map_err(|error| ("make a guard process".to_owned(), error))?;
        }
        rootfs::make_private()?;
        match self.mount_root {
            Some(mount) => mount()?,
            None => rootfs::make_mount_point(self.root)?,
        }
        if let Some(name) = self.hostname {
            nix::unistd::sethostname(name).map_err(|error| ("set the host name".into(), error.into()))?;
        }
        rootfs::enter(self.root, self.files, self.dev)?;
        self.hostname.map_or(Ok(()), hosts::add)
    }
}

/// Asks the kernel to send SIGKILL when the parent ends. Fails if the parent has already ended.
fn end_with_parent(reporter: &Reporter) -> Result<(), Failure> {
    let failed = |error: io::Error| ("let the sandbox end with its parent".to_owned(), error);
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| failed(error.into()))?;
    if reporter.parent_lives() { Ok(()) } else { Err(failed(io::ErrorKind::BrokenPipe.into())) }
}

impl Held {
    /// Process 1 of the sandbox, before it executes the command.
    pub fn child(&self) -> &Child {
        &self.child
    }

    /// Starts the command and returns once it runs.
    pub fn start(self) -> Result<Running, Error> {
        let started = self
            .report
            .go()
            .map_err(|source| Error::Setup { step: "start the command".into(), source })
            .and_then(|()| self.report.wait(&self.command));
        match started {
            Ok(terminal) => Ok(Running { child: self.child, terminal }),
            Err(error) => {
                // The child ends by itself. Wait for it, so that no zombie is left.
                let _ = self.child.wait();
                Err(error)
            }
        }
    }
}

/// Starts a command in the namespaces and root of the process `first`. If `first` is process 1 of a
/// PID namespace, the command ends when `first` ends.
///
/// Call it from a process with one thread. The caller keeps its namespaces, but its later children
/// are born into the PID namespace of `first`.
pub fn join(first: &OwnedFd, command: &Command) -> Result<Running, Error> {
    let setup = |step: &'static str| move |source| Error::Setup { step: step.into(), source };
    let command = command.prepare()?;
    let (report, reporter) = launch::channel().map_err(setup("make a socket"))?;
    namespaces::join(first, CloneFlags::CLONE_NEWPID).map_err(setup("join the PID namespace"))?;
    // SAFETY: the caller has one thread, as the documentation above demands.
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
