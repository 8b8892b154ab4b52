//! Turns evidence into a report: calls every judge, gives each check exactly one verdict, and takes
//! the points from the rubric. Pure: the same bundle and rubric make the same report.

use crate::cause;
use crate::evidence::{Bundle, Cut, Recording};
use crate::follow_through::{self, GRAFTS, Graft};
use crate::lack::{self, Hindrance};
use crate::rubric::Rubric;
use crate::see;
use crate::task::task3::shared::launch::{OBSTRUCTED, Obstruction};
use crate::task::{self, CheckSpec, handed_in, session};
use crate::verdict::{Check, Finding, FollowThrough, Marked, Report, Status, Subtask};

/// Judges the subtasks that a bundle holds.
pub fn judge(bundle: &Bundle, rubric: &Rubric) -> Report {
    let asked = |subtask: &&&task::Subtask| bundle.subtasks.iter().any(|id| id == subtask.id);
    let grafted: Vec<(Graft, Bundle)> =
        GRAFTS.iter().filter_map(|graft| Some((*graft, follow_through::grafted(bundle, *graft)?))).collect();
    let subtasks: Vec<_> = task::subtasks()
        .iter()
        .filter(asked)
        .map(|subtask| judge_subtask(subtask, bundle, &grafted, rubric))
        .collect();
    Report {
        schema: "harness-report/1".to_owned(),
        submission: bundle.submission.clone(),
        environment: bundle.environment.clone(),
        marked: Some(Marked { rubric: rubric.sha256().to_owned(), harness: crate::VERSION.to_owned() }),
        score: rounded(sum(subtasks.iter().map(|subtask| subtask.score))),
        follow_through: rounded(sum(subtasks.iter().map(|subtask| subtask.follow_through))),
        max: rounded(sum(subtasks.iter().map(|subtask| subtask.max))),
        causes: cause::causes(bundle, &subtasks),
        sessions: session::all(bundle),
        subtasks,
        ..Report::default()
    }
}

fn judge_subtask(
    subtask: &task::Subtask,
    bundle: &Bundle,
    grafted: &[(Graft, Bundle)],
    rubric: &Rubric,
) -> Subtask {
    let mut checks = judge_checks(subtask, bundle, rubric);
    for (graft, bundle) in grafted {
        let earning = |check: &&mut Check| {
            let lost = matches!(check.status, Status::Fail | Status::Skip) && check.follow_through.is_none();
            lost && graft.earns(&check.id)
        };
        let mut earning: Vec<&mut Check> = checks.iter_mut().filter(earning).collect();
        if earning.is_empty() {
            continue;
        }
        let again = judge_checks(subtask, bundle, rubric);
        for check in &mut earning {
            let passed = again.iter().find(|other| other.id == check.id && other.status == Status::Pass);
            check.follow_through = passed.map(|passed| FollowThrough {
                replaced: graft.name().to_owned(),
                score: rounded(check.max * rubric.follow_through()),
                actual: passed.actual.clone(),
                evidence: passed.evidence.clone(),
            });
        }
    }
    let recordings = subtask.scenarios.iter().filter_map(|scenario| bundle.recordings.get(*scenario));
    let seconds = sum(recordings.map(|recording| recording.seconds));
    let of_checks = sum(checks.iter().map(|check| check.score));
    let follow_through =
        sum(checks.iter().filter_map(|check| check.follow_through.as_ref()).map(|own| own.score));
    Subtask {
        id: subtask.id.to_owned(),
        title: subtask.title.to_owned(),
        status: subtask_status(&checks),
        score: rounded(of_checks + follow_through),
        follow_through: rounded(follow_through),
        max: rounded(sum(checks.iter().map(|check| check.max))),
        seconds: (seconds * 10.0).round() / 10.0,
        checks,
    }
}

/// One verdict for every check of a subtask.
fn judge_checks(subtask: &task::Subtask, bundle: &Bundle, rubric: &Rubric) -> Vec<Check> {
    if let Some(file) = handed_in::missing(subtask.id, &bundle.layout) {
        let skipped = |spec: &&CheckSpec| {
            let finding = Finding::new(spec.id, Status::Skip, "", format!("not handed in: {file}"));
            check(spec, finding, None, rubric)
        };
        return subtask.checks.iter().map(skipped).collect();
    }
    let mut findings = (subtask.judge)(bundle);
    let cut = cut_short(subtask, bundle);
    let recordings = subtask.scenarios.iter().filter_map(|scenario| bundle.recordings.get(*scenario));
    let hindrances: Vec<Hindrance> = recordings.flat_map(lack::hindrances).collect();
    subtask
        .checks
        .iter()
        .map(|spec| {
            let finding = match findings.iter().position(|finding| finding.check == spec.id) {
                Some(at) => findings.swap_remove(at),
                None => Finding::new(
                    spec.id,
                    Status::Error,
                    "",
                    "the grader gave no verdict: this is a bug in the grader",
                ),
            };
            let finding = hindrances.iter().fold(finding, |finding, one| one.applied_to(finding));
            let check = check(spec, finding, cut.as_ref(), rubric);
            let see = if check.status == Status::Fail {
                see::commands(spec, &check.evidence, bundle)
            } else {
                vec![]
            };
            Check { see, ..check }
        })
        .collect()
}

/// Why the subtask's evidence is incomplete: the ending of its first unfinished scenario, or
/// what blocked the grader in the submission's folder. An ending that the harness caused
/// comes before others.
fn cut_short(subtask: &task::Subtask, bundle: &Bundle) -> Option<Cut> {
    let cuts = subtask.scenarios.iter().filter_map(|scenario| match bundle.recording(scenario) {
        Ok(recording) => recording.cut().or_else(|| obstruction(recording)),
        Err(cut) => Some(cut),
    });
    cuts.max_by_key(|cut| cut.status)
}

