//! How a program in a guest ended. Everything a hostile program can do to its machine has a name here.

use std::fmt;

/// The last lines of the guest's console, escape sequences and all: show them with control characters made
/// visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Console(pub Vec<String>);

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// How [`Guest::run`](crate::Guest::run) ended. After anything but [`Outcome::Exited`] the guest is spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The program ended by itself.
    Exited {
        /// Its exit status; 128 and the signal's number where a signal ended it.
        code: i32,
        /// The end of what it wrote to standard error.
        stderr: Vec<u8>,
    },
    /// The program could not be started: not there, not executable.
    NotStarted {
        /// What the guest's kernel said.
        why: String,
    },
    /// The deadline passed. The guest still answered.
    TimedOut(Console),
    /// The program wrote more than [`Command::max_output`](crate::Command::max_output).
    Flooded(Console),
    /// The guest's kernel panicked.
    Panicked(Console),
    /// The guest half stopped sending signs of life: the machine hangs or was brought to a standstill.
    Silent(Console),
    /// The guest half was ended or its channel was closed while the machine ran on, or someone else wrote to it.
    AgentLost(Console),
    /// The machine was restarted.
    Rebooted(Console),
    /// The machine was switched off.
    PoweredOff(Console),
    /// QEMU ended without being asked to. The infrastructure's fault, as are the next.
    QemuDied {
        /// Its exit status in words, and what it wrote to standard error.
        why: String,
        /// The last lines of the console.
        console: Console,
    },
    /// The host gave QEMU too little processor time for the guest half to say anything.
    Starved(Console),
    /// The host has no room left for what the guest wrote to its disk.
    HostDiskFull(Console),
    /// Somebody wrote to the template's memory file, which the guest shares with others.
    TemplateWritten(Console),
}

impl Outcome {
    /// Whether the infrastructure is to blame, and not the program in the guest: worth a second try.
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

    /// The last lines of the console, where the outcome has them.
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
            Outcome::AgentLost(_) => f.write_str("the guest half was ended from inside the machine"),
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
