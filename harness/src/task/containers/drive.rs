//! Builds two images on one base, runs containers of them, looks at them, and stops them again. What one check needs
//! comes before what may spoil it: `exec` has containers of its own, and what deletes images comes last.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Disk, Left, MachineMounts, Refused, Survival, Typed, Written, disk};
use crate::guest::handles;
use crate::guest::mounts;
use crate::guest::processes::{Directory, Process};
use crate::guest::recorder::Recorder;
use crate::guest::world::WorldPlan;
use crate::task::Site;
use crate::task::conductor;
use crate::task::conductor::desk::Desk;
use crate::task::conductor::launch::{self, Running, Stage};
use crate::task::conductor::overlay::{self, Overlays};
use crate::task::conductor::sight::{Machine, Sight};
use crate::task::conductor::state::{self, Folder, Image};
use crate::task::conductor::tool::Tool;
use crate::task::conductor::words;

/// The names and words of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub world: WorldPlan,
    pub image: String,
    pub second_image: String,
    /// Built without the name of a Conductorfile.
    #[serde(default)]
    pub third_image: String,
    /// Runs a command.
    pub worker: String,
    /// Runs the default shell.
    pub shell: String,
    /// Runs a shell that is named, where the default one does not come.
    #[serde(default)]
    pub named_shell: String,
    /// Runs a command on the second image.
    #[serde(default)]
    pub other: String,
    /// Are entered by `exec`, one after the other as they end.
    #[serde(default)]
    pub entered: Vec<String>,
    /// For how long the commands sleep: by this they are told apart.
    pub naps: Vec<String>,
    pub word: String,
    /// What others write on the machine's own disk is no work of the submission's.
    #[serde(default)]
    pub shared_disk: bool,
}

/// How many containers `exec` may use up.
const ENTERED: usize = 4;

pub fn plan(random: &mut StdRng) -> Value {
    json!(Plan {
        world: WorldPlan::draw(random),
        image: words::name(random, '-'),
        second_image: words::name(random, '_'),
        third_image: words::name(random, '-'),
        worker: words::name(random, '_'),
        shell: words::name(random, '-'),
        named_shell: words::name(random, '_'),
        other: words::name(random, '-'),
        entered: (0..ENTERED).map(|_| words::name(random, '_')).collect(),
        naps: (0..ENTERED + 6).map(|_| words::nap(random)).collect(),
        word: words::word(random),
        shared_disk: false,
    })
}

/// The record kinds are the types of the parent module and of [`crate::task::conductor`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = Plan::deserialize(plan)?;
    let world = conductor::connect(&plan.world)?;
    let tool = Tool::prepare(site)?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let mut stage = Stage {
        recorder,
        desk: Desk::new(recorder).giving_up(&machine.processes),
        tool: &tool,
        machine: &machine,
    };
    let submission = site.submission.as_path();
    let trees = state::root_trees(submission);
    let played = Scene { stage: &mut stage, submission, plan: &plan, base: None, trees }.play();
    drop(stage);
    world.record(recorder)?;
    played
}

pub(super) struct Scene<'s, 'a, 'r> {
    pub stage: &'s mut Stage<'a, 'r>,
    pub submission: &'s Path,
    pub plan: &'s Plan,
    /// The folders that the first image names.
    pub base: Option<Vec<Directory>>,
    /// Root trees that were there before.
    trees: Vec<Directory>,
}

