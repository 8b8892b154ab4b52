//! Whose fault it is when a machine says nothing: the program's in it, or the host's, which gave QEMU no processor.

use std::fs;
use std::time::{Duration, Instant};

/// A machine that has worked for so long without a sign of life has no guest half that can work.
const WORKED: Duration = Duration::from_secs(5);
/// Not looked at before.
const SOON: Duration = Duration::from_secs(2);
/// A machine from which nothing came for so long is not waited for any longer, whatever it did.
const SILENCE: Duration = Duration::from_secs(15);
/// Less than even an idle machine takes in that time: QEMU itself stood still.
const NOTHING: Duration = Duration::from_millis(30);

/// What a process used of the host's processors, all its threads together.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    ran: Duration,
    /// It could have run and had no processor.
    waited: Duration,
}

/// Since when nothing was heard, and what QEMU had used up to then.
#[derive(Debug)]
pub(crate) struct Silence {
    pid: u32,
    since: Instant,
    used: Use,
}

/// What a silence says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// The machine ran, and its guest half did not.
    Stopped,
    /// The host let QEMU have too little time to say anything.
    Starved,
}

impl Silence {
    pub(crate) fn of(pid: u32) -> Silence {
        Silence { pid, since: Instant::now(), used: used(pid) }
    }

    /// Something was heard.
    pub(crate) fn end(&mut self) {
        *self = Silence::of(self.pid);
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.since.elapsed()
    }

    /// What to make of it by now.
    pub(crate) fn verdict(&self) -> Verdict {
        if self.lasts() < SOON {
            return Verdict::Wait;
        }
        let now = used(self.pid);
        let ran = now.ran.saturating_sub(self.used.ran);
        judge(self.lasts(), ran, now.waited.saturating_sub(self.used.waited))
    }

    /// What to make of it when there is no more time to wait.
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

/// The first two fields of `/proc/PID/task/TID/schedstat` (Documentation/scheduler/sched-stats.rst), in nanoseconds.
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
