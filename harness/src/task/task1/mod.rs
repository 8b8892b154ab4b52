//! Task 1: namespaces with system calls.
//!
//! The program is compiled and run on a terminal, and its system calls are traced. Which process is
//! child 1 and which is child 2 follows from their creators and namespaces, never from the output.

mod checks;
mod drive;
mod judge;
mod left;
mod printed;
mod refused;
mod timeline;

pub use judge::redacted_transcript;

use serde::{Deserialize, Serialize};

use super::{Budget, Scenario, Subtask};
use crate::evidence::process::{Namespaces, Process};
use crate::evidence::program::Outcome;
use crate::evidence::program::{Call, End};

/// Task 1.
pub static SUBTASK: Subtask = Subtask {
    id: "1",
    title: "namespaces with system calls",
    checks: &checks::CHECKS,
    scenarios: &["1"],
    judge: judge::judge,
};

/// Compiles and runs `namespace_prog.c`.
pub static SCENARIO: Scenario = Scenario {
    id: "1",
    budget: Budget { fixed: 30, scaled: 8 },
    plan: drive::plan,
    drive: drive::drive,
    visit: None,
};

/// The names of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NamespacePlan {
    /// The machine's name.
    hostname: String,
}

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
