//! How judges phrase what they found.

use crate::evidence::{Bundle, Ending, Recording};
use crate::task::CheckSpec;
use crate::verdict::{Finding, Status};

/// A check together with what would pass it in this run.
#[derive(Clone, Debug)]
pub struct Question {
    check: &'static str,
    expected: String,
    evidence: Vec<String>,
}

impl Question {
    /// What `check` asks of this run.
    pub fn new(check: &'static str, expected: impl Into<String>) -> Self {
        Self { check, expected: expected.into(), evidence: Vec::new() }
    }

    /// Names the place in the bundle that shows the answer.
    #[must_use]
    pub fn proof(mut self, place: impl Into<String>) -> Self {
        self.evidence.push(place.into());
        self
    }

    /// It was seen.
    pub fn pass(self, actual: impl Into<String>) -> Finding {
        self.end(Status::Pass, actual.into())
    }

    /// Something else was seen.
    pub fn fail(self, actual: impl Into<String>) -> Finding {
        self.end(Status::Fail, actual.into())
    }

    /// It could not come to that.
    pub fn skip(self, because: impl Into<String>) -> Finding {
        self.end(Status::Skip, because.into())
    }

    /// Nothing could be seen, and the submission is not to blame.
    pub fn error(self, what: impl Into<String>) -> Finding {
        self.end(Status::Error, what.into())
    }

    /// Passes or fails.
    pub fn answer(self, holds: bool, actual: impl Into<String>) -> Finding {
        if holds { self.pass(actual) } else { self.fail(actual) }
    }

    fn end(self, status: Status, actual: String) -> Finding {
        Finding { check: self.check, status, expected: self.expected, actual, evidence: self.evidence }
    }
}

/// A scenario's recording, or one finding for every check when there is none to judge by.
pub fn recording<'a>(
    bundle: &'a Bundle,
    scenario: &str,
    checks: &'static [CheckSpec],
) -> Result<&'a Recording, Vec<Finding>> {
    let all = |what: &str| {
        let error = |spec: &CheckSpec| Question::new(spec.id, "a verdict").error(what);
        Err(checks.iter().map(error).collect())
    };
    match bundle.recordings.get(scenario) {
        None => all(&format!("the scenario {scenario} was not run")),
        Some(Recording { ending: Ending::Infrastructure { what, .. }, .. }) => all(what),
        Some(recording) => Ok(recording),
    }
}

/// Where in the bundle a record is, counted from 1 as lines are.
pub fn place(recording: &Recording, index: usize) -> String {
    format!("evidence/{}/records.jsonl#{}", recording.scenario, index + 1)
}
