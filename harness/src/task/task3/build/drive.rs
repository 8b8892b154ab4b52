//! Drives 3e and 3f: builds one image for each question, and looks at its layers, at a container of
//! it, and at the base.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{BuildPlan, CHANGED_MODE, COPIES, Names, RUNS, SLEEPS};
use super::sources::Sources;
use super::tree::State;
use super::{Base, Contents, Found, Layers, Moved, OtherMounts, RunProcess, look};
use crate::evidence::process::{Directory, Process};
use crate::guest::observe::{handles, mounts};
use crate::guest::recorder::Recorder;
use crate::task::Site;
use crate::task::task3::shared;
use crate::task::task3::shared::launch::{self, ToolSession};
use crate::task::task3::shared::overlays::Overlays;
use crate::task::task3::shared::state::{self, Image};
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::Machine;

/// How many changed paths are kept.
const CHANGED_CAP: usize = 20;
/// How many mounts that a build leaves are kept.
const MOUNTS_CAP: usize = 20;

/// The record kinds are the types of the parent module and of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = BuildPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    let tool = Tool::prepare(site)?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let session = ToolSession {
        recorder,
        terminals: Terminals::new(recorder).giving_up(&machine.processes),
        tool: &tool,
        machine: &machine,
    };
    let sources = Sources::new(&tool.dir, &plan);
    let performed = BuildScenario {
        session,
        submission: &site.submission,
        plan: &plan,
        base: None,
        sample: vec![],
        sources,
    }
    .perform();
    world.record(recorder)?;
    performed
}

struct BuildScenario<'a, 'r> {
    session: ToolSession<'a, 'r>,
    submission: &'a Path,
    plan: &'a BuildPlan,
    /// The base's folder and its state when it was last looked at.
    base: Option<(PathBuf, State)>,
    /// Some of the base's files.
    sample: Vec<PathBuf>,
    /// What COPY takes.
    sources: Sources,
}

impl BuildScenario<'_, '_> {
    fn perform(&mut self) -> io::Result<()> {
        self.build("build")?;
        let plain = Image::read("build", self.submission, &self.image("build"));
        let is_base = |dir: &&Directory| state::is_root_tree(Path::new(&dir.path));
        let base = plain.named.iter().rfind(is_base).or(plain.named.last());
        self.base = base.map(|dir| PathBuf::from(&dir.path)).map(|dir| {
            let state = State::of(&dir);
            (dir, state)
        });
        self.record("image", &plain)?;
        self.sample = self.base.as_ref().map(|(dir, _)| look::sample(dir)).unwrap_or_default();

        for step in COPIES {
            self.make(step)?;
            self.look_into(step)?;
        }
        self.look_at_base("copies")?;
        for step in RUNS {
            self.make(step)?;
            self.look_into(step)?;
        }
        self.look_at_base("runs")?;
        self.look_at("machine-after", Path::new("/"), &self.plan.paths("run-echo"))?;
        self.make("fails")?;
        self.repeat()
    }

    /// Builds what was built before, and what a tool's cache must not take for it.
    fn repeat(&mut self) -> io::Result<()> {
        self.make("fails-again")?;
        self.make("rebuilt")?;
        self.look_into("rebuilt")?;
        self.make("same-run-elsewhere")?;
        self.make("copied-again")?;
        self.sources.change_mode("secret", CHANGED_MODE);
        self.make("mode-changed")?;
        self.sources.change_text("run.sh", &self.plan.changed_text);
        self.make("text-changed")
    }

    fn image(&self, step: &str) -> String {
        self.plan.names.get(step).map(|names| names.image.clone()).unwrap_or_default()
    }

    fn build(&mut self, step: &str) -> io::Result<()> {
        let name = format!("Conductorfile.{step}");
        let instructions = self.plan.instructions(step);
        let end = if instructions.is_empty() { "" } else { "\n" };
        self.session.unless_obstructed(step, self.sources.lay_out())?;
        self.session.write(step, &name, &format!("FROM debian:bookworm\n{instructions}{end}"))?;
        let limit = self.session.tool.limit(240.0, 30.0);
        self.call_build(step, &["build", &self.image(step), &name], limit)?;
        match self.sources.gone() {
            gone if gone.is_empty() => Ok(()),
            gone => self.record("moved", &Moved { step: step.to_owned(), gone }),
        }
    }

