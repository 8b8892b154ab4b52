//! What is checked in 3b.

use super::judge::{
    ExecContext, as_shown, command, concurrent, default_shell, namespaces, ps, root, survives,
};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// How a check of this subtask is judged.
pub type Judge = fn(&ExecContext, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 8] = [
    Row {
        check: CheckSpec {
            id: "3b/namespaces",
            title: "in the container's namespaces",
            requirement: "The executed program will be in the same UTS, PID, NET, MOUNT and IPC namespace as the \
                      specified container.",
            hint: "`man 1 nsenter`: compare /proc/PID/ns of the executed program with that of the container's PID 1.",
            see: &[
                "./conductor.sh exec {container} sleep 61 & sleep 2; ls -l /proc/$(pgrep -nxf 'sleep 61')/ns /proc/{pid}/ns",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The five namespaces of the executed command are compared with those of the container's first process. A second container, started later, runs beside it.",
            causes: &["an option of nsenter is missing", "another container than the named one is entered"],
            man: &["nsenter(1)", "setns(2)"],
        },
        judge: namespaces,
    },
    Row {
        check: CheckSpec {
            id: "3b/root",
            title: "the container's root",
            requirement: "Furthermore it will see the root directory as conatiner-name/rootfs.",
            hint: "Joining a mount namespace does not change the root directory by itself: what does /proc/PID/root say?",
            see: &[
                "./conductor.sh exec {container} sleep 61 & sleep 2; ls -di / /proc/$(pgrep -nxf 'sleep 61')/root/. /proc/{pid}/root/.; ls -l /proc/$(pgrep -nxf 'sleep 61')/cwd",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The root and the working directory of the executed command are compared with the container's. A second container, started later, runs beside it.",
            causes: &[
                "joining the mount namespace does not change the root",
                "the command starts in the folder from which exec was called",
                "another container than the named one is entered",
            ],
            man: &["nsenter(1)", "chroot(1)"],
        },
        judge: root,
    },
    Row {
        check: CheckSpec {
            id: "3b/ps-sees-only-container",
            title: "ps lists the container's processes",
            requirement: "tools like ps, top should show only processes running within the container",
            hint: "Which /proc does the executed program see, and is it itself in the container's PID namespace?",
            see: &["./conductor.sh exec {container} ps -ef"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`ps -e` is typed at a shell that exec started. It must list the container's processes and no others.",
            causes: &[
                "the shell sees the machine's /proc",
                "the shell is not in the container's PID namespace",
            ],
            man: &["ps(1)", "nsenter(1)"],
        },
        judge: ps,
    },
    Row {
        check: CheckSpec {
            id: "3b/default-shell",
            title: "bash without a command",
            requirement: "If no command is provided it will execute /bin/bash by default.",
            hint: "Call exec by hand without a command: is there a prompt, and which program wrote it?",
            see: &["./conductor.sh exec {container} # without a command"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`exec NAME` is called on a terminal. bash must show its prompt there.",
            causes: &["another shell is the default"],
            man: &["bash(1)"],
        },
        judge: default_shell,
    },
    Row {
        check: CheckSpec {
            id: "3b/command-and-args",
            title: "the command and its arguments",
            requirement: "This function executes the given program along with its arguments within the specified \
                      running container.",
            hint: "Look at /proc/PID/cmdline of what runs: are all words there, and no others?",
            see: &[
                "./conductor.sh exec {container} sleep 61 & sleep 2; tr '\\0' '\\n' </proc/$(pgrep -nxf 'sleep 61')/cmdline",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "`exec NAME sleep N M` is called with a random number N and a small number M. A process with exactly these words must run.",
            causes: &["only the first word is passed on", "only the first argument is passed on"],
            man: &["bash(1)"],
        },
        judge: command,
    },
    Row {
        check: CheckSpec {
            id: "3b/container-survives",
            title: "the container goes on",
            requirement: "execute a command to join the existing namespace of the running container",
            hint: "What ends when the executed command ends: only that, or the container's first process too?",
            see: &["./conductor.sh exec {container} true; ./conductor.sh ps; ps -ef"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "After each exec has ended, the container's first command must still run.",
            causes: &["exec ends the container's first process with its own"],
            man: &["nsenter(1)", "kill(1)"],
        },
        judge: survives,
    },
    Row {
        check: CheckSpec {
            id: "3b/concurrent",
            title: "two at the same time",
            requirement: "This function executes the given program along with its arguments within the specified \
                      running container.",
            hint: "Call exec a second time while the first one is still running.",
            see: &[
                "./conductor.sh exec {container} sleep 60 & sleep 1; ./conductor.sh exec {container} ps -ef",
            ],
            informational: true,
            needs: &[],
            considers: &[],
            how: "A second exec is started while the first one still runs.",
            causes: &[
                "exec finds the container's process by its path in the output of ps, and two lines match",
            ],
            man: &["ps(1)"],
        },
        judge: concurrent,
    },
    Row {
        check: CheckSpec {
            id: "3b/as-shown",
            title: "as the sample session",
            requirement: "The following output shows the correct execution of the tool if the implementation is done properly",
            hint: "`harness show REPORT 3b/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["3b/namespaces", "3b/root", "3b/ps-sees-only-container"],
            considers: &[],
            how: "While one shell waits for `sleep inf`, a second shell is executed, and `ps aef` is typed in it. It must list the processes that the assignment shows, and no others.",
            causes: &["exec leaves a process of its own in the container"],
            man: &["ps(1)", "nsenter(1)"],
        },
        judge: as_shown,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 8] = specs(&ROWS);
