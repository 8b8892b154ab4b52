//! What preparation reports while it works, for someone else to render. Nothing in this crate prints.

/// One thing that happened during preparation, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step begins; the one before it, if any, is done. A phrase such as "downloading Debian 12".
    Step(String),
    /// How far the current step is. Sent often; render at most a few a second.
    Progress {
        /// What is done so far.
        done: u64,
        /// The end, where it is known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// Something a person should know, as a sentence: why a fall-back was taken, what to expect.
    Note(String),
}

/// What a [`Event::Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes downloaded or written.
    Bytes,
    /// Packages installed, or another plain count.
    Items,
}