impl Scene<'_, '_, '_> {
    fn play(&mut self) -> io::Result<()> {
        self.build()?;
        self.list("ps-before")?;
        let ran = self.run()?;
        self.list("ps-after")?;
        if ran {
            self.run_second_image()?;
            self.enter()?;
        }
        self.try_given_commands()
    }

    fn build(&mut self) -> io::Result<()> {
        let Plan { image, second_image, .. } = self.plan;
        self.stage.write("build", "Conductorfile", "FROM debian:bookworm\n")?;
        self.disk("before", None)?;
        for (step, name) in [("build", image), ("build-second", second_image)] {
            let limit = self.stage.tool.limit(240.0, 30.0);
            self.stage.call(step, &["build", name, "Conductorfile"], limit)?;
            let image = Image::read(step, self.submission, name);
            self.record("image", &image)?;
            self.base.get_or_insert(image.named);
            self.disk(step, None)?;
        }
        self.stage.call("images", &["images"], self.stage.tool.limit(10.0, 3.0)).map(drop)
    }

    /// Two containers of the first image, one with a command and one with the default shell, from `run` to `stop`; whether
    /// any came up.
    fn run(&mut self) -> io::Result<bool> {
        let Plan { image, worker, shell, named_shell, naps, .. } = self.plan;
        let first = self.stage.start("worker", &["run", image, worker], &["sleep", &naps[0]])?;
        let overlays = self.overlays("worker")?;
        self.disk("worker", overlays.lowest())?;
        self.machine_mounts("worker")?;

        let second = self.stage.start_shell("shell", &["run", image, shell])?;
        self.overlays("both")?;
        self.machine_mounts("both")?;
        self.list("ps-running")?;
        let named = match &second {
            Some(_) => None,
            None => self.stage.start_shell("named-shell", &["run", image, named_shell, "/bin/bash"])?,
        };
        let prompt = second.as_ref().or(named.as_ref());
        if let (Some(first), Some(prompt)) = (&first, prompt) {
            self.write(first, prompt)?;
        }
        if let Some(prompt) = prompt {
            self.type_ps("ps-in-shell", prompt)?;
            let limit = self.stage.tool.limit(5.0, 2.0);
            self.stage.desk.type_line(prompt.seat, "mount | grep overlay", limit)?;
            self.stage.desk.type_last_line(prompt.seat, "exit");
            self.stage.desk.finish("shell-exit", prompt.seat, limit)?;
            self.list("ps-exited")?;
            let exited = if second.is_some() { shell } else { named_shell };
            self.refuse("again-after-exit", exited, &naps[3])?;
        }
        self.survives("worker-before-stop", first.as_ref())?;
        self.stop("stop-shell", shell, second.as_ref())?;
        self.survives("worker-after-stop", first.as_ref())?;
        if named.is_some() {
            self.stop("stop-named-shell", named_shell, named.as_ref())?;
        }
        self.stop("stop-worker", worker, first.as_ref())?;
        self.overlays("stopped")?;
        Ok(first.is_some() || second.is_some() || named.is_some())
    }

    /// A container of the second image: does it stand on the same base?
    fn run_second_image(&mut self) -> io::Result<()> {
        let Plan { second_image, other, naps, .. } = self.plan;
        let running = self.stage.start("other", &["run", second_image, other], &["sleep", &naps[2]])?;
        self.overlays("other")?;
        self.stop("stop-other", other, running.as_ref())
    }

    /// Asks for a container that exists already.
    fn refuse(&mut self, step: &str, name: &str, nap: &str) -> io::Result<()> {
        let command = ["sleep", nap];
        let program = self.stage.tool.call(&["run", &self.plan.image, name, command[0], command[1]]);
        let seat = self.stage.desk.start(&program)?;
        let machine = self.stage.machine;
        let mut started = false;
        self.stage.desk.until(self.stage.tool.limit(10.0, 2.0), |desk| {
            started = machine.arrived().iter().any(|process| launch::runs(process, &command));
            started || desk.end(seat).is_some()
        })?;
        if started {
            self.stage.desk.kill(seat)?;
        }
        let command = self.stage.desk.finish(step, seat, Duration::ZERO)?;
        self.record("refused", &Refused { step: step.to_owned(), started, ending: command.ending() })
    }

    /// Writes into one container's root, from outside, and looks for it elsewhere.
    fn write(&mut self, container: &Running, other: &Running) -> io::Result<()> {
        let root = |running: &Running| handles::proc(format!("{}/root", running.sight.main.pid));
        let word = &self.plan.word;
        let existing = "etc/issue";
        let file = format!("{}/{existing}", root(container));
        let done = fs::write(format!("{}/{word}", root(container)), word)
            .and_then(|()| fs::read_to_string(&file))
            .and_then(|text| fs::write(&file, format!("{text}{word}\n")));
        let image = Image::read("write", self.submission, &self.plan.image);
        let places = image.named.iter().map(|dir| dir.path.clone()).chain(image.dir).chain([root(other)]);
        let found = places.filter(|place| {
            let changed = fs::read_to_string(format!("{place}/{existing}"));
            Path::new(place).join(word).exists() || changed.is_ok_and(|text| text.contains(word))
        });
        let written = Written {
            step: "write".to_owned(),
            error: done.err().map(|error| error.to_string()),
            kept: Path::new(&root(container)).join(word).exists(),
            found: found.collect(),
        };
        self.record("written", &written)
    }

    /// Types `ps` at a shell's prompt and keeps what it lists.
    pub fn type_ps(&mut self, step: &str, shell: &Running) -> io::Result<()> {
        let limit = self.stage.tool.limit(5.0, 2.0);
        let sight = Process::read(shell.sight.main.pid)
            .map(|process| Sight::of(step, self.stage.machine, process))
            .unwrap_or_default();
        let shown = self.stage.desk.type_line(shell.seat, "ps -e -o pid= -o comm=", limit)?;
        let running =
            sight.processes.iter().filter(|process| process.namespaces.pid == sight.main.namespaces.pid);
        let running = running.map(Process::own_pid).collect();
        self.record("typed", &Typed { step: step.to_owned(), shown, running })
    }

    /// What the submission takes up beside the first image's layers, and what is in use on the whole machine.
    fn disk(&self, step: &str, lowest: Option<&Directory>) -> io::Result<()> {
        let named = self.base.iter().flatten().filter(|dir| state::is_root_tree(Path::new(&dir.path)));
        let beside = state::size(self.submission, &named.cloned().collect::<Vec<_>>());
        let is_new = |tree: &Directory| !self.trees.iter().any(|old| old.is(tree));
        let trees = state::root_trees(self.submission).into_iter().filter(is_new).collect();
        let used = disk::used(self.plan.shared_disk.then_some(self.submission));
        let base = lowest.map(|dir| state::size(Path::new(&dir.path), &[]));
        self.record("disk", &Disk { step: step.to_owned(), beside, trees, used: Some(used), base })
    }

    /// What became of the machine's own mount points.
    fn machine_mounts(&self, step: &str) -> io::Result<()> {
        let now = mounts::of(nix::unistd::gettid().as_raw());
        let disturbed = mounts::disturbed(&self.stage.machine.mounts, &now);
        self.record("machine-mounts", &MachineMounts { step: step.to_owned(), disturbed })
    }

    fn list(&mut self, step: &str) -> io::Result<()> {
        self.stage.call(step, &["ps"], self.stage.tool.limit(5.0, 2.0)).map(drop)
    }

    pub fn stop(&mut self, step: &str, name: &str, running: Option<&Running>) -> io::Result<()> {
        let folder = Folder::open(self.submission, name);
        self.stage.call(step, &["stop", name], self.stage.tool.limit(15.0, 3.0))?;
        let left = left(step, self.stage, folder, name, running)?;
        self.record("left", &left)
    }

    pub fn survives(&mut self, step: &str, running: Option<&Running>) -> io::Result<()> {
        let Some(running) = running else { return Ok(()) };
        let main = &running.sight.main;
        let now = Process::read(main.pid).filter(|now| now.start == main.start);
        let alive = now.is_some_and(|now| now.namespaces.pid != 0);
        self.record("survival", &Survival { step: step.to_owned(), alive })
    }

    fn overlays(&mut self, step: &str) -> io::Result<Overlays> {
        let overlays = Overlays::now(step, self.stage.machine, self.submission);
        self.record("overlays", &overlays)?;
        Ok(overlays)
    }

    pub fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.stage.recorder.record(kind, data)
    }
}

