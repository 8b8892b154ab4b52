//! Drives the scenario `3-run`: builds two images on one base, runs containers of them, and stops
//! them.
//!
//! Steps that a later step could spoil come first. `exec` gets containers of its own, and commands
//! that delete images come last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::RunPlan;
use super::{Left, MachineMounts, Refused, Survival, Typed};
use crate::evidence::mount::Mount;
use crate::evidence::process::{Directory, Process};
use crate::guest::observe::handles;
use crate::guest::observe::markers::Laid;
use crate::guest::observe::mounts;
use crate::guest::observe::processes;
use crate::guest::recorder::Recorder;
use crate::task::Site;
use crate::task::task3::overlay::writes::written;
use crate::task::task3::overlay::{Disk, disk};
use crate::task::task3::shared;
use crate::task::task3::shared::launch::{self, Running, ToolSession};
use crate::task::task3::shared::overlays::{self, Overlays};
use crate::task::task3::shared::state::{self, Folder, Image, Size};
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::{ContainerView, Machine};

/// The record kinds are the types of the parent module and of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = RunPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    let tool = Tool::prepare(site)?;
    let laid = Laid::now();
    let machine = Machine { markers: laid.markers.clone(), ..Machine::now() };
    recorder.record("machine", &machine)?;
    let mut session = ToolSession {
        recorder,
        terminals: Terminals::new(recorder).giving_up(&machine.processes),
        tool: &tool,
        machine: &machine,
    };
    let submission = site.submission.as_path();
    let trees = state::root_trees(submission);
    let performed = RunScenario {
        session: &mut session,
        submission,
        plan: &plan,
        base: None,
        trees,
        came: BTreeMap::new(),
    }
    .perform();
    drop(session);
    world.record(recorder)?;
    performed
}

pub struct RunScenario<'s, 'a, 'r> {
    pub session: &'s mut ToolSession<'a, 'r>,
    pub submission: &'s Path,
    pub plan: &'s RunPlan,
    /// The folders that the first image names.
    pub base: Option<Vec<Directory>>,
    /// Root trees that were there before.
    trees: Vec<Directory>,
    /// What was mounted on the machine while a container started, by its name.
    came: BTreeMap<String, Vec<Mount>>,
}

