//! Changes bytes of submissions and of guest output at random. Each is accepted or refused, nothing
//! outside its folder changes, and nothing panics.
//!
//! These tests use the seeds of `fuzz/`. `PROPTEST_CASES` sets the number of cases.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use harness::rubric::Rubric;
use harness::submission::{Limits, open};
use harness::wire::Inbox;
use harness::{bundle, judge, report};
use proptest::prelude::*;
use tempfile::TempDir;

/// The seeds of one fuzz target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A seed with a few changed bytes, a part repeated elsewhere, or its end removed.
fn changed(target: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let bytes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12);
    let piece = prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..600_usize));
    let cut = prop::option::weighted(0.2, any::<prop::sample::Index>());
    (prop::sample::select(seeds(target)), bytes, piece, cut).prop_map(|(mut seed, bytes, piece, cut)| {
        for (at, byte) in bytes {
            let at = at.index(seed.len());
            seed[at] = byte;
        }
        if let Some((from, to, length)) = piece {
            let (from, to) = (from.index(seed.len()), to.index(seed.len()));
            let piece = seed[from..seed.len().min(from + length)].to_vec();
            seed.splice(to..to, piece);
        }
        if let Some(cut) = cut {
            seed.truncate(cut.index(seed.len()));
        }
        seed
    })
}

/// Corrects the checksum of a tar header, so that a changed header is not refused for its checksum.
fn with_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// Asserts that every working link leads into `top`.
fn stays_inside(folder: &Path, top: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if let (true, Ok(end)) = (kind.is_symlink(), path.canonicalize()) {
            assert!(end.starts_with(top), "{} leads to {}", path.display(), end.display());
        }
        if kind.is_dir() {
            stays_inside(&path, top);
        }
    }
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(100);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_archive_is_accepted_or_refused_and_nothing_outside_changes(bytes in changed("intake")) {
        let home = TempDir::new().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("into")).unwrap();
        fs::write(path("victim"), "untouched").unwrap();
        fs::write(path("s.tar"), with_checksums(bytes)).unwrap();
        let limits = Limits { entries: 200, file: 1 << 20, total: 4 << 20, ..Limits::default() };
        if open(&path("s.tar"), &path("into"), &limits, None).is_ok() {
            stays_inside(&path("into"), &path("into").canonicalize().unwrap());
        }
        assert_eq!(fs::read(path("victim")).unwrap(), b"untouched");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 3);
    }

    #[test]
    fn any_lines_are_records_or_end_the_recording(bytes in changed("records")) {
        let mut inbox = Inbox::new("word".to_owned());
        for line in bytes.split(|byte| *byte == b'\n') {
            inbox.take(line);
        }
        let (records, spoilt) = inbox.finish();
        let lines = bytes.split(|byte| *byte == b'\n').count();
        assert!(spoilt.is_some() || records.len() == lines);
    }

    #[test]
    fn any_records_are_judged_or_refused(bytes in changed("bundle")) {
        let Some((_, records)) = bytes.split_first() else { return Ok(()) };
        let home = TempDir::new().unwrap();
        let ids = ["1", "2"];
        let subtasks = ["layout", "1", "2a", "2b", "2c"];
        let manifest = serde_json::json!({
            "schema": "harness-evidence/1",
            "submission": { "id": "a", "source": "a", "sha256": "" },
            "environment": { "image": "", "kernel": "", "accelerator": "", "harness": "", "started": "",
                             "seconds": 0.0, "calibration": 1.0 },
            "subtasks": subtasks, "layout": null, "scenarios": ids,
        });
        fs::write(home.path().join("manifest.json"), manifest.to_string()).unwrap();
        for id in ids {
            let evidence = home.path().join("evidence").join(id);
            fs::create_dir_all(&evidence).unwrap();
            let head = serde_json::json!({ "scenario": id, "plan": null, "ending": { "how": "finished" }, "seconds": 1.0 });
            fs::write(evidence.join("recording.json"), head.to_string()).unwrap();
            fs::write(evidence.join("records.jsonl"), records).unwrap();
        }
        if let Ok(bundle) = bundle::read(home.path()) {
            let judged = judge::judge(&bundle, &Rubric::default());
            assert!(judged.score <= judged.max);
            report::terminal::render(&judged, true);
        }
    }

    #[test]
    fn any_rubric_is_read_or_refused_with_a_sentence(bytes in changed("rubric")) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        if let Err(error) = Rubric::load(Some(file.path())) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_bundle_cannot_name_a_scenario_outside_its_folder() {
    let home = TempDir::new().unwrap();
    let manifest = |scenario: &str| {
        format!(
            r#"{{"schema":"harness-evidence/1","submission":{{"id":"a","source":"a","sha256":""}},"environment":
            {{"image":"","kernel":"","accelerator":"","harness":"","started":"","seconds":0,"calibration":1}},
            "subtasks":["1"],"layout":null,"scenarios":["{scenario}"]}}"#
        )
    };
    for scenario in ["..", "../../etc", "/etc", "a/b", ""] {
        fs::write(home.path().join("manifest.json"), manifest(scenario)).unwrap();
        let error = bundle::read(home.path()).unwrap_err().to_string();
        assert!(error.contains("the name of the scenario"), "{error}");
    }
}
