//! What hostile evidence makes of the harness's memory: never much more than honest evidence does.
//!
//! Each attack runs in a process of its own (this program again), which says its peak
//! (`VmHWM`) at the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::evidence::{Bundle, Ending, Record, Recording};
use harness::rubric::Rubric;
use harness::verdict::{Environment, SubmissionInfo};
use harness::wire::{Inbox, budget_of_run};
use harness::{bundle, judge, report};
use serde_json::{Value, json};

/// Names the attack that a process is to carry out, and the folder for it.
const ATTACK: &str = "HARNESS_TEST_ATTACK";
const FOLDER: &str = "HARNESS_TEST_FOLDER";

/// How much more than an honest run an attack may take, in KiB.
const SURPLUS: u64 = 256 << 10;

/// Records as a hostile guest half would send them.
const RECORDS: [&str; 5] = ["zeros", "objects", "strings", "many", "pieces"];

/// Bundles as somebody might hand them in.
const BUNDLES: [&str; 4] = ["zeros", "objects", "strings", "pieces"];

fn data(kind: &str, length: usize) -> String {
    let repeat = |piece: &str| piece.repeat(length / piece.len());
    match kind {
        "zeros" => format!("[{}0]", repeat("0,")),
        "objects" => format!("[{}0]", repeat("{\"\":0},")),
        "strings" => json!({ "source": "terminal", "text": repeat("\u{1b}[31m<b>\u{202e}\0\n") }).to_string(),
        // Small enough to be taken in, one by one.
        "pieces" => format!("[{}0]", "{\"\":0},".repeat(1000)),
        _ => "{\"a\":[[]]}".to_owned(),
    }
}

/// Sends a run's worth of records, scenario after scenario.
fn send(kind: &str) -> u64 {
    let budget = budget_of_run();
    let (mut kept, mut count) = (Vec::new(), 0);
    for _ in 0..14 {
        let mut inbox = Inbox::new("word".to_owned()).within(&budget);
        let length = if kind == "many" { 1 } else { 3 << 20 };
        let data = data(kind, length);
        let lines = match kind {
            "many" => 300_000,
            "pieces" => 500,
            _ => 20,
        };
        for number in 0..lines {
            inbox.take(format!("word {number} {{\"ms\":1,\"kind\":\"output\",\"data\":{data}}}").as_bytes());
        }
        let (records, _) = inbox.finish();
        count += records.len() as u64;
        kept.push(records);
    }
    count
}

fn empty_bundle() -> Bundle {
    let info = SubmissionInfo { id: "hostile".into(), source: "hostile".into(), sha256: String::new() };
    Bundle {
        submission: info,
        environment: Environment::default(),
        subtasks: ["1", "2a", "2b", "2c", "3a", "3c", "4"].map(str::to_owned).to_vec(),
        layout: Value::Null,
        recordings: BTreeMap::new(),
    }
}

/// Writes a bundle whose records are of one kind, in the scenarios that there are.
fn write_bundle(folder: &Path, kind: &str) {
    let mut bundle = empty_bundle();
    for scenario in harness::task::scenarios() {
        let data: Value = if kind == "honest" { json!({}) } else { Value::Null };
        let record = |kind: &str| Record { ms: 1, host_ms: None, kind: kind.to_owned(), data: data.clone() };
        let recording = Recording {
            scenario: scenario.id.to_owned(),
            plan: json!({}),
            ending: Ending::Finished,
            seconds: 1.0,
            records: vec![record("begin")],
        };
        bundle::write_recording(folder, &recording).unwrap();
        if kind != "honest" {
            let line = format!("{{\"ms\":1,\"kind\":\"output\",\"data\":{}}}\n", self::data(kind, 3 << 20));
            let lines = if kind == "strings" { line.repeat(2) } else { line.repeat(20) };
            let records = folder.join("evidence").join(scenario.id).join("records.jsonl");
            fs::write(records, lines).unwrap();
        }
        bundle.recordings.insert(scenario.id.to_owned(), recording);
    }
    bundle::write_manifest(folder, &bundle).unwrap();
}

/// Judges a bundle and writes its reports, as `harness judge` does; whether it could be read.
fn judge_bundle(folder: &Path) -> u64 {
    let Ok(bundle) = bundle::read(folder) else { return 0 };
    let report = judge::judge(&bundle, &Rubric::default());
    report::write(&folder.join("report"), &report, &bundle).unwrap();
    u64::from(!report::terminal::render(&report, true).is_empty())
}

