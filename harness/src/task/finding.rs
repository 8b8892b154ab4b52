//! A question about one check, and the findings that answer it.

use crate::evidence::{Bundle, Ending, Recording};
use crate::task::check::{self, CheckSpec, Row};
use crate::verdict::{Finding, Status};

/// A check together with what would pass it in this run.
#[derive(Clone, Debug)]
pub struct Question {
    check: &'static CheckSpec,
    expected: String,
    evidence: Vec<String>,
}

impl Question {
    /// What a check asks.
    pub fn of(check: &'static CheckSpec) -> Self {
        Self { check, expected: String::new(), evidence: Vec::new() }
    }

    /// Says what would pass in this run's own terms.
    #[must_use]
    pub fn expects(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Names the place in the bundle that shows the answer.
    #[must_use]
    pub fn proof(mut self, place: impl Into<String>) -> Self {
        self.evidence.push(place.into());
        self
    }

    /// It was seen.
    pub fn pass(self, actual: impl Into<String>) -> Finding {
        self.end(Status::Pass, actual)
    }

    /// Something else was seen.
    pub fn fail(self, actual: impl Into<String>) -> Finding {
        self.end(Status::Fail, actual)
    }

    /// It could not be judged.
    pub fn skip(self, because: impl Into<String>) -> Finding {
        self.end(Status::Skip, because)
    }

    /// It is not judged, because a check that it needs did not pass. `seen` is what is
    /// wrong there, or nothing.
    pub fn unmet(self, needed: &'static str, seen: &str) -> Finding {
        debug_assert!(
            self.check.needs.contains(&needed),
            "{} does not name {needed} in `needs`",
            self.check.id
        );
        self.skip(unmet(needed, seen))
    }

    /// Nothing could be seen, and the submission is not to blame.
    pub fn error(self, what: impl Into<String>) -> Finding {
        self.end(Status::Error, what)
    }

    /// Passes or fails.
    pub fn answer(self, holds: bool, actual: impl Into<String>) -> Finding {
        if holds { self.pass(actual) } else { self.fail(actual) }
    }

    /// As the status says.
    pub fn end(self, status: Status, actual: impl Into<String>) -> Finding {
        let actual = actual.into();
        Finding { check: self.check.id, status, expected: self.expected, actual, evidence: self.evidence }
    }
}

/// What a finding says of evidence that an older harness recorded.
pub const OLDER: &str = "the evidence is older than this check: grade the submission again";

/// How the sentence of a check begins that is not judged because another one did not pass.
const UNMET: &str = "not judged: this check needs ";

/// The check that was needed, of a sentence made by [`unmet`].
pub fn needed(sentence: &str) -> Option<&str> {
    sentence.strip_prefix(UNMET)?.split(',').next()
}

/// The sentence of a check that is not judged because another one did not pass.
pub fn unmet(needed: &str, seen: &str) -> String {
    let sentence = format!("{UNMET}{needed}, which did not pass");
    if seen.is_empty() { sentence } else { format!("{sentence} ({seen})") }
}

/// A scenario's recording, or one finding for every check when there is none to judge by.
pub fn recording<'a, J>(
    bundle: &'a Bundle,
    scenario: &str,
    rows: &'static [Row<J>],
) -> Result<&'a Recording, Vec<Finding>> {
    find(bundle, scenario)
        .map_err(|what| check::all(rows, |question| question.expects("a verdict").error(what.clone())))
}

/// A scenario's recording, or why there is none to judge by.
pub fn find<'a>(bundle: &'a Bundle, scenario: &str) -> Result<&'a Recording, String> {
    match bundle.recordings.get(scenario) {
        None => Err(format!("the scenario {scenario} was not run")),
        Some(Recording { ending: Ending::Infrastructure { what, .. }, .. }) => Err(what.clone()),
        Some(recording) => Ok(recording),
    }
}
