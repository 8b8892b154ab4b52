//! How fast a guest is, so that time limits can follow.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Command, Error, Guest, Outcome};

/// Arithmetic in a shell: the same instructions whatever this crate was compiled with.
const COMPUTE: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";

/// fork+exec+wait.
const SPAWN: &str = "i=0; while [ $i -lt 30 ]; do /bin/true; i=$((i + 1)); done";

/// Two small loops, timed in the guest once per template.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// A fixed amount of integer arithmetic.
    pub compute: Duration,
    /// A fixed number of fork+exec+wait.
    pub spawn: Duration,
}

impl Calibration {
    /// Times both loops, by the host's clock.
    pub(crate) fn measure(guest: &mut Guest) -> Result<Calibration, Error> {
        Ok(Calibration { compute: time(guest, COMPUTE)?, spawn: time(guest, SPAWN)? })
    }

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

/// The better of two times, so that a busy host counts for less.
fn time(guest: &mut Guest, script: &str) -> Result<Duration, Error> {
    let mut best = Duration::MAX;
    for _ in 0..2 {
        let began = Instant::now();
        match guest.run(&Command::new(["/bin/sh", "-c", script]), &mut |_| {}) {
            Outcome::Exited { code: 0, .. } => best = best.min(began.elapsed()),
            outcome => return Err(guest.failed(format!("calibration: {outcome}"))),
        }
    }
    Ok(best)
}