impl RunScenario<'_, '_, '_> {
    fn perform(&mut self) -> io::Result<()> {
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
        let RunPlan { image, second_image, .. } = self.plan;
        self.session.write("build", "Conductorfile", "FROM debian:bookworm\n")?;
        self.disk("before", None)?;
        for (step, name) in [("build", image), ("build-second", second_image)] {
            let limit = self.session.tool.limit(240.0, 30.0);
            self.session.call(step, &["build", name, "Conductorfile"], limit)?;
            let image = Image::read(step, self.submission, name);
            self.record("image", &image)?;
            self.base.get_or_insert(image.named);
            self.disk(step, None)?;
        }
        self.session.call("images", &["images"], self.session.tool.limit(10.0, 3.0)).map(drop)
    }

    /// Two containers of the first image, one with a command and one with the default shell, from
    /// `run` to `stop`; whether any came up.
    fn run(&mut self) -> io::Result<bool> {
        let RunPlan { image, worker, shell, named_shell, sleeps, .. } = self.plan;
        let mounted = mounts::machine();
        let first = self.session.start("worker", &["run", image, worker], &self.plan.command(0))?;
        self.note_mounts(worker, &mounted);
        let overlays = self.overlays("worker")?;
        self.disk("worker", overlays.base())?;
        self.machine_mounts("worker")?;

        let as_shown = ["run", image.as_str(), shell];
        let mounted = mounts::machine();
        let second = self.session.start_shell("shell", &as_shown)?;
        self.note_mounts(shell, &mounted);
        if let Some(second) = &second {
            self.session.keep_start("shell-starts", second.terminal, &as_shown)?;
        }
        self.overlays("both")?;
        self.machine_mounts("both")?;
        self.list("ps-running")?;
        let named = match &second {
            Some(_) => None,
            None => self.session.start_shell("named-shell", &["run", image, named_shell, "/bin/bash"])?,
        };
        let prompt = second.as_ref().or(named.as_ref());
        if let (Some(first), Some(prompt)) = (&first, prompt) {
            self.write(first, prompt)?;
        }
        if let Some(prompt) = prompt {
            self.type_ps("ps-in-shell", prompt)?;
            let limit = self.session.tool.limit(5.0, 2.0);
            self.session.terminals.type_line(prompt.terminal, "mount | grep overlay", limit)?;
            self.session.say("shell-ps", prompt.terminal, "ps")?;
            self.session.leave("shell-exit", prompt.terminal, limit)?;
            self.list("ps-exited")?;
            let exited = if second.is_some() { shell } else { named_shell };
            self.refuse("again-after-exit", exited, &sleeps[3])?;
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
        let RunPlan { second_image, other, sleeps, .. } = self.plan;
        let mounted = mounts::machine();
        let running = self.session.start("other", &["run", second_image, other], &["sleep", &sleeps[2]])?;
        self.note_mounts(other, &mounted);
        self.overlays("other")?;
        self.stop("stop-other", other, running.as_ref())
    }

    /// Asks for a container that exists already.
    fn refuse(&mut self, step: &str, name: &str, sleep: &str) -> io::Result<()> {
        let command = ["sleep", sleep];
        let program = self.session.tool.call(&["run", &self.plan.image, name, command[0], command[1]]);
        let machine = self.session.machine;
        let before: BTreeSet<(i32, u64)> = machine.enclosed().collect();
        let is_new = |machine: &Machine| machine.enclosed().any(|process| !before.contains(&process));
        let terminal = self.session.terminals.start(&program)?;
        let mut started = false;
        self.session.terminals.until(self.session.tool.limit(10.0, 2.0), |terminals| {
            started = machine.arrived().iter().any(|process| launch::runs(process, &command));
            started || terminals.end(terminal).is_some()
        })?;
        // What a `run` tried before it refused may take a moment to end. What stays is a container,
        // whatever its command is called.
        let (began, limit) = (Instant::now(), self.session.tool.limit(1.0, 1.0));
        while !started && is_new(machine) {
            started = began.elapsed() >= limit;
            std::thread::sleep(Duration::from_millis(50));
        }
        if started {
            self.session.terminals.kill(terminal)?;
        }
        let command = self.session.terminals.finish(step, terminal, Duration::ZERO)?;
        self.record("refused", &Refused { step: step.to_owned(), started, ending: command.ending() })
    }

    /// Writes into one container's root, from outside, and looks for it elsewhere.
    fn write(&mut self, container: &Running, other: &Running) -> io::Result<()> {
        let root = |running: &Running| handles::proc(format!("{}/root", running.view.main.pid));
        let image = Image::read("write", self.submission, &self.plan.image);
        let places = image.named.iter().map(|dir| dir.path.clone()).chain(image.dir).chain([root(other)]);
        let written = written(&self.plan.word, &root(container), &places.collect::<Vec<_>>());
        self.record("written", &written)
    }

    /// Types `ps` at a shell's prompt and keeps what it lists.
    pub fn type_ps(&mut self, step: &str, shell: &Running) -> io::Result<()> {
        let limit = self.session.tool.limit(5.0, 2.0);
        let view = processes::read(shell.view.main.pid)
            .map(|process| ContainerView::of(step, self.session.machine, process))
            .unwrap_or_default();
        let shown = self.session.terminals.type_line(shell.terminal, "ps -e -o pid= -o comm=", limit)?;
        let running =
            view.processes.iter().filter(|process| process.namespaces.pid == view.main.namespaces.pid);
        let running = running.map(Process::own_pid).collect();
        self.record("typed", &Typed { step: step.to_owned(), shown, running })
    }

    /// What the submission takes up beside the first image's layers, and what is in use
    /// on the whole machine.
    fn disk(&self, step: &str, base: Option<Size>) -> io::Result<()> {
        let named = self.base.iter().flatten().filter(|dir| state::is_root_tree(Path::new(&dir.path)));
        let beside = state::size(self.submission, &named.cloned().collect::<Vec<_>>());
        let is_new = |tree: &Directory| !self.trees.iter().any(|old| old.is(tree));
        let trees = state::root_trees(self.submission).into_iter().filter(is_new).collect();
        let used = disk::used(self.plan.shared_disk.then_some(self.submission), self.session.machine);
        self.record("disk", &Disk { step: step.to_owned(), beside, trees, used: Some(used), base })
    }

    /// What became of the machine's own mount points and of its host name.
    fn machine_mounts(&self, step: &str) -> io::Result<()> {
        let disturbed = self.session.machine.disturbed(&mounts::machine());
        self.record("machine-mounts", &MachineMounts { step: step.to_owned(), disturbed })
    }

    fn list(&mut self, step: &str) -> io::Result<()> {
        self.session.call(step, &["ps"], self.session.tool.limit(5.0, 2.0)).map(drop)
    }

    pub fn stop(&mut self, step: &str, name: &str, running: Option<&Running>) -> io::Result<()> {
        let folder = Folder::open(self.submission, name);
        self.session.call(step, &["stop", name], self.session.tool.limit(15.0, 3.0))?;
        let mut left = left(step, self.session, folder, name, running)?;
        if step == "stop-worker" && running.is_some() {
            left.kept = self.kept();
        }
        let came = self.came.get(name).filter(|_| running.is_some());
        left.came = came.map(|came| mounts::left(came, &mounts::machine()));
        self.record("left", &left)
    }

    /// Where the file is that was written in the container with a command, beside the image: what
    /// reached the image is a matter of 3d.
    fn kept(&self) -> Option<String> {
        let image = Image::read("kept", self.submission, &self.plan.image);
        let of_image: Vec<String> = image.named.into_iter().map(|dir| dir.path).chain(image.dir).collect();
        let is_beside = |dir: &Path| !of_image.iter().any(|own| dir.starts_with(own));
        state::with_file(self.submission, &self.plan.word, &self.plan.word, is_beside)
            .map(|dir| dir.to_string_lossy().into_owned())
    }

    /// Notes what was mounted since `before`, while a container started.
    fn note_mounts(&mut self, name: &str, before: &[Mount]) {
        self.came.insert(name.to_owned(), mounts::added(before, &mounts::machine()));
    }

    pub fn survives(&mut self, step: &str, running: Option<&Running>) -> io::Result<()> {
        let Some(running) = running else { return Ok(()) };
        let main = &running.view.main;
        let now = processes::read(main.pid).filter(|now| now.start == main.start);
        let alive = now.is_some_and(|now| now.namespaces.pid != 0);
        self.record("survival", &Survival { step: step.to_owned(), alive })
    }

    fn overlays(&mut self, step: &str) -> io::Result<Overlays> {
        let overlays = Overlays::now(step, self.session.machine, self.submission);
        self.record("overlays", &overlays)?;
        Ok(overlays)
    }

    pub fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}