    /// Calls the tool, and looks at the process of the RUN that sleeps.
    fn call_build(&mut self, step: &str, words: &[&str], limit: Duration) -> io::Result<()> {
        if step != SLEEPS {
            return self.session.call(step, words, limit).map(drop);
        }
        let (machine, command) = (self.session.machine, ["sleep", self.plan.pause.as_str()]);
        let began = Instant::now();
        let terminal = self.session.terminals.start(&self.session.tool.call(words))?;
        let mut sleeps = None;
        self.session.terminals.until(limit, |terminals| {
            let is_it = |process: &Process| launch::runs(process, &command) && process.root.ino != 0;
            sleeps = machine.arrived().into_iter().find(is_it);
            sleeps.is_some() || terminals.end(terminal).is_some() || terminals.floods(terminal)
        })?;
        if let Some(process) = sleeps {
            self.record("run-process", &RunProcess { step: step.to_owned(), process })?;
        }
        self.session.terminals.finish(step, terminal, limit.saturating_sub(began.elapsed())).map(drop)
    }

    /// Builds an image, and looks at its layers and at what the build left mounted.
    fn make(&mut self, step: &str) -> io::Result<()> {
        let devices = |overlays: Overlays| {
            overlays.mounted.into_iter().map(|overlay| overlay.device).collect::<BTreeSet<_>>()
        };
        let mounted = || mounts::of(nix::unistd::gettid().as_raw());
        let (before, mounts_before) = (devices(self.overlays(step)), mounted());
        self.build(step)?;
        let mut left = self.overlays(step);
        left.mounted.retain(|overlay| !before.contains(&overlay.device));
        self.record("overlays", &left)?;
        let mut mounts = mounts::added(&mounts_before, &mounted());
        mounts.retain(|mount| mount.fs_type != "overlay");
        mounts.truncate(MOUNTS_CAP);
        self.record("other-mounts", &OtherMounts { step: step.to_owned(), mounts })?;
        self.record("layers", &self.layers(step, &self.image(step)))
    }

    /// Looks into a container of an image. It stays: `stop` has no part in what is asked here.
    fn look_into(&mut self, step: &str) -> io::Result<()> {
        let plan = self.plan;
        let Some(Names { image, container, sleep }) = plan.names.get(step) else { return Ok(()) };
        if let Some(running) = self.session.start(step, &["run", image, container], &["sleep", sleep])? {
            let root = handles::proc(format!("{}/root", running.view.main.pid));
            self.look_at(step, Path::new(&root), &plan.paths(step))?;
        }
        Ok(())
    }

    fn look_at_base(&mut self, step: &str) -> io::Result<()> {
        let Some((dir, before)) = &self.base else { return Ok(()) };
        let now = State::of(dir);
        let mut changed = before.difference(&now);
        changed.truncate(CHANGED_CAP);
        self.record("base", &Base { step: step.to_owned(), changed })?;
        self.base = Some((dir.clone(), now));
        Ok(())
    }

    fn layers(&self, step: &str, image: &str) -> Layers {
        let dirs = Image::read(step, self.submission, image).named;
        let mut layers = Layers { step: step.to_owned(), ..Layers::default() };
        for path in self.plan.paths(step) {
            for (number, dir) in dirs.iter().enumerate() {
                let Some((found, is_copied_up)) = look::in_layer(Path::new(&dir.path), &path) else {
                    continue;
                };
                layers.having.entry(path.clone()).or_default().push(number);
                layers.found.entry(path.clone()).or_default().push(found);
                if is_copied_up {
                    layers.copied_up.entry(path.clone()).or_default().push(number);
                }
            }
        }
        let holds_base = |number: &usize| look::holds(Path::new(&dirs[*number].path), &self.sample);
        layers.whole = (0..dirs.len()).filter(holds_base).collect();
        layers.dirs = dirs;
        layers
    }

    fn look_at(&self, step: &str, root: &Path, paths: &[String]) -> io::Result<()> {
        let found: BTreeMap<String, Found> =
            paths.iter().filter_map(|path| Some((path.clone(), look::at(root, path)?))).collect();
        self.record("found", &Contents { step: step.to_owned(), found })
    }

    fn overlays(&self, step: &str) -> Overlays {
        Overlays::now(step, self.session.machine, self.submission)
    }

    fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.session.recorder.record(kind, data)
    }
}
