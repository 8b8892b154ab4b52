//! Subtask 3b: does `exec` get a command into a running container?

use std::path::Path;

use super::run::describe;
use super::shell::{judge_ps, judge_shell};
use super::{AtOnce, Entered, Survival};
use crate::evidence::Bundle;
use crate::guest::processes::Namespaces;
use crate::task::CheckSpec;
use crate::task::conductor::sight::{Machine, Sight};
use crate::task::conductor::story::{Seen, Story};
use crate::task::containers::drive::Plan;
use crate::task::finding::Question;
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
    let story = match Story::open(bundle, "3-run", &CHECKS) {
        Ok(story) => story,
        Err(errors) => return errors,
    };
    let unstarted = |why: &str| {
        let finding =
            |spec: &CheckSpec| story.missing(Question::new(spec.id, "a command in a container"), why);
        CHECKS.iter().map(finding).collect()
    };
    let (Some(machine), Some(plan)) = (story.first::<Machine>("machine"), story.plan::<Plan>()) else {
        return unstarted("nothing was run");
    };
    let executed: Vec<Executed> = STEPS.iter().filter_map(|step| Executed::find(story, step)).collect();
    if executed.is_empty() && container_of(story, STEPS[0]).is_none() {
        let step = if story.is_absent("entered-1") { "entered-1" } else { "worker" };
        let why = story.why_absent(step);
        return unstarted(&format!("no container to execute in: {why}"));
    }
    let room = Room { story, machine, plan, executed };
    vec![
        namespaces(&room),
        root(&room),
        ps(&room),
        default_shell(&room),
        command(&room),
        survives(&room),
        concurrent(&room),
    ]
}

/// The steps that try `exec`, each while no other runs.
const STEPS: [&str; 3] = ["exec-command", "exec-bash", "exec-shell"];

struct Room<'a> {
    story: Story<'a>,
    machine: Machine,
    plan: Plan,
    executed: Vec<Executed>,
}

/// What `exec` started, and the container in which it was to start it.
struct Executed {
    step: &'static str,
    seen: Seen<Sight>,
    container: Sight,
}

impl Executed {
    fn find(story: Story, step: &'static str) -> Option<Self> {
        Some(Self { step, seen: story.at("container", step)?, container: container_of(story, step)? })
    }
}

/// The container that a step entered. Before there were several, it was that of the command.
fn container_of(story: Story, step: &str) -> Option<Sight> {
    let entered = story.at::<Entered>("entered", step).map(|seen| seen.value.container);
    Some(story.at::<Sight>("container", entered.as_deref().unwrap_or("worker"))?.value)
}

impl Room<'_> {
    fn at(&self, step: &str) -> Option<&Executed> {
        self.executed.iter().find(|executed| executed.step == step)
    }

    fn all(&self, question: Question, well: &str, fault: impl Fn(&Executed) -> Option<String>) -> Finding {
        let mut question = question;
        if self.executed.is_empty() {
            let why = self.story.why_absent("exec-command");
            return self.story.missing(question, format!("nothing was executed: {why}"));
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

fn namespaces(room: &Room) -> Finding {
    let question =
        Question::new("3b/namespaces", "the UTS, PID, NET, MOUNT and IPC namespaces of the container");
    room.all(question, "all five namespaces are the container's", |executed| {
        let sight = &executed.seen.value;
        let apart = apart(&sight.main.namespaces, &executed.container.main.namespaces);
        (!apart.is_empty())
            .then(|| format!("{} is not in the container's {}", describe(sight), apart.join(", ")))
    })
}

fn root(room: &Room) -> Finding {
    let question = Question::new("3b/root", "the container's root directory");
    room.all(question, "the command has the container's root directory", |executed| {
        let sight = &executed.seen.value;
        let (own, container) = (&sight.main.root, &executed.container.main.root);
        if !own.is(container) {
            let whose = if own.is(&room.machine.root) { "the machine's" } else { "another" };
            return Some(format!("the root of {} is {whose}", describe(sight)));
        }
        (!is_below(&sight.cwd, &own.path)).then(|| {
            format!(
                "{} starts in {}, outside of its root directory: from there it sees the machine's files",
                describe(sight),
                sight.cwd
            )
        })
    })
}

/// Whether a working directory lies in a root directory, both as the machine sees them.
fn is_below(cwd: &str, root: &str) -> bool {
    cwd.is_empty() || Path::new(cwd).starts_with(root)
}

fn ps(room: &Room) -> Finding {
    let question = Question::new("3b/ps-sees-only-container", "the container's own processes and no others");
    let Some(shell) = room.at("exec-bash").or_else(|| room.at("exec-shell")) else {
        let why = room.story.why_absent("exec-shell");
        return room.story.missing(question, format!("no shell to type it at: {why}"));
    };
    judge_ps(room.story, question, "ps-in-exec", &shell.seen.value, &room.machine)
}

fn default_shell(room: &Room) -> Finding {
    let question = Question::new("3b/default-shell", "bash at its prompt, on the terminal");
    match room.at("exec-shell") {
        Some(executed) => judge_shell(question, &executed.seen),
        None => question.fail(room.story.why_absent("exec-shell")),
    }
}

fn command(room: &Room) -> Finding {
    let question =
        Question::new("3b/command-and-args", format!("`sleep {}` runs in the container", room.plan.naps[1]));
    match room.at("exec-command") {
        Some(Executed { seen, .. }) => {
            question.proof(&seen.place).pass(format!("{} runs", describe(&seen.value)))
        }
        None => question.fail(room.story.why_absent("exec-command")),
    }
}

fn survives(room: &Room) -> Finding {
    let mut question = Question::new("3b/container-survives", "the container's first command runs on");
    if room.executed.is_empty() {
        let why = room.story.why_absent("exec-command");
        return room.story.missing(question, format!("nothing was executed: {why}"));
    }
    let after = ["worker-after-exec", "after-exec-command", "after-exec-bash", "after-exec-shell"];
    let seen: Vec<Seen<Survival>> =
        after.into_iter().filter_map(|step| room.story.at("survival", step)).collect();
    if seen.is_empty() {
        return room.story.missing(question, "the first command was not looked at");
    }
    for survival in seen {
        question = question.proof(survival.place);
        if !survival.value.alive {
            return question.fail("the container ended with the executed command");
        }
    }
    question.pass("the first command runs on")
}

fn concurrent(room: &Room) -> Finding {
    let question = Question::new("3b/concurrent", "both run at once");
    let actual = |both| if both { "both ran" } else { "the second was not seen while the first ran" };
    if let Some(AtOnce { both, .. }) = room.story.at("at-once", "at-once").map(|seen| seen.value) {
        return question.answer(both, actual(both));
    }
    // In older evidence a command and a shell were tried at once, and nothing else.
    match (room.at("exec-command"), room.at("exec-shell"), room.story.at::<Entered>("entered", STEPS[0])) {
        (Some(_), Some(_), None) => {
            let both = room.story.at::<Sight>("container", "exec-both").is_some();
            question.answer(both, actual(both))
        }
        _ => room.story.missing(question, "the first command was not seen"),
    }
}
