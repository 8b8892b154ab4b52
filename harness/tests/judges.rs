//! Evidence in, findings out: what judges say of recordings that were made in virtual machines (`tests/evidence`),
//! and of what is left of them when the machine is lost half-way.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use harness::evidence::{Bundle, Ending, Recording};
use harness::task;
use harness::verdict::{Environment, Finding, Status, SubmissionInfo};
use serde_json::Value;

fn recording(name: &str) -> Recording {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence").join(name);
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let mut recording: Value = serde_json::from_str(&read("recording.json")).unwrap();
    let records: Vec<Value> =
        read("records.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    recording["records"] = records.into();
    serde_json::from_value(recording).unwrap()
}

fn findings(recording: Recording) -> Vec<Finding> {
    let scenario = recording.scenario.clone();
    let bundle = Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: Vec::new(),
        layout: Value::Null,
        recordings: [(scenario.clone(), recording)].into(),
    };
    let subtasks = task::subtasks();
    let judged = subtasks.iter().filter(|subtask| subtask.scenarios.contains(&scenario.as_str()));
    judged.flat_map(|subtask| (subtask.judge)(&bundle)).collect()
}

fn told(findings: &[Finding]) -> String {
    findings.iter().fold(String::new(), |mut text, finding| {
        let expected = finding.expected.replace('\n', "\n            ");
        let actual = finding.actual.replace('\n', "\n            ");
        let _ = writeln!(text, "{} {}", finding.check, finding.status);
        let _ = writeln!(text, "  expected  {expected}\n  actual    {actual}");
        let _ = writeln!(text, "  evidence  {}", finding.evidence.join(", "));
        text
    })
}

#[test]
fn recordings_are_judged_as_before() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        insta::with_settings!({ snapshot_path => "../../snapshots/judges", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name.as_str(), told(&findings(recording(&name))));
        });
    }
}

/// Wherever a recording breaks off, every check gets a verdict, and what depends on the rest is no pass.
#[test]
fn a_recording_that_breaks_off_anywhere_still_gets_a_verdict_for_every_check() {
    for name in ["task1-reference", "task2-reference"] {
        let whole = recording(name);
        let checks = findings(whole.clone()).len();
        for length in 0..whole.records.len() {
            let mut broken = whole.clone();
            broken.records.truncate(length);
            broken.ending = Ending::Lost { what: "the guest rebooted".to_owned(), console: Vec::new() };
            let findings = findings(broken);
            assert_eq!(findings.len(), checks, "{name}, {length} records");
            assert!(findings.iter().all(|finding| finding.status != Status::Error));
            if length < 3 {
                assert!(
                    findings.iter().all(|finding| finding.status != Status::Pass),
                    "{name}, {length} records"
                );
            }
        }
    }
}

#[test]
fn an_infrastructure_failure_is_no_verdict() {
    for name in ["task1-reference", "task2-reference"] {
        let mut broken = recording(name);
        broken.ending = Ending::Infrastructure { what: "no memory for QEMU".to_owned(), console: Vec::new() };
        let findings = findings(broken);
        assert!(findings.iter().all(|finding| finding.status == Status::Error));
        assert!(findings.iter().all(|finding| finding.actual == "no memory for QEMU"));
    }
}

/// Records that the guest did not mean: other types, other orders, twice the same.
#[test]
fn nonsense_in_a_recording_is_passed_over() {
    for name in ["task1-reference", "task2-reference"] {
        let whole = recording(name);
        let before = told(&findings(whole.clone()));
        let mut odd = whole.clone();
        for kind in ["born", "run", "called", "exiting", "sample", "hostname", "ended", "outcome", "groups"] {
            let mut record = whole.records[0].clone();
            kind.clone_into(&mut record.kind);
            record.data = serde_json::json!({ "pid": "many", "member": [] });
            odd.records.push(record);
        }
        assert_eq!(told(&findings(odd)), before);
        let mut backwards = whole;
        backwards.records.reverse();
        let _ = findings(backwards);
    }
}
