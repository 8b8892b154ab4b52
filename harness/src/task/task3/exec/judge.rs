//! Judges 3b: whether `exec` runs a command inside a running container.

use std::path::Path;

use super::checks::ROWS;
use super::{AtOnce, Entered};
use crate::evidence::Bundle;
use crate::evidence::process::Namespaces;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::task::session;
use crate::task::task3::run::Survival;
use crate::task::task3::run::judge::{describe, judge_words};
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::run::shell::{judge_ps, judge_shell};
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::verdict::Finding;

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "3-run", &ROWS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let unstarted = |why: &str| {
        check::all(&ROWS, |question| timeline.missing(question.expects("a command in a container"), why))
    };
    let (Some(machine), Some(plan)) = (timeline.first::<Machine>("machine"), timeline.plan::<RunPlan>())
    else {
        return unstarted("nothing was run");
    };
    let executed: Vec<Executed> = STEPS.iter().filter_map(|step| Executed::find(timeline, step)).collect();
    if executed.is_empty() && container_of(timeline, STEPS[0]).is_none() {
        let step = if timeline.is_absent("entered-1") { "entered-1" } else { "worker" };
        let why = timeline.why_absent(step);
        return unstarted(&format!("there is no running container: {why}"));
    }
    let containers = containers(timeline, &plan);
    let context = ExecContext { timeline, machine, plan, containers, executed };
    check::judge(&ROWS, |judge, question, verdicts| judge(&context, question, verdicts))
}

/// The steps that try `exec`, each while no other runs.
const STEPS: [&str; 3] = ["exec-command", "exec-bash", "exec-shell"];

pub struct ExecContext<'a> {
    timeline: Timeline<'a>,
    machine: Machine,
    plan: RunPlan,
    /// That ran while `exec` was tried, with their names.
    containers: Vec<(String, ContainerView)>,
    executed: Vec<Executed>,
}

/// The containers that were entered and their neighbours, with their names.
fn containers(timeline: Timeline, plan: &RunPlan) -> Vec<(String, ContainerView)> {
    let entered = plan.entered.iter().zip(1..).map(|(name, number)| (name, format!("entered-{number}")));
    let neighbours = plan.neighbours.iter().zip(1..);
    let neighbours = neighbours.map(|(one, number)| (&one.name, format!("neighbour-{number}")));
    let seen = |(name, step): (&String, String)| {
        Some((name.clone(), timeline.at::<ContainerView>("container", &step)?.value))
    };
    entered.chain(neighbours).filter_map(seen).collect()
}

/// What `exec` started, and the container in which it was to start it.
struct Executed {
    step: &'static str,
    seen: Seen<ContainerView>,
    container: ContainerView,
}

impl Executed {
    fn find(timeline: Timeline, step: &'static str) -> Option<Self> {
        Some(Self { step, seen: timeline.at("container", step)?, container: container_of(timeline, step)? })
    }
}

/// The container that a step entered. Before there were several, it was that of the command.
fn container_of(timeline: Timeline, step: &str) -> Option<ContainerView> {
    let entered = timeline.at::<Entered>("entered", step).map(|seen| seen.value.container);
    Some(timeline.at::<ContainerView>("container", entered.as_deref().unwrap_or("worker"))?.value)
}

impl ExecContext<'_> {
    fn at(&self, step: &str) -> Option<&Executed> {
        self.executed.iter().find(|executed| executed.step == step)
    }

    /// The name of another container in which an executed command is, and the name of the container
    /// that `exec` was to enter.
    fn other(&self, executed: &Executed, is_in: impl Fn(&ContainerView) -> bool) -> Option<(&str, &str)> {
        let is_named = |view: &ContainerView| view.step == executed.container.step;
        let (named, _) = self.containers.iter().find(|(_, view)| is_named(view))?;
        let (other, _) = self.containers.iter().find(|(_, view)| !is_named(view) && is_in(view))?;
        Some((other, named))
    }

    fn all(&self, question: Question, well: &str, fault: impl Fn(&Executed) -> Option<String>) -> Finding {
        let mut question = question;
        if self.executed.is_empty() {
            let why = self.timeline.why_absent("exec-command");
            return self.timeline.missing(question, format!("nothing was executed: {why}"));
        }
        for executed in &self.executed {
            question = question.proof(&executed.seen.place);
            if let Some(fault) = fault(executed) {
                return question.fail(fault);
            }
        }
        question.pass(well)
    }
}

