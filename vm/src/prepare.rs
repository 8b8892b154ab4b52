//! From a request to a template: an image, an accelerator, one boot, and a snapshot of the machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::arguments::{Disk, Memory};
use crate::disk::{disk_from_dir, open_for_slot, open_to_read, open_to_write};
use crate::hardware::Hardware;
use crate::image::{self, Base, Image};
use crate::machine::{Machine, Uplink};
use crate::memory::{self, State};
use crate::template::{AGENT, Manifest, RESTORE, capabilities, hardware, slots};
use crate::{
    Accelerator, Cache, Calibration, Command, Error, Event, Guest, Kind, Outcome, Requested, RestoreBy,
    Setup, Source, Suite, Template, agent, digest, kvm, qemu, tool,
};

/// The time limit for a boot, and for QEMU to write the state. Under TCG they take 15 s and less
/// than 1 s on a quiet host.
const BOOT: Duration = Duration::from_secs(900);

/// How many templates of one image stay in the cache: each accelerator, QEMU and
/// agent needs its own.
const TEMPLATES_KEPT: usize = 4;

/// The kind of guest that the caller wants.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The guest's system.
    pub suite: Suite,
    /// The accelerator.
    pub accel: Requested,
    /// The source of its image.
    pub source: Source,
    /// How guests start from the template.
    pub restore: RestoreBy,
    /// Name, packages and cards.
    pub setup: Setup,
    /// The agent, a static program; `None` looks for `vm-agent` beside the running program. Needed
    /// only to make a template.
    pub agent: Option<PathBuf>,
}

/// Makes a template that guests can start from, with its image: download or packages, provisioning,
/// accelerator, boot, snapshot. Takes from the cache what is there. Any number of processes may
/// call this at once on one cache: one works, the others wait.
pub fn prepare(cache: &Cache, request: &Request, on: &mut dyn FnMut(Event)) -> Result<Template, Error> {
    cache.clear_abandoned()?;
    if request.accel == Requested::Kvm {
        kvm::device().map_err(|unusable| Error::Accelerator(format!("KVM was asked for, but {unusable}")))?;
    }
    let installed = qemu::Installed::find()?;
    // A missing program is better reported now than after minutes of work.
    for needed in [tool::QEMU_IMG, tool::MKFS] {
        needed.path()?;
    }
    let mut chosen: Option<Accelerator> = None;
    let mut choose = |base: &Base, on: &mut dyn FnMut(Event)| match &chosen {
        Some(accelerator) => Ok(accelerator.clone()),
        None => Ok(chosen.insert(kvm::choose(cache, request.accel, base, on)?).clone()),
    };
    let image = image::ensure(cache, request.suite, request.source, &request.setup, &mut choose, on)?;
    let base = Base { disk: image.disk(), kernel: Some(image.kernel()) };
    let accelerator = choose(&base, on)?;

    let recipe = digest::of([
        agent::source().as_str(),
        &installed.version,
        &Hardware::fingerprint(&installed.model, accelerator.kind),
        &kvm::processor(),
        &format!("{:?}", request.restore),
        &request.setup.warm_up,
    ]);
    let id = format!("{}.{}-{recipe}", image.id, accelerator.kind.to_string().to_lowercase());
    let dir = cache.template(&id);
    loop {
        if Cache::manifest::<Manifest>(&dir).is_some() {
            let lock = cache.lock_shared(&id)?;
            if let Some(manifest) = usable(&dir)? {
                let (scratch, model) = (cache.scratch()?, installed.model);
                return Ok(Template { id, dir, scratch, image, accelerator, model, manifest, lock });
            }
        }
        let waiting = "another run is booting the same machine: waiting for it".to_owned();
        let _lock = cache.lock(&id, || on(Event::Note(waiting)))?;
        if usable(&dir)?.is_none() {
            if dir.exists() {
                on(Event::Note(
                    "the memory of this template was written to since it was made: making the template again"
                        .to_owned(),
                ));
            }
            let built = cache.build(&id)?;
            let plan = Plan { image: &image, kind: accelerator.kind, installed: &installed, request };
            let manifest = plan.carry_out(&built, on)?;
            Cache::publish(&built, &dir, &manifest)?;
            cache.prune_templates(&image.id, TEMPLATES_KEPT)?;
        }
    }
}

