//! How long a step is waited for. A limit is set for a machine of known speed; when it passes, it
//! follows what the machine can do at that moment, and where known work still progresses it is
//! moved on, up to a bound.

use std::time::{Duration, Instant};

use crate::evidence::limits::{Extended, Unfinished};
use crate::guest::observe::speed::Pace;
use crate::guest::observe::work::{Progress, Sample, Watch};

/// The time between two samples of what works, the second of them at the limit.
const BETWEEN: Duration = Duration::from_secs(2);
/// Limits below this are moments to look again, and are kept as they are.
const SHORT: Duration = Duration::from_secs(5);
/// Known work gets so many times the limit, the machine's pace left out.
const BOUND: f64 = 4.0;
/// By which part of the limit it is moved on at a time, and how often starts are counted.
const PART: u32 = 4;

/// Why a step is not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Its time is over.
    Idle,
    /// Its time is over several times, and known work still goes on: the machine is too slow, or
    /// has too much else to do.
    Working(Progress),
}

/// What becomes of a limit that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It now is this.
    Until(Duration),
    Stop(Late),
}

/// What becomes of a `limit` when `elapsed` has reached it: the machine is `slower` by so much than
/// when it was set, `is_slow` at all, and shows this `progress`.
fn decide(limit: Duration, elapsed: Duration, slower: f64, is_slow: bool, progress: Progress) -> Decision {
    let followed = limit.mul_f64(slower.max(1.0));
    if elapsed < followed {
        return Decision::Until(followed);
    }
    let bound = followed.mul_f64(BOUND);
    match progress {
        Progress::None => Decision::Stop(Late::Idle),
        _ if elapsed < bound => Decision::Until((elapsed + limit / PART).min(bound)),
        // A machine of full speed is slow only by what the submission does with it; our own server
        // may be slow anywhere.
        Progress::Served => Decision::Stop(Late::Working(progress)),
        Progress::Works if is_slow => Decision::Stop(Late::Working(progress)),
        Progress::Works | Progress::Capped => Decision::Stop(Late::Idle),
    }
}

/// The limit of one step, from now on.
pub struct Patience<'a> {
    began: Instant,
    limit: Duration,
    until: Duration,
    watch: Watch<'a>,
    sample: Option<Sample>,
    /// When the watch last looked for starts; it leaves the first half of the limit alone, in which
    /// most steps end.
    looked: Duration,
    moved: Duration,
}

impl<'a> Patience<'a> {
    /// For a step that takes no longer than `limit` on a machine that is as fast as this one was
    /// [first](Pace::first).
    pub fn new(limit: Duration, watch: Watch<'a>) -> Self {
        let (began, looked) = (Instant::now(), limit / PART);
        Self { began, limit, until: limit, watch, sample: None, looked, moved: Duration::ZERO }
    }

    /// Where the limit is by now, from the step's beginning.
    pub fn until(&self) -> Duration {
        self.until
    }

    /// For how long the step has been going on.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether the limit is near or has passed, so that [`late`](Self::late)
    /// takes a while to answer.
    pub fn late(&mut self) -> Option<Late> {
        let elapsed = self.began.elapsed();
        if self.limit < SHORT {
            return (elapsed >= self.limit).then_some(Late::Idle);
        }
        if self.sample.is_none() {
            let is_near = elapsed + BETWEEN >= self.until;
            if is_near || elapsed >= self.looked + self.limit / PART {
                self.looked = elapsed;
                self.sample = Some(self.watch.sample()).filter(|_| is_near);
            }
        }
        // The first look comes late where a limit has grown by less than it took to find that out.
        if elapsed < self.until.max(self.looked + BETWEEN) {
            return None;
        }
        let before = self.sample.take().unwrap_or_default();
        let progress = self.watch.sample().progress_since(&before);
        let pace = Pace::now();
        match decide(self.limit, elapsed, pace.stretch(), pace.is_slow(), progress) {
            Decision::Until(until) => {
                self.moved += until.saturating_sub(self.until);
                self.until = until;
                None
            }
            Decision::Stop(late) => Some(late),
        }
    }

