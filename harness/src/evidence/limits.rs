//! Time limits: how they were stretched, moved on, or met while known work was still running.

use serde::{Deserialize, Serialize};

/// The kind of the record with the factor of this run's time limits.
pub const PACE: &str = "pace";

/// The record `unfinished`: known work was cut off at its limit. A check that lacks later
/// facts has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The step that was cut off.
    pub step: String,
    /// The work that was still going on.
    pub work: String,
    /// The seconds until then.
    pub seconds: u64,
}

/// The kind of an [`Unfinished`] record.
pub const UNFINISHED: &str = "unfinished";

/// The record `extended`: a limit grew. The host waits longer by the same time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extended {
    /// The added seconds.
    pub seconds: f64,
}

/// The kind of an [`Extended`] record.
pub const EXTENDED: &str = "extended";

/// The kind of the record that known work goes on. The host needs it for the limit
/// of the whole scenario.
pub const WORKING: &str = "working";
