//! What to run in a guest, and how far it may go.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A program to run in a guest, as root, in `/root`, in a session and a cgroup of its own.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program, absolute or looked up in the usual PATH, and its arguments.
    pub argv: Vec<String>,
    /// What it reads from standard input, then end of file.
    pub stdin: Vec<u8>,
    /// How long it may take, by the host's clock.
    pub deadline: Duration,
    /// Milliseconds that it may take beyond that. Whoever hears that it needs them adds them while it runs.
    pub more: Arc<AtomicU64>,
    /// How many bytes it may write to standard output.
    pub max_output: u64,
    /// How many bytes of that may be in one line.
    pub max_line: usize,
    /// Whether it stays in the agent's control group, which no other program can change, rather than in that of programs
    /// that come and go. What it starts starts there, too.
    pub kept: bool,
}

impl Command {
    /// With nothing on standard input, a minute, and 16 MiB of output in lines of at most 4.
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
