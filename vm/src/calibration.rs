//! The speed of a guest, by which the caller scales time limits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Command, Error, Guest, Outcome};

/// Arithmetic in a shell: the same instructions whatever this crate was compiled with.
const COMPUTE: &str = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";

/// fork+exec+wait.
const SPAWN: &str = "i=0; while [ $i -lt 30 ]; do /bin/true; i=$((i + 1)); done";

/// The time limit for one loop.
const PATIENCE: Duration = Duration::from_secs(600);

/// Two small loops, timed in the guest once per template, in processor time of the host.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// A fixed amount of integer arithmetic.
    pub compute: Duration,
    /// A fixed number of fork+exec+wait.
    pub spawn: Duration,
}

impl Calibration {
    /// Times both loops.
    pub(crate) fn measure(guest: &mut Guest) -> Result<Calibration, Error> {
        Ok(Calibration { compute: time(guest, COMPUTE)?, spawn: time(guest, SPAWN)? })
    }

    /// The factor for time limits that suit the reference machine, a guest under KVM on a current
    /// server: the larger of the two ratios, at least 1.
    pub fn factor(&self) -> f64 {
        const COMPUTE: Duration = Duration::from_millis(100);
        const SPAWN: Duration = Duration::from_millis(50);
        let compute = self.compute.as_secs_f64() / COMPUTE.as_secs_f64();
        let spawn = self.spawn.as_secs_f64() / SPAWN.as_secs_f64();
        compute.max(spawn).max(1.0)
    }
}

/// QEMU's processor time for a script, the better of two runs. Unlike the time on the clock, it
/// does not grow with the other work of the host.
fn time(guest: &mut Guest, script: &str) -> Result<Duration, Error> {
    let mut best = Duration::MAX;
    for _ in 0..2 {
        let before = processor_time(guest.qemu_pid())?;
        let mut command = Command::new(["/bin/sh", "-c", script]);
        // Processor time is measured, so a busy host may take long.
        command.deadline = PATIENCE;
        match guest.run(&command, &mut |_| {}) {
            Outcome::Exited { code: 0, .. } => {
                best = best.min(processor_time(guest.qemu_pid())?.saturating_sub(before));
            }
            outcome => return Err(guest.failed(format!("calibration: {outcome}"))),
        }
    }
    Ok(best)
}

/// `utime` and `stime` of `proc_pid_stat(5)`.
fn processor_time(pid: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 14 and 15; the first after the name is 3.
    let ticks: u64 = [11, 12].iter().filter_map(|&at: &usize| fields.get(at)?.parse::<u64>().ok()).sum();
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Ok(Duration::from_millis(ticks * 1000 / per_second.max(1) as u64))
}
