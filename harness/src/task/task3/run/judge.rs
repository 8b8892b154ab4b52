//! Judges 3a: whether `run` starts a container.

use super::checks::ROWS;
use super::shell::{judge_ps, judge_shell};
use super::{Left, Survival};
use crate::evidence::Bundle;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::task::session;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::verdict::Finding;

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "3-run", &ROWS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let (Some(machine), Some(plan)) = (timeline.first::<Machine>("machine"), timeline.plan::<RunPlan>())
    else {
        return check::all(&ROWS, |question| {
            timeline.missing(question.expects("a container"), "nothing was run")
        });
    };
    let context = RunContext {
        bundle,
        worker: timeline.at("container", "worker"),
        shell: timeline.at("container", "shell"),
        named_shell: timeline.at("container", "named-shell"),
        timeline,
        machine,
        plan,
    };
    check::judge(&ROWS, |judge, question, verdicts| judge(&context, question, verdicts))
}

pub struct RunContext<'a> {
    pub bundle: &'a Bundle,
    pub timeline: Timeline<'a>,
    machine: Machine,
    pub plan: RunPlan,
    /// The container with a command.
    pub worker: Option<Seen<ContainerView>>,
    /// The container with the default shell.
    pub shell: Option<Seen<ContainerView>>,
    /// The container with a shell that was named, where the default one did not come.
    pub named_shell: Option<Seen<ContainerView>>,
}

impl RunContext<'_> {
    pub fn containers(&self) -> impl Iterator<Item = &Seen<ContainerView>> {
        self.worker.iter().chain(&self.shell).chain(&self.named_shell)
    }

    /// The container whose shell was left by `exit`, its name, and the step that stopped it.
    pub fn exited(&self) -> Option<(&Seen<ContainerView>, &str, &'static str)> {
        let shell = self.shell.as_ref().map(|seen| (seen, self.plan.shell.as_str(), "stop-shell"));
        let named = || Some((self.named_shell.as_ref()?, self.plan.named_shell.as_str(), "stop-named-shell"));
        shell.or_else(named)
    }

    /// Judges every container there is by `fault`, which says what is wrong with one.
    fn all(
        &self,
        question: Question,
        well: &str,
        fault: impl Fn(&ContainerView) -> Option<String>,
    ) -> Finding {
        let mut question = question;
        if self.containers().next().is_none() {
            return self.missing(question);
        }
        for seen in self.containers() {
            question = question.proof(&seen.place);
            if let Some(fault) = fault(&seen.value) {
                return question.fail(fault);
            }
        }
        question.pass(well)
    }

    /// What a `stop` left.
    pub fn left(&self, step: &str) -> Option<Seen<Left>> {
        self.timeline.at("left", step)
    }

    pub fn missing(&self, question: Question) -> Finding {
        let why = self.timeline.why_unbuilt().map_or_else(
            || format!("no container: {}", self.timeline.why_absent("worker")),
            |why| format!("no image: {why}"),
        );
        self.timeline.missing(question, why)
    }
}

/// The namespaces of `main` that are those of `other`, of the five that the assignment names.
pub fn shared(main: &ContainerView, other: &crate::evidence::process::Namespaces) -> Vec<&'static str> {
    let own = &main.main.namespaces;
    [
        ("UTS", own.uts, other.uts),
        ("PID", own.pid, other.pid),
        ("NET", own.net, other.net),
        ("MOUNT", own.mnt, other.mnt),
        ("IPC", own.ipc, other.ipc),
    ]
    .into_iter()
    .filter_map(|(name, own, other)| (own == other).then_some(name))
    .collect()
}

/// A process in words.
pub fn describe(view: &ContainerView) -> String {
    format!("`{}` (process {})", view.main.cmdline.join(" "), view.main.pid)
}

pub fn namespaces(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the container has its own UTS, PID, NET, MOUNT and IPC namespaces");
    let neighbour = neighbour(context);
    let well = match neighbour {
        Some(_) => "all five differ from the machine's, and from those of another container",
        None => "all five differ from the machine's",
    };
    context.all(question, well, |view| {
        let with_machine = shared(view, &context.machine.namespaces);
        if !with_machine.is_empty() {
            return Some(format!("{} is in the machine's own {}", describe(view), with_machine.join(", ")));
        }
        let other = neighbour.filter(|other| other.step != view.step)?;
        let with_other = shared(view, &other.main.namespaces).join(", ");
        let [one, other] = [view, other].map(describe);
        (!with_other.is_empty())
            .then(|| format!("{one} and {other}, which run in two containers, share {with_other}"))
    })
}

/// The container with a command, if it still ran when the other ones had started: only then are
/// the numbers of its namespaces its own.
fn neighbour<'a>(context: &'a RunContext) -> Option<&'a ContainerView> {
    let survival = context.timeline.at::<Survival>("survival", "worker-before-stop")?;
    let others = context.shell.iter().chain(&context.named_shell).count();
    context.worker.as_ref().filter(|_| survival.value.alive && others > 0).map(|seen| &seen.value)
}

/// The sample session, which decides no marks.
pub fn as_shown(context: &RunContext, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(context.timeline.recording(), question, verdicts)
}

