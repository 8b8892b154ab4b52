//! Any bytes as the files of an evidence bundle: it is read and judged, or refused; no panic.
#![no_main]

use std::fs;

use harness::rubric::Rubric;
use harness::{bundle, judge, report};
use libfuzzer_sys::fuzz_target;

const MANIFEST: &str = r#"{"schema":"harness-evidence/1","submission":{"id":"a","source":"a","sha256":""},
"environment":{"image":"","kernel":"","accelerator":"","harness":"","started":"","seconds":0,"calibration":1},
"subtasks":["layout","1","2a","2b","2c","3a","3b","3c","3d","3e","3f","4"],"layout":null,"scenarios":["SCENARIO"]}"#;

// The first byte says which file the rest is; the scenario's records are what a guest writes.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let scenarios = ["1", "2", "3-run", "3-network", "3-packages", "3-build", "4"];
    let scenario = scenarios[usize::from(which >> 2) % scenarios.len()];
    let home = tempfile::tempdir().expect("a folder");
    let evidence = home.path().join("evidence").join(scenario);
    fs::create_dir_all(&evidence).expect("a folder in it");
    let head = format!(r#"{{"scenario":"{scenario}","plan":null,"ending":{{"how":"finished"}},"seconds":1}}"#);
    let manifest = MANIFEST.replace("SCENARIO", scenario);
    let (mut records, mut head, mut manifest) = (Vec::new(), head.into_bytes(), manifest.into_bytes());
    match which & 3 {
        0 => manifest = bytes.to_vec(),
        1 => head = bytes.to_vec(),
        _ => records = bytes.to_vec(),
    }
    fs::write(home.path().join("manifest.json"), manifest).expect("a file");
    fs::write(evidence.join("recording.json"), head).expect("a file");
    fs::write(evidence.join("records.jsonl"), records).expect("a file");
    if let Ok(bundle) = bundle::read(home.path()) {
        let judged = judge::judge(&bundle, &Rubric::default());
        assert!(judged.score <= judged.max);
        report::terminal::render(&judged, true);
    }
});