/// The description of the template in a folder, if guests can start from it.
fn usable(dir: &Path) -> Result<Option<Manifest>, Error> {
    let Some(mut manifest) = Cache::manifest::<Manifest>(dir) else { return Ok(None) };
    match manifest.memory.as_ref().map(|seal| seal.check(dir)) {
        None | Some(State::Intact) => Ok(Some(manifest)),
        Some(State::Copied(seal)) => {
            manifest.memory = Some(seal);
            Cache::describe(dir, &manifest)?;
            Ok(Some(manifest))
        }
        Some(State::Unusable) => Ok(None),
    }
}

/// The parts of a new template.
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
        // The unit in the image copies the agent from this disk.
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

    /// Boots the machine, stops it when it is ready, and saves its state.
    fn freeze(
        &self,
        built: &Path,
        restore: RestoreBy,
        agent_disk: &Path,
        on: &mut dyn FnMut(Event),
    ) -> Result<Manifest, Error> {
        on(Event::Step(format!("booting {} under {}", self.image.manifest.title, self.kind)));
        let layer = built.join("root.qcow2");
        // A relative path is right both in `build/` and in `templates/`.
        let below = Path::new("../../images").join(&self.image.id).join("disk.qcow2");
        tool::QEMU_IMG.output(|command| {
            command.args(["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"]).arg(below).arg(&layer);
        })?;
        let state_file = built.join("state");
        let state = File::create(&state_file).map_err(Error::io("create", &state_file))?;
        let memory = match restore {
            RestoreBy::Stream => Memory::Own,
            RestoreBy::Auto | RestoreBy::SharedMemory => Memory::Shared(memory::create(built)?),
        };
        let began = Instant::now();
        let running = Machine {
            hardware: hardware(&self.installed.model, self.kind),
            kernel: Some(self.image.kernel().kernel()),
            memory,
            disks: slots([
                Disk::Layers(open_to_write(&layer)?, open_to_read([self.image.disk()])?),
                Disk::ReadOnly(open_for_slot(Some(agent_disk), built)?),
                Disk::ReadOnly(open_for_slot(None, built)?),
            ]),
            uplink: Uplink::Nowhere,
            incoming: false,
        }
        .start()?;

        let mut guest = Guest::of(running);
        let ready = guest.wait_ready(BOOT)?;
        let boot = began.elapsed();
        if ready.source != agent::source() {
            return Err(Error::Agent(
                "the agent (vm-agent) was built from another source than this program: build both".to_owned(),
            ));
        }
        on(Event::Step("preparing the machine for its snapshot".to_owned()));
        guest.hello(false, false, RESTORE)?;
        warm_up(&mut guest, &self.request.setup.warm_up)?;
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
        let memory = match restore {
            RestoreBy::Stream => None,
            RestoreBy::Auto | RestoreBy::SharedMemory => Some(memory::seal(built)?),
        };
        Ok(Manifest { title, restore, calibration, boot, unguarded: ready.unguarded, memory })
    }
}

/// Uses what guests will use, once the machine has nothing else to do.
fn warm_up(guest: &mut Guest, script: &str) -> Result<(), Error> {
    must(guest, &format!("systemctl is-system-running --wait >/dev/null 2>&1\n({script}\n:) || true"))
}

/// Runs a script in a machine that becomes a template.
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
    // Tests and examples lie one directory deeper than the agent.
    this.ancestors().skip(1).take(2).map(|dir| dir.join("vm-agent")).find(|file| file.is_file()).ok_or_else(
        || {
            let place = this.parent().unwrap_or(&this).display();
            Error::Agent(format!(
                "the agent is not at {place}/vm-agent: run cargo build -p vm --bin vm-agent"
            ))
        },
    )
}
