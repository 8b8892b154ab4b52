//! The programs of tasks 1 and 2: their output, and whether it is true.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Command;

use support::Playground;

#[test]
fn namespace_prog_prints_the_assignments_transcript() {
    let Some(place) = Playground::without_base() else { return };
    let output = place.command(env!("CARGO_BIN_EXE_namespace_prog")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let pid = text.lines().nth(1).unwrap().rsplit(' ').next().unwrap();
    let redacted = text.replace(pid, "[pid]").replace(&format!(" {name}\n"), " [host]\n");
    insta::assert_snapshot!(redacted, @r"
    ----------------------------------------
    Parent Process PID: [pid]
    Parent Hostname: [host]
    ----------------------------------------
    Child1 Process PID: 1
    Child1 Hostname: Child1Hostname
    ----------------------------------------
    Parent Process PID: [pid]
    Parent Hostname: [host]
    ----------------------------------------
    Child2 Process PID: 2
    Child2 Hostname: Child1Hostname
    ----------------------------------------
    Parent Process PID: [pid]
    Parent Hostname: [host]
    ----------------------------------------
    ");
}

/// A program like the course's `container_prog`: it prints where it is.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char line[256], name[65];
    const char *new_name = "new_hostname";
    printf("%s %d\n", argv[1], getpid() == 1);
    if (strcmp(argv[1], "subtask2") == 0) sethostname(new_name, strlen(new_name));
    gethostname(name, sizeof name);
    printf("%d %s\n", access("/container_prog", F_OK), access("/etc/passwd", F_OK) ? "isolated" : "not isolated");
    if (strcmp(argv[1], "subtask2") == 0) printf("%s\n", name);
    fflush(stdout);
    return 0;
}
"#;

#[test]
fn simple_container_isolates_step_by_step() {
    let Some(place) = Playground::without_base() else { return };
    let source = place.write("container_prog.c", PROGRAM);
    let built = Command::new("gcc").arg("-o").arg(place.path().join("container_prog")).arg(source).status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs gcc");
        return;
    }
    let output =
        place.command(env!("CARGO_BIN_EXE_simple_container")).arg("container_prog").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let rule = "__________________________________________";
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let mut wanted = format!(
        "Output Subtask 2a\nsubtask1 0\n0 isolated\n{rule}\nOutput Subtask 2b\nsubtask2 1\n0 isolated\n\
         new_hostname\nHostname in the host: {host}\n{rule}\n"
    );
    let errors = String::from_utf8(output.stderr).unwrap();
    if errors.contains("cpu controller") {
        eprintln!("2c skipped: {errors}");
    } else {
        wanted += "Output Subtask 2c\nsubtask3 1\n0 isolated\n";
        assert!(output.status.success(), "{errors}");
    }
    assert_eq!(text, wanted);
    let mut root: Vec<_> = fs::read_dir(place.path().join("container_root"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    root.sort();
    assert_eq!(root, ["container_prog", "lib", "lib64"]);
}
