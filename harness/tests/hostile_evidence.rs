//! Evidence that a hostile guest half or a stranger wrote: whatever is in it, it is read, judged
//! and reported without a crash. `PROPTEST_CASES=100000 cargo test -p harness --test
//! hostile_evidence` takes longer and sees more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stored;

use std::fs;
use std::path::Path;

use harness::evidence::{Bundle, Ending, Record, Recording};
use harness::rubric::Rubric;
use harness::verdict::{Environment, SubmissionInfo};
use harness::wire::Inbox;
use harness::{bundle, judge, report, task};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

/// Values that somebody who means harm would put in the place of others.
fn odd(rng: &mut StdRng) -> Value {
    let odd = [
        Value::Null,
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e308),
        json!(true),
        json!(""),
        json!("\0\u{1b}[2J\u{202e}\n\r"),
        json!("/".repeat(5000)),
        json!("18446744073709551616"),
        json!([]),
        json!([[], {}, null]),
        json!({}),
        json!({ "step": 1 }),
    ];
    odd[rng.random_range(0..odd.len())].clone()
}

/// Changes something somewhere in a value.
fn change(value: &mut Value, rng: &mut StdRng) {
    let goes_on = rng.random_range(0..4) > 0;
    match value {
        Value::Array(list) if goes_on && !list.is_empty() => {
            let at = rng.random_range(0..list.len());
            match rng.random_range(0..8) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                _ => change(&mut list[at], rng),
            }
        }
        Value::Object(map) if goes_on && !map.is_empty() => {
            let name = map.keys().nth(rng.random_range(0..map.len())).unwrap().clone();
            match rng.random_range(0..8) {
                0 => drop(map.remove(&name)),
                _ => change(&mut map[&name], rng),
            }
        }
        Value::String(text) if goes_on && !text.is_empty() => {
            let at = rng.random_range(0..=text.chars().count());
            *text = text.chars().take(at).chain("é\u{0}9".chars()).collect();
        }
        other => *other = odd(rng),
    }
}

/// Evidence of real runs: several of tasks 1 and 2, the bash reference's of tasks 3 and 4.
fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/evidence");
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let plain = folders.filter(|folder| folder.join("recording.json").is_file()).map(|folder| {
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        let mut recording: Value = serde_json::from_str(&read("recording.json")).unwrap();
        let records = read("records.jsonl");
        let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        recording["records"] = records.into();
        serde_json::from_value(recording).unwrap()
    });
    plain.chain(stored::recordings(&stored::folder("reference-bash"))).collect()
}

fn bundle_of(recordings: impl IntoIterator<Item = Recording>) -> Bundle {
    Bundle {
        submission: SubmissionInfo { id: "x".into(), source: "x".into(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: task::subtasks().iter().map(|subtask| subtask.id.to_owned()).collect(),
        layout: Value::Null,
        recordings: recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

/// Judges and reports.
fn judge(bundle: &Bundle) {
    let report = judge::judge(bundle, &Rubric::default());
    assert!(!report::terminal::render(&report, true).is_empty());
}

/// Few by default: each judges several recordings.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases.unwrap_or(8)) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_lines_on_the_channel_are_taken_or_refused(
        lines in prop::collection::vec("(word [0-3] )?[\\[\\]{}\",:a-z0-9\\\\ é]{0,60}", 0..8),
        raw in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut inbox = Inbox::new("word".to_owned());
        for line in &lines {
            inbox.take(line.as_bytes());
        }
        inbox.take(&raw);
        prop_assert!(inbox.finish().1.is_some());
    }

    #[test]
    fn changed_evidence_is_judged(seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut all = recordings();
        for recording in &mut all {
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..recording.records.len());
                match rng.random_range(0..6) {
                    0 => drop(recording.records.remove(at)),
                    1 => recording.records.truncate(at + 1),
                    2 => recording.records.swap(0, at),
                    3 => change(&mut recording.plan, &mut rng),
                    _ => change(&mut recording.records[at].data, &mut rng),
                }
                if recording.records.is_empty() {
                    break;
                }
            }
        }
        // Several are of the same scenario: each is judged for itself.
        for recording in all {
            judge(&bundle_of([recording]));
        }
    }

    #[test]
    fn records_of_every_kind_are_judged_in_every_scenario(seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let real = recordings();
        let kinds: Vec<Record> = real.into_iter().flat_map(|recording| recording.records).collect();
        let others = ["container", "images", "containers", "landed", "online", "page", "count", "port", "world"];
        let bundle = bundle_of(task::scenarios().into_iter().map(|scenario| {
            let mut plan = (scenario.plan)(&mut rng);
            if rng.random_range(0..3) == 0 {
                change(&mut plan, &mut rng);
            }
            let records = (0..rng.random_range(0..12)).map(|ms| {
                let mut record = kinds[rng.random_range(0..kinds.len())].clone();
                if rng.random_range(0..2) == 0 {
                    others[rng.random_range(0..others.len())].clone_into(&mut record.kind);
                }
                change(&mut record.data, &mut rng);
                Record { ms, ..record }
            });
            let records = records.collect();
            let ending = Ending::Finished;
            Recording { scenario: scenario.id.to_owned(), plan, ending, seconds: 1.0, records }
        }));
        judge(&bundle);
    }

    #[test]
    fn a_bundle_with_changed_bytes_is_read_or_refused(
        changes in prop::collection::vec((0..3usize, any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let bundle = bundle_of(recordings());
        bundle.recordings.values().for_each(|recording| bundle::write_recording(dir.path(), recording).unwrap());
        bundle::write_manifest(dir.path(), &bundle).unwrap();
        for (file, at, byte) in changes {
            let file = ["manifest.json", "evidence/1/recording.json", "evidence/1/records.jsonl"][file];
            let path = dir.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fs::write(&path, bytes).unwrap();
        }
        if let Ok(bundle) = bundle::read(dir.path()) {
            judge(&bundle);
        }
    }
}

#[test]
fn a_recording_in_the_folder_of_another_scenario_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = bundle_of(recordings());
    bundle.recordings.values().for_each(|recording| bundle::write_recording(dir.path(), recording).unwrap());
    bundle::write_manifest(dir.path(), &bundle).unwrap();
    assert!(bundle::read(dir.path()).is_ok());
    let head = |scenario: &str| dir.path().join("evidence").join(scenario).join("recording.json");
    fs::copy(head("2"), head("1")).unwrap();
    let error = bundle::read(dir.path()).map_or_else(|error| error.to_string(), |_| String::new());
    assert!(error.contains("evidence/1/recording.json"), "{error}");
    assert!(error.contains(r#"names the scenario "2", but its folder is "1""#), "{error}");
}
