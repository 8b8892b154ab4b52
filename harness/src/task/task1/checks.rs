//! What is checked in task 1.

use super::judge::{
    as_shown, child1_pid, child1_uts, child2_pid, child2_uts, exits_clean, parent_unchanged, transcript,
};
use super::timeline::ProcessTimeline;
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

const CHILD1: &str = "Create a new child process in a new UTS and PID namespace";
const CHILD2: &str =
    "Create a second child process and attach it to the UTS and PID namespace of the first child process";

/// How a check of task 1 is judged.
pub type Judge = fn(&ProcessTimeline, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 8] = [
    Row {
        check: CheckSpec {
            id: "1/child1-pid-namespace",
            title: "child 1 in a new PID namespace",
            requirement: CHILD1,
            hint: "`man 2 clone`: which flags decide in which namespaces the new process starts?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && strace -fy -e trace=clone,clone3,fork,vfork,unshare,setns,execve ./namespace_prog",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader traces the program. Child 1 is the first process that namespace_prog creates as PID 1 of a new PID namespace, or else the first in a new UTS namespace. Processes that a tool such as unshare creates do not count. The grader reads its PID namespace at its first instruction.",
            causes: &[
                "a flag is missing in the call that creates the child",
                "the namespace was created for the parent's next child, which is another process",
            ],
            man: &["clone(2)", "unshare(2)", "pid_namespaces(7)"],
        },
        judge: child1_pid,
    },
    Row {
        check: CheckSpec {
            id: "1/child1-uts-namespace",
            title: "child 1 in a new UTS namespace",
            requirement: CHILD1,
            hint: "`man 7 uts_namespaces`: compare /proc/PID/ns/uts of child 1 and of the parent.",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && strace -fy -e trace=clone,clone3,fork,vfork,unshare,setns,sethostname ./namespace_prog",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader reads the UTS namespace of child 1 and the host name there. It reads both at child 1's first instruction and after each call that can change them.",
            causes: &[
                "a flag is missing in the call that creates the child",
                "the name is set before the namespace is new",
            ],
            man: &["clone(2)", "sethostname(2)", "uts_namespaces(7)"],
        },
        judge: child1_uts,
    },
    Row {
        check: CheckSpec {
            id: "1/child2-joins-pid-namespace",
            title: "child 2 in child 1's PID namespace",
            requirement: "Make changes to/via the parent process such that child2 is created in the same PID \
                      namespace as child1.",
            hint: "`man 7 pid_namespaces`: does setns change the PID namespace of the caller or of its next children? How long does a PID namespace accept new processes?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && strace -fy -e trace=clone,clone3,fork,vfork,pidfd_open,setns ./namespace_prog",
            ],
            informational: false,
            needs: &["1/child1-pid-namespace"],
            considers: &[],
            how: "Child 2 is another process that was created from outside child 1's PID namespace; it may be a grandchild of main. The grader compares its PID namespace with child 1's.",
            causes: &[
                "child 1 has ended by then, and its namespace takes no new processes",
                "the parent joins the namespace after it has created child 2",
                "child 1 itself creates child 2",
            ],
            man: &["setns(2)", "pidfd_open(2)", "pid_namespaces(7)"],
        },
        judge: child2_pid,
    },
    Row {
        check: CheckSpec {
            id: "1/child2-joins-uts-namespace",
            title: "child 2 in child 1's UTS namespace",
            requirement: CHILD2,
            hint: "`man 2 setns`: which of child 1's namespaces does each call join, and who is in it afterwards?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && strace -fy -e trace=clone,clone3,fork,vfork,pidfd_open,setns,sethostname ./namespace_prog",
            ],
            informational: false,
            needs: &["1/child1-uts-namespace"],
            considers: &[],
            how: "The grader compares child 2's UTS namespace with child 1's, up to child 2's end.",
            causes: &[
                "only one of the two namespaces is joined",
                "child 2 is created with a flag that makes a new namespace",
            ],
            man: &["setns(2)", "uts_namespaces(7)"],
        },
        judge: child2_uts,
    },
    Row {
        check: CheckSpec {
            id: "1/parent-unchanged",
            title: "the parent and the machine stay as they were",
            requirement: "(Parent hostname can be anything depending on your system) Parent Process PID: 43156 Parent Hostname: \
                      cs695",
            hint: "Follow each sethostname, setns and unshare: in which UTS namespace is the calling process? In which UTS namespace is the parent at the end?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && hostname; ./namespace_prog; hostname",
                "strace -fy -e trace=setns,unshare,sethostname ./namespace_prog",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader compares the parent's UTS namespace at its end and at its last block with the machine's, and records every change of the machine's host name.",
            causes: &[
                "the parent joins a namespace and never returns to its own, or only after it has printed",
                "the host name is set in the parent",
            ],
            man: &["setns(2)", "sethostname(2)"],
        },
        judge: parent_unchanged,
    },
    Row {
        check: CheckSpec {
            id: "1/transcript",
            title: "output as shown",
            requirement: "The output of the program should be as follows",
            hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. Which process must wait for which, so that the lines come in this order?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && script -qec ./namespace_prog /dev/null | cat -A",
            ],
            informational: false,
            needs: &[
                "1/child1-pid-namespace",
                "1/child1-uts-namespace",
                "1/child2-joins-pid-namespace",
                "1/child2-joins-uts-namespace",
            ],
            considers: &[],
            how: "The program runs on a terminal. All lines that the assignment shows must appear, in this order, and the facts in them must be true.",
            causes: &[
                "a line is missing or comes too early",
                "the text is printed, but the namespaces are not there",
                "the parent prints a child's lines before it creates the child",
            ],
            man: &["wait(2)", "pipe(2)"],
        },
        judge: transcript,
    },
    Row {
        check: CheckSpec {
            id: "1/exits-clean",
            title: "ends by itself and leaves nothing running",
            requirement: "The output of the program should be as follows",
            hint: "Which calls wait for a child, and what lets each child come to its end?",
            see: &[
                "gcc -o namespace_prog namespace_prog.c && time ./namespace_prog; echo $?; pgrep -a namespace_prog",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The program must end with status 0 within its limit, and one second later none of its processes may be left.",
            causes: &["a child sleeps for ever and is never killed", "main does not return 0"],
            man: &["wait(2)", "kill(2)"],
        },
        judge: exits_clean,
    },
    Row {
        check: CheckSpec {
            id: "1/as-shown",
            title: "as the sample output",
            requirement: "The output of the program should be as follows",
            hint: "`harness show REPORT 1/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &["1/transcript"],
            considers: &[],
            how: "The grader compares the program's lines with the assignment's. Extra lines are fine, but no line may appear more often than in the assignment.",
            causes: &["a line is printed twice"],
            man: &["fork(2)", "stdout(3)"],
        },
        judge: as_shown,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 8] = specs(&ROWS);
