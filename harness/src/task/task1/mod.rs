//! Task 1: namespaces with system calls.
//!
//! The program is compiled, run on a terminal and traced at the level of system calls. Which process is child 1
//! and which is child 2 follows from who created whom and in which namespaces they live, never from what they
//! print.

mod drive;
mod judge;
mod timeline;

pub use judge::redacted_transcript;

use serde::{Deserialize, Serialize};

use super::{Budget, CheckSpec, Scenario, Subtask};
use crate::evidence::process::{Namespaces, Process};
use crate::evidence::program::Outcome;
use crate::evidence::program::{Call, End};

/// Task 1.
pub static SUBTASK: Subtask = Subtask {
    id: "1",
    title: "namespaces with system calls",
    checks: &CHECKS,
    scenarios: &["1"],
    judge: judge::judge,
};

/// Compiles and runs `namespace_prog.c`.
pub static SCENARIO: Scenario =
    Scenario { id: "1", budget: Budget { fixed: 30, scaled: 8 }, plan: drive::plan, drive: drive::drive };

const CHILD1: &str = "Create a new child process in a new UTS and PID namespace";
const CHILD2: &str =
    "Create a second child process and attach it to the UTS and PID namespace of the first child process";

const CHECKS: [CheckSpec; 7] = [
    CheckSpec {
        id: "1/child1-pid-namespace",
        title: "child 1 in a new PID namespace",
        requirement: CHILD1,
        hint: "`man 2 clone`: which flags decide in which namespaces the new process starts?",
        informational: false,
    },
    CheckSpec {
        id: "1/child1-uts-namespace",
        title: "child 1 in a new UTS namespace",
        requirement: CHILD1,
        hint: "`man 7 uts_namespaces`: compare /proc/PID/ns/uts of child 1 and of the parent.",
        informational: false,
    },
    CheckSpec {
        id: "1/child2-joins-pid-namespace",
        title: "child 2 in child 1's PID namespace",
        requirement: "Make changes to/via the parent process such that child2 is created in the same PID \
                      namespace as child1.",
        hint: "`man 7 pid_namespaces`: whom does a change of PID namespace concern, the caller or its next \
               children? And for how long does a PID namespace take new processes?",
        informational: false,
    },
    CheckSpec {
        id: "1/child2-joins-uts-namespace",
        title: "child 2 in child 1's UTS namespace",
        requirement: CHILD2,
        hint: "`man 2 setns`: which of child 1's namespaces does each call join, and who is in it afterwards?",
        informational: false,
    },
    CheckSpec {
        id: "1/parent-unchanged",
        title: "the parent and the machine stay as they were",
        requirement: "(Parent hostname can be anything depending on your system) Parent Process PID: 43156 Parent Hostname: \
                      cs695",
        hint: "Follow each sethostname, setns and unshare: in which UTS namespace is the process that calls it, \
               and in which one is the parent at the end?",
        informational: false,
    },
    CheckSpec {
        id: "1/transcript",
        title: "output as shown",
        requirement: "The output of the program should be as follows",
        hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. Who has to \
               wait for whom, so that the lines come in this order?",
        informational: false,
    },
    CheckSpec {
        id: "1/exits-clean",
        title: "ends by itself and leaves nothing running",
        requirement: "Write code at marked portions in the file task1/namespace_prog.c",
        hint: "Which calls wait for a child, and what lets each child come to its end?",
        informational: false,
    },
];

/// The machine before the program ran; the record `machine`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Machine {
    hostname: String,
    namespaces: Namespaces,
}

/// What the compiler said; the record `compiled`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Compiled {
    /// Whether there is a program now.
    ok: bool,
    outcome: Outcome,
}

/// A traced process at its first instruction; the record `born`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Born {
    creator: i32,
    process: Process,
    /// The host name in its UTS namespace.
    hostname: String,
}

/// A system call that returned, and its caller after it; the record `called`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Called {
    call: Call,
    process: Process,
    /// The host name in its UTS namespace, after the call.
    hostname: String,
}

/// A traced process before its end; the record `exiting`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exiting {
    process: Process,
    /// The host name in its UTS namespace.
    hostname: String,
}

/// A traced process has ended; the record `ended`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ended {
    pid: i32,
    end: End,
}
