//! Knowing that nothing works any more: a program that waits for ever needs not be waited for
//! until its time is over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::processes;

/// Time between two looks at what works.
const SAMPLE: Duration = Duration::from_secs(1);
/// Clock ticks of processor time in between that services take which wait for requests.
const IDLE_TICKS: u64 = 3;
/// The parent of the kernel's own threads, which come and go.
const KTHREADD: i32 = 2;

/// A watch on all processes that were not there before.
#[derive(Clone, Debug)]
pub struct Stillness<'a> {
    /// Processes that were, by PID and start time.
    before: &'a BTreeSet<(i32, u64)>,
    last: Option<(Work, usize)>,
    looked: Option<Instant>,
    since: Option<Instant>,
}

impl<'a> Stillness<'a> {
    /// Watches all processes but these, by PID and start time.
    pub fn of_all_but(before: &'a BTreeSet<(i32, u64)>) -> Self {
        Self { before, last: None, looked: None, since: None }
    }

    /// For how long they have done nothing: none came or went, worked or waited for a
    /// disk, and what was `written`, in bytes, has not grown. To be asked again and again;
    /// looks once a second.
    pub fn lasts(&mut self, written: usize) -> Duration {
        let now = Instant::now();
        if self.looked.is_none_or(|looked| now - looked >= SAMPLE) {
            let work = Work::now(self.before);
            let is_still =
                self.last.is_some_and(|(last, before)| last.rests_until(work) && before == written);
            if !is_still {
                self.since = Some(now);
            }
            self.last = Some((work, written));
            self.looked = Some(now);
        }
        self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

/// What all processes did that were not there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    processes: usize,
    /// Those that wait for a disk.
    blocked: usize,
    ticks: u64,
}

impl Work {
    fn now(before: &BTreeSet<(i32, u64)>) -> Self {
        let mut work = Self::default();
        for pid in
            processes::parents().into_iter().filter(|(_, parent)| *parent != KTHREADD).map(|(pid, _)| pid)
        {
            let start = processes::start_time(pid);
            if start.is_none_or(|start| before.contains(&(pid, start))) {
                continue;
            }
            work.processes += 1;
            work.blocked += usize::from(processes::state(pid) == Some('D'));
            work.ticks += processes::ticks(pid).unwrap_or(0);
        }
        work
    }

    /// Whether nothing was done between two looks but what a service does that waits.
    fn rests_until(self, later: Self) -> bool {
        self.processes == later.processes
            && later.blocked == 0
            && later.ticks.abs_diff(self.ticks) <= IDLE_TICKS
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn all() -> BTreeSet<(i32, u64)> {
        let pids = processes::parents().into_keys();
        pids.filter_map(|pid| Some((pid, processes::start_time(pid)?))).collect()
    }

    /// A child's work alone, without the work of other programs on this machine.
    fn alone(child: &Child) -> BTreeSet<(i32, u64)> {
        all().into_iter().filter(|(pid, _)| *pid != child.id() as i32).collect()
    }

    #[test]
    fn one_that_sleeps_rests_and_one_that_computes_does_not() {
        for (program, rests) in [("sleep 60", true), ("while :; do :; done", false)] {
            let mut child = Command::new("sh").args(["-c", program]).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let before = alone(&child);
            let of_child = || {
                let pid = child.id() as i32;
                Work { processes: 1, blocked: 0, ticks: processes::ticks(pid).unwrap() }
            };
            let first = of_child();
            assert!(Work::now(&before).ticks >= first.ticks, "{program}");
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(first.rests_until(of_child()), rests, "{program}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn who_comes_or_writes_or_waits_for_a_disk_works() {
        let work = Work { processes: 2, blocked: 0, ticks: 100 };
        assert!(work.rests_until(Work { ticks: 103, ..work }));
        assert!(!work.rests_until(Work { ticks: 104, ..work }));
        assert!(!work.rests_until(Work { processes: 3, ..work }));
        assert!(!work.rests_until(Work { blocked: 1, ..work }));

        let before = all();
        let mut stillness = Stillness::of_all_but(&before);
        assert_eq!(stillness.lasts(0), Duration::ZERO);
        std::thread::sleep(SAMPLE);
        assert!(stillness.lasts(1) < SAMPLE, "it wrote");
    }
}
