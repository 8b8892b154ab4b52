//! Calls `exec` in running containers: each use alone first, two at once last.

use std::io;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{AtOnce, Entered};
use crate::guest::observe::processes;
use crate::task::task3::run::drive::RunScenario;
use crate::task::task3::run::plan::{Neighbour, RunPlan};
use crate::task::task3::shared::launch::Running;

/// The first of the run's sleeps that these containers take.
const SLEEPS: usize = 6;
/// The step that enters the newest container.
const NEWEST: &str = "exec-bash";

/// The containers that were started to be entered.
#[derive(Default)]
struct Containers {
    /// With the step in which each was started.
    started: Vec<(String, Running)>,
    /// How many names are used up.
    used: usize,
    /// Those that run beside them, with the step and the name of each.
    neighbours: Vec<(String, String, Running)>,
    /// The tool has only one container at a time.
    alone: bool,
}

impl RunScenario<'_, '_, '_> {
    /// A command, a shell by name, and the default shell, one after the other.
    pub fn enter(&mut self) -> io::Result<()> {
        let mut containers = Containers::default();
        if let Some((name, entered)) = self.entered(&mut containers, "exec-command")? {
            let command = self.session.start("exec-command", &["exec", &name], &self.plan.command(1))?;
            self.end(command.as_ref(), "exec-command-end")?;
            self.survives("after-exec-command", Some(&entered))?;
        }
        let mut listed = false;
        for (step, shell) in [("exec-bash", Some("/bin/bash")), ("exec-shell", None)] {
            let Some((name, entered)) = self.entered(&mut containers, step)? else { break };
            let words = [&["exec", name.as_str()], shell.as_slice()].concat();
            if let Some(shell) = self.session.start_shell(step, &words)? {
                if !listed {
                    self.type_ps("ps-in-exec", &shell)?;
                    listed = true;
                }
                self.session.terminals.type_last_line(shell.terminal, "exit");
                let limit = self.session.tool.limit(5.0, 2.0);
                self.session.terminals.finish(&format!("{step}-exit"), shell.terminal, limit)?;
            }
            self.survives(&format!("after-{step}"), Some(&entered))?;
        }
        self.enter_at_once(&mut containers)?;
        for (number, (step, running)) in containers.started.iter().enumerate() {
            self.stop(&format!("stop-{step}"), &self.plan.entered[number], Some(running))?;
        }
        for (step, name, running) in &containers.neighbours {
            self.stop(&format!("stop-{step}"), name, Some(running))?;
        }
        self.enter_as_shown()
    }

    /// The assignment's sample session: a shell that waits for `sleep inf`, and a
    /// second one beside it.
    fn enter_as_shown(&mut self) -> io::Result<()> {
        let RunPlan { image, session: name, .. } = self.plan;
        let Some(first) = self.session.start_shell("session", &["run", image, name])? else { return Ok(()) };
        self.session.terminals.type_last_line(first.terminal, "sleep inf");
        let limit = self.session.tool.limit(5.0, 2.0);
        self.session.call("session-ps", &["ps"], limit)?;
        let words = ["exec", name, "/bin/bash"];
        if let Some(shell) = self.session.start_shell("session-exec", &words)? {
            self.session.keep_start("session-exec", shell.terminal, &words)?;
            self.session.say("session-ps-aef", shell.terminal, "ps aef")?;
            self.session.leave("session-exit", shell.terminal, limit)?;
        }
        self.session.call("stop-session", &["stop", name], self.session.tool.limit(15.0, 3.0)).map(drop)
    }

    /// A second command while the first still runs.
    fn enter_at_once(&mut self, containers: &mut Containers) -> io::Result<()> {
        let Some((name, _)) = self.entered(containers, "exec-first")? else { return Ok(()) };
        let [first, second] = [&self.plan.sleeps[4], &self.plan.sleeps[5]];
        let first = self.session.start("exec-first", &["exec", &name], &["sleep", first])?;
        if let Some(first) = &first {
            let second = self.session.start("exec-second", &["exec", &name], &["sleep", second])?;
            let both = second.is_some() && is_alive(first);
            self.record("at-once", &AtOnce { step: "at-once".to_owned(), both })?;
            self.end(second.as_ref(), "exec-second-end")?;
        }
        self.end(first.as_ref(), "exec-first-end")
    }

    /// The container that a step enters, with its name. bash by its name enters the newest
    /// container, and everything else an older one: an `exec` that does not look at the name enters
    /// the wrong one once.
    fn entered(&mut self, containers: &mut Containers, step: &str) -> io::Result<Option<(String, Running)>> {
        let newest = containers.neighbours.last().filter(|(.., neighbour)| is_alive(neighbour));
        let (container, name, running) = match newest.filter(|_| step == NEWEST) {
            Some(newest) => newest.clone(),
            None => match self.alive(containers)? {
                Some(alive) => alive,
                None => return Ok(None),
            },
        };
        self.record("entered", &Entered { step: step.to_owned(), container })?;
        Ok(Some((name, running)))
    }

    /// A container that is alive, with its step and its name. A new one is started if the last one
    /// has ended.
    fn alive(&mut self, containers: &mut Containers) -> io::Result<Option<(String, String, Running)>> {
        if !containers.started.last().is_some_and(|(_, running)| is_alive(running)) {
            let number = containers.started.len();
            let Some(name) = self.plan.entered.get(number).filter(|_| containers.used == number) else {
                return Ok(None);
            };
            containers.used += 1;
            let started_in = format!("entered-{}", number + 1);
            let sleep = &self.plan.sleeps[SLEEPS + number];
            let Some(running) = self.container(&started_in, name, sleep)? else { return Ok(None) };
            containers.started.push((started_in, running));
            if self.ended_by_neighbour(containers, number)? {
                return self.alive(containers);
            }
        }
        let Some((step, running)) = containers.started.last() else { return Ok(None) };
        let name = self.plan.entered[containers.started.len() - 1].clone();
        Ok(Some((step.clone(), name, running.clone())))
    }

    /// A container with a command that goes on, or else with a shell.
    fn container(&mut self, step: &str, name: &str, sleep: &str) -> io::Result<Option<Running>> {
        let run = ["run", &self.plan.image, name];
        let running = self.session.start(step, &run, &["sleep", sleep])?;
        if running.is_some() {
            return Ok(running);
        }
        self.session.call("retry", &["stop", name], self.session.tool.limit(10.0, 2.0))?;
        self.session.start_shell(step, &run)
    }

    /// Starts another container after the one that will be entered, so that the latter is not the
    /// newest. Where a tool can have only one, `exec` is tried without the other. Whether the other
    /// ended the one to be entered.
    fn ended_by_neighbour(&mut self, containers: &mut Containers, number: usize) -> io::Result<bool> {
        let neighbour = self.plan.neighbours.get(number).filter(|_| !containers.alone);
        let Some(Neighbour { name, sleep }) = neighbour else { return Ok(false) };
        let step = format!("neighbour-{}", number + 1);
        let running = self.container(&step, name, sleep)?;
        let is_ended = |containers: &Containers| {
            !containers.started.last().is_some_and(|(_, entered)| is_alive(entered))
        };
        match running {
            Some(running) if !is_ended(containers) => {
                containers.neighbours.push((step, name.clone(), running));
            }
            running => {
                containers.alone = true;
                self.stop(&format!("stop-{step}"), name, running.as_ref())?;
            }
        }
        Ok(is_ended(containers))
    }

    /// Ends a command by a signal, and waits for the `exec` that brought it in.
    fn end(&mut self, running: Option<&Running>, step: &str) -> io::Result<()> {
        let Some(running) = running else { return Ok(()) };
        if is_alive(running) {
            let _ = kill(Pid::from_raw(running.view.main.pid), Signal::SIGTERM);
        }
        self.session.terminals.finish(step, running.terminal, self.session.tool.limit(5.0, 2.0)).map(drop)
    }
}

fn is_alive(running: &Running) -> bool {
    let main = &running.view.main;
    processes::read(main.pid).is_some_and(|now| now.start == main.start && now.namespaces.pid != 0)
}