/// Runs an attack in a process of its own: what it counted, and its peak in KiB.
fn attack(attack: &str, folder: &Path) -> (u64, u64) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_attack_by_itself", "--nocapture"])
        .env(ATTACK, attack)
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{attack}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let numbers = said.lines().find_map(|line| line.split_once("outcome ")).unwrap().1;
    let (count, peak) = numbers.split_once(' ').unwrap();
    (count.parse().unwrap(), peak.parse().unwrap())
}

#[test]
fn an_attack_by_itself() {
    let Ok(attack) = std::env::var(ATTACK) else { return };
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let count = match attack.split_once(' ').unwrap() {
        ("send", kind) => send(kind),
        _ => judge_bundle(&folder),
    };
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("outcome {count} {}", peak.trim().trim_end_matches(" kB"));
}

#[test]
fn no_evidence_takes_much_more_memory_than_an_honest_one() {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path(), "honest");
    let (read, honest) = attack("judge honest", dir.path());
    assert_eq!(read, 1);
    for kind in RECORDS {
        let (records, peak) = attack(&format!("send {kind}"), dir.path());
        eprintln!("send {kind}: {records} records kept, {peak} KiB ({honest} KiB where honest)");
        assert!(peak < honest + SURPLUS, "send {kind}: {peak} KiB, {honest} KiB where honest");
    }
    for kind in BUNDLES {
        let dir = tempfile::tempdir().unwrap();
        write_bundle(dir.path(), kind);
        let (read, peak) = attack(&format!("judge {kind}"), dir.path());
        eprintln!("judge {kind}: read {read}, {peak} KiB ({honest} KiB where honest)");
        assert!(peak < honest + SURPLUS, "judge {kind}: {peak} KiB, {honest} KiB where honest");
    }
}

#[test]
fn a_bundle_leads_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path(), "honest");
    let records = dir.path().join("evidence/1/records.jsonl");
    let refused = || vm::chain(&bundle::read(dir.path()).unwrap_err());

    fs::remove_file(&records).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &records).unwrap();
    assert!(refused().contains("records.jsonl"), "{}", refused());
    fs::remove_file(&records).unwrap();
    nix::unistd::mkfifo(&records, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(refused().contains("not a regular file"), "{}", refused());

    let manifest = dir.path().join("manifest.json");
    let mut named: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    named["scenarios"] = json!(["../evidence/2"]);
    fs::write(&manifest, named.to_string()).unwrap();
    assert!(refused().contains("the name of the scenario"), "{}", refused());
    fs::write(&manifest, "[".repeat(1 << 20)).unwrap();
    assert!(refused().contains("manifest.json"), "{}", refused());
}

#[test]
fn a_linked_folder_of_evidence_is_neither_read_nor_written() {
    use std::os::unix::fs::symlink;
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_bundle(dir.path(), "honest");
    write_bundle(other.path(), "honest");
    let recording = bundle::read(dir.path()).unwrap().recordings["1"].clone();
    let theirs = other.path().join("evidence/1");
    for linked in ["evidence/1", "evidence"] {
        let path = dir.path().join(linked);
        fs::remove_dir_all(&path).unwrap();
        symlink(other.path().join(linked), &path).unwrap();
        assert!(bundle::read(dir.path()).is_err(), "{linked}");
        let before = fs::metadata(theirs.join("records.jsonl")).unwrap().modified().unwrap();
        assert!(bundle::write_recording(dir.path(), &recording).is_err(), "{linked}");
        assert_eq!(fs::metadata(theirs.join("records.jsonl")).unwrap().modified().unwrap(), before);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }
    // A new run has a folder of its own there, also where no manifest says that the
    // folder is one of ours.
    fs::remove_dir(dir.path().join("evidence")).unwrap();
    fs::remove_file(dir.path().join("manifest.json")).unwrap();
    symlink(other.path().join("evidence"), dir.path().join("evidence")).unwrap();
    bundle::start(dir.path()).unwrap();
    bundle::write_recording(dir.path(), &recording).unwrap();
    assert!(fs::symlink_metadata(dir.path().join("evidence")).unwrap().is_dir());
    assert!(theirs.join("records.jsonl").is_file());
}
