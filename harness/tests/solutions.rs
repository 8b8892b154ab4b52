//! No program that students may get, or that a submission meets in its machine, holds
//! a solution in clear.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use harness::guest::fakes::replaced::{BUILD, RUN};

/// The lines of all text files below a folder that are long enough to be found by.
fn lines_below(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            lines_below(&path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            into.extend(text.lines().map(str::trim).filter(|line| line.len() >= 32).map(str::to_owned));
        }
    }
}

#[test]
#[ignore = "slow: reads large programs byte by byte, which takes a minute without optimisation"]
fn no_line_of_a_reference_is_in_the_programs() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fixtures");
    let mut solutions = BTreeSet::new();
    for reference in ["reference-bash", "reference-rust"] {
        lines_below(&fixtures.join("submissions").join(reference), &mut solutions);
    }
    let mut given = BTreeSet::new();
    lines_below(&fixtures.join("course"), &mut given);
    solutions.retain(|line| !given.contains(line));
    assert!(solutions.len() > 200, "{}", solutions.len());

    let programs = [
        env!("CARGO_BIN_EXE_harness"),
        env!("CARGO_BIN_EXE_harness-guest"),
        env!("CARGO_BIN_EXE_build-replaced"),
        env!("CARGO_BIN_EXE_run-replaced"),
    ];
    for program in programs {
        let bytes = fs::read(program).unwrap();
        let lines = bytes.split(|byte| !(b' '..=b'~').contains(byte)).filter(|line| line.len() >= 32);
        let lines = lines.map(|line| String::from_utf8_lossy(line).trim().to_owned());
        let found: Vec<String> = lines.filter(|line| solutions.contains(line)).collect();
        assert_eq!(found, [""; 0], "in {program}");
    }
}

#[test]
#[ignore = "slow: builds the harness again, without follow-through"]
fn the_build_for_students_has_no_command_that_replaces_theirs() {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("students");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "-p", "harness", "--no-default-features", "--target-dir"])
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success());
    let programs = target.join("x86_64-unknown-linux-gnu/debug");
    assert!(programs.join("harness-guest").is_file());
    for name in [BUILD, RUN] {
        assert!(!programs.join(name).exists(), "{name}");
    }
}

/// The guest half is in every machine, whatever a submission calls it there. A machine with one
/// replaced command must not have the other one.
#[test]
fn a_program_is_the_command_that_it_is_made_for_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let says = |program: &str, name: &str| {
        let called = folder.path().join(name);
        let _ = fs::remove_file(&called);
        symlink(program, &called).unwrap();
        let said = Command::new(&called).output().unwrap().stderr;
        String::from_utf8_lossy(&said).into_owned()
    };
    for name in [BUILD, RUN, "unshare", "conductor"] {
        let said = says(env!("CARGO_BIN_EXE_harness-guest"), name);
        assert!(said.contains("usage: harness-guest"), "{name}: {said}");
        let said = says(env!("CARGO_BIN_EXE_build-replaced"), name);
        assert_eq!(said, "which image?\n", "{name}");
    }
    assert_eq!(says(env!("CARGO_BIN_EXE_run-replaced"), BUILD), "name an image and a container\n");
}
