//! How fast the machine is at this moment, by the work that a benchmark of task 2 does.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Calls of `rand()` in a second on the reference machine (a guest under KVM on a current server).
const REFERENCE: f64 = 166e6;
/// For how long one measurement goes on: long enough to average over what else the host does.
const MEASURED: Duration = Duration::from_millis(100);
/// A machine so many times slower than the reference machine is emulated or overloaded.
const SLOW: f64 = 3.0;
/// By so much at most a busy host stretches a limit: a program that hangs must not keep
/// it waiting for ever.
const MOST: f64 = 4.0;

/// Calls of glibc's `rand()` in a second here and now. Takes a tenth of a second.
pub fn calls_per_second() -> f64 {
    let started = Instant::now();
    calls_in(MEASURED) / started.elapsed().as_secs_f64()
}

fn calls_in(time: Duration) -> f64 {
    const BATCH: u32 = 10_000;
    let started = Instant::now();
    let mut calls = 0.0;
    while started.elapsed() < time {
        for _ in 0..BATCH {
            // SAFETY: takes no pointers, and nothing else here uses the generator.
            std::hint::black_box(unsafe { libc::rand() });
        }
        calls += f64::from(BATCH);
    }
    calls
}

/// By what a limit that suits the reference machine has to be stretched now: `calibrated` was
/// measured once in a quiet moment, `calls_per_second` just now, when the host may have more to do.
pub fn slowdown(calibrated: f64, calls_per_second: f64) -> f64 {
    (REFERENCE / calls_per_second.max(1.0)).clamp(calibrated, MOST * calibrated)
}

/// The machine's speed at one moment, in calls of `rand()` a second that one processor of it makes.
/// What else runs *in* the machine does not change it, so that a program cannot lengthen its own
/// limits by keeping the machine busy; what else runs on the host does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(f64);

/// What was measured once in a quiet moment, where that is known.
static CALIBRATED: OnceLock<f64> = OnceLock::new();

impl Pace {
    /// Measures it, which takes a third of a second: a host that is busy gives the machine
    /// its share in pieces.
    pub fn now() -> Self {
        Self::over(3 * MEASURED)
    }

    fn over(time: Duration) -> Self {
        let (cpu, stolen) = (processor_time(), Stolen::now());
        let calls = calls_in(time);
        let spent = processor_time().saturating_sub(cpu).as_secs_f64();
        // A hypervisor that tells how much time it took away leaves that out of a thread's own.
        let left = 1.0 - Stolen::now().since(stolen);
        Self(calls / spent.max(1e-3) * left.max(0.01))
    }

    /// That at the first call of this function; the guest half makes it before a
    /// submission has its turn.
    pub fn first() -> Self {
        static FIRST: OnceLock<Pace> = OnceLock::new();
        *FIRST.get_or_init(|| Self::over(MEASURED))
    }

    /// As [`first`](Self::first), on a machine that was `calibrated`; returns its
    /// slowdown at that moment.
    pub fn begin(calibrated: f64) -> f64 {
        Self::first().slowdown(*CALIBRATED.get_or_init(|| calibrated))
    }

    /// By what a limit that was set at the first pace has to be stretched at this one: at least by
    /// 1, and both together by no more than a busy host stretches any.
    pub fn stretch(self) -> f64 {
        self.stretch_since(Self::first(), CALIBRATED.get().copied())
    }

    fn stretch_since(self, before: Self, calibrated: Option<f64>) -> f64 {
        let ratio = before.0 / self.0.max(1.0);
        calibrated.map_or(ratio, |own| self.slowdown(own) / before.slowdown(own)).clamp(1.0, MOST)
    }

    /// Whether the machine is emulated or overloaded.
    pub fn is_slow(self) -> bool {
        self.slowdown(1.0) >= SLOW
    }

    /// As [`slowdown`].
    pub fn slowdown(self, calibrated: f64) -> f64 {
        slowdown(calibrated, self.0)
    }
}

/// Of the calling thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// What a hypervisor has taken of the machine's processors, in clock ticks, and all that
/// passed on them (proc(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stolen {
    stolen: u64,
    all: u64,
}

impl Stolen {
    fn now() -> Self {
        Self::read(&std::fs::read_to_string(super::handles::proc("stat")).unwrap_or_default())
    }

    fn read(stat: &str) -> Self {
        let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        // The last two are part of the first two.
        let ticks: Vec<u64> =
            line.split_whitespace().filter_map(|field| field.parse().ok()).take(8).collect();
        // Idle processors have nothing taken from them.
        let busy =
            ticks.iter().enumerate().filter(|(at, _)| ![3, 4].contains(at)).map(|(_, ticks)| ticks).sum();
        Self { stolen: ticks.get(7).copied().unwrap_or(0), all: busy }
    }

    /// The share that was taken in between.
    fn since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all);
        if all == 0 { 0.0 } else { self.stolen.saturating_sub(before.stolen) as f64 / all as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_host_stretches_limits_and_an_idle_one_does_not_shrink_them() {
        assert!((slowdown(10.0, REFERENCE) - 10.0).abs() < 1e-9);
        assert!((slowdown(10.0, REFERENCE / 20.0) - 20.0).abs() < 1e-9);
        assert!((slowdown(10.0, 0.0) - 40.0).abs() < 1e-9);
        let stretched = |now, before, calibrated| Pace(now).stretch_since(Pace(before), calibrated);
        assert!((stretched(50.0, 100.0, None) - 2.0).abs() < 1e-9);
        assert!((stretched(100.0, 50.0, None) - 1.0).abs() < 1e-9);
        assert!((stretched(1.0, 50.0, None) - MOST).abs() < 1e-9);
    }

    #[test]
    fn a_limit_that_was_set_on_a_busy_machine_is_not_stretched_again_for_that() {
        let at = |slowdown: f64| Pace(REFERENCE / slowdown);
        let stretched = |now, before| at(now).stretch_since(at(before), Some(10.0));
        assert!((stretched(20.0, 10.0) - 2.0).abs() < 1e-9);
        assert!((stretched(900.0, 20.0) - 2.0).abs() < 1e-9, "forty times the reference in all");
        assert!((stretched(900.0, 40.0) - 1.0).abs() < 1e-9);
        assert!((stretched(8.0, 4.0) - 1.0).abs() < 1e-9, "faster than it was calibrated");
    }

    #[test]
    fn a_machine_a_third_as_fast_as_the_reference_machine_is_slow() {
        assert!(Pace(REFERENCE / 3.1).is_slow());
        assert!(!Pace(REFERENCE / 2.9).is_slow());
    }

    #[test]
    fn speed_is_measured() {
        assert!(calls_per_second() > 1000.0);
        assert!(Pace::now().0 > 1000.0);
    }

    #[test]
    fn the_share_that_a_hypervisor_took_is_of_what_the_processors_did() {
        let before = Stolen::read("cpu  100 0 50 9000 10 0 0 40 7 7\ncpu0 1 2 3\n");
        let after = Stolen::read("cpu  130 0 50 9900 10 0 0 50 9 9\n");
        assert!((after.since(before) - 0.25).abs() < 1e-9);
        assert!(before.since(before).abs() < 1e-9);
        assert_eq!(Stolen::read(""), Stolen::default());
    }
}
