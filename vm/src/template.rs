//! A booted machine at rest, from which any number of guests start.
//!
//! A template is made once: boot, wait until the guest half is there and the system is quiet, use the tools that
//! will be used (so that their pages are in memory), stop, and write down the state of the devices. Memory is a
//! file that the template's QEMU maps shared and the guests' map privately (the migration capability
//! `x-ignore-shared`); the disk is a qcow2 layer under each guest's own. Where QEMU does not know that
//! capability, the state holds the memory too and is read in for each guest.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cache::Lock;
use crate::disk::{disk_from_dir, open_for_slot};
use crate::image::{self, Base, Image};
use crate::machine::{Cards, Disk, Machine, Memory, SLOTS};
use crate::{
    Accelerator, Cache, Calibration, Command, Disks, Error, Event, Guest, Kind, Network, Outcome, Requested,
    Source, Suite, accel, agent, digest, qemu, tool,
};

/// How long a boot may take, and how long QEMU may take to write the state: some 15 s and less than one under TCG,
/// but a host may be busy.
const BOOT: Duration = Duration::from_secs(900);

/// How long a restored guest may take to answer.
const RESTORE: Duration = Duration::from_secs(60);

/// How many templates of one image stay in the cache: each accelerator, QEMU and guest half needs its own.
const TEMPLATES_KEPT: usize = 4;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreBy {
    /// Shared memory; the stream where this QEMU cannot do that.
    #[default]
    Auto,
    /// The template's memory is a file that guests map privately (`x-ignore-shared`): nothing is copied.
    SharedMemory,
    /// The template's memory is read in from a file.
    Stream,
}

/// Where a template keeps its guest half, under its directory.
const AGENT: &str = "agent/vm-agent";

/// What is used once before the template is stopped, so that guests find it in memory.
const WARM_UP: &str = include_str!("warm-up.sh");

/// A booted machine at rest. Holding one keeps it from being removed from the cache.
#[derive(Debug)]
pub struct Template {
    id: String,
    dir: PathBuf,
    scratch: PathBuf,
    image: Image,
    accelerator: Accelerator,
    model: String,
    manifest: Manifest,
    _lock: Lock,
}

/// What is known of a template.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    title: String,
    restore: RestoreBy,
    calibration: Calibration,
    boot: Duration,
    unguarded: Option<String>,
}

/// Everything up to a template ready to restore: image (downloaded or made from packages), provisioning,
/// accelerator, boot, snapshot. What is there already is taken as it is. Any number of processes may call
/// this at once on one cache: one works, the others wait for it.
pub fn prepare(cache: &Cache, request: &Request, on: &mut dyn FnMut(Event)) -> Result<Template, Error> {
    cache.clear_abandoned()?;
    if request.accel == Requested::Kvm {
        accel::device()
            .map_err(|unusable| Error::Accelerator(format!("KVM was asked for, but {unusable}")))?;
    }
    let installed = qemu::Installed::find()?;
    // Better missed now than after minutes of work.
    for needed in [tool::QEMU_IMG, tool::MKFS] {
        needed.path()?;
    }
    let mut chosen: Option<Accelerator> = None;
    let mut choose = |base: &Base, on: &mut dyn FnMut(Event)| match &chosen {
        Some(accelerator) => Ok(accelerator.clone()),
        None => Ok(chosen.insert(accel::choose(cache, request.accel, base, on)?).clone()),
    };
    let image = image::ensure(cache, request.suite, request.source, &mut choose, on)?;
    let base = Base { disk: image.disk(), kernel: Some(image.kernel()) };
    let accelerator = choose(&base, on)?;

    let recipe = digest::of([
        agent::source().as_str(),
        &installed.version,
        &Machine::fingerprint(&installed.model, accelerator.kind),
        &accel::processor(),
        &format!("{:?}", request.restore),
        WARM_UP,
    ]);
    let id = format!("{}.{}-{recipe}", image.id, accelerator.kind.to_string().to_lowercase());
    let dir = cache.template(&id);
    loop {
        if Cache::manifest::<Manifest>(&dir).is_some() {
            let lock = cache.lock_shared(&id)?;
            if let Some(manifest) = Cache::manifest(&dir) {
                let (scratch, model) = (cache.scratch()?, installed.model);
                return Ok(Template { id, dir, scratch, image, accelerator, model, manifest, _lock: lock });
            }
        }
        let waiting = "another run is booting the same machine: waiting for it".to_owned();
        let _lock = cache.lock(&id, || on(Event::Note(waiting)))?;
        if Cache::manifest::<Manifest>(&dir).is_none() {
            let built = cache.build(&id)?;
            let plan = Plan { image: &image, kind: accelerator.kind, installed: &installed, request };
            let manifest = plan.carry_out(&built, on)?;
            Cache::publish(&built, &dir, &manifest)?;
            cache.prune_templates(&image.id, TEMPLATES_KEPT)?;
        }
    }
}

/// What a template is made from.
struct Plan<'a> {
    image: &'a Image,
    kind: Kind,
    installed: &'a qemu::Installed,
    request: &'a Request,
}

