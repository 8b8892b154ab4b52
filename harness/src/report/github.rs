//! `annotations.txt`, for a GitHub workflow: the workflow commands that mark a run with the
//! checks that lost the most. Whoever prints them decides where; nothing else in a report may be
//! printed as a command.

use super::text::{shortened, visible};
use crate::verdict::{Cause, Check, Report, Status};

/// GitHub shows about ten annotations of a kind for a step and drops the rest.
const MOST: usize = 10;

/// One command a line; causes, then the dearest checks. Empty where nothing was lost.
pub fn render(report: &Report) -> String {
    let mut lost: Vec<&Check> = report
        .subtasks
        .iter()
        .flat_map(|subtask| &subtask.checks)
        .filter(|check| check.needs_explaining() && check.status != Status::Skip)
        .filter(|check| report.cause_of(check).is_none())
        .collect();
    // A stable sort: among equals, the assignment's order.
    lost.sort_by(|a, b| (b.max - b.score).total_cmp(&(a.max - a.score)));
    let causes = report.causes.iter().map(of_cause);
    causes.chain(lost.into_iter().map(annotation)).take(MOST).collect()
}

/// What went wrong first, at the line that a shell or a compiler named.
fn of_cause(cause: &Cause) -> String {
    let place =
        cause.file.as_ref().map_or_else(String::new, |file| format!("file={},", property(&visible(file))));
    let line = cause.line.map_or_else(String::new, |line| format!("line={line},"));
    let quote = shortened(&visible(&cause.quote), 600, 12);
    let text = format!(
        "{}\n{quote}\nhint: {}\nso these {} checks could not be judged: {}",
        visible(&cause.what),
        cause.hint,
        cause.checks.len(),
        cause.checks.join(" ")
    );
    format!("::error {place}{line}title=what went wrong first::{}\n", message(&text))
}

fn annotation(check: &Check) -> String {
    let level = if check.status == Status::Error { "warning" } else { "error" };
    let seen = shortened(&visible(&check.actual), 600, 12);
    let text = format!("asked: {}\nseen: {seen}\nhint: {}", check.requirement, check.hint);
    format!("::{level} title={}::{}\n", property(&check.id), message(&text))
}

/// What a workflow command would take for its own syntax, as its toolkit escapes it.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, max: f64, actual: &str) -> Check {
        Check {
            id: id.into(),
            title: String::new(),
            status: Status::Fail,
            score: 0.0,
            max,
            requirement: "100 % of it".into(),
            expected: String::new(),
            actual: actual.into(),
            hint: "look there".into(),
            evidence: vec![],
            see: vec![],
            follow_through: None,
        }
    }

    fn report(checks: Vec<Check>) -> Report {
        let subtask = crate::verdict::Subtask {
            id: "1".into(),
            title: String::new(),
            status: Status::Fail,
            score: 0.0,
            follow_through: 0.0,
            max: 0.0,
            seconds: 0.0,
            checks,
        };
        Report {
            schema: "harness-report/1".into(),
            submission: crate::verdict::SubmissionInfo {
                id: String::new(),
                source: String::new(),
                sha256: String::new(),
            },
            environment: crate::verdict::Environment::default(),
            score: 0.0,
            follow_through: 0.0,
            max: 0.0,
            causes: vec![],
            subtasks: vec![subtask],
            ..Report::default()
        }
    }

    #[test]
    fn what_a_program_printed_cannot_end_its_annotation_or_begin_another() {
        let text = render(&report(vec![check("1/transcript", 2.0, "x\r\n::error::forged\n::add-mask::y")]));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("::error title=1/transcript::asked: 100 %25 of it%0A"), "{text}");
        assert!(text.contains("x␍%0A::error::forged%0A"), "{text}");
    }

    #[test]
    fn the_ten_dearest_checks_are_shown() {
        let checks = (0..12).map(|n| check(&format!("1/c{n}"), f64::from(n), "")).collect();
        let text = render(&report(checks));
        assert_eq!(text.lines().count(), 10);
        assert!(text.starts_with("::error title=1/c11::"), "{text}");
        assert!(!text.contains("1/c1::"), "{text}");
    }
}
