//! Subtask 3a: is what `run` starts a container?

use super::Left;
use super::lifetime::{listed, machine_unchanged, stop, stop_rules, twice};
use super::shell::{judge_ps, judge_shell};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::verdict::Finding;

pub const CHECKS: [CheckSpec; 13] = [
    CheckSpec {
        id: "3a/namespaces",
        title: "five namespaces of its own",
        requirement: "The container will have isolated UTS, PID, NET, MOUNT and IPC namespaces.",
        hint: "Compare the links in /proc/PID/ns of a process in the container with those of your shell.",
        informational: false,
    },
    CheckSpec {
        id: "3a/pid-one",
        title: "PID 1",
        requirement: "The first process will have pid = 1 in the container.",
        hint: "`man 1 unshare`, --fork: who is the first process in a new PID namespace?",
        informational: false,
    },
    CheckSpec {
        id: "3a/root",
        title: "a root of its own",
        requirement: "container-name will have a subdirectory named rootfs which will be mounted as root directory \
                      for the container.",
        hint: "What does /proc/PID/root of the container's process point to?",
        informational: false,
    },
    CheckSpec {
        id: "3a/proc-sys-dev",
        title: "/proc, /sys and /dev",
        requirement: "It will also mount the following file systems within the container: procfs, sysfs, /dev (in \
                      host) bind mount to container-rootfs/dev",
        hint: "A procfs tells of the PID namespace, a sysfs of the network namespace, of the process that mounts \
               it. From where are they mounted, and is it early or late enough?",
        informational: false,
    },
    CheckSpec {
        id: "3a/machine-unchanged",
        title: "the machine's own mounts stay",
        requirement: "You also need to mount appropriate filesystems to the rootfs within the container to enable \
                      tools that utilize those filesystems to be confined within the container isolation.",
        hint: "Compare `findmnt` on the machine before run, while the container runs, and after stop. A mount below a \
               bind mount of /dev may show in the machine's own /dev too (mount_namespaces(7), shared).",
        informational: false,
    },
    CheckSpec {
        id: "3a/ps-sees-only-container",
        title: "ps lists the container's processes",
        requirement: "procfs for tools dependent on it like ps, top etc. to work correctly",
        hint: "ps reads /proc: of which PID namespace does the one in the container tell?",
        informational: false,
    },
    CheckSpec {
        id: "3a/default-shell",
        title: "bash without a command",
        requirement: "If no command is given, it will execute /bin/bash by default.",
        hint: "Run it by hand without a command: is there a prompt, and which program wrote it?",
        informational: false,
    },
    CheckSpec {
        id: "3a/command-and-args",
        title: "the command and its arguments",
        requirement: "command <args> is the program and its arguments (if any) that will be executed within the \
                      container as the first process.",
        hint: "Look at /proc/PID/cmdline of what runs in the container: are all words there, and no others?",
        informational: false,
    },
    CheckSpec {
        id: "3a/root-mode-755",
        title: "permissions of the root directory",
        requirement: "It will also set correct file permission on the container-rootfs/ so that tools like apt \
                      work correctly.",
        hint: "`stat /` inside the container. apt does some of its work as a user who is not root.",
        informational: false,
    },
    CheckSpec {
        id: "3a/listed-by-ps",
        title: "listed while it is there",
        requirement: "This function will show all running containers by querying entries within the configured \
                      CONTAINERDIR directory.",
        hint: "Which folder does ps look into, and which one does run make?",
        informational: false,
    },
    CheckSpec {
        id: "3a/cannot-run-twice",
        title: "a name is taken until stop",
        requirement: "If you run a container and exit from it, you cannot run the same container again. First you \
                      will need to delete the container using stop command, then run it.",
        hint: "What does run do when the container's folder is there already?",
        informational: false,
    },
    CheckSpec {
        id: "3a/stop-cleans-up",
        title: "stop leaves nothing",
        requirement: "Killing the unshare process that started the container; killing all processes running within \
                      the container; unmounting any remaining mount point within the container rootfs; deleting \
                      container-name",
        hint: "After stop, look for the container's processes, mounts, interfaces and folder.",
        informational: false,
    },
    CheckSpec {
        id: "3a/stop-removes-rules",
        title: "stop removes the container's firewall rules",
        requirement: "Stopping a container will delete all state of the container",
        hint: "After stop, look for rules that still name the container's address or interface while another container runs.",
        informational: true,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "3-run", &CHECKS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let (Some(machine), Some(plan)) = (timeline.first::<Machine>("machine"), timeline.plan::<RunPlan>())
    else {
        let unstarted =
            |spec: &CheckSpec| timeline.missing(Question::new(spec.id, "a container"), "nothing was run");
        return CHECKS.iter().map(unstarted).collect();
    };
    let context = RunContext {
        worker: timeline.at("container", "worker"),
        shell: timeline.at("container", "shell"),
        named_shell: timeline.at("container", "named-shell"),
        timeline,
        machine,
        plan,
    };
    vec![
        namespaces(&context),
        pid_one(&context),
        root(&context),
        proc_sys_dev(&context),
        machine_unchanged(&context, bundle),
        ps(&context),
        default_shell(&context),
        command(&context),
        mode(&context),
        listed(&context),
        twice(&context),
        stop(&context, bundle),
        stop_rules(&context, bundle),
    ]
}

pub struct RunContext<'a> {
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

fn namespaces(context: &RunContext) -> Finding {
    let question =
        Question::new("3a/namespaces", "UTS, PID, NET, MOUNT and IPC namespaces other than the machine's");
    context.all(question, "all five differ from the machine's", |view| {
        let shared = shared(view, &context.machine.namespaces);
        (!shared.is_empty())
            .then(|| format!("{} is in the machine's own {}", describe(view), shared.join(", ")))
    })
}

fn pid_one(context: &RunContext) -> Finding {
    let question =
        Question::new("3a/pid-one", "the command, or what it was started by, is PID 1 of the container");
    context.all(question, "PID 1 of the container is the command or its parent", |view| {
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
            "{} is PID {} there, and was not started by PID 1 (`{}`)",
            describe(view),
            view.main.own_pid(),
            init.cmdline.join(" ")
        ))
    })
}