/// What is left of a container a moment after `stop`.
pub fn left(
    step: &str,
    stage: &mut Stage,
    folder: Option<Folder>,
    name: &str,
    running: Option<&Running>,
) -> io::Result<Left> {
    let machine = stage.machine;
    let processes = || match running {
        Some(running) => running.sight.remains(machine),
        None => Vec::new(),
    };
    // A killed process may take a moment to go, and the tool in the foreground to notice.
    stage.desk.until(stage.tool.limit(2.0, 1.0), |desk| {
        processes().is_empty() && running.is_none_or(|running| desk.end(running.seat).is_some())
    })?;
    let own = mounts::of(nix::unistd::gettid().as_raw());
    let of_it = || own.iter().filter(|mount| mount.mount_point.contains(name));
    let overlays = of_it().filter(|mount| mount.fs_type == "overlay");
    Ok(Left {
        step: step.to_owned(),
        name: name.to_owned(),
        processes: processes(),
        foreground: running.is_some_and(|running| stage.desk.end(running.seat).is_none()),
        disturbed: mounts::disturbed(&machine.mounts, &own),
        mounts: of_it().map(|mount| mount.mount_point.clone()).collect(),
        overlays: overlays.map(|mount| mount.mount_point.clone()).collect(),
        state: folder.and_then(|folder| folder.still_there()),
        written: running.and_then(|running| overlay::upper_of_root(&running.sight.mounts)).filter(is_filled),
    })
}

fn is_filled(dir: &String) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
