//! How fast the machine is at this moment, by the work that a benchmark of task 2 does.

use std::time::{Duration, Instant};

use nix::libc;

/// Calls of `rand()` in a second on the reference machine (a guest under KVM on a current server).
const REFERENCE: f64 = 166e6;

/// Calls of glibc's `rand()` in a second here and now. Takes a tenth of a second: long enough to average over what
/// else the host does.
pub fn calls_per_second() -> f64 {
    const BATCH: u32 = 10_000;
    let started = Instant::now();
    let mut calls = 0.0;
    while started.elapsed() < Duration::from_millis(100) {
        for _ in 0..BATCH {
            // SAFETY: takes no pointers, and nothing else here uses the generator.
            std::hint::black_box(unsafe { libc::rand() });
        }
        calls += f64::from(BATCH);
    }
    calls / started.elapsed().as_secs_f64()
}

/// By what a limit that suits the reference machine has to be stretched now: `calibrated` was measured once in a
/// quiet moment, `calls_per_second` just now, when the host may have more to do. A program that hangs keeps a busy
/// host waiting no more than four times as long.
pub fn slowdown(calibrated: f64, calls_per_second: f64) -> f64 {
    (REFERENCE / calls_per_second.max(1.0)).clamp(calibrated, 4.0 * calibrated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_host_stretches_limits_and_an_idle_one_does_not_shrink_them() {
        assert!((slowdown(10.0, REFERENCE) - 10.0).abs() < 1e-9);
        assert!((slowdown(10.0, REFERENCE / 20.0) - 20.0).abs() < 1e-9);
        assert!((slowdown(10.0, 0.0) - 40.0).abs() < 1e-9);
    }

    #[test]
    fn speed_is_measured() {
        assert!(calls_per_second() > 1000.0);
    }
}
