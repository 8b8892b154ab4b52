//! A booted machine at rest, from which any number of guests start.

use std::path::PathBuf;

use crate::{Accelerator, Cache, Calibration, Disks, Error, Event, Guest, Network, Requested, Source, Suite};

/// What kind of guest is wanted.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The guest's system.
    pub suite: Suite,
    /// What runs its instructions.
    pub accel: Requested,
    /// Where its image may come from.
    pub source: Source,
    /// How guests start from the template.
    pub restore: RestoreBy,
    /// The guest half, a static program; `None` looks for `vm-agent` beside the running program. Needed only
    /// while a template is made.
    pub agent: Option<PathBuf>,
}

/// How a guest starts from a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestoreBy {
    /// Shared memory; a stored snapshot where this QEMU cannot do that.
    #[default]
    Auto,
    /// The template's memory is a file that guests map privately (`x-ignore-shared`).
    SharedMemory,
    /// The template's memory is in a qcow2 snapshot (`-loadvm`).
    Snapshot,
}

/// A booted machine at rest. Holding one keeps it from being removed from the cache.
#[derive(Debug)]
pub struct Template {
    _private: (),
}

/// Everything up to a template ready to restore: image (downloaded or made from packages), provisioning,
/// accelerator, boot, snapshot. What is there already is taken as it is. Any number of processes may call
/// this at once on one cache: one works, the others wait for it.
pub fn prepare(cache: &Cache, request: &Request, on: &mut dyn FnMut(Event)) -> Result<Template, Error> {
    let _ = (cache, request, on);
    unimplemented!()
}

impl Template {
    /// A new guest in the template's state, with the right time and fresh randomness. Ready when this returns.
    pub fn restore(&self, disks: &Disks, network: &Network) -> Result<Guest, Error> {
        let _ = (disks, network);
        unimplemented!()
    }

    /// What runs the guests' instructions, and why.
    pub fn accelerator(&self) -> &Accelerator {
        unimplemented!()
    }

    /// The image in words: "Debian 12, from packages".
    pub fn image(&self) -> &str {
        unimplemented!()
    }

    /// The guest's kernel release, as `uname -r` says it.
    pub fn kernel(&self) -> &str {
        unimplemented!()
    }

    /// The name of the template in the cache: changes whenever anything that matters to a guest does.
    pub fn key(&self) -> &str {
        unimplemented!()
    }

    /// How fast its guests are.
    pub fn calibration(&self) -> Calibration {
        unimplemented!()
    }

    /// Restores a guest and connects the terminal of the calling process to a shell on its serial console,
    /// until the shell ends or Ctrl-] is typed.
    pub fn shell(&self, disks: &Disks, network: &Network) -> Result<(), Error> {
        let _ = (disks, network);
        unimplemented!()
    }
}
