//! Files without which a subtask cannot be driven. If such a file is missing, the subtask's checks
//! say so and no machine is started for it.
//!
//! Only the file that is run or compiled counts. Without `setup.sh`, `csfile` or `esfile` the
//! scenario still runs, and the checks that need the file fail.

use serde::Deserialize;
use serde_json::Value;

use super::{Scenario, Subtask, scenarios as all};
use crate::submission::Layout;

/// The file without which nothing of a subtask can be seen.
fn needed(subtask: &str) -> Option<&'static str> {
    match subtask.as_bytes().first()? {
        b'1' => Some("task1/namespace_prog.c"),
        b'2' => Some("task2/simple_container.sh"),
        b'3' => Some("task3/conductor.sh"),
        b'4' => Some("task4/service-orchestrator.sh"),
        _ => None,
    }
}

fn lacks(layout: &Layout, path: &str) -> bool {
    layout.files.iter().all(|file| file.path != path)
}

/// What a subtask needs and was not handed in, by a bundle's layout. `None` also where
/// the bundle has none.
pub fn missing(subtask: &str, layout: &Value) -> Option<&'static str> {
    let path = needed(subtask)?;
    let layout = Layout::deserialize(layout).ok()?;
    lacks(&layout, path).then_some(path)
}

/// The scenarios of these subtasks that there is something to be driven for, in
/// the order they are run.
pub fn scenarios(subtasks: &[&Subtask], layout: &Layout) -> Vec<&'static Scenario> {
    let has_all = |subtask: &&&Subtask| needed(subtask.id).is_none_or(|path| !lacks(layout, path));
    let wanted = |scenario: &&Scenario| {
        subtasks.iter().filter(has_all).any(|subtask| subtask.scenarios.contains(&scenario.id))
    };
    all().into_iter().filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::evidence::Bundle;
    use crate::judge::{Outcome, judge, outcome};
    use crate::rubric::Rubric;
    use crate::submission::{ASKED, FileFact, Form, GitFact};
    use crate::task::subtasks;
    use crate::verdict::{Environment, Status, SubmissionInfo};

    /// The layout of a submission with those of the seven files that a number's bits name.
    fn layout(which: u32) -> Layout {
        let file = |path: &str| FileFact {
            path: path.to_owned(),
            found_as: None,
            bytes: 1,
            crlf: false,
            lacks_run_bit: false,
        };
        let there = ASKED.iter().enumerate().filter(|(bit, _)| which >> bit & 1 == 1);
        Layout {
            form: Form::Tar,
            folder: Some("23m0001_assignment3".to_owned()),
            depth: 1,
            entries: 1,
            left_aside: vec![],
            files: there.map(|(_, path)| file(path)).collect(),
            replaced: vec![],
            scripts: vec![],
            archives: vec![],
            git: GitFact::Present,
            unmarked: None,
        }
    }

    fn bundle(layout: &Layout) -> Bundle {
        Bundle {
            submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
            environment: Environment::default(),
            subtasks: subtasks().iter().map(|subtask| subtask.id.to_owned()).collect(),
            layout: serde_json::to_value(layout).unwrap(),
            recordings: BTreeMap::new(),
        }
    }

    #[test]
    fn whatever_is_missing_loses_its_own_marks_and_is_named() {
        for which in 0..1 << ASKED.len() {
            let layout = layout(which);
            let driven: Vec<&str> = scenarios(&subtasks(), &layout).iter().map(|one| one.id).collect();
            let report = judge(&bundle(&layout), &Rubric::default());
            for subtask in report.subtasks.iter().filter(|subtask| subtask.id != "layout") {
                let path = needed(&subtask.id).unwrap();
                let is_there = layout.files.iter().any(|file| file.path == path);
                for check in &subtask.checks {
                    if is_there {
                        assert!(!check.actual.contains("not handed in"), "{which:b}: {check:?}");
                    } else {
                        assert_eq!(check.status, Status::Skip, "{which:b}: {check:?}");
                        assert_eq!(check.actual, format!("not handed in: {path}"));
                    }
                }
                assert!(is_there || subtask.score == 0.0 && subtask.status == Status::Skip, "{subtask:?}");
                let task = &subtask.id[..1];
                assert_eq!(driven.iter().any(|id| id.starts_with(task)), is_there, "{which:b}: {driven:?}");
            }
        }
    }

    #[test]
    fn a_submission_with_nothing_in_it_loses_marks_and_nothing_of_ours_fails() {
        assert_eq!(outcome(&judge(&bundle(&layout(0)), &Rubric::default())), Outcome::MarksLost);
    }

    #[test]
    fn without_its_smaller_files_a_task_is_driven() {
        let bits = |paths: &[&str]| {
            ASKED
                .iter()
                .enumerate()
                .filter(|(_, path)| paths.contains(path))
                .map(|(bit, _)| 1 << bit)
                .sum::<u32>()
        };
        let tools = layout(bits(&["task3/conductor.sh", "task4/service-orchestrator.sh"]));
        assert!(scenarios(&subtasks(), &tools).len() > 3);
    }
}
