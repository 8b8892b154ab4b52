//! Computes how long the host waits for a scenario to end.

use std::time::{Duration, Instant};

use crate::evidence::Record;
use crate::evidence::limits::PACE;
use crate::evidence::limits::{EXTENDED, Unfinished, WORKING};
use crate::task::Budget;

/// How old the last record of known work may be. The guest half sends one every 30 seconds.
const RECENT: Duration = Duration::from_secs(90);

/// How much longer than its budget a scenario may take. The guest half asks for more time if the
/// machine is slower than its calibration, or if known work still progresses at a limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    budget: Budget,
    calibrated: f64,
    paced: Duration,
    extended: Duration,
    /// When the last record of known work arrived.
    worked: Option<Instant>,
}

impl Allowance {
    /// The longest extension, as a multiple of the budget: the guest half is not trusted beyond
    /// that.
    const MOST: u32 = 8;

    pub fn of(budget: Budget, calibrated: f64) -> Self {
        Self { budget, calibrated, paced: Duration::ZERO, extended: Duration::ZERO, worked: None }
    }

    /// Updates the extension from a record and returns it in milliseconds.
    pub fn after(&mut self, record: &Record) -> u64 {
        let usual = self.budget.on(self.calibrated);
        match record.kind.as_str() {
            PACE => {
                let slowdown = record.data.as_f64().unwrap_or_default().clamp(self.calibrated, 1e6);
                self.paced = self.budget.on(slowdown).saturating_sub(usual);
            }
            EXTENDED => {
                let seconds = record.data["seconds"].as_f64().unwrap_or_default().clamp(0.0, 1e6);
                self.extended += Duration::from_secs_f64(seconds);
            }
            WORKING => self.worked = Some(Instant::now()),
            _ => {}
        }
        (self.paced + self.extended).min(Self::MOST * usual).as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// The record for a scenario that timed out after `after`, if known work still progressed at
    /// the end.
    pub fn unfinished(&self, scenario: &str, after: Duration) -> Option<Unfinished> {
        let is_recent = self.worked.is_some_and(|worked| worked.elapsed() < RECENT);
        is_recent.then(|| Unfinished {
            step: format!("the scenario {scenario}"),
            work: "known work was still running".to_owned(),
            seconds: after.as_secs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_scenario_gets_what_the_guest_half_says_it_needs_up_to_a_bound() {
        let budget = Budget { fixed: 100, scaled: 10 };
        let mut allowance = Allowance::of(budget, 10.0);
        let mut after = |kind: &str, data: Value| {
            allowance.after(&Record { ms: 0, host_ms: None, kind: kind.to_owned(), data })
        };
        assert_eq!(after("begin", Value::Null), 0);
        assert_eq!(after(PACE, 5.0.into()), 0, "no less than calibrated");
        assert_eq!(after(PACE, 20.0.into()), 100_000);
        assert_eq!(after(EXTENDED, serde_json::json!({ "seconds": 30.0 })), 130_000);
        assert_eq!(after("output", Value::Null), 130_000);
        assert_eq!(after(EXTENDED, serde_json::json!({ "seconds": -5 })), 130_000);
        assert_eq!(after(EXTENDED, serde_json::json!({ "seconds": 1e300 })), 1_600_000);
        assert_eq!(after(EXTENDED, serde_json::json!({ "seconds": 1e300 })), 1_600_000);
    }
    #[test]
    fn a_timeout_during_known_work_is_recorded_as_unfinished() {
        let mut allowance = Allowance::of(Budget { fixed: 100, scaled: 10 }, 1.0);
        let after = Duration::from_secs(110);
        assert_eq!(allowance.unfinished("4-matrix", after), None);
        allowance.after(&Record { ms: 0, host_ms: None, kind: WORKING.to_owned(), data: Value::Null });
        let unfinished = allowance.unfinished("4-matrix", after).unwrap();
        assert_eq!((unfinished.step.as_str(), unfinished.seconds), ("the scenario 4-matrix", 110));
        allowance.worked = Instant::now().checked_sub(RECENT);
        assert_eq!(allowance.unfinished("4-matrix", after), None);
    }
}