/// What is left of a container a moment after `stop`.
pub fn left(
    step: &str,
    session: &mut ToolSession,
    folder: Option<Folder>,
    name: &str,
    running: Option<&Running>,
) -> io::Result<Left> {
    let machine = session.machine;
    let processes = || match running {
        Some(running) => running.view.remains(machine),
        None => Vec::new(),
    };
    // A killed process may take a moment to go, and the tool in the foreground to notice.
    session.terminals.until(session.tool.limit(2.0, 1.0), |terminals| {
        processes().is_empty() && running.is_none_or(|running| terminals.end(running.terminal).is_some())
    })?;
    let own = mounts::machine();
    let of_it = || own.iter().filter(|mount| mount.mount_point.contains(name));
    let overlays = of_it().filter(|mount| mount.fs_type == "overlay");
    Ok(Left {
        step: step.to_owned(),
        name: name.to_owned(),
        processes: processes(),
        foreground: running.is_some_and(|running| session.terminals.end(running.terminal).is_none()),
        disturbed: machine.disturbed(&own),
        mounts: of_it().map(|mount| mount.mount_point.clone()).collect(),
        overlays: overlays.map(|mount| mount.mount_point.clone()).collect(),
        state: folder.and_then(|folder| folder.still_there()),
        came: None,
        kept: None,
        written: running.and_then(|running| overlays::upper_of_root(&running.view.mounts)).filter(is_filled),
    })
}

fn is_filled(dir: &String) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
