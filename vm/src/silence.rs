//! Why a machine is silent: its program stopped it, or the host gave QEMU no processor time.

use std::fs;
use std::time::{Duration, Instant};

/// After so much processor time without a sign of life, the agent cannot be running.
const WORKED: Duration = Duration::from_secs(5);
/// No verdict before this time.
const SOON: Duration = Duration::from_secs(2);
/// The longest wait for a sign of life.
const SILENCE: Duration = Duration::from_secs(15);
/// An idle machine uses more than this in that time. If QEMU used less, QEMU itself stood still.
const NOTHING: Duration = Duration::from_millis(30);

/// Processor time of a process: all its threads together.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    ran: Duration,
    /// Time in which it could have run, but had no processor.
    waited: Duration,
}

/// The time of the last sign of life, and QEMU's processor time then.
#[derive(Debug)]
pub(crate) struct Silence {
    pid: u32,
    since: Instant,
    used: Use,
}

/// The meaning of a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not known yet.
    Wait,
    /// The machine ran, and its agent did not.
    Stopped,
    /// QEMU had too little processor time for a sign of life.
    Starved,
}

impl Silence {
    pub(crate) fn of(pid: u32) -> Silence {
        Silence { pid, since: Instant::now(), used: used(pid) }
    }

    /// A sign of life came.
    pub(crate) fn end(&mut self) {
        *self = Silence::of(self.pid);
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.since.elapsed()
    }

    /// The meaning of the silence so far.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.lasts() < SOON {
            return Verdict::Wait;
        }
        let now = used(self.pid);
        let ran = now.ran.saturating_sub(self.used.ran);
        judge(self.lasts(), ran, now.waited.saturating_sub(self.used.waited))
    }

    /// The meaning of the silence when the deadline has passed.
    pub(crate) fn at_the_end(&self) -> Verdict {
        match self.verdict() {
            Verdict::Wait => Verdict::Stopped,
            verdict => verdict,
        }
    }
}

fn judge(silent: Duration, ran: Duration, waited: Duration) -> Verdict {
    if ran >= WORKED {
        Verdict::Stopped
    } else if silent < SILENCE {
        Verdict::Wait
    } else if ran < NOTHING || waited > silent / 2 {
        Verdict::Starved
    } else {
        Verdict::Stopped
    }
}

/// The first two fields of `/proc/PID/task/TID/schedstat`
/// (Documentation/scheduler/sched-stats.rst), in nanoseconds.
fn used(pid: u32) -> Use {
    let mut all = Use::default();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let mut fields =
            text.split_whitespace().map(|field| Duration::from_nanos(field.parse().unwrap_or(0)));
        all.ran += fields.next().unwrap_or_default();
        all.waited += fields.next().unwrap_or_default();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(silent: f64, ran: f64, waited: f64) -> Verdict {
        let [silent, ran, waited] = [silent, ran, waited].map(Duration::from_secs_f64);
        judge(silent, ran, waited)
    }

    #[test]
    fn a_machine_that_works_without_a_sign_of_life_was_stopped() {
        assert_eq!(seconds(3.0, 5.1, 0.0), Verdict::Stopped);
        assert_eq!(seconds(16.0, 1.0, 0.5), Verdict::Stopped);
    }

    #[test]
    fn late_signs_of_life_say_nothing() {
        assert_eq!(seconds(14.0, 4.0, 12.0), Verdict::Wait);
    }

    #[test]
    fn a_machine_without_processor_time_is_the_hosts_fault() {
        assert_eq!(seconds(16.0, 3.0, 14.0), Verdict::Starved);
        assert_eq!(seconds(16.0, 0.0, 0.0), Verdict::Starved);
    }

    #[test]
    fn what_a_process_used_is_read() {
        let before = used(std::process::id());
        let until = Instant::now() + Duration::from_millis(50);
        while Instant::now() < until {}
        assert!(used(std::process::id()).ran > before.ran);
    }
}
