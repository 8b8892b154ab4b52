//! Progress of a preparation. The caller renders it; nothing in this crate prints.

/// One event of a preparation. Events come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins, and the step before it is done. A phrase such as "downloading Debian 12".
    Step(String),
    /// The progress of the current step. These come often: render a few a second.
    Progress {
        /// The work that is done.
        done: u64,
        /// All of the work, if known.
        total: Option<u64>,
        /// The unit of both.
        unit: Unit,
    },
    /// A sentence for the user: the reason for a fall-back, or what to expect.
    Note(String),
}

/// The unit of an [`Event::Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes downloaded or written.
    Bytes,
    /// Packages installed, or another plain count.
    Items,
}