impl Plan<'_> {
    fn carry_out(&self, built: &Path, on: &mut dyn FnMut(Event)) -> Result<Manifest, Error> {
        let program = match &self.request.agent {
            Some(program) => program.to_owned(),
            None => beside_this_program()?,
        };
        let agent_dir = built.join("agent");
        std::fs::create_dir_all(&agent_dir).map_err(Error::io("create", &agent_dir))?;
        std::fs::copy(&program, built.join(AGENT)).map_err(Error::io("copy", &program))?;
        // A disk with the guest half on it, from where the unit in the image takes it.
        let agent_disk = built.join("agent.ext4");
        disk_from_dir(&agent_dir, &agent_disk)?;
        let made = match self.request.restore {
            RestoreBy::Auto => match self.freeze(built, RestoreBy::SharedMemory, &agent_disk, on) {
                Err(why @ Error::Qemu { .. }) => {
                    on(Event::Note(format!("{why}; guests will start by reading in their memory instead")));
                    self.freeze(built, RestoreBy::Stream, &agent_disk, on)
                }
                made => made,
            },
            restore => self.freeze(built, restore, &agent_disk, on),
        };
        std::fs::remove_file(&agent_disk).map_err(Error::io("remove", &agent_disk))?;
        made
    }

    /// Boots the machine, stops it when it is ready, and writes it down.
    fn freeze(
        &self,
        built: &Path,
        restore: RestoreBy,
        agent_disk: &Path,
        on: &mut dyn FnMut(Event),
    ) -> Result<Manifest, Error> {
        on(Event::Step(format!("booting {} under {}", self.image.manifest.title, self.kind)));
        let layer = built.join("root.qcow2");
        // Relative, and right both where it is made and where it will lie.
        let below = Path::new("../../images").join(&self.image.id).join("disk.qcow2");
        tool::QEMU_IMG.output(|command| {
            command.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(below).arg(&layer);
        })?;
        let state_file = built.join("state");
        let state = File::create(&state_file).map_err(Error::io("create", &state_file))?;
        let memory = match restore {
            RestoreBy::Stream => Memory::Own,
            RestoreBy::Auto | RestoreBy::SharedMemory => Memory::Shared(built.join("ram")),
        };
        let began = Instant::now();
        let running = Machine {
            model: &self.installed.model,
            accel: self.kind,
            kernel: Some(self.image.kernel().kernel()),
            memory,
            disks: slots([
                Disk::Layer(layer),
                Disk::ReadOnly(open_for_slot(Some(agent_disk), built)?),
                Disk::ReadOnly(open_for_slot(None, built)?),
            ]),
            cards: Cards::Guest { network: &Network::default(), relay: &built.join(AGENT) },
            incoming: false,
            freezable: true,
        }
        .start()?;

        let mut guest = Guest::of(running);
        let ready = guest.wait_ready(BOOT)?;
        let boot = began.elapsed();
        if ready.source != agent::source() {
            return Err(Error::Agent(
                "the guest half (vm-agent) was built from another source than this program: build both"
                    .to_owned(),
            ));
        }
        on(Event::Step("preparing the machine for its snapshot".to_owned()));
        guest.hello(false, false, RESTORE)?;
        must(&mut guest, WARM_UP)?;
        let calibration = Calibration::measure(&mut guest)?;
        must(&mut guest, "sync")?;
        guest.rest(RESTORE)?;

        on(Event::Step("taking the snapshot".to_owned()));
        let qmp = &mut guest.running().qmp;
        qmp.execute("stop", &json!({}))?;
        qmp.execute("migrate-set-capabilities", &capabilities(restore))?;
        qmp.execute("migrate-set-parameters", &json!({ "max-bandwidth": 1u64 << 40 }))?;
        qmp.give("state", &state)?;
        qmp.execute("migrate", &json!({ "uri": "fd:state" }))?;
        guest.migrated(BOOT)?;
        guest.running().qmp.execute("quit", &json!({}))?;
        guest.running().ended_within(BOOT);
        drop(guest);

        let empty = built.join("empty.qcow2");
        tool::QEMU_IMG.output(|command| {
            command.args(["create", "-q", "-f", "qcow2"]).arg(&empty).arg(image::DISK);
        })?;
        let title = format!(
            "{}, booted under {}, QEMU {}",
            self.image.manifest.title, self.kind, self.installed.version
        );
        Ok(Manifest { title, restore, calibration, boot, unguarded: ready.unguarded })
    }
}

fn slots(disks: [Disk; 3]) -> Vec<(&'static str, Disk)> {
    SLOTS.into_iter().zip(disks).collect()
}

fn capabilities(restore: RestoreBy) -> serde_json::Value {
    let shared = restore != RestoreBy::Stream;
    json!({ "capabilities": [
        { "capability": "events", "state": true },
        { "capability": "x-ignore-shared", "state": shared },
    ] })
}

