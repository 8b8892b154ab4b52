//! Evidence in, findings out: what judges say of recordings that were made in virtual machines
//! (`tests/evidence`), and of what is left of them when the machine is lost half-way.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod stored;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use harness::evidence::{Bundle, Ending, Recording};
use harness::rubric::Rubric;
use harness::task;
use harness::verdict::{Environment, Finding, Status, SubmissionInfo};
use harness::{corpus, follow_through, judge};
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

fn bundle(recordings: Vec<Recording>) -> Bundle {
    let has = |scenario: &str| recordings.iter().any(|recording| recording.scenario == scenario);
    let judged =
        task::subtasks().into_iter().filter(|subtask| subtask.scenarios.first().is_some_and(|one| has(one)));
    Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: judged.map(|subtask| subtask.id.to_owned()).collect(),
        layout: Value::Null,
        recordings: recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

fn findings(recording: Recording) -> Vec<Finding> {
    all_findings(&bundle(vec![recording]))
}

fn all_findings(bundle: &Bundle) -> Vec<Finding> {
    let judged =
        task::subtasks().into_iter().filter(|subtask| bundle.subtasks.iter().any(|id| id == subtask.id));
    judged.flat_map(|subtask| (subtask.judge)(bundle)).collect()
}

/// The folders of `tests/evidence`, in the order of names.
fn evidence() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> &str {
    folder.file_name().unwrap().to_str().unwrap()
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

fn assert_told(name: &str, findings: &[Finding]) {
    insta::with_settings!({ snapshot_path => "../../snapshots/judges", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, told(findings));
    });
}

#[test]
fn recordings_are_judged_as_before() {
    let plain: Vec<PathBuf> =
        evidence().into_iter().filter(|folder| folder.join("recording.json").exists()).collect();
    assert!(!plain.is_empty());
    for folder in plain {
        assert_told(name(&folder), &findings(recording(name(&folder))));
    }
}

/// References, variants and mutants. A mutant's snapshot holds only the
/// checks that did not pass.
#[test]
fn stored_recordings_are_judged_as_before() {
    let cases: Vec<PathBuf> =
        evidence().into_iter().filter(|folder| !folder.join("recording.json").exists()).collect();
    assert!(cases.len() > 20, "{}", cases.len());
    for folder in cases {
        let mut findings = all_findings(&bundle(stored::recordings(&folder)));
        if !name(&folder).starts_with("reference") {
            findings.retain(|finding| finding.status != Status::Pass);
        }
        assert_told(name(&folder), &findings);
    }
}

#[test]
fn a_cap_that_the_kernel_refused_is_told_in_the_terminals_words() {
    let mut reference = recording("task2-reference");
    for record in &mut reference.records {
        let text = record.data.to_string().replace("50000 100000", "max 100000");
        record.data = serde_json::from_str(&text).unwrap();
        if record.kind == "output" && text.contains("Output Subtask 2c") {
            record.data["text"] = "echo: write error: Invalid argument\r\nOutput Subtask 2c\r\n".into();
        }
    }
    let found = findings(reference).into_iter().find(|finding| finding.check == "2c/cpu-quota").unwrap();
    assert_eq!(found.status, Status::Fail);
    let told = "; the terminal said: echo: write error: Invalid argument";
    assert!(found.actual.ends_with(told), "{}", found.actual);
}

#[test]
fn a_report_holds_the_sessions_of_what_was_recorded_and_no_others() {
    let reference = stored::recordings(&stored::folder("reference-bash"));
    let sessions = |subtasks: &[&str]| {
        let mut bundle = bundle(reference.clone());
        bundle.subtasks = subtasks.iter().map(|id| (*id).to_owned()).collect();
        let report = judge::judge(&bundle, &Rubric::default());
        report.sessions.into_iter().map(|session| session.check).collect::<Vec<_>>()
    };
    assert_eq!(sessions(&["3a", "3b", "1"]), ["3a/as-shown", "3b/as-shown"]);
    assert!(sessions(&["3d"]).is_empty());
}

/// Where a scenario was not recorded for a case, its checks have no verdict, and
/// nothing is said of them.
#[test]
fn stored_recordings_come_out_as_their_cases_say() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions");
    for case in corpus::cases(&corpus).unwrap() {
        let folder = stored::folder(&case.name);
        if !folder.is_dir() || folder.join("recording.json").exists() {
            continue;
        }
        let mut bundle = bundle(stored::recordings(&folder));
        bundle.subtasks.retain(|id| case.expect.subtasks.contains(id));
        let report = judge::judge(&bundle, &Rubric::default());
        let differences = corpus::compare(&case.expect, &report).differences;
        // Whether rmcache finds its cache unused depends on the machine on which it was recorded.
        let unsaid = ["was not run", "has no recording", "follow-through", "rmcache left"];
        let told = |line: &&String| !unsaid.iter().any(|words| line.contains(words));
        let told: Vec<&String> = differences.iter().filter(told).collect();
        assert!(told.is_empty(), "{}: {told:#?}", case.name);
    }
}

/// Task 4 is the longest scenario. The case's recordings replace the reference's.
#[test]
fn task_4_is_driven_again_only_for_commands_that_it_rests_on() {
    let driven = |reference: &[&str], cases: &[&str]| {
        let own = stored::recordings(&stored::folder("reference-bash"));
        let own = own.into_iter().filter(|recording| reference.contains(&recording.scenario.as_str()));
        let others = cases.iter().flat_map(|case| stored::recordings(&stored::folder(case)));
        let wanted = follow_through::wanted(&bundle(own.chain(others).collect()));
        wanted.iter().any(|(scenario, _)| scenario.id == "4-matrix")
    };
    let task_3 = ["3-run", "3-network", "3-packages", "3-build"];
    assert!(!driven(&task_3, &["mutants/task4-no-peer"]));
    assert!(driven(&task_3, &["mutants/task4-no-peer", "mutants/task3c-peer-one-way"]));
    assert!(!driven(&task_3, &["mutants/task4-no-peer", "mutants/task3a-devpts-over-the-machines"]));
    assert!(driven(&[], &["mutants/task4-no-peer"]));
    assert!(!driven(&[], &["mutants/task4-hard-coded-address"]));
    assert!(driven(&task_3[..1], &["mutants/task4-no-build-essential"]));
    assert!(!driven(&["4-matrix"], &["mutants/task3c-peer-one-way"]));
}

/// Wherever a recording breaks off, every check gets a verdict, and what depends on
/// the rest is no pass.
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

/// Files of Rust below a folder, with their text up to their tests.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.file_name().is_some_and(|name| name != "tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            found.push((path.display().to_string(), code));
        }
    }
    found
}

/// What is recorded, and what decides by it, must not touch the machine: both also run on the host,
/// on evidence of other machines.
#[test]
fn evidence_and_judges_depend_on_no_instrument() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let tasks = sources(&source.join("task"));
    let judges =
        tasks.into_iter().filter(|(_, code)| code.contains("Finding") && !code.contains("pub drive: fn("));
    let pure: Vec<(String, String)> = sources(&source.join("evidence")).into_iter().chain(judges).collect();
    assert!(pure.len() > 30, "{}", pure.len());
    for (path, code) in pure {
        let lines = code.lines().filter(|line| !line.contains("crate::guest::world::WorldPlan;"));
        for line in lines.filter(|line| !line.trim_start().starts_with("//")) {
            let touches = ["guest::", "nix::", "rustix::", "std::process", "std::fs", "Command::new"];
            let found = touches.iter().find(|name| line.contains(**name));
            assert!(found.is_none(), "{path} uses {}: {line}", found.unwrap());
        }
    }
}
