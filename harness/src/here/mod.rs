//! Drives each scenario in new namespaces of this machine, on a copy-on-write view of its files.
//!
//! For a student whose own machine is already a virtual one. Scenarios, records and judges are the
//! same as in virtual machines. Only the machine is made differently:
//!
//! ```text
//! harness                 makes a folder and a control group, and serves packages on a socket
//!  └ harness-guest machine    joins the group and leaves the host's namespaces (outside.rs)
//!     └ harness-guest first   PID 1: mounts the machine's files, makes its veth pair,
//!        │                     reaps (first.rs, files.rs)
//!        └ harness-guest drive   the guest half, as in a virtual machine
//! ```
//!
//! All mounts, links, firewall rules and processes are in these namespaces and end with them. The
//! host has only a folder in the cache and a control group. If a run is killed, the next command
//! removes both. PID 1 reads from a pipe of the harness and ends with the pipe, so the machine ends
//! when the harness does.
//!
//! A submission is root here. Nothing protects the evidence from it, so the report is not a mark.

mod files;
mod first;
pub mod groups;
mod outside;
mod process;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vm::FileError;

use crate::grade::driver::{Driver, Running, Supplied};
use crate::lack::NO_CPU_CONTROLLER;
use crate::packages::base::Maker;
use crate::stage::{GUEST_HALF, Medium};
use crate::verdict::{Environment, NO_MARK};
use groups::Groups;

pub use first::first;
pub use outside::outside;

/// Where the machine finds the package cache.
const PACKAGES: &str = "/run/vm/packages.sock";
/// The folders of a machine that begin empty and can hold an overlay's layers, below `disk` in the
/// machine's folder, with their modes.
const FRESH: [(&str, u32); 7] = [
    ("home", 0o755),
    ("root", 0o700),
    ("mnt", 0o755),
    ("media", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
];

/// Why scenarios cannot be driven on this machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only root can make namespaces and mounts.
    #[error("--here needs root for namespaces and mounts: run the same command with sudo")]
    NotRoot,
    /// A folder cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no control group for the machines.
    #[error("cannot make a control group (cgroup v2)")]
    Group(#[source] io::Error),
}

/// Makes machines of this machine's namespaces. Removes its folder and control group when dropped.
#[derive(Debug)]
pub struct Here {
    folder: tempfile::TempDir,
    groups: Groups,
    slowdown: f64,
}

impl Here {
    /// Keeps the machines' files in `workdir`. Time limits are those of the reference
    /// machine times `slowdown`.
    ///
    /// # Errors
    /// When this is not root, or a folder or control group cannot be made.
    pub fn new(workdir: &Path, slowdown: f64) -> Result<Self, Error> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let folder = tempfile::Builder::new()
            .prefix("machines-")
            .tempdir_in(workdir)
            .map_err(FileError::at("make a folder for machines in", workdir))?;
        let groups = Groups::make().map_err(Error::Group)?;
        Ok(Self { folder, groups, slowdown })
    }
}

/// An estimate from the load average: how many times slower this machine is than
/// the reference machine.
pub fn slowdown() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|minute| minute.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    (1.0 + load / processors).clamp(1.0, 4.0)
}

impl Driver for Here {
    fn slowdown(&self) -> f64 {
        self.slowdown
    }

    fn describe(&self, environment: &mut Environment) -> String {
        environment.image = format!("{}, on this machine", system());
        environment.kernel = nix::sys::utsname::uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default();
        "none: namespaces of this machine".clone_into(&mut environment.accelerator);
        environment.unguarded = Some("its programs and the grader share this machine's kernel".to_owned());
        environment.notes.push(NO_MARK.to_owned());
        format!("{}, {}", system(), NO_MARK)
    }

    fn medium(&self) -> Medium {
        Medium::Folder
    }

    fn maker(&self) -> Option<Maker<'_>> {
        Maker::find(None)
    }

    fn adapt(&self, plan: &mut Value) {
        let Some(plan) = plan.as_object_mut() else { return };
        if let Some(world) = plan.get_mut("world") {
            world["packages"] = json!({ "socket": PACKAGES });
        }
        // Other programs of this machine write to its disk, too.
        plan.entry("shared_disk").and_modify(|shared| *shared = true.into());
        if !self.groups.has_cpu() {
            plan.insert(NO_CPU_CONTROLLER.to_owned(), true.into());
        }
    }

    fn start(&self, supplied: Supplied) -> Result<Box<dyn Running + '_>, String> {
        self.machine(&supplied)
            .map(|machine| Box::new(machine) as Box<dyn Running>)
            .map_err(|error| format!("cannot make a machine in {}: {error}", self.folder.path().display()))
    }
}

impl Here {
    fn machine(&self, supplied: &Supplied) -> io::Result<Machine<'_>> {
        let home = tempfile::tempdir_in(self.folder.path())?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755))?;
        let socket = home.path().join("packages.sock");
        if let Some(packages) = supplied.packages {
            packages.serve_machine(&socket, supplied.tunnels.clone())?;
        }
        let group = self.groups.one()?;
        let plan = Plan {
            home: home.path().to_owned(),
            payload: supplied.payload.to_owned(),
            store: supplied.store.map(Path::to_owned),
            packages: supplied.packages.map(|_| socket),
            group: group.path().to_owned(),
        };
        Ok(Machine { plan, _group: group, _home: home })
    }
}

/// How to make one machine: what the first programs in it read from their command line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// A folder for the machine's files.
    home: PathBuf,
    /// What becomes /run/vm/payload.
    payload: PathBuf,
    /// What becomes /run/vm/store.
    store: Option<PathBuf>,
    /// The socket of the package cache.
    packages: Option<PathBuf>,
    /// The control group, from the root of the groups.
    group: String,
}

/// A machine that waits for its program. Its group and folder are removed with it, in this order.
struct Machine<'a> {
    plan: Plan,
    _group: groups::Group<'a>,
    _home: tempfile::TempDir,
}

impl Running for Machine<'_> {
    fn run(&mut self, command: &vm::Command, take: &mut dyn FnMut(&[u8])) -> vm::Outcome {
        match serde_json::to_string(&self.plan) {
            Ok(plan) => process::run(&self.plan.payload.join(GUEST_HALF), &plan, command, take),
            Err(error) => vm::Outcome::NotStarted { why: error.to_string() },
        }
    }
}

/// Says in an error what could not be done.
fn failed(what: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}

/// The name of this machine's operating system (os-release(5)).
fn system() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
