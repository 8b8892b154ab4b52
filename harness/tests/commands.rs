//! Runs `harness` as people and scripts do: commands, exit statuses and output. No test needs a
//! machine.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::{Value, json};
use tempfile::TempDir;

fn harness(cache: &TempDir) -> Command {
    let mut command = Command::cargo_bin("harness").unwrap();
    command.env("HARNESS_CACHE", cache.path()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

fn fixtures(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(path)
}

/// A submission with all files and a git history of one commit.
fn complete(home: &Path) -> PathBuf {
    let root = home.join("23m0001_assignment3");
    for path in harness::submission::ASKED {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "echo\n").unwrap();
    }
    let git = root.join(".git");
    fs::create_dir_all(git.join("refs/heads")).unwrap();
    fs::create_dir_all(git.join("objects/3f")).unwrap();
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(git.join("refs/heads/main"), "3f595c507824531d0e69e7ab11dcbc3a85cf3382\n").unwrap();
    let object = fs::File::create(git.join("objects/3f/595c507824531d0e69e7ab11dcbc3a85cf3382")).unwrap();
    let mut object = flate2::write::ZlibEncoder::new(object, flate2::Compression::fast());
    let tree = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let people = "author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000";
    write!(object, "commit 98\0{tree}\n{people}\n\nm\n").unwrap();
    object.finish().unwrap();
    root
}

/// An evidence bundle of a run in which the submission crashed the machine in task 1.
fn bundle(home: &Path) -> PathBuf {
    let directory = home.join("bundle");
    let scenario = directory.join("evidence/1");
    fs::create_dir_all(&scenario).unwrap();
    let manifest = json!({
        "schema": "harness-evidence/1",
        "submission": { "id": "23m0001", "source": "23m0001.tar", "sha256": "00" },
        "environment": {
            "image": "Debian 12", "kernel": "6.1", "accelerator": "TCG", "harness": "0.1.0",
            "started": "2026-01-02T03:04:05Z", "seconds": 12.5, "calibration": 3.0
        },
        "subtasks": ["1"],
        "layout": null,
        "scenarios": ["1"]
    });
    let recording = json!({
        "scenario": "1",
        "plan": null,
        "ending": { "how": "lost", "what": "the machine's kernel panicked", "console": ["Kernel panic"] },
        "seconds": 4.2
    });
    fs::write(directory.join("manifest.json"), manifest.to_string()).unwrap();
    fs::write(scenario.join("recording.json"), recording.to_string()).unwrap();
    fs::write(scenario.join("records.jsonl"), "{\"ms\":1,\"kind\":\"begin\",\"data\":\"/home\"}\n").unwrap();
    directory
}

fn report(directory: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(directory.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_complete_submission_passes_check_with_status_0_and_plain_output() {
    let home = TempDir::new().unwrap();
    harness(&home)
        .arg("check")
        .arg(complete(home.path()))
        .assert()
        .code(0)
        .stdout(contains("2 / 2").and(contains("\x1b").not()))
        .stderr("");
}

#[test]
fn a_missing_file_is_named_and_costs_marks_with_status_1() {
    let home = TempDir::new().unwrap();
    let root = complete(home.path());
    fs::remove_file(root.join("task4/csfile")).unwrap();
    harness(&home).arg("check").arg(&root).assert().code(1).stdout(contains("missing: task4/csfile"));
}

#[test]
fn changes_outside_the_marked_portions_are_shown_as_a_diff_and_cost_nothing() {
    let home = TempDir::new().unwrap();
    let root = complete(home.path());
    let script = fs::read_to_string(fixtures("course/task2/simple_container.sh")).unwrap();
    fs::write(root.join("task2/simple_container.sh"), script.replace("gcc -o", "gcc -O2 -o")).unwrap();
    fs::copy(fixtures("course/task1/namespace_prog.c"), root.join("task1/namespace_prog.c")).unwrap();
    harness(&home)
        .args(["check", "--starter"])
        .arg(fixtures("course"))
        .arg(&root)
        .assert()
        .code(0)
        .stdout(contains("+gcc -O2 -o container_prog").and(contains("task2/simple_container.sh")));
}

#[test]
fn an_unreadable_submission_ends_with_status_2_and_one_line_that_names_it() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("essay.txt");
    fs::write(&file, "not an archive").unwrap();
    for arguments in [vec!["check"], vec!["grade", "--quiet"]] {
        harness(&home)
            .args(arguments)
            .arg(&file)
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("essay.txt").and(predicate::function(|text: &str| text.lines().count() == 1)));
    }
    harness(&home).args(["judge", "/nowhere"]).assert().code(2).stderr(contains("cannot read /nowhere"));
}

#[test]
fn invalid_arguments_end_with_status_2() {
    let home = TempDir::new().unwrap();
    let root = complete(home.path());
    let root = root.to_str().unwrap();
    for (arguments, word) in [
        (vec!["grade", root, "--only", "9z"], "9z"),
        (vec!["grade", root, "--accel", "fast"], "fast"),
        (vec!["grade", root, "--image", "beos"], "beos"),
        (vec!["grade", root, "--rubric", "/nowhere"], "/nowhere"),
        (vec!["regrade"], "regrade"),
    ] {
        harness(&home).args(arguments).assert().code(2).stdout("").stderr(contains(word));
    }
}

#[test]
fn a_rubric_with_an_unknown_check_ends_with_status_2_and_names_the_line() {
    let home = TempDir::new().unwrap();
    let rubric = home.path().join("ours.toml");
    fs::write(&rubric, "[layout]\nfiles = 2\nfolders = 1\n").unwrap();
    harness(&home)
        .args(["check", "--rubric"])
        .arg(&rubric)
        .arg(complete(home.path()))
        .assert()
        .code(2)
        .stderr(contains("ours.toml:3").and(contains("layout/folders")));
}

#[test]
fn judging_twice_makes_identical_reports() {
    let home = TempDir::new().unwrap();
    let bundle = bundle(home.path());
    let (first, second) = (home.path().join("first"), home.path().join("second"));
    for directory in [&first, &second] {
        harness(&home).arg("judge").arg(&bundle).arg("--report").arg(directory).assert().code(1);
    }
    for name in ["report.json", "junit.xml", "summary.md"] {
        assert_eq!(fs::read(first.join(name)).unwrap(), fs::read(second.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn if_the_submission_crashes_the_machine_every_check_without_evidence_loses_its_marks() {
    let home = TempDir::new().unwrap();
    let out = home.path().join("out");
    harness(&home).arg("judge").arg(bundle(home.path())).arg("--report").arg(&out).assert().code(1);
    let report = report(&out);
    assert_eq!((&report["score"], &report["max"]), (&json!(0.0), &json!(15.0)));
    for check in report["subtasks"][0]["checks"].as_array().unwrap() {
        assert!(check["status"] == "fail" || check["status"] == "skip", "{check}");
    }
    assert!(report.to_string().contains("kernel panicked"));
}

#[test]
fn if_our_infrastructure_fails_no_mark_is_given_or_taken_and_the_status_is_3() {
    let home = TempDir::new().unwrap();
    let directory = bundle(home.path());
    let path = directory.join("evidence/1/recording.json");
    let text = fs::read_to_string(&path).unwrap().replace("lost", "infrastructure");
    fs::write(&path, text).unwrap();
    let out = home.path().join("out");
    harness(&home)
        .arg("judge")
        .arg(&directory)
        .arg("--report")
        .arg(&out)
        .assert()
        .code(3)
        .stdout(contains("8 checks have no verdict"));
    for check in report(&out)["subtasks"][0]["checks"].as_array().unwrap() {
        assert_eq!(check["status"], "error", "{check}");
    }
}

#[test]
fn a_bundle_without_a_scenarios_recording_ends_with_status_3() {
    let home = TempDir::new().unwrap();
    let directory = bundle(home.path());
    let path = directory.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"scenarios\":[\"1\"]", "\"scenarios\":[]");
    fs::write(&path, text).unwrap();
    harness(&home).arg("judge").arg(&directory).assert().code(3);
}

#[test]
fn damaged_evidence_ends_with_status_2_and_names_the_line() {
    let home = TempDir::new().unwrap();
    let directory = bundle(home.path());
    let path = directory.join("evidence/1/records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{{\"ms\":\n")).unwrap();
    harness(&home)
        .arg("judge")
        .arg(&directory)
        .assert()
        .code(2)
        .stderr(contains("records.jsonl").and(contains("line 2")));
}

#[test]
fn another_rubric_changes_only_the_marks() {
    let home = TempDir::new().unwrap();
    let root = complete(home.path());
    fs::remove_file(root.join("task4/csfile")).unwrap();
    let rubric = home.path().join("ours.toml");
    fs::write(&rubric, "[layout]\nfiles = 40\ngit = 2\n").unwrap();
    let out = home.path().join("out");
    harness(&home)
        .args(["check", "--rubric"])
        .arg(&rubric)
        .arg("--report")
        .arg(&out)
        .arg(&root)
        .assert()
        .code(1);
    let report = report(&out);
    assert_eq!((&report["score"], &report["max"]), (&json!(2.5), &json!(42.5)));
}

#[test]
fn colours_appear_only_if_requested() {
    let home = TempDir::new().unwrap();
    let root = complete(home.path());
    let mut command = harness(&home);
    command.env("CLICOLOR_FORCE", "1").arg("check").arg(&root).assert().stdout(contains("\x1b["));
    let mut command = harness(&home);
    command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").arg("check").arg(&root);
    command.assert().stdout(contains("\x1b").not());
}

#[test]
fn a_run_leaves_nothing_in_the_cache() {
    let home = TempDir::new().unwrap();
    harness(&home).arg("check").arg(complete(home.path())).assert().code(0);
    let left: Vec<_> = fs::read_dir(home.path().join("runs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != ".lock")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_program_prints_completions_and_its_man_page() {
    let home = TempDir::new().unwrap();
    harness(&home).args(["completions", "bash"]).assert().code(0).stdout(contains("--only"));
    harness(&home).arg("man").assert().code(0).stdout(contains(".TH harness"));
}

#[test]
fn the_version_names_the_source_and_is_the_one_in_reports() {
    let home = TempDir::new().unwrap();
    let said = harness(&home).arg("--version").output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let version = said.trim().strip_prefix("harness ").unwrap();
    let digest = version.strip_prefix(concat!(env!("CARGO_PKG_VERSION"), "+")).unwrap();
    assert!(digest.len() == 12 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");

    let report = home.path().join("report");
    harness(&home).arg("check").arg(complete(home.path())).arg("--report").arg(&report).assert().success();
    let report: Value = serde_json::from_slice(&fs::read(report.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["environment"]["harness"], version);
}

#[test]
fn debug_names_what_it_lacks_before_it_starts_a_machine() {
    let home = TempDir::new().unwrap();
    let bundle = bundle(home.path());
    let debug = |check: &str| {
        let mut command = harness(&home);
        command.current_dir(home.path()).arg("debug").arg(&bundle).arg(check);
        command
    };
    debug("3c/peer").assert().code(2).stderr(contains("no check \"3c/peer\"; it has the subtasks 1"));
    debug("1/transcript")
        .assert()
        .code(2)
        .stderr(contains("not at 23m0001.tar, the path in the report").and(contains("--submission PATH")));
}
