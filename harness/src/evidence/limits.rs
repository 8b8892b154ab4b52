//! Time limits: how they were stretched, moved on, or met while known work was still running.

use serde::{Deserialize, Serialize};

/// The kind of the record that says by what student time limits are stretched in this run.
pub const PACE: &str = "pace";

/// Known work was cut off at its bound; the record `unfinished`. What was not seen by then has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// What was cut off.
    pub step: String,
    /// What still worked.
    pub work: String,
    /// After so many seconds.
    pub seconds: u64,
}

/// The kind of an [`Unfinished`] record.
pub const UNFINISHED: &str = "unfinished";

/// A limit was moved on; the record `extended`. The host waits so much longer, too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extended {
    /// By so many seconds.
    pub seconds: f64,
}

/// The kind of an [`Extended`] record.
pub const EXTENDED: &str = "extended";

/// The kind of the record that known work goes on: for the host, which limits the scenario as a whole.
pub const WORKING: &str = "working";