fn obstruction(recording: &Recording) -> Option<Cut> {
    let Obstruction { what, .. } = recording.first(OBSTRUCTED)?;
    Some(Cut {
        status: Status::Fail,
        sentence: format!(
            "the submission changed its own folder, so a part of the test could not run: {what}"
        ),
    })
}

fn check(spec: &CheckSpec, finding: Finding, cut: Option<&Cut>, rubric: &Rubric) -> Check {
    let max = rubric.points(spec.id);
    let (status, actual) = match (finding.status, cut) {
        (Status::Pass, _) | (_, None) => (finding.status, finding.actual),
        // No mark is lost to a failure of ours, whatever a judge made of what
        // little there was to see.
        (_, Some(Cut { status: Status::Error, sentence })) => (Status::Error, sentence.clone()),
        (Status::Error, _) => (Status::Error, finding.actual),
        (status, Some(Cut { sentence, .. })) if finding.actual.is_empty() => (status, sentence.clone()),
        (status, Some(Cut { sentence, .. })) if finding.actual.contains(sentence) => (status, finding.actual),
        (status, Some(Cut { sentence, .. })) => (status, format!("{} ({sentence})", finding.actual)),
    };
    Check {
        id: spec.id.to_owned(),
        title: spec.title.to_owned(),
        status,
        score: if status == Status::Pass { max } else { 0.0 },
        max,
        requirement: spec.requirement.to_owned(),
        expected: finding.expected,
        actual,
        hint: spec.hint.to_owned(),
        evidence: finding.evidence,
        see: vec![],
        follow_through: None,
    }
}

/// The checks that decide a subtask's status. Informational checks count only if
/// there are no others.
fn subtask_status(checks: &[Check]) -> Status {
    let counted: Vec<_> = match checks.iter().filter(|check| check.max > 0.0).collect::<Vec<_>>() {
        marked if marked.is_empty() => checks.iter().collect(),
        marked => marked,
    };
    let all = |status| counted.iter().all(|check| check.status == status);
    let any = |status| counted.iter().any(|check| check.status == status);
    if any(Status::Error) {
        Status::Error
    } else if all(Status::Pass) {
        Status::Pass
    } else if all(Status::Skip) {
        Status::Skip
    } else if any(Status::Pass) {
        Status::Partial
    } else {
        Status::Fail
    }
}

/// Adds numbers. `Iterator::sum` of no numbers is -0.0, which a report would show.
fn sum(numbers: impl Iterator<Item = f64>) -> f64 {
    numbers.fold(0.0, |sum, number| sum + number)
}

/// Rounds points to thousandths, so that sums of tenths show no error of binary fractions.
fn rounded(points: f64) -> f64 {
    (points * 1000.0).round() / 1000.0
}

/// The exit status of a judged run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check that carries marks passed.
    AllPassed,
    /// Marks were lost.
    MarksLost,
    /// At least one check has no verdict.
    NoVerdict,
}

/// The exit status for a report.
pub fn outcome(report: &Report) -> Outcome {
    let checks = || report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    if checks().any(|check| check.status == Status::Error) {
        Outcome::NoVerdict
    } else if checks().any(Check::needs_explaining) {
        Outcome::MarksLost
    } else {
        Outcome::AllPassed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: CheckSpec = CheckSpec {
        id: "1/transcript",
        title: "",
        requirement: "",
        hint: "",
        see: &[],
        informational: false,
        needs: &[],
        considers: &[],
        how: "",
        causes: &[],
        man: &[],
    };

    fn judged(status: Status, cut: Option<Status>) -> Check {
        let cut = cut.map(|status| Cut { status, sentence: "the machine went away".into() });
        check(&SPEC, Finding::new(SPEC.id, status, "", "seen"), cut.as_ref(), &Rubric::default())
    }

    #[test]
    fn a_failure_of_ours_takes_no_mark_and_leaves_what_was_seen_to_pass() {
        assert_eq!(judged(Status::Fail, Some(Status::Error)).status, Status::Error);
        assert_eq!(judged(Status::Skip, Some(Status::Error)).status, Status::Error);
        let passed = judged(Status::Pass, Some(Status::Error));
        assert_eq!((passed.status, passed.actual.as_str()), (Status::Pass, "seen"));
    }

    #[test]
    fn a_machine_that_the_submission_lost_is_named_beside_what_was_seen() {
        let failed = judged(Status::Fail, Some(Status::Fail));
        assert_eq!(failed.status, Status::Fail);
        assert_eq!(failed.actual, "seen (the machine went away)");
    }

    #[test]
    fn an_error_is_not_explained_by_what_the_submission_did() {
        let error = judged(Status::Error, Some(Status::Fail));
        assert_eq!((error.status, error.actual.as_str()), (Status::Error, "seen"));
    }

    #[test]
    fn nothing_adds_up_to_a_zero_without_a_sign() {
        assert!(sum(std::iter::empty()).is_sign_positive());
    }

    #[test]
    fn only_checks_with_marks_make_a_subtask_fail() {
        let informational = Check { max: 0.0, ..judged(Status::Fail, None) };
        assert_eq!(subtask_status(&[judged(Status::Pass, None), informational]), Status::Pass);
        assert_eq!(
            subtask_status(&[judged(Status::Pass, None), judged(Status::Fail, None)]),
            Status::Partial
        );
        assert_eq!(subtask_status(&[judged(Status::Skip, None), judged(Status::Fail, None)]), Status::Fail);
    }
}
