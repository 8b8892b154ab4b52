//! Stands in for the scenarios that a stopped run did not drive.

use serde_json::Value;

use crate::evidence::{Bundle, Ending, Recording, STOPPED};
use crate::task::Scenario;

/// Adds a recording for each scenario that has none: it says that the user stopped the run.
/// Returns the number of scenarios with a recording of their own. The added recordings are not
/// written into the evidence.
pub fn fill_in_stopped(bundle: &mut Bundle, scenarios: &[&Scenario]) -> usize {
    let mut kept = 0;
    for scenario in scenarios {
        if bundle.recordings.contains_key(scenario.id) {
            kept += 1;
            continue;
        }
        let stopped = Recording {
            scenario: scenario.id.to_owned(),
            plan: Value::Null,
            ending: Ending::Infrastructure { what: STOPPED.to_owned(), console: Vec::new() },
            seconds: 0.0,
            records: Vec::new(),
        };
        bundle.recordings.insert(scenario.id.to_owned(), stopped);
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::judge::judge;
    use crate::rubric::Rubric;
    use crate::task;
    use crate::verdict::{Environment, Status, SubmissionInfo};

    #[test]
    fn checks_of_a_stopped_run_say_who_stopped_it() {
        let mut bundle = Bundle {
            submission: SubmissionInfo::default(),
            environment: Environment::default(),
            subtasks: vec!["1".into(), "2a".into()],
            layout: Value::Null,
            recordings: BTreeMap::new(),
        };
        let scenarios = task::scenarios();
        assert_eq!(fill_in_stopped(&mut bundle, &scenarios[..2]), 0);
        let report = judge(&bundle, &Rubric::default());
        for check in report.subtasks.iter().flat_map(|subtask| &subtask.checks) {
            assert_eq!((check.status, check.actual.as_str()), (Status::Error, STOPPED), "{}", check.id);
        }
        assert_eq!(fill_in_stopped(&mut bundle, &scenarios[..3]), 2);
    }
}
