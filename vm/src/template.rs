//! A booted, frozen machine from which any number of guests start.
//!
//! A template is made once ([`prepare`](crate::prepare)): boot, wait for the agent and a quiet
//! system, use the tools that guests will use, stop, and save the state of the devices. The memory
//! is a file that the template's QEMU maps shared and each guest's QEMU maps privately (the
//! migration capability `x-ignore-shared`). The disk is a qcow2 layer under each guest's own layer.
//! If QEMU does not know the capability, the state contains the memory, and each guest reads it.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arguments::{Disk, Memory};
use crate::cache::Lock;
use crate::disk::{open_for_slot, open_to_read};
use crate::hardware::{Cards, Hardware, SLOTS};
use crate::image::Image;
use crate::machine::{Machine, Uplink};
use crate::memory::{self, Seal};
use crate::{Accelerator, Cache, Calibration, Disks, Error, Guest, Kind, Outcome};

/// The time limit for a restored guest to answer.
pub(crate) const RESTORE: Duration = Duration::from_secs(60);

/// How a guest starts from a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreBy {
    /// Shared memory; the stream if this QEMU cannot share memory.
    #[default]
    Auto,
    /// The template's memory is a file that guests map privately
    /// (`x-ignore-shared`): nothing is copied.
    SharedMemory,
    /// Each guest reads the template's memory from a file.
    Stream,
}

/// The agent in a template's directory.
pub(crate) const AGENT: &str = "agent/vm-agent";

/// A booted, frozen machine. While this value lives, the template stays in the cache.
#[derive(Debug)]
pub struct Template {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    /// Where guests' disks are made.
    pub(crate) scratch: PathBuf,
    pub(crate) image: Image,
    pub(crate) accelerator: Accelerator,
    /// QEMU's name for the machine.
    pub(crate) model: String,
    pub(crate) manifest: Manifest,
    /// Held as long as the template may be used.
    #[expect(dead_code, reason = "held, not read")]
    pub(crate) lock: Lock,
}

/// The description of a template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) title: String,
    pub(crate) restore: RestoreBy,
    pub(crate) calibration: Calibration,
    pub(crate) boot: Duration,
    pub(crate) unguarded: Option<String>,
    /// Of the memory file, where there is one.
    pub(crate) memory: Option<Seal>,
}

impl Template {
    /// A new guest in the template's state, with the right time and new randomness. It is
    /// ready when this returns.
    pub fn restore(&self, disks: &Disks) -> Result<Guest, Error> {
        let began = Instant::now();
        let empty = self.dir.join("empty.qcow2");
        let mut top =
            tempfile::tempfile_in(&self.scratch).map_err(Error::io("create a file in", &self.scratch))?;
        File::open(&empty)
            .and_then(|mut empty| std::io::copy(&mut empty, &mut top))
            .map_err(Error::io("write to", &self.scratch))?;
        let state_file = self.dir.join("state");
        let state = File::open(&state_file).map_err(Error::io("open", &state_file))?;
        let shared = self.memory()?;
        let memory = match &shared {
            None => Memory::Own,
            Some((file, _)) => Memory::Private(file.try_clone().map_err(Error::io("use", &self.dir))?),
        };
        let running = Machine {
            hardware: hardware(&self.model, self.accelerator.kind),
            kernel: Some(self.image.kernel().kernel()),
            memory,
            disks: slots([
                Disk::Layers(top, open_to_read([self.dir.join("root.qcow2"), self.image.disk()])?),
                Disk::ReadOnly(open_for_slot(disks.payload.as_deref(), &self.scratch)?),
                Disk::ReadOnly(open_for_slot(disks.store.as_deref(), &self.scratch)?),
            ]),
            uplink: Uplink::Nowhere,
            incoming: true,
        }
        .start()?;
        let mut guest = Guest::of(running);
        guest.woke_from(shared);
        let qmp = &mut guest.running().qmp;
        qmp.execute("migrate-set-capabilities", &capabilities(self.manifest.restore))?;
        qmp.give("state", &state)?;
        qmp.execute("migrate-incoming", &json!({ "uri": "fd:state" }))?;
        guest.migrated(RESTORE)?;
        guest.running().qmp.execute("cont", &json!({}))?;
        guest.hello(disks.payload.is_some(), disks.store.is_some(), RESTORE)?;
        Ok(guest.restored(began))
    }

    /// The open memory file and its seal, if guests share one. Fails if somebody wrote to the file.
    fn memory(&self) -> Result<Option<(File, Seal)>, Error> {
        let Some(seal) = self.manifest.memory.clone() else { return Ok(None) };
        let file = memory::open(&self.dir)?;
        if seal.holds(&file) {
            Ok(Some((file, seal)))
        } else {
            Err(Error::TemplateWritten { id: self.id.clone() })
        }
    }

    /// The guests' accelerator, and the reason for it.
    pub fn accelerator(&self) -> &Accelerator {
        &self.accelerator
    }

    /// The image's title: "Debian 12, from packages".
    pub fn image(&self) -> &str {
        &self.image.manifest.title
    }

    /// The guest's kernel release, as `uname -r` says it.
    pub fn kernel(&self) -> &str {
        &self.image.manifest.release
    }

    /// The template's name in the cache. It changes with everything that matters to a guest.
    pub fn key(&self) -> &str {
        &self.id
    }

    /// Why root in a guest can reach the agent and the protected programs; `None` if root cannot.
    pub fn unguarded(&self) -> Option<&str> {
        self.manifest.unguarded.as_deref()
    }

    /// The speed of its guests.
    pub fn calibration(&self) -> Calibration {
        self.manifest.calibration
    }

    /// The duration of its boot, from the start of QEMU to the agent's first message.
    pub fn booted_in(&self) -> Duration {
        self.manifest.boot
    }

    /// How guests start from it.
    pub fn restores_by(&self) -> RestoreBy {
        self.manifest.restore
    }

    /// Restores a guest, and connects the caller's terminal to a shell on its serial console until
    /// the shell ends. Returns the outcome of the shell.
    pub fn shell(&self, disks: &Disks) -> Result<Outcome, Error> {
        crate::shell::attach(self.restore(disks)?)
    }
}

pub(crate) fn hardware(model: &str, accel: Kind) -> Hardware<'_> {
    Hardware { model, accel, cards: Cards::Guest, freezable: true }
}

pub(crate) fn slots(disks: [Disk; 3]) -> Vec<(&'static str, Disk)> {
    SLOTS.into_iter().zip(disks).collect()
}

pub(crate) fn capabilities(restore: RestoreBy) -> serde_json::Value {
    let shared = restore != RestoreBy::Stream;
    json!({ "capabilities": [
        { "capability": "events", "state": true },
        { "capability": "x-ignore-shared", "state": shared },
    ] })
}

/// The calibration of the newest template.
pub(crate) fn newest_calibration(cache: &Cache) -> Option<Calibration> {
    let dirs = std::fs::read_dir(cache.template("")).ok()?;
    let newest = dirs.flatten().max_by_key(|dir| dir.metadata().and_then(|found| found.modified()).ok())?;
    Cache::manifest::<Manifest>(&newest.path()).map(|manifest| manifest.calibration)
}