pub fn pid_one(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("PID 1 of the container is the command or its ancestor");
    context.all(question, "PID 1 of the container is the command or its ancestor", |view| {
        if view.main.namespaces.pid == context.machine.namespaces.pid {
            return Some(format!("{} is in the machine's own PID namespace", describe(view)));
        }
        let Some(init) = view.init() else {
            return Some(format!("no process is PID 1 in the PID namespace of {}", describe(view)));
        };
        let mut ancestor = Some(&view.main);
        while let Some(process) = ancestor {
            if process.pid == init.pid {
                return None;
            }
            ancestor = view.processes.iter().find(|other| other.pid == process.ppid);
        }
        Some(format!(
            "{} has PID {} in the container, and is no descendant of PID 1 (`{}`)",
            describe(view),
            view.main.own_pid(),
            init.cmdline.join(" ")
        ))
    })
}

pub fn root(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the container has its own root directory");
    context.all(question, "the container has its own root directory", |view| {
        let is_machines = view.main.root.is(&context.machine.root) || view.main.root.ino == 0;
        if is_machines {
            return Some(format!("the root of {} is the machine's own", describe(view)));
        }
        let shown = view.machine_files.first()?;
        Some(format!("the container's root shows the machine's files: {shown} is there"))
    })
}

pub fn proc_sys_dev(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(
        "/proc of its PID namespace, /sys of its network namespace, /dev with the machine's devices",
    );
    if context.containers().any(|seen| seen.value.main.root.is(&context.machine.root)) {
        return question.unmet("3a/root", "its root is the machine's own");
    }
    context.all(question, "/proc, /sys and /dev are the container's", |view| {
        let faults = [proc_fault(view), sys_fault(view), dev_fault(view)];
        let faults: Vec<String> = faults.into_iter().flatten().collect();
        (!faults.is_empty()).then(|| faults.join("; "))
    })
}

fn mounted(view: &ContainerView, place: &str, kind: &str) -> bool {
    let last = view.mounts.iter().rfind(|mount| mount.mount_point == place);
    last.is_some_and(|mount| mount.fs_type == kind)
}

fn proc_fault(view: &ContainerView) -> Option<String> {
    if !mounted(view, "/proc", "proc") {
        Some("no procfs is mounted on its /proc".to_owned())
    } else if view.proc.first != view.main.namespaces.pid {
        Some("its /proc belongs to another PID namespace".to_owned())
    } else {
        None
    }
}

pub(super) fn sys_fault(view: &ContainerView) -> Option<String> {
    if !mounted(view, "/sys", "sysfs") {
        return Some("no sysfs is mounted on its /sys".to_owned());
    }
    let missing = view.links.iter().any(|link| !view.interfaces.contains(link));
    let surplus: Vec<&String> = view.interfaces.iter().filter(|name| is_foreign(name, view)).collect();
    (missing || !surplus.is_empty()).then(|| {
        format!(
            "its /sys belongs to another network namespace: it shows the interfaces {:?}",
            view.interfaces
        )
    })
}

/// Whether a name in /sys/class/net is that of an interface which the container does not have.
fn is_foreign(name: &str, view: &ContainerView) -> bool {
    // The one file there that is no interface, when the bonding module is loaded.
    name != "bonding_masters" && !view.links.iter().any(|link| link == name)
}

fn dev_fault(view: &ContainerView) -> Option<String> {
    if view.dev.same {
        return None;
    }
    let is_mount = view.mounts.iter().any(|mount| mount.mount_point == "/dev");
    if !is_mount {
        Some("nothing is mounted on its /dev".to_owned())
    } else if view.dev.missing.is_empty() {
        None
    } else {
        Some(format!("its /dev lacks these devices of the machine: {}", view.dev.missing.join(", ")))
    }
}

pub fn ps(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("ps lists all processes of the container and no others");
    let Some((shell, ..)) = context.exited() else {
        return context.timeline.missing(
            question,
            format!("there is no shell in which to type ps: {}", context.timeline.why_absent("shell")),
        );
    };
    judge_ps(context.timeline, question, "ps-in-shell", &shell.value, &context.machine)
}

pub fn default_shell(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("bash shows its prompt on the terminal");
    match &context.shell {
        Some(seen) => judge_shell(question, seen),
        None if context.timeline.why_unbuilt().is_some() => context.missing(question),
        None => question.fail(context.timeline.why_absent("shell")),
    }
}

pub fn command(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let command = context.plan.command(0);
    let question = question.expects(format!("`{}` runs in the container", command.join(" ")));
    match &context.worker {
        Some(seen) => judge_words(question, seen, &command),
        None if context.timeline.why_unbuilt().is_some() => context.missing(question),
        None => question.fail(context.timeline.why_absent("worker")),
    }
}

/// Judges whether what was seen runs all words of a command.
pub fn judge_words(question: Question, seen: &Seen<ContainerView>, command: &[&str]) -> Finding {
    let question = question.proof(&seen.place);
    let missing = command.get(seen.value.main.cmdline.len()..).unwrap_or_default();
    if missing.is_empty() {
        return question.pass(format!("{} runs", describe(&seen.value)));
    }
    question.fail(format!(
        "{} runs without the last words of the command: `{}`",
        describe(&seen.value),
        missing.join(" ")
    ))
}

pub fn mode(context: &RunContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the container's / has mode 755");
    if context.containers().any(|seen| seen.value.main.root.is(&context.machine.root)) {
        return question.unmet("3a/root", "its root is the machine's own");
    }
    context.all(question, "mode 755", |view| {
        (view.root_mode & 0o777 != 0o755).then(|| format!("mode {:o}", view.root_mode))
    })
}
