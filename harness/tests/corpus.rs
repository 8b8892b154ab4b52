//! Submissions whose verdict is known, graded in virtual machines. Each is a folder under
//! `fixtures/submissions`.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Runs `harness corpus` on the cases whose names begin so.
fn grade(cases: &[&str]) {
    let harness = assert_cmd::cargo::cargo_bin!("harness");
    // Cargo builds the programs of this crate for its tests, not those of the crate below it.
    if !harness.with_file_name("vm-agent").is_file() {
        eprintln!("skipped: vm-agent is not built; `cargo build --workspace` builds it");
        return;
    }
    if vm_is_out_of_reach() {
        eprintln!("skipped: no QEMU here; `harness doctor` says what to install");
        return;
    }
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/submissions");
    let mut command = Command::new(harness);
    command.arg("corpus").arg(corpus);
    for case in cases {
        command.args(["--case", case]);
    }
    let output = command.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{text}");
}

fn vm_is_out_of_reach() -> bool {
    Command::new("qemu-system-x86_64").arg("--version").output().is_err()
}

/// Good submissions of each kind, one that does nothing, and of each kind of bad one the quickest:
/// what `make test` runs.
#[test]
fn a_handful_of_the_corpus_is_judged_as_expected() {
    grade(&[
        "starter",
        "variants/task1-pidfd-by-number",
        "variants/task2-cp-parents-cgexec",
        "variants/task3-chains-one-file",
        "mutants/task1-fake-transcript",
        "mutants/task2-no-fork",
        "mutants/task2-quota-of-one-core",
        "hostile/panics-the-kernel",
    ]);
}

#[test]
#[ignore = "slow: grades every submission of the corpus, about a minute for every four"]
fn all_of_the_corpus_is_judged_as_expected() {
    grade(&[]);
}
