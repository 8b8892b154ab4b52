//! Pages that several tests look at: from evidence that was recorded in virtual machines, and from
//! evidence that a hostile guest could send.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::fs;
use std::path::Path;

use harness::evidence::{Bundle, Ending, Record, Recording};
use harness::judge::judge;
use harness::report::page;
use harness::rubric::Rubric;
use harness::verdict::{Environment, Report, SubmissionInfo};
use serde_json::{Value, json};

/// The pages by name.
pub fn all() -> Vec<(&'static str, String)> {
    let (reference, broken) = (stored("reference"), stored("does-not-compile"));
    let hostile = hostile();
    vec![
        ("reference", judged(&reference).1),
        ("does-not-compile", judged(&broken).1),
        ("hostile", page::render(&spoilt_report(&hostile), &hostile)),
    ]
}

/// A bundle in `fixtures/evidence`.
pub fn stored(name: &str) -> Bundle {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/evidence").join(name);
    harness::bundle::read(&folder).unwrap()
}

/// A bundle judged, and its page.
pub fn judged(bundle: &Bundle) -> (Report, String) {
    let report = judge(bundle, &Rubric::default());
    let html = page::render(&report, bundle);
    (report, html)
}

/// A bundle of recordings in `tests/evidence`.
pub fn bundle(names: &[&str], subtasks: &[&str]) -> Bundle {
    let recordings = names.iter().map(|name| recording(name));
    Bundle {
        submission: SubmissionInfo {
            id: "23m0001".into(),
            source: "23m0001.tar.gz".into(),
            sha256: "00ff".into(),
        },
        environment: Environment { image: "Debian 12".into(), seconds: 31.5, ..Environment::default() },
        subtasks: subtasks.iter().map(|id| (*id).to_owned()).collect(),
        layout: Value::Null,
        recordings: recordings.map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

fn recording(name: &str) -> Recording {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence").join(name);
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    let mut recording: Value = serde_json::from_str(&read("recording.json")).unwrap();
    let records: Vec<Value> =
        read("records.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    recording["records"] = records.into();
    serde_json::from_value(recording).unwrap()
}

const HOSTILE: &str = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u{202e}\u{2066}\u{200b}\
                       \x1b]0;title\x07\x1b[2J\x1bP\0\x7f\u{9b}31m <!-- --> ]]> &lt; \"' {{ }} javascript:alert(1)";

/// A value that has hostile text wherever a text can be.
fn spoilt(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains('/') || text.contains(' ') => {
            Value::String(format!("{text}{HOSTILE}"))
        }
        Value::Array(values) => values.iter().map(spoilt).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), spoilt(value))).collect())
        }
        other => other.clone(),
    }
}

/// A bundle as a hostile submission could make one: hostile text everywhere, and 10 MB of output.
pub fn hostile() -> Bundle {
    let mut bundle =
        bundle(&["task1-reference", "task2-reference"], &["1", "2a", "2b", "2c", "3a", "3c", "3e", "4"]);
    for recording in bundle.recordings.values_mut() {
        for record in &mut recording.records {
            record.data = spoilt(&record.data);
        }
    }
    let mut records = vec![];
    let mut add = |kind: &str, data: Value| {
        records.push(Record { ms: records.len() as u64, host_ms: None, kind: kind.to_owned(), data });
    };
    add("machine", json!({ "namespaces": {} }));
    for terminal in 0..40 {
        add("start", json!({ "terminal": terminal, "argv": ["./conductor.sh", HOSTILE] }));
        add("output", json!({ "terminal": terminal, "text": HOSTILE.repeat(1200) }));
    }
    for step in 0..400 {
        add(
            "layers",
            json!({ "step": HOSTILE.repeat(10), "dirs": [{ "path": HOSTILE, "dev": 1, "ino": step }], "having": { HOSTILE: [0] } }),
        );
    }
    for scenario in ["3-run", "3-network", "3-build", "4-matrix"] {
        let recording = Recording {
            scenario: scenario.to_owned(),
            plan: json!({ "first": HOSTILE }),
            ending: Ending::Finished,
            seconds: 5.0,
            // The flood is in one of them.
            records: if scenario == "3-run" { records.clone() } else { records[81..].to_vec() },
        };
        bundle.recordings.insert(scenario.to_owned(), recording);
    }
    HOSTILE.clone_into(&mut bundle.submission.id);
    HOSTILE.clone_into(&mut bundle.submission.source);
    bundle.environment.notes = vec![HOSTILE.repeat(20)];
    bundle
}

/// A report whose every text is long and hostile.
pub fn spoilt_report(bundle: &Bundle) -> Report {
    let mut report = judge(bundle, &Rubric::default());
    let ids: Vec<String> =
        report.subtasks.iter().flat_map(|one| &one.checks).map(|check| check.id.clone()).collect();
    for check in report.subtasks.iter_mut().flat_map(|subtask| &mut subtask.checks) {
        check.actual = HOSTILE.repeat(2000);
        check.expected = format!("{HOSTILE}\n").repeat(500);
        let places = ["1", "2", "3-run"]
            .iter()
            .flat_map(|scenario| (1..9).map(move |line| format!("evidence/{scenario}/records.jsonl#{line}")));
        check.evidence = places.chain([HOSTILE.to_owned()]).collect();
    }
    report.causes = vec![harness::verdict::Cause {
        what: HOSTILE.repeat(50),
        quote: HOSTILE.repeat(5000),
        checks: ids.into_iter().take(3).collect(),
        ..Default::default()
    }];
    report
}