    /// By how much the limit was moved on since the last call, if it was.
    pub fn extended(&mut self) -> Option<Extended> {
        let moved = std::mem::take(&mut self.moved);
        (!moved.is_zero()).then_some(Extended { seconds: moved.as_secs_f64() })
    }

    /// What is to be recorded where known work was cut off.
    pub fn unfinished(&self, step: &str, progress: Progress) -> Unfinished {
        let work = match progress {
            Progress::Served => "the grader's package server was sending",
            _ => "known work (packages, a compiler at the course's files, container_prog) was still running",
        };
        Unfinished { step: step.to_owned(), work: work.to_owned(), seconds: self.elapsed().as_secs() }
    }
}

/// Finds out every half minute whether known work goes on.
pub struct Pulse {
    watch: Watch<'static>,
    looked: Instant,
    sample: Sample,
}

impl Pulse {
    /// The time between two looks.
    const EVERY: Duration = Duration::from_secs(30);

    /// For the work that a watch knows.
    pub fn of(watch: Watch<'static>) -> Self {
        Self { watch, looked: Instant::now(), sample: Sample::default() }
    }

    /// What has worked since the last look; `None` where nothing has, or where it is
    /// not time to look again.
    pub fn beat(&mut self) -> Option<Progress> {
        if self.looked.elapsed() < Self::EVERY {
            return None;
        }
        self.looked = Instant::now();
        let before = std::mem::replace(&mut self.sample, self.watch.sample());
        Some(self.sample.progress_since(&before)).filter(|progress| *progress >= Progress::Works)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(100);

    fn after(seconds: u64, slower: f64, is_slow: bool, progress: Progress) -> Decision {
        decide(LIMIT, Duration::from_secs(seconds), slower, is_slow, progress)
    }

    fn until(seconds: u64) -> Decision {
        Decision::Until(Duration::from_secs(seconds))
    }

    #[test]
    fn a_loop_or_a_wait_of_the_submissions_own_is_stopped_at_its_limit_on_any_machine() {
        for is_slow in [false, true] {
            assert_eq!(after(100, 1.0, is_slow, Progress::None), Decision::Stop(Late::Idle));
        }
    }

    #[test]
    fn a_limit_follows_a_machine_that_has_become_slower_since_it_was_set() {
        assert_eq!(after(100, 3.0, true, Progress::None), until(300));
        assert_eq!(after(300, 3.0, true, Progress::None), Decision::Stop(Late::Idle));
        assert_eq!(after(300, 3.5, true, Progress::None), until(350));
        assert_eq!(after(100, 0.5, false, Progress::None), Decision::Stop(Late::Idle));
    }

    #[test]
    fn known_work_goes_on_up_to_a_bound_and_is_nobodys_fault_there_on_a_slow_machine() {
        for progress in [Progress::Works, Progress::Served, Progress::Capped] {
            assert_eq!(after(100, 1.0, true, progress), until(125));
            assert_eq!(after(390, 1.0, true, progress), until(400));
        }
        assert_eq!(after(400, 1.0, true, Progress::Works), Decision::Stop(Late::Working(Progress::Works)));
        assert_eq!(after(400, 2.0, true, Progress::Works), until(425));
        assert_eq!(after(800, 2.0, true, Progress::Works), Decision::Stop(Late::Working(Progress::Works)));
    }

    #[test]
    fn on_a_fast_machine_only_our_own_server_excuses() {
        assert_eq!(after(400, 1.0, false, Progress::Works), Decision::Stop(Late::Idle));
        assert_eq!(after(400, 1.0, false, Progress::Served), Decision::Stop(Late::Working(Progress::Served)));
    }

    #[test]
    fn what_the_submission_caps_gets_more_time_and_no_excuse() {
        assert_eq!(after(100, 1.0, true, Progress::Capped), until(125));
        assert_eq!(after(400, 1.0, true, Progress::Capped), Decision::Stop(Late::Idle));
    }

    /// How a shell's script is waited for: to its end, or until it is late.
    fn waited(script: &str) -> (Option<Late>, Duration) {
        let mut patience = Patience::new(SHORT, Watch::new());
        let mut command = std::process::Command::new("/bin/bash");
        let mut child = command.args(["-c", script]).spawn().unwrap();
        let late = loop {
            if child.try_wait().unwrap().is_some() {
                break None;
            }
            if let late @ Some(_) = patience.late() {
                break late;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        let top = child.id() as i32;
        for pid in crate::guest::observe::processes::descendants(&[top]).into_iter().chain([top]) {
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
        child.wait().unwrap();
        (late, patience.elapsed())
    }

    /// A folder with the files of a package in `p`, which hold this much noise. `None` where there
    /// is no package database.
    fn package(noise: &str) -> Option<tempfile::TempDir> {
        if !std::path::Path::new("/var/lib/dpkg/info/dpkg.md5sums").exists() {
            eprintln!("skipped: no package database here");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let control =
            "Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n";
        std::fs::create_dir_all(dir.path().join("p/DEBIAN")).unwrap();
        std::fs::write(dir.path().join("p/DEBIAN/control"), control).unwrap();
        let fill = format!("head -c {noise} /dev/urandom > {}/p/noise", dir.path().display());
        assert!(std::process::Command::new("sh").args(["-c", &fill]).status().unwrap().success());
        Some(dir)
    }

    #[test]
    #[ignore = "slow: waits for limits of some seconds"]
    fn dpkg_gets_more_time_and_a_loop_gets_none() {
        let Some(dir) = package("30M") else { return };
        let dir = dir.path().display();
        let make = format!("exec dpkg-deb --threads-max=1 --build -Zxz -z9 {dir}/p {dir}/x.deb");
        let (late, seconds) = waited(&make);
        // Where this machine is very busy it may come to the bound.
        assert_ne!(late, Some(Late::Idle));
        assert!(seconds > SHORT, "it took {seconds:?} and shows nothing: give it more to do");
        assert_eq!(waited("while :; do :; done").0, Some(Late::Idle));
        assert_eq!(waited("while :; do /bin/true; done").0, Some(Late::Idle));
        assert_eq!(waited("sleep 1000; :").0, Some(Late::Idle));
    }

    #[test]
    #[ignore = "slow: waits for limits of some seconds"]
    fn a_loop_over_dpkg_is_stopped_soon() {
        let Some(dir) = package("1M") else { return };
        let dir = dir.path().display();
        let build = format!("dpkg-deb --threads-max=1 --build -Zxz {dir}/p {dir}/x.deb");
        let script = format!("while :; do {build}; done");
        let (late, seconds) = waited(&script);
        assert_eq!(late, Some(Late::Idle));
        assert!(seconds < SHORT.mul_f64(BOUND), "it went on for {seconds:?}");
    }

    #[test]
    fn starts_are_counted_before_the_limit_too() {
        let mut patience = Patience::new(LIMIT, Watch::new());
        let mut looked_after = |seconds| {
            patience.began = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            assert_eq!(patience.late(), None);
            patience.looked.as_secs()
        };
        assert_eq!([40, 49, 51, 60, 74, 77, 98, 99].map(&mut looked_after), [25, 25, 51, 51, 51, 77, 98, 98]);
    }

    #[test]
    fn the_second_look_is_never_right_after_the_first() {
        let mut patience = Patience::new(LIMIT, Watch::new());
        patience.began = Instant::now().checked_sub(LIMIT + BETWEEN).unwrap();
        assert_eq!(patience.late(), None);
        assert!(patience.sample.is_some());
    }

    #[test]
    fn a_short_limit_is_kept_to_the_moment() {
        let mut patience = Patience::new(Duration::from_millis(20), Watch::new());
        assert_eq!(patience.late(), None);
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(patience.late(), Some(Late::Idle));
        assert_eq!(patience.extended(), None);
    }
}
