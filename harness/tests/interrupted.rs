//! A grade that is killed: what it had is still there, and nothing of it goes on.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits for something that must come to be. The limit only ends a test that has failed.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(600), "{what} did not come to be");
        sleep(Duration::from_millis(50));
    }
}

/// The processes that descend from one, by asking every process for its parent.
fn descendants(root: u32) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
    };
    let all: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut family = vec![root];
    loop {
        let more: Vec<u32> = all
            .iter()
            .copied()
            .filter(|pid| {
                !family.contains(pid) && parent(*pid).is_some_and(|parent| family.contains(&parent))
            })
            .collect();
        if more.is_empty() {
            return family.split_off(1);
        }
        family.extend(more);
    }
}

fn is_machine(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu"))
}

/// A grade on this machine, which needs root and no virtual machine.
fn grade_here(report: &Path, more: &[&str]) -> Child {
    let submission = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions/reference-bash");
    Command::new(assert_cmd::cargo::cargo_bin!("harness"))
        .args(["grade", "--here", "--yes", "--only", "1,2", "--jobs", "1", "--report"])
        .arg(report)
        .args(more)
        .arg(submission)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "slow: runs tasks 1 and 2 as root on this machine"]
fn a_stopped_grade_says_what_it_kept_and_resume_goes_on_with_it() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let report = home.path().join("report");
    let first = report.join("evidence/1/recording.json");
    let child = grade_here(&report, &[]);
    until("the first recording", || first.exists());
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let stopped = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert_eq!(stopped.status.code(), Some(3), "{said}");
    assert!(said.contains("stopped by you; 1 of 2 scenarios are kept"), "{said}");
    let json = fs::read_to_string(report.join("report.json")).unwrap();
    assert!(json.contains("stopped by you before it was driven"), "{json}");

    let recorded = fs::metadata(&first).unwrap().modified().unwrap();
    let resumed = grade_here(&report, &["--resume"]).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(said.contains("with what was recorded of 1") && !said.contains("scenario 1:"), "{said}");
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), recorded);
    assert!(report.join("evidence/2/recording.json").exists());
    let json = fs::read_to_string(report.join("report.json")).unwrap();
    assert!(!json.contains("stopped by you"), "{json}");
}

fn grade(report: &Path) -> Child {
    let submission = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions/reference-bash");
    Command::new(assert_cmd::cargo::cargo_bin!("harness"))
        .args(["grade", "--only", "1,2", "--jobs", "1", "--quiet", "--report"])
        .arg(report)
        .arg(submission)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "slow: needs a machine that is already built, and half a minute"]
fn a_killed_grade_leaves_a_bundle_to_judge_and_no_machine() {
    let home = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGINT] {
        let report = home.path().join(signal.as_str());
        let mut child = grade(&report);
        until("the first recording", || report.join("evidence/1/recording.json").exists());
        let machine = || descendants(child.id()).into_iter().find(|pid| is_machine(*pid));
        until("a second machine", || machine().is_some());
        let machine = machine().unwrap();
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        until("the machine's end", || !is_machine(machine));

        let judged = Command::new(assert_cmd::cargo::cargo_bin!("harness"))
            .arg("judge")
            .arg(&report)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&judged.stdout).into_owned();
        assert_eq!(judged.status.code(), Some(3), "{text}");
        assert!(text.contains("15 / 15"), "task 1 was recorded: {text}");
    }
}