fn root(context: &RunContext) -> Finding {
    let question = Question::new("3a/root", "a root directory other than the machine's");
    context.all(question, "it has a root directory of its own", |view| {
        let is_machines = view.main.root.is(&context.machine.root) || view.main.root.ino == 0;
        is_machines.then(|| format!("the root of {} is the machine's own", describe(view)))
    })
}

fn proc_sys_dev(context: &RunContext) -> Finding {
    let question = Question::new(
        "3a/proc-sys-dev",
        "/proc of its PID namespace, /sys of its network namespace, /dev with the machine's devices",
    );
    if context.containers().any(|seen| seen.value.main.root.is(&context.machine.root)) {
        return question.skip("its root is the machine's own: see 3a/root");
    }
    context.all(question, "all three are as they must be", |view| {
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
        Some("its /proc tells of another PID namespace than its own".to_owned())
    } else {
        None
    }
}

fn sys_fault(view: &ContainerView) -> Option<String> {
    if !mounted(view, "/sys", "sysfs") {
        return Some("no sysfs is mounted on its /sys".to_owned());
    }
    let missing = view.links.iter().any(|link| !view.interfaces.contains(link));
    let surplus: Vec<&String> = view.interfaces.iter().filter(|name| is_foreign(name, view)).collect();
    (missing || !surplus.is_empty()).then(|| {
        format!(
            "its /sys tells of another network namespace than its own: it has the interfaces {:?}",
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
        Some(format!("its /dev lacks devices of the machine's: {}", view.dev.missing.join(", ")))
    }
}

fn ps(context: &RunContext) -> Finding {
    let question = Question::new("3a/ps-sees-only-container", "the container's own processes and no others");
    let Some((shell, ..)) = context.exited() else {
        return context
            .timeline
            .missing(question, format!("no shell to type it at: {}", context.timeline.why_absent("shell")));
    };
    judge_ps(context.timeline, question, "ps-in-shell", &shell.value, &context.machine)
}

fn default_shell(context: &RunContext) -> Finding {
    let question = Question::new("3a/default-shell", "bash at its prompt, on the terminal");
    match &context.shell {
        Some(seen) => judge_shell(question, seen),
        None if context.timeline.why_unbuilt().is_some() => context.missing(question),
        None => question.fail(context.timeline.why_absent("shell")),
    }
}

fn command(context: &RunContext) -> Finding {
    let question = Question::new(
        "3a/command-and-args",
        format!("`sleep {}` runs in the container", context.plan.sleeps[0]),
    );
    match &context.worker {
        Some(seen) => question.proof(&seen.place).pass(format!("{} runs", describe(&seen.value))),
        None if context.timeline.why_unbuilt().is_some() => context.missing(question),
        None => question.fail(context.timeline.why_absent("worker")),
    }
}

fn mode(context: &RunContext) -> Finding {
    let question = Question::new("3a/root-mode-755", "the container's / has mode 755");
    if context.containers().any(|seen| seen.value.main.root.is(&context.machine.root)) {
        return question.skip("its root is the machine's own: see 3a/root");
    }
    context.all(question, "mode 755", |view| {
        (view.root_mode & 0o777 != 0o755).then(|| format!("mode {:o}", view.root_mode))
    })
}
