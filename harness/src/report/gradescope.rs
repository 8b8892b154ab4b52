//! `results.json`, as Gradescope's autograder reads it: the score, and a test for each
//! check that carries marks.

use serde_json::{Value, json};

use super::changes::sentences;
use super::text::{points, shortened, visible};
use crate::verdict::{Check, Report, Status};

/// How much of what was seen a test quotes.
const MOST_QUOTED: usize = 4000;
const MOST_LINES: usize = 60;

/// The report as one JSON object, with a newline at its end.
pub fn render(report: &Report) -> String {
    let checks = report.subtasks.iter().flat_map(|subtask| &subtask.checks);
    let tests: Vec<Value> = checks.filter(|check| check.max > 0.0).map(test).collect();
    let results = json!({
        "score": report.score,
        "execution_time": report.environment.seconds,
        "output": sentences(report).join("\n"),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "after_published",
        "extra_data": { "id": report.submission.id, "max": report.max, "harness": report.environment.harness },
        "tests": tests,
    });
    format!("{results:#}\n")
}

fn test(check: &Check) -> Value {
    let own = check.follow_through.as_ref().map_or(0.0, |own| own.score);
    let mut output = vec![];
    match check.status {
        Status::Error => {
            output.push("no verdict: the grader failed, and no mark was given or taken".to_owned());
        }
        Status::Skip => output.push("not tried: something that it needs failed first".to_owned()),
        Status::Pass | Status::Fail | Status::Partial => {}
    }
    if let Some(again) = &check.follow_through {
        output.push(format!("{} points {}", points(again.score), again.condition()));
    }
    if check.status != Status::Pass {
        let texts = [("asked", &check.requirement), ("seen", &check.actual), ("hint", &check.hint)];
        for (word, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            output.push(format!("{word}: {}", shortened(&visible(text), MOST_QUOTED, MOST_LINES)));
        }
    }
    json!({
        "name": check.id,
        "score": check.score + own,
        "max_score": check.max,
        "status": if check.status == Status::Pass { "passed" } else { "failed" },
        "output": output.join("\n"),
        "output_format": "text",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Subtask;

    #[test]
    fn a_check_is_a_test_and_what_carries_no_marks_is_none() {
        let check = |id: &str, status, max| Check {
            id: id.into(),
            title: String::new(),
            status,
            score: if status == Status::Pass { max } else { 0.0 },
            max,
            requirement: "asked".into(),
            expected: String::new(),
            actual: "\u{1b}[2Jseen".into(),
            hint: String::new(),
            evidence: vec![],
            see: vec![],
            follow_through: None,
        };
        let checks = vec![
            check("1/a", Status::Pass, 2.0),
            check("1/b", Status::Fail, 1.0),
            check("1/c", Status::Fail, 0.0),
        ];
        let subtask = Subtask {
            id: "1".into(),
            title: String::new(),
            status: Status::Partial,
            score: 2.0,
            follow_through: 0.0,
            max: 3.0,
            seconds: 0.0,
            checks,
        };
        let report = Report { subtasks: vec![subtask], score: 2.0, max: 3.0, ..Report::default() };
        let results: Value = serde_json::from_str(&render(&report)).unwrap();
        assert_eq!(results["score"], 2.0);
        assert_eq!(results["tests"].as_array().unwrap().len(), 2);
        assert_eq!(results["tests"][0]["status"], "passed");
        assert_eq!(results["tests"][1]["output"], "asked: asked\nseen: ␛[2Jseen");
    }
}
