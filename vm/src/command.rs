//! A program to run in a guest, and its limits.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A program to run in a guest, as root, in `/root`, in a session and a cgroup of its own.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program (absolute, or in the usual PATH) and its arguments.
    pub argv: Vec<String>,
    /// Its standard input.
    pub stdin: Vec<u8>,
    /// Its time limit, by the host's clock.
    pub deadline: Duration,
    /// Milliseconds to add to the time limit. The caller may raise this while the program runs.
    pub more: Arc<AtomicU64>,
    /// The most bytes on its standard output.
    pub max_output: u64,
    /// The most bytes in one line of its output.
    pub max_line: usize,
    /// Whether it is protected: it stays in the agent's control group, which no other program can
    /// change. Its children start there too. Other programs run in a control group of their own.
    pub kept: bool,
}

impl Command {
    /// A program with empty standard input, a time limit of a minute, and at most 16 MiB of output
    /// in lines of at most 4 MiB.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Command {
        Command {
            argv: argv.into_iter().map(Into::into).collect(),
            stdin: Vec::new(),
            deadline: Duration::from_secs(60),
            more: Arc::default(),
            max_output: 16 << 20,
            max_line: 4 << 20,
            kept: false,
        }
    }
}
