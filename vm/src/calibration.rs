//! How fast a guest is, so that time limits can follow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Two small loops, timed in the guest once per template.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// A fixed amount of integer arithmetic.
    pub compute: Duration,
    /// A fixed number of fork+exec+wait.
    pub spawn: Duration,
}

impl Calibration {
    /// By how much a limit that suits the reference machine (a guest under KVM on a current server) has to be
    /// stretched here: the larger of the two ratios, at least 1.
    pub fn factor(&self) -> f64 {
        const COMPUTE: Duration = Duration::from_millis(100);
        const SPAWN: Duration = Duration::from_millis(50);
        let compute = self.compute.as_secs_f64() / COMPUTE.as_secs_f64();
        let spawn = self.spawn.as_secs_f64() / SPAWN.as_secs_f64();
        compute.max(spawn).max(1.0)
    }
}
