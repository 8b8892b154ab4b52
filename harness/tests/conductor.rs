//! Task 3 on this machine's own kernel: real tools in, verdicts out, each in a machine of its own (every namespace but
//! the user's). Ignored by default: each builds images and runs containers, which takes seconds.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::evidence::{Bundle, Ending, Recording};
use harness::guest::recorder::Recorder;
use harness::task::{Scenario, Site, Subtask, containers, network};
use harness::verdict::{Environment, Status, SubmissionInfo};
use rand::SeedableRng;

/// A tar file with the tree that `debootstrap` is to make; without it these tests have no base.
const BASE: &str = "HARNESS_TEST_BASE";
/// Set inside the machine of a test.
const INSIDE: &str = "HARNESS_TEST_INSIDE";

/// Runs the test again as the first process of a machine of its own; true inside it.
fn in_a_machine(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        set_up();
        return true;
    }
    if std::env::var_os(BASE).is_none() {
        eprintln!("skipped: {BASE} names no base tree");
        return false;
    }
    let machine = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(machine.success());
    false
}

/// A cable, a /run, /etc and /sys of its own, and a `debootstrap` that is quick.
fn set_up() {
    let script = r#"
        set -e
        mount -t tmpfs tmpfs /run
        mkdir /run/etc /run/work /run/sbin
        mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
        umount /etc/resolv.conf 2> /dev/null || true
        mount -t sysfs sysfs /sys
        mount --bind /run/sbin /usr/local/sbin
        cat > /usr/local/sbin/debootstrap <<'END'
#!/bin/sh
for word; do
    case $word in -*|bookworm|http*|/usr/share/*) ;; *) target=$word ;; esac
done
mkdir -p "$target" && tar -C "$target" -xf "$HARNESS_TEST_BASE"
END
        sed -i "s,\$HARNESS_TEST_BASE,$HARNESS_TEST_BASE," /usr/local/sbin/debootstrap
        chmod 755 /usr/local/sbin/debootstrap
        ip link set lo up
        ip link add lan0 type veth peer name world0
    "#;
    assert!(Command::new("sh").args(["-c", script]).status().unwrap().success());
}

fn record(submission: &Path, scenario: &Scenario) -> Recording {
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("submission");
    let copied = Command::new("cp").arg("-a").arg(submission).arg(&copy).status().unwrap();
    assert!(copied.success());
    let site = Site { submission: copy, course: PathBuf::new(), slowdown: 3.0 };
    let seed = std::env::var("HARNESS_TEST_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut plan = (scenario.plan)(&mut rand::rngs::StdRng::seed_from_u64(seed));
    // There is no card that leads to a package cache.
    plan["world"]["packages"] = serde_json::json!("nowhere");
    let mut lines = Vec::new();
    let recorder = Recorder::new(&mut lines);
    (scenario.drive)(&site, &plan, &recorder).unwrap();
    drop(recorder);
    if let Some(file) = std::env::var_os("HARNESS_TEST_RECORDING") {
        std::fs::write(file, &lines).unwrap();
    }
    let records = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Recording {
        scenario: scenario.id.to_owned(),
        plan,
        ending: Ending::Finished,
        seconds: 0.0,
        records: records.map(|line| serde_json::from_slice(line).unwrap()).collect(),
    }
}

fn bundle(recordings: Vec<Recording>) -> Bundle {
    Bundle {
        submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
        environment: Environment::default(),
        subtasks: Vec::new(),
        layout: serde_json::Value::Null,
        recordings: recordings.into_iter().map(|recording| (recording.scenario.clone(), recording)).collect(),
    }
}

/// The checks that do not pass, as `name: status`.
fn lost(subtasks: &[&Subtask], bundle: &Bundle) -> BTreeSet<String> {
    let mut lost = BTreeSet::new();
    for subtask in subtasks {
        let findings = (subtask.judge)(bundle);
        let order: Vec<&str> = subtask.checks.iter().map(|spec| spec.id).collect();
        assert_eq!(findings.iter().map(|finding| finding.check).collect::<Vec<_>>(), order);
        for finding in findings {
            println!("{} {}: {}", finding.check, finding.status, finding.actual);
            if finding.status != Status::Pass {
                lost.insert(format!("{}: {}", finding.check, finding.status));
            }
        }
    }
    lost
}

/// The submission that is tried; another one by hand.
fn submission() -> PathBuf {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions");
    std::env::var_os("HARNESS_TEST_SUBMISSION").map_or(fixtures.join("reference-bash"), PathBuf::from)
}

#[test]
#[ignore = "slow: builds images and runs containers"]
fn containers_of_the_reference_run_and_are_entered() {
    if in_a_machine("containers_of_the_reference_run_and_are_entered") {
        let recording = record(&submission(), &containers::SCENARIO);
        let subtasks: Vec<&Subtask> = containers::SUBTASKS.iter().collect();
        assert_eq!(lost(&subtasks, &bundle(vec![recording])), BTreeSet::new());
    }
}

#[test]
#[ignore = "slow: builds images and runs containers"]
fn networks_of_the_reference_lead_where_they_must() {
    if in_a_machine("networks_of_the_reference_lead_where_they_must") {
        let recording = record(&submission(), &network::SCENARIO);
        assert_eq!(lost(&[&network::SUBTASK], &bundle(vec![recording])), BTreeSet::new());
    }
}