/// The namespaces in which a process is not with the container, of the five that the assignment
/// names. One that the container itself does not have is not asked for.
fn apart(executed: &Namespaces, container: &Namespaces) -> Vec<&'static str> {
    [
        ("UTS", executed.uts, container.uts),
        ("PID", executed.pid, container.pid),
        ("NET", executed.net, container.net),
        ("MOUNT", executed.mnt, container.mnt),
        ("IPC", executed.ipc, container.ipc),
    ]
    .into_iter()
    .filter_map(|(name, executed, container)| (executed != container).then_some(name))
    .collect()
}

pub fn namespaces(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the UTS, PID, NET, MOUNT and IPC namespaces of the container");
    context.all(question, "all five namespaces are the container's", |executed| {
        let view = &executed.seen.value;
        let apart_from = |container: &ContainerView| apart(&view.main.namespaces, &container.main.namespaces);
        let apart = apart_from(&executed.container);
        if apart.is_empty() {
            return None;
        }
        let other = context.other(executed, |other| apart_from(other).is_empty());
        Some(other.map_or_else(
            || format!("{} is not in the container's {}", describe(view), apart.join(", ")),
            |(other, named)| format!("{} is in the container {other}, not in {named}", describe(view)),
        ))
    })
}

pub fn root(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the container's root directory");
    context.all(question, "the command has the container's root directory", |executed| {
        let view = &executed.seen.value;
        let (own, container) = (&view.main.root, &executed.container.main.root);
        if !own.is(container) {
            if let Some((other, named)) = context.other(executed, |other| own.is(&other.main.root)) {
                return Some(format!(
                    "the root of {} is that of the container {other}, not of {named}",
                    describe(view)
                ));
            }
            let whose = if own.is(&context.machine.root) { "the machine's" } else { "another" };
            return Some(format!("the root of {} is {whose}", describe(view)));
        }
        (!is_below(&view.cwd, &own.path)).then(|| {
            format!(
                "{} starts in {}, outside of its root directory: from there it sees the machine's files",
                describe(view),
                view.cwd
            )
        })
    })
}

/// Whether a working directory lies in a root directory, both as the machine sees them.
fn is_below(cwd: &str, root: &str) -> bool {
    cwd.is_empty() || Path::new(cwd).starts_with(root)
}

pub fn ps(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("ps lists all processes of the container and no others");
    let Some(shell) = context.at("exec-bash").or_else(|| context.at("exec-shell")) else {
        let why = context.timeline.why_absent("exec-shell");
        return context.timeline.missing(question, format!("no shell to type it at: {why}"));
    };
    judge_ps(context.timeline, question, "ps-in-exec", &shell.seen.value, &context.machine)
}

pub fn default_shell(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("bash shows its prompt on the terminal");
    match context.at("exec-shell") {
        Some(executed) => judge_shell(question, &executed.seen),
        None => question.fail(context.timeline.why_absent("exec-shell")),
    }
}

pub fn command(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let command = context.plan.command(1);
    let question = question.expects(format!("`{}` runs in the container", command.join(" ")));
    match context.at("exec-command") {
        Some(Executed { seen, .. }) => judge_words(question, seen, &command),
        None => question.fail(context.timeline.why_absent("exec-command")),
    }
}

pub fn survives(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let mut question = question.expects("the container's first command runs on");
    if context.executed.is_empty() {
        let why = context.timeline.why_absent("exec-command");
        return context.timeline.missing(question, format!("nothing was executed: {why}"));
    }
    let after = ["worker-after-exec", "after-exec-command", "after-exec-bash", "after-exec-shell"];
    let seen: Vec<Seen<Survival>> =
        after.into_iter().filter_map(|step| context.timeline.at("survival", step)).collect();
    if seen.is_empty() {
        return context.timeline.missing(question, "the first command was not looked at");
    }
    for survival in seen {
        question = question.proof(survival.place);
        if !survival.value.alive {
            return question.fail("the container ended with the executed command");
        }
    }
    question.pass("the first command runs on")
}

/// The sample session, which decides no marks.
pub fn as_shown(context: &ExecContext, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(context.timeline.recording(), question, verdicts)
}

pub fn concurrent(context: &ExecContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("two commands run at the same time");
    let actual = |both| {
        if both {
            "the two commands ran at the same time"
        } else {
            "the second command was not seen while the first ran"
        }
    };
    if let Some(AtOnce { both, .. }) = context.timeline.at("at-once", "at-once").map(|seen| seen.value) {
        return question.answer(both, actual(both));
    }
    // In older evidence a command and a shell were tried at once, and nothing else.
    match (
        context.at("exec-command"),
        context.at("exec-shell"),
        context.timeline.at::<Entered>("entered", STEPS[0]),
    ) {
        (Some(_), Some(_), None) => {
            let both = context.timeline.at::<ContainerView>("container", "exec-both").is_some();
            question.answer(both, actual(both))
        }
        _ => context.timeline.missing(question, "the first command was not seen"),
    }
}
