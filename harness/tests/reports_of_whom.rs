//! Tests the folder of a report: ids, numbered folders, `--report` folders and claims. No test
//! needs a machine.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

/// Grades only the layout, from a folder with a blank and brackets in its name.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(TempDir::new().unwrap());
        fs::create_dir(scratch.folder()).unwrap();
        scratch
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("a class [2026]")
    }

    fn harness(&self, words: &[&str]) -> Command {
        let mut command = Command::cargo_bin("harness").unwrap();
        command
            .env("HARNESS_CACHE", self.folder().join("the cache [x]"))
            .current_dir(self.folder())
            .args(words);
        command
    }

    fn grade(&self, words: &[&str]) -> assert_cmd::assert::Assert {
        self.harness(&["grade", "--only", "layout", "--quiet"]).args(words).assert()
    }

    /// A tar archive with a folder of this name.
    fn tar(&self, name: &str, folder: &str) -> String {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{folder}/task1/namespace_prog.c"), &b"int"[..]).unwrap();
        builder.finish().unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn id_in(&self, report: &str) -> String {
        let text = fs::read(self.folder().join(report).join("report.json")).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap()["submission"]["id"].as_str().unwrap().to_owned()
    }
}

#[test]
fn each_run_has_a_numbered_folder_and_latest_links_to_the_newest() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    for number in 1..=3 {
        let line = format!("  reports/23m0001/{number}/index.html\n");
        scratch.grade(&[&tar]).code(1).stdout(predicate::str::ends_with(line));
    }
    let series = scratch.folder().join("reports/23m0001");
    assert_eq!(fs::read_link(series.join("latest")).unwrap(), Path::new("3"));
    let mut names: Vec<_> = fs::read_dir(series).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1", "2", "3", "latest"]);
}

#[test]
fn the_archive_cannot_choose_whose_report_it_replaces() {
    let scratch = Scratch::new();
    let honest = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    let thief = scratch.tar("23m0002_assignment3.tar", "23m0001_assignment3");
    scratch.grade(&[&honest, "--report", "out"]).code(1);
    scratch.grade(&[&thief]).code(1);
    assert_eq!(scratch.id_in("reports/23m0002/latest"), "23m0002");
    let said = "the submission's name has the roll number 23m0002, but the folder inside has 23m0001";
    scratch.harness(&["grade", "--only", "layout", &thief]).assert().stderr(contains(said));
    let report = fs::read_to_string(scratch.folder().join("reports/23m0002/latest/report.json")).unwrap();
    assert!(report.contains(said), "{report}");

    scratch
        .grade(&[&thief, "--report", "out"])
        .code(2)
        .stdout("")
        .stderr(contains("23m0001").and(contains("--force")));
    assert_eq!(scratch.id_in("out"), "23m0001");
    scratch.grade(&[&thief, "--report", "out", "--id", "23m0001"]).code(2);
    scratch.harness(&["check", &thief, "--report", "out"]).assert().code(2);
    scratch.grade(&[&honest, "--report", "out"]).code(1);
    scratch.grade(&[&thief, "--report", "out", "--force"]).code(1);
    assert_eq!(scratch.id_in("out"), "23m0002");
}

#[test]
fn a_new_version_at_the_same_path_replaces_its_own_report() {
    let scratch = Scratch::new();
    scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    scratch.grade(&["23m0001_assignment3.tar", "--report", "out"]).code(1);
    scratch.grade(&["./23m0001_assignment3.tar", "--report", "out"]).code(1);
    scratch.harness(&["judge", "out", "--report", "out"]).assert().code(1);
    scratch.tar("late/23m0001_assignment3.tar", "23m0001_assignment3");
    scratch.grade(&["late/23m0001_assignment3.tar", "--report", "out"]).code(2).stderr(contains("--force"));
}

#[test]
fn a_given_id_is_used_and_an_invalid_one_is_refused() {
    let scratch = Scratch::new();
    let tar = scratch.tar("upload.tar", "23m0001_assignment3");
    scratch
        .grade(&[&tar, "--id", "23m0009-late"])
        .code(1)
        .stdout(contains("reports/23m0009-late/1/index.html"));
    scratch.grade(&[&tar, "--id", "../evil"]).code(2).stderr(contains("../evil"));
    scratch.grade(&[&tar]).code(1).stdout(contains("reports/23m0001/1/index.html"));
}

