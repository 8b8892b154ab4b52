//! Builds two images on one base, runs two containers of the first, looks at them, and stops them again.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Disk, Left, Refused, Survival, Typed, Written};
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
    /// Runs a command.
    pub worker: String,
    /// Runs the default shell.
    pub shell: String,
    /// For how long the commands sleep: by this they are told apart.
    pub naps: [String; 4],
    pub word: String,
}

pub fn plan(random: &mut StdRng) -> Value {
    json!(Plan {
        world: WorldPlan::draw(random),
        image: words::name(random, '-'),
        second_image: words::name(random, '_'),
        worker: words::name(random, '_'),
        shell: words::name(random, '-'),
        naps: std::array::from_fn(|_| words::nap(random)),
        word: words::word(random),
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

struct Scene<'s, 'a, 'r> {
    stage: &'s mut Stage<'a, 'r>,
    submission: &'s Path,
    plan: &'s Plan,
    /// The folders that the first image names.
    base: Option<Vec<Directory>>,
    /// Root trees that were there before.
    trees: Vec<Directory>,
}

impl Scene<'_, '_, '_> {
    fn play(&mut self) -> io::Result<()> {
        let Plan { image, second_image, worker, shell, naps, .. } = self.plan;
        self.stage.write("build", "Conductorfile", "FROM debian:bookworm\n")?;
        for (step, name) in [("build", image), ("build-second", second_image)] {
            let limit = self.stage.tool.limit(240.0, 30.0);
            self.stage.call(step, &["build", name, "Conductorfile"], limit)?;
            let image = Image::read(step, self.submission, name);
            self.record("image", &image)?;
            self.base.get_or_insert(image.named);
            self.disk(step)?;
        }
        self.list("ps-before")?;

        let first = self.stage.start("worker", &["run", image, worker], &["sleep", &naps[0]])?;
        self.overlays("worker")?;
        self.disk("worker")?;
        self.list("ps-running")?;
        if let Some(first) = &first {
            self.enter(first)?;
        }
        self.refuse("again-while-running", worker, &naps[2])?;

        let second = self.stage.start_shell("shell", &["run", image, shell])?;
        self.overlays("both")?;
        if let (Some(first), Some(second)) = (&first, &second) {
            self.write(first, second)?;
        }
        if let Some(second) = &second {
            self.type_ps("ps-in-shell", second)?;
            self.stage.desk.type_last_line(second.seat, "exit");
            self.stage.desk.finish("shell-exit", second.seat, self.stage.tool.limit(5.0, 2.0))?;
            self.list("ps-exited")?;
            self.refuse("again-after-exit", shell, &naps[3])?;
        }
        self.stop("stop-shell", shell, second.as_ref())?;
        self.survives("worker-after-stop", first.as_ref())?;
        self.stop("stop-worker", worker, first.as_ref())?;
        self.overlays("stopped")?;
        self.list("ps-after")
    }

    /// `exec` into a running container, a command and a shell at once.
    fn enter(&mut self, container: &Running) -> io::Result<()> {
        let Plan { worker, naps, .. } = self.plan;
        let command = self.stage.start("exec-command", &["exec", worker], &["sleep", &naps[1]])?;
        let shell = self.stage.start_shell("exec-shell", &["exec", worker])?;
        if let Some(shell) = &shell {
            // Again, now that both are there.
            if let Some(command) = &command
                && let Some(process) = Process::read(command.sight.main.pid)
            {
                self.record("container", &Sight::of("exec-both", self.stage.machine, process))?;
            }
            self.type_ps("ps-in-exec", shell)?;
            self.stage.desk.type_last_line(shell.seat, "exit");
            self.stage.desk.finish("exec-shell-exit", shell.seat, self.stage.tool.limit(5.0, 2.0))?;
        }
        if let Some(command) = &command {
            let pid = nix::unistd::Pid::from_raw(command.sight.main.pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            self.stage.desk.finish("exec-command-end", command.seat, self.stage.tool.limit(5.0, 2.0))?;
        }
        self.survives("worker-after-exec", Some(container))
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
        let root = |running: &Running| format!("/proc/{}/root", running.sight.main.pid);
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
    fn type_ps(&mut self, step: &str, shell: &Running) -> io::Result<()> {
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

    /// What the submission takes up beside the first image's layers.
    fn disk(&self, step: &str) -> io::Result<()> {
        let beside = state::size(self.submission, self.base.as_deref().unwrap_or_default());
        let is_new = |tree: &Directory| !self.trees.iter().any(|old| old.is(tree));
        let trees = state::root_trees(self.submission).into_iter().filter(is_new).collect();
        self.record("disk", &Disk { step: step.to_owned(), beside, trees })
    }

    fn list(&mut self, step: &str) -> io::Result<()> {
        self.stage.call(step, &["ps"], self.stage.tool.limit(5.0, 2.0)).map(drop)
    }

    fn stop(&mut self, step: &str, name: &str, running: Option<&Running>) -> io::Result<()> {
        let folder = Folder::open(self.submission, name);
        self.stage.call(step, &["stop", name], self.stage.tool.limit(15.0, 3.0))?;
        let left = left(step, self.stage, folder, name, running)?;
        self.record("left", &left)
    }

    fn survives(&mut self, step: &str, running: Option<&Running>) -> io::Result<()> {
        let Some(running) = running else { return Ok(()) };
        let main = &running.sight.main;
        let now = Process::read(main.pid).filter(|now| now.start == main.start);
        let alive = now.is_some_and(|now| now.namespaces.pid != 0);
        self.record("survival", &Survival { step: step.to_owned(), alive })
    }

    fn overlays(&mut self, step: &str) -> io::Result<()> {
        self.record("overlays", &Overlays::now(step, self.stage.machine, self.submission))
    }

    fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
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
    Ok(Left {
        step: step.to_owned(),
        name: name.to_owned(),
        processes: processes(),
        foreground: running.is_some_and(|running| stage.desk.end(running.seat).is_none()),
        disturbed: mounts::disturbed(&machine.mounts, &own),
        mounts: own.into_iter().map(|mount| mount.mount_point).filter(|place| place.contains(name)).collect(),
        state: folder.and_then(|folder| folder.still_there()),
        written: running.and_then(|running| overlay::upper_of_root(&running.sight.mounts)).filter(is_filled),
    })
}

fn is_filled(dir: &String) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