/// Runs a script in a machine that is being made into a template.
fn must(guest: &mut Guest, script: &str) -> Result<(), Error> {
    let mut command = Command::new(["/bin/sh", "-c", script]);
    command.deadline = BOOT;
    match guest.run(&command, &mut |_| {}) {
        Outcome::Exited { code: 0, .. } => Ok(()),
        Outcome::Exited { code, stderr } => {
            let said = String::from_utf8_lossy(&stderr).into_owned();
            Err(guest.failed(format!("a script in the new machine ended with status {code}: {said}")))
        }
        outcome => Err(guest.failed(outcome.to_string())),
    }
}

fn beside_this_program() -> Result<PathBuf, Error> {
    let this = std::env::current_exe().map_err(Error::io("find", "this program"))?;
    // Test programs and examples lie one directory deeper than what they test.
    this.ancestors().skip(1).take(2).map(|dir| dir.join("vm-agent")).find(|file| file.is_file()).ok_or_else(
        || {
            let place = this.parent().unwrap_or(&this).display();
            Error::Agent(format!(
                "the guest half is not at {place}/vm-agent: cargo build -p vm --bin vm-agent"
            ))
        },
    )
}

impl Template {
    /// A new guest in the template's state, with the right time and fresh randomness. Ready when this returns.
    pub fn restore(&self, disks: &Disks, network: &Network) -> Result<Guest, Error> {
        let began = Instant::now();
        let empty = self.dir.join("empty.qcow2");
        let mut top =
            tempfile::tempfile_in(&self.scratch).map_err(Error::io("create a file in", &self.scratch))?;
        File::open(&empty)
            .and_then(|mut empty| std::io::copy(&mut empty, &mut top))
            .map_err(Error::io("write to", &self.scratch))?;
        let state_file = self.dir.join("state");
        let state = File::open(&state_file).map_err(Error::io("open", &state_file))?;
        let memory = match self.manifest.restore {
            RestoreBy::Stream => Memory::Own,
            RestoreBy::Auto | RestoreBy::SharedMemory => Memory::Private(self.dir.join("ram")),
        };
        let running = Machine {
            model: &self.model,
            accel: self.accelerator.kind,
            kernel: Some(self.image.kernel().kernel()),
            memory,
            disks: slots([
                Disk::Over { top, base: self.dir.join("root.qcow2") },
                Disk::ReadOnly(open_for_slot(disks.payload.as_deref(), &self.scratch)?),
                Disk::ReadOnly(open_for_slot(disks.store.as_deref(), &self.scratch)?),
            ]),
            cards: Cards::Guest { network, relay: &self.dir.join(AGENT) },
            incoming: true,
            freezable: true,
        }
        .start()?;
        let mut guest = Guest::of(running);
        let qmp = &mut guest.running().qmp;
        qmp.execute("migrate-set-capabilities", &capabilities(self.manifest.restore))?;
        qmp.give("state", &state)?;
        qmp.execute("migrate-incoming", &json!({ "uri": "fd:state" }))?;
        guest.migrated(RESTORE)?;
        guest.running().qmp.execute("cont", &json!({}))?;
        guest.hello(disks.payload.is_some(), disks.store.is_some(), RESTORE)?;
        Ok(guest.restored(began))
    }

    /// What runs the guests' instructions, and why.
    pub fn accelerator(&self) -> &Accelerator {
        &self.accelerator
    }

    /// The image in words: "Debian 12, from packages".
    pub fn image(&self) -> &str {
        &self.image.manifest.title
    }

    /// The guest's kernel release, as `uname -r` says it.
    pub fn kernel(&self) -> &str {
        &self.image.manifest.release
    }

    /// The name of the template in the cache: changes whenever anything that matters to a guest does.
    pub fn key(&self) -> &str {
        &self.id
    }

    /// Why a program of root in its guests can reach the agent and what the agent starts; `None` where it cannot.
    pub fn unguarded(&self) -> Option<&str> {
        self.manifest.unguarded.as_deref()
    }

    /// How fast its guests are.
    pub fn calibration(&self) -> Calibration {
        self.manifest.calibration
    }

    /// How long its boot took, from the start of QEMU to the guest half's first word.
    pub fn booted_in(&self) -> Duration {
        self.manifest.boot
    }

    /// How guests start from it.
    pub fn restores_by(&self) -> RestoreBy {
        self.manifest.restore
    }

    /// Restores a guest and connects the terminal of the calling process to a shell on its serial console,
    /// until the shell ends. Returns the shell's status.
    pub fn shell(&self, disks: &Disks, network: &Network) -> Result<Outcome, Error> {
        crate::shell::attach(self.restore(disks, network)?)
    }
}

/// The calibration of the template that was made last.
pub(crate) fn newest_calibration(cache: &Cache) -> Option<Calibration> {
    let dirs = std::fs::read_dir(cache.template("")).ok()?;
    let newest = dirs.flatten().max_by_key(|dir| dir.metadata().and_then(|found| found.modified()).ok())?;
    Cache::manifest::<Manifest>(&newest.path()).map(|manifest| manifest.calibration)
}