#[test]
fn a_folder_of_a_live_run_is_refused_and_one_of_a_dead_run_is_taken_over() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    let out = scratch.folder().join("out");
    fs::create_dir(&out).unwrap();
    let claim = harness::reports::Claim::new(&out).unwrap();
    let ours = fs::read_to_string(out.join(".harness-run")).unwrap();
    scratch
        .grade(&[&tar, "--report", "out"])
        .code(3)
        .stderr(contains("another run").and(contains("process")));
    assert!(!out.join("report.json").exists());
    drop(claim);
    let mut dead: Value = serde_json::from_str(&ours).unwrap();
    dead["start"] = 1.into();
    fs::write(out.join(".harness-run"), dead.to_string()).unwrap();
    scratch.grade(&[&tar, "--report", "out"]).code(1);
    assert!(!out.join(".harness-run").exists());
}

#[test]
fn pipes_and_links_in_a_report_folder_are_not_opened() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    let out = scratch.folder().join("out");
    fs::create_dir(&out).unwrap();
    let check = |more: &[&str]| {
        let mut command = scratch.harness(&["check", &tar, "--report", "out"]);
        command.args(more).timeout(std::time::Duration::from_secs(20)).assert()
    };
    for (name, status) in [(".harness-run", 3), ("report.json", 2), ("manifest.json", 2)] {
        let path = out.join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        check(&[]).code(status).stderr(contains(name));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        check(&[]).code(status).stderr(contains(name));
        fs::remove_file(&path).unwrap();
    }
    nix::unistd::mkfifo(&out.join("report.json"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    check(&["--force"]).code(1);
    assert_eq!(scratch.id_in("out"), "23m0001");
}

#[test]
fn eight_runs_at_once_have_eight_folders() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| scratch.grade(&[&tar]).code(1));
        }
    });
    let series = scratch.folder().join("reports/23m0001");
    assert_eq!(fs::read_link(series.join("latest")).unwrap(), Path::new("8"));
    assert!((1..=8).all(|number| series.join(number.to_string()).join("manifest.json").is_file()));
}

#[test]
fn a_refused_submission_leaves_no_report_folder() {
    let scratch = Scratch::new();
    fs::write(scratch.folder().join("23m0001_assignment3.tar"), "no archive").unwrap();
    scratch.grade(&["23m0001_assignment3.tar"]).code(2);
    assert!(!scratch.folder().join("reports").exists());
}

#[test]
fn a_result_that_cannot_be_printed_ends_with_status_3_and_its_report_is_on_disk() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for words in [&["grade", "--only", "layout", "--quiet"][..], &["check"]] {
        let program = assert_cmd::cargo::cargo_bin!("harness");
        let output = std::process::Command::new(program)
            .args(words)
            .args([&tar, "--report", "full"])
            .env("HARNESS_CACHE", scratch.folder().join("cache"))
            .current_dir(scratch.folder())
            .stdout(full())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("No space left") && said.contains("full"), "{said}");
        assert_eq!(scratch.id_in("full"), "23m0001");
    }
    // If standard error is full too, only the status shows the failure.
    let program = assert_cmd::cargo::cargo_bin!("harness");
    let status =
        std::process::Command::new(program).args(["check", "/nowhere"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn without_a_cache_folder_the_error_is_one_sentence_with_status_3() {
    let scratch = Scratch::new();
    let tar = scratch.tar("23m0001_assignment3.tar", "23m0001_assignment3");
    for verb in ["check", "grade", "doctor"] {
        let mut command = scratch.harness(&[verb]);
        command.env_remove("HARNESS_CACHE").env_remove("HOME").env_remove("XDG_CACHE_HOME");
        if verb != "doctor" {
            command.arg(&tar);
        }
        let one_line = predicate::function(|text: &str| text.lines().count() == 1);
        command.assert().code(3).stdout("").stderr(contains("HARNESS_CACHE").and(one_line));
    }
    assert!(!scratch.folder().join("reports").exists());
}

#[test]
fn a_task_that_was_not_handed_in_is_named_and_needs_no_machine() {
    let scratch = Scratch::new();
    for (name, folders) in [
        ("23m0001_assignment3", vec![".git"]),
        ("23m0002_assignment3", vec!["task1", "task2", "task3", "task4"]),
    ] {
        for folder in folders {
            fs::create_dir_all(scratch.folder().join(name).join(folder)).unwrap();
        }
        scratch.harness(&["grade", "--quiet", name]).assert().code(1).stdout(
            contains("task2/simple_container.sh was not handed in").and(contains("infrastructure").not()),
        );
    }
}

#[test]
fn control_characters_in_names_are_made_visible() {
    let scratch = Scratch::new();
    let evil = "\u{1b}]0;owned\u{7}\u{202e}23m0001_assignment3";
    let tar = scratch.tar("upload.tar", &format!("{evil}/x\u{1b}[2J"));
    for words in [&["check"][..], &["grade", "--only", "layout"]] {
        let output = scratch.harness(words).arg(&tar).output().unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        assert!(!printed.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{printed:?}");
    }
}
