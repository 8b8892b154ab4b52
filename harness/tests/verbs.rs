//! Tests the Makefile and `./grade`: arguments reach `harness` unchanged, and misspelt ones are
//! refused.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A checkout whose scripts do nothing. Its harness prints one argument per line and exits with 3.
fn checkout() -> tempfile::TempDir {
    let checkout = tempfile::Builder::new().prefix("check out").tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in ["Makefile", "grade"] {
        fs::copy(root.join(file), checkout.path().join(file)).unwrap();
    }
    let harness = "target/x86_64-unknown-linux-gnu/release/harness";
    for (file, does) in [("ci/setup", ""), ("ci/build", ""), (harness, "printf '%s\\n' \"$@\"; exit 3")] {
        let path = checkout.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{does}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    checkout
}

/// Variables that a surrounding `make` sets. `MAKELEVEL` would make the inner `make` print its
/// folder.
const INHERITED: [&str; 9] =
    ["SUBMISSION", "ONLY", "REPORT", "JOBS", "FLAGS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"];

fn make(words: &[&str]) -> Output {
    let checkout = checkout();
    let mut make = Command::new("make");
    for variable in INHERITED {
        make.env_remove(variable);
    }
    make.args(words).current_dir(checkout.path()).output().unwrap()
}

fn lines(output: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(output).lines().map(ToOwned::to_owned).collect()
}

#[test]
fn paths_reach_the_harness_unchanged() {
    let path = r#"a b [c] $d 'e' "f"`g`#h\i.tar.gz"#;
    let (submission, report) = (format!("SUBMISSION={path}"), format!("REPORT={path}"));
    let graded = make(&["grade", &submission, &report, "ONLY=1,2c", "JOBS=2", "FLAGS=--seed '1 2'"]);
    let said = lines(&graded.stdout);
    assert_eq!(
        said,
        ["grade", "--only=1,2c", &format!("--report={path}"), "--jobs=2", "--seed", "1 2", "--", path]
    );
    assert_eq!(lines(&make(&["check", &submission]).stdout), ["check", "--", path]);
}

#[test]
fn without_a_submission_the_reference_is_graded_and_a_message_says_so() {
    let graded = make(&["grade"]);
    assert_eq!(lines(&graded.stdout), ["grade", "--", "target/reference"]);
    let said = String::from_utf8_lossy(&graded.stderr).into_owned();
    assert!(said.contains("SUBMISSION is not set") && said.contains("minute"), "{said}");
    let named = make(&["grade", "SUBMISSION=x"]);
    assert!(!String::from_utf8_lossy(&named.stderr).contains("SUBMISSION is not set"));
}

#[test]
fn misspelt_variables_and_targets_are_refused() {
    for words in [
        &["grade", "submission=x"][..],
        &["check", "SUBMISION=x"],
        &["test", "ONLY=1", "only=1"],
        &["grade", "x.tar.gz"],
        // This is a file of the checkout, but no target.
        &["grade", "SUBMISSION=x", "Makefile"],
    ] {
        let refused = make(words);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(
            (refused.status.code(), refused.stdout.as_slice()),
            (Some(2), &b""[..]),
            "{words:?}: {said}"
        );
        assert!(said.contains("there is no"), "{words:?}: {said}");
    }
}

#[test]
fn the_script_keeps_the_exit_status_and_the_caller_s_folder() {
    let (checkout, elsewhere) = (checkout(), tempfile::tempdir().unwrap());
    let graded = Command::new(checkout.path().join("grade"))
        .args(["a b.tar", "--only", "1"])
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert_eq!(lines(&graded.stdout), ["grade", "a b.tar", "--only", "1"]);
    assert_eq!(graded.status.code(), Some(3));
}
