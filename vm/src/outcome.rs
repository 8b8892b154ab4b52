//! How a program in a guest ended. Each thing that a hostile program can do to its
//! machine has a name here.

use std::fmt;

/// The last lines of the guest's console, with all control characters: make these visible
/// before you show the lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Console(pub Vec<String>);

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// How [`Guest::run`](crate::Guest::run) ended. After anything but
/// [`Outcome::Exited`] the guest is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended.
    Exited {
        /// Its exit status, or 128 plus the number of the signal that ended it.
        code: i32,
        /// The end of its standard error.
        stderr: Vec<u8>,
    },
    /// The program did not start: it is missing or not executable.
    NotStarted {
        /// The guest kernel's message.
        why: String,
    },
    /// The deadline passed. The guest still answered.
    TimedOut(Console),
    /// The program wrote more than [`Command::max_output`](crate::Command::max_output).
    Flooded(Console),
    /// The guest's kernel panicked.
    Panicked(Console),
    /// The agent sent no more signs of life: the machine hangs.
    Silent(Console),
    /// The agent ended or its port was closed while the machine ran on, or another
    /// process wrote to the port.
    AgentLost(Console),
    /// The machine was restarted.
    Rebooted(Console),
    /// The machine was switched off.
    PoweredOff(Console),
    /// QEMU ended by itself. A fault of the infrastructure, as are the next ones.
    QemuDied {
        /// Its standard error and its exit status.
        why: String,
        /// The last lines of the console.
        console: Console,
    },
    /// The host gave QEMU too little processor time for a sign of life.
    Starved(Console),
    /// The host's disk has no space for the guest's writes.
    HostDiskFull(Console),
    /// Somebody wrote to the template's memory file, which the guest shares with others.
    TemplateWritten(Console),
}

impl Outcome {
    /// Whether the infrastructure is at fault, not the program in the guest. The
    /// caller may try again.
    pub fn is_infrastructure(&self) -> bool {
        matches!(
            self,
            Outcome::QemuDied { .. }
                | Outcome::Starved(_)
                | Outcome::HostDiskFull(_)
                | Outcome::TemplateWritten(_)
                | Outcome::NotStarted { .. }
        )
    }

    /// The last lines of the console, if the outcome has them.
    pub fn console(&self) -> Option<&Console> {
        match self {
            Outcome::Exited { .. } | Outcome::NotStarted { .. } => None,
            Outcome::TimedOut(console)
            | Outcome::Flooded(console)
            | Outcome::Panicked(console)
            | Outcome::Silent(console)
            | Outcome::AgentLost(console)
            | Outcome::Rebooted(console)
            | Outcome::PoweredOff(console)
            | Outcome::Starved(console)
            | Outcome::HostDiskFull(console)
            | Outcome::TemplateWritten(console)
            | Outcome::QemuDied { console, .. } => Some(console),
        }
    }
}

/// One sentence without a full stop, and without the console.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exited { code, .. } => write!(f, "the program ended with status {code}"),
            Outcome::NotStarted { why } => write!(f, "the program could not be started: {why}"),
            Outcome::TimedOut(_) => f.write_str("the program did not end in time"),
            Outcome::Flooded(_) => f.write_str("the program wrote more than it may"),
            Outcome::Panicked(_) => f.write_str("the machine's kernel panicked"),
            Outcome::Silent(_) => f.write_str("the machine stopped answering"),
            Outcome::AgentLost(_) => f.write_str("the agent was ended from inside the machine"),
            Outcome::Rebooted(_) => f.write_str("the machine was restarted from inside"),
            Outcome::PoweredOff(_) => f.write_str("the machine was switched off from inside"),
            Outcome::QemuDied { why, .. } => write!(f, "QEMU ended: {why}"),
            Outcome::Starved(_) => f.write_str("the host gave the machine too little processor time"),
            Outcome::HostDiskFull(_) => f.write_str("the host's disk is full"),
            Outcome::TemplateWritten(_) => {
                f.write_str("the memory of the machine's template was written to while the machine ran")
            }
        }
    }
}
