//! `outcome.json`: how the grade of one submission ended, and whether its report is of what is
//! handed in now.

use serde::{Deserialize, Serialize};

/// How the grade of one submission ended: `outcome.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What came of it.
    pub state: State,
    /// The submission's digest.
    pub sha256: String,
    /// The digest of everything that the report depends on: submission, machine,
    /// harness and options.
    pub key: String,
    /// The digest of the rubric that it was marked with.
    pub rubric: String,
    /// How often it was tried.
    pub tries: u8,
    /// How long all tries took together.
    pub seconds: f64,
    /// What was wrong, where something was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The digest of what was handed in, as the roster has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub handed_in: String,
    /// A later grade that failed, so that the report is still the one from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Attempt>,
}

/// A grade that failed and left an earlier report as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// What came of it: never [`State::Graded`].
    pub state: State,
    /// What was wrong.
    pub message: String,
    /// The digest of what was handed in.
    pub handed_in: String,
    /// Whether that is known to be another submission than the one that the report is of.
    pub changed: bool,
}

impl Outcome {
    /// Whether this is about what is handed in now: where it is, a remark about a later grade
    /// that failed; where it is not, the reason why there is no mark.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub fn of_now(&self, handed_in: Option<&str>) -> Result<Option<String>, String> {
        let is_now = |other: &str| handed_in.is_none_or(|now| now == other);
        match self.failed.as_ref().filter(|failed| is_now(&failed.handed_in)) {
            Some(Attempt { changed: true, state, message, .. }) => Err(match state {
                State::Unreadable => format!("cannot be graded: {message}"),
                _ => format!("the infrastructure failed: {message}; the report is of an earlier submission"),
            }),
            Some(Attempt { message, .. }) => Ok(Some(format!(
                "the mark is from the earlier report, because the last grade failed: {message}"
            ))),
            None if is_now(&self.handed_in) => Ok(None),
            None => {
                Err("the report is of an earlier submission: not graded yet; run `harness class grade` again"
                    .to_owned())
            }
        }
    }
}

/// What came of a grade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is a report, with a verdict on every check.
    Graded,
    /// The submission cannot be read.
    Unreadable,
    /// Our side failed, twice.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(failed: Option<Attempt>) -> Outcome {
        Outcome {
            state: State::Graded,
            sha256: "s".to_owned(),
            key: String::new(),
            rubric: String::new(),
            tries: 1,
            seconds: 1.0,
            message: String::new(),
            handed_in: "one".to_owned(),
            failed,
        }
    }

    #[test]
    fn a_mark_counts_only_for_what_is_handed_in_now() {
        let graded = outcome(None);
        assert_eq!(graded.of_now(Some("one")), Ok(None));
        assert_eq!(graded.of_now(None), Ok(None));
        assert!(graded.of_now(Some("two")).unwrap_err().contains("an earlier submission: not graded yet"));
        let failed = |changed, handed_in: &str| {
            let (message, handed_in) = ("disk full".to_owned(), handed_in.to_owned());
            outcome(Some(Attempt { state: State::Failed, message, handed_in, changed }))
        };
        assert!(failed(false, "one").of_now(Some("one")).unwrap().unwrap().contains("disk full"));
        assert!(failed(true, "two").of_now(Some("two")).unwrap_err().contains("disk full"));
        assert!(failed(true, "two").of_now(Some("three")).unwrap_err().contains("not graded yet"));
        assert_eq!(failed(true, "two").of_now(Some("one")), Ok(None));
    }
}
