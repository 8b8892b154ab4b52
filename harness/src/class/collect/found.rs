//! The report of a submission as it is now, or why there is none.

use std::collections::BTreeMap;

use super::Request;
use crate::class::absent;
use crate::class::results::{self, Member, Roster, State};
use crate::evidence::Bundle;
use crate::rubric::Rubric;
use crate::verdict::{Environment, Report, SubmissionInfo};
use crate::{bundle, judge};

/// A report with the subtasks and points of the class: anybody's, or nobody's where there is none.
pub fn any_report(request: &Request, roster: &Roster) -> Report {
    let mut all = roster.entries.iter();
    let found = all.find_map(|member| report(request, roster, member, &mut 0.0).ok());
    found.map_or_else(
        || {
            let all = || crate::task::subtasks().iter().map(|subtask| subtask.id.to_owned()).collect();
            let bundle = Bundle {
                submission: SubmissionInfo::default(),
                environment: Environment::default(),
                subtasks: if roster.subtasks.is_empty() { all() } else { roster.subtasks.clone() },
                layout: serde_json::Value::Null,
                recordings: BTreeMap::new(),
            };
            judge::judge(&bundle, request.rubric.unwrap_or(&Rubric::default()))
        },
        |found| found.report,
    )
}

/// Why there is no report.
pub struct Missing {
    /// The reason, as a sentence.
    pub why: String,
    /// Whether none is to come of what was handed in, and there was none before.
    pub is_for_good: bool,
}

impl From<String> for Missing {
    fn from(why: String) -> Self {
        Self { why, is_for_good: false }
    }
}

/// The report of a submission.
pub struct Found {
    /// Marked with the rubric that was asked for.
    pub report: Report,
    /// Why its mark is not final.
    pub problem: Option<String>,
    /// What a person should know.
    pub remark: Option<String>,
}

/// Finds the report of a submission, marked with the rubric that was asked for. `seconds` gets the
/// time that its grade took.
///
/// # Errors
/// Why there is none.
pub fn report(
    request: &Request,
    roster: &Roster,
    member: &Member,
    seconds: &mut f64,
) -> Result<Found, Missing> {
    let is_for_good = !request.results.report(&member.id).exists();
    match member.problems.as_slice() {
        [] => {}
        [nothing] if nothing == absent::NOTHING => {
            return Err(Missing { why: nothing.clone(), is_for_good });
        }
        [elsewhere] if elsewhere == absent::MISSING => return Err(elsewhere.clone().into()),
        several => {
            return Err(Missing { why: format!("not graded: {}", several.join("; ")), is_for_good });
        }
    }
    let again = |error: results::Error| {
        format!("{}; to grade it again, run `harness class grade` again", vm::chain(&error))
    };
    let outcome = request.results.outcome(&member.id).map_err(again)?;
    let Some(outcome) = outcome else {
        return Err("not graded yet, or its grade was cut off: run `harness class grade` again"
            .to_owned()
            .into());
    };
    let remark = outcome.of_now(member.handed_in.as_deref())?;
    *seconds = outcome.seconds;
    if outcome.state == State::Unreadable {
        return Err(Missing { why: format!("cannot be graded: {}", outcome.message), is_for_good });
    }
    let report = request.results.read_report(&member.id).map_err(again)?;
    let Some(mut report) = report.filter(|report| report.submission.sha256 == outcome.sha256) else {
        let message =
            if outcome.message.is_empty() { "run `harness class grade` again" } else { &outcome.message };
        return Err(format!("the infrastructure failed, no report: {message}").into());
    };
    other_subtasks(roster, &report).map_or(Ok(()), Err)?;
    if let Some(rubric) = request.rubric {
        let is_current = report
            .marked
            .as_ref()
            .is_some_and(|marked| marked.rubric == rubric.sha256() && marked.harness == crate::VERSION);
        if !is_current {
            let bundle =
                bundle::read(&request.results.report(&member.id)).map_err(|error| vm::chain(&error))?;
            report = judge::judge(&bundle, rubric);
        }
    }
    let problem = match judge::outcome(&report) {
        judge::Outcome::NoVerdict => {
            Some("the infrastructure failed: a check has no verdict, so the mark is not final".to_owned())
        }
        _ if outcome.state == State::Failed => {
            Some(format!("the infrastructure failed: {}", outcome.message))
        }
        _ => None,
    };
    Ok(Found { report, problem, remark })
}

/// What to say of a report whose points are out of other subtasks than those of the class.
fn other_subtasks(roster: &Roster, report: &Report) -> Option<String> {
    let covered: Vec<&str> = report.subtasks.iter().map(|subtask| subtask.id.as_str()).collect();
    let asked: Vec<&str> = roster.subtasks.iter().map(String::as_str).collect();
    (!asked.is_empty() && covered != asked).then(|| {
        format!(
            "its report covers {}, and the class was last graded for {}: run `harness class grade` again with one --only \
             for everybody",
            covered.join(","),
            asked.join(",")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Kind;
    use crate::class::results::Results;
    use crate::verdict::Status;

    #[test]
    fn a_report_of_other_subtasks_is_named_and_one_of_the_same_is_not() {
        let home = tempfile::tempdir().unwrap();
        let roster = |subtasks: &str| -> Roster {
            let text = format!(
                r#"{{"schema":"harness-class/1","kind":"folder","source":"x","subtasks":{subtasks},"entries":[]}}"#
            );
            std::fs::write(home.path().join("class.json"), text).unwrap();
            Results::at(home.path()).roster().unwrap()
        };
        let mut report = Report::default();
        report.subtasks.extend(["1", "2a"].map(|id| crate::verdict::Subtask {
            id: id.to_owned(),
            title: String::new(),
            status: Status::Pass,
            score: 1.0,
            follow_through: 0.0,
            max: 1.0,
            seconds: 0.0,
            checks: vec![],
        }));
        assert_eq!(roster("[]").kind, Kind::Folder);
        assert_eq!(other_subtasks(&roster("[]"), &report), None);
        assert_eq!(other_subtasks(&roster(r#"["1","2a"]"#), &report), None);
        let said = other_subtasks(&roster(r#"["1"]"#), &report).unwrap();
        assert!(said.contains("covers 1,2a") && said.contains("graded for 1:"), "{said}");
    }
}
