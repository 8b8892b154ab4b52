//! Subtask 3b: does `exec` get a command into a running container?

use std::path::Path;

use super::{AtOnce, Entered};
use crate::evidence::Bundle;
use crate::evidence::process::Namespaces;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::run::Survival;
use crate::task::task3::run::judge::describe;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::run::shell::{judge_ps, judge_shell};
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::verdict::Finding;

pub const CHECKS: [CheckSpec; 7] = [
    CheckSpec {
        id: "3b/namespaces",
        title: "in the container's namespaces",
        requirement: "The executed program will be in the same UTS, PID, NET, MOUNT and IPC namespace as the \
                      specified container.",
        hint: "`man 1 nsenter`: compare /proc/PID/ns of the executed program with that of the container's PID 1.",
        informational: false,
    },
    CheckSpec {
        id: "3b/root",
        title: "the container's root",
        requirement: "Furthermore it will see the root directory as conatiner-name/rootfs.",
        hint: "Joining a mount namespace does not change the root directory by itself: what does /proc/PID/root say?",
        informational: false,
    },
    CheckSpec {
        id: "3b/ps-sees-only-container",
        title: "ps lists the container's processes",
        requirement: "tools like ps, top should show only processes running within the container",
        hint: "Which /proc does the executed program see, and is it itself in the container's PID namespace?",
        informational: false,
    },
    CheckSpec {
        id: "3b/default-shell",
        title: "bash without a command",
        requirement: "If no command is provided it will execute /bin/bash by default.",
        hint: "Call exec by hand without a command: is there a prompt, and which program wrote it?",
        informational: false,
    },
    CheckSpec {
        id: "3b/command-and-args",
        title: "the command and its arguments",
        requirement: "This function executes the given program along with its arguments within the specified \
                      running container.",
        hint: "Look at /proc/PID/cmdline of what runs: are all words there, and no others?",
        informational: false,
    },
    CheckSpec {
        id: "3b/container-survives",
        title: "the container goes on",
        requirement: "execute a command to join the existing namespace of the running container",
        hint: "What ends when the executed command ends: only that, or the container's first process too?",
        informational: false,
    },
    CheckSpec {
        id: "3b/concurrent",
        title: "two at the same time",
        requirement: "This function executes the given program along with its arguments within the specified \
                      running container.",
        hint: "Call exec a second time while the first one is still running.",
        informational: true,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "3-run", &CHECKS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let unstarted = |why: &str| {
        let finding =
            |spec: &CheckSpec| timeline.missing(Question::new(spec.id, "a command in a container"), why);
        CHECKS.iter().map(finding).collect()
    };
    let (Some(machine), Some(plan)) = (timeline.first::<Machine>("machine"), timeline.plan::<RunPlan>())
    else {
        return unstarted("nothing was run");
    };
    let executed: Vec<Executed> = STEPS.iter().filter_map(|step| Executed::find(timeline, step)).collect();
    if executed.is_empty() && container_of(timeline, STEPS[0]).is_none() {
        let step = if timeline.is_absent("entered-1") { "entered-1" } else { "worker" };
        let why = timeline.why_absent(step);
        return unstarted(&format!("no container to execute in: {why}"));
    }
    let context = ExecContext { timeline, machine, plan, executed };
    vec![
        namespaces(&context),
        root(&context),
        ps(&context),
        default_shell(&context),
        command(&context),
        survives(&context),
        concurrent(&context),
    ]
}

/// The steps that try `exec`, each while no other runs.
const STEPS: [&str; 3] = ["exec-command", "exec-bash", "exec-shell"];

struct ExecContext<'a> {
    timeline: Timeline<'a>,
    machine: Machine,
    plan: RunPlan,
    executed: Vec<Executed>,
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

/// The namespaces in which a process is not with the container, of the five that the assignment names. One that the
/// container itself does not have is not asked for.
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

fn namespaces(context: &ExecContext) -> Finding {
    let question =
        Question::new("3b/namespaces", "the UTS, PID, NET, MOUNT and IPC namespaces of the container");
    context.all(question, "all five namespaces are the container's", |executed| {
        let view = &executed.seen.value;
        let apart = apart(&view.main.namespaces, &executed.container.main.namespaces);
        (!apart.is_empty())
            .then(|| format!("{} is not in the container's {}", describe(view), apart.join(", ")))
    })
}

fn root(context: &ExecContext) -> Finding {
    let question = Question::new("3b/root", "the container's root directory");
    context.all(question, "the command has the container's root directory", |executed| {
        let view = &executed.seen.value;
        let (own, container) = (&view.main.root, &executed.container.main.root);
        if !own.is(container) {
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

fn ps(context: &ExecContext) -> Finding {
    let question = Question::new("3b/ps-sees-only-container", "the container's own processes and no others");
    let Some(shell) = context.at("exec-bash").or_else(|| context.at("exec-shell")) else {
        let why = context.timeline.why_absent("exec-shell");
        return context.timeline.missing(question, format!("no shell to type it at: {why}"));
    };
    judge_ps(context.timeline, question, "ps-in-exec", &shell.seen.value, &context.machine)
}

fn default_shell(context: &ExecContext) -> Finding {
    let question = Question::new("3b/default-shell", "bash at its prompt, on the terminal");
    match context.at("exec-shell") {
        Some(executed) => judge_shell(question, &executed.seen),
        None => question.fail(context.timeline.why_absent("exec-shell")),
    }
}

fn command(context: &ExecContext) -> Finding {
    let question = Question::new(
        "3b/command-and-args",
        format!("`sleep {}` runs in the container", context.plan.sleeps[1]),
    );
    match context.at("exec-command") {
        Some(Executed { seen, .. }) => {
            question.proof(&seen.place).pass(format!("{} runs", describe(&seen.value)))
        }
        None => question.fail(context.timeline.why_absent("exec-command")),
    }
}

fn survives(context: &ExecContext) -> Finding {
    let mut question = Question::new("3b/container-survives", "the container's first command runs on");
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

fn concurrent(context: &ExecContext) -> Finding {
    let question = Question::new("3b/concurrent", "both run at once");
    let actual = |both| if both { "both ran" } else { "the second was not seen while the first ran" };
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
