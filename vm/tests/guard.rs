//! Root in a guest against the recorder: every attack is refused, and honest
//! programs notice nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machine;

use std::path::Path;
use std::process::Command as Program;

use vm::{Command, Disks, Guest, Outcome, Request, disk_from_dir, prepare};

/// What is no secret and does no harm: numbers of descriptors, without what they
/// are, and an empty list.
const HARMLESS: [&str; 2] = ["read /proc/PID/fd", "read /proc/PID/map_files"];

fn guest_with(folder: &str) -> Guest {
    let request = Request {
        agent: Some(env!("CARGO_BIN_EXE_vm-agent").into()),
        setup: machine::setup(),
        ..Request::default()
    };
    let template = prepare(&machine::cache(), &request, &mut |event| eprintln!("{event:?}")).unwrap();
    assert_eq!(template.unguarded(), None);
    let scratch = tempfile::tempdir().unwrap();
    let disk = scratch.path().join("disk");
    disk_from_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder), &disk).unwrap();
    let disks = Disks { payload: Some(disk), store: None };
    template.restore(&disks).unwrap()
}

/// What a script says, as a protected program.
fn said(guest: &mut Guest, script: &str) -> Vec<String> {
    let mut command = Command::new(["/bin/bash", "-c", script]);
    command.kept = true;
    let mut lines = Vec::new();
    let outcome = guest.run(&command, &mut |line| lines.push(String::from_utf8_lossy(line).into_owned()));
    assert!(matches!(outcome, Outcome::Exited { code: 0, .. }), "{outcome:?} after {lines:#?}");
    lines
}

/// The attacks that a script says were allowed; `at_least` says how many it must have tried.
fn allowed(guest: &mut Guest, script: &str, at_least: usize) -> Vec<String> {
    let lines = said(guest, script);
    assert!(lines.len() >= at_least, "{lines:#?}");
    eprintln!("{}", lines.join("\n"));
    let allowed = lines.iter().filter_map(|line| line.strip_prefix("ALLOWED "));
    allowed.filter(|attack| !HARMLESS.contains(attack)).map(str::to_owned).collect()
}

#[test]
fn root_reaches_neither_the_agent_nor_what_it_started() {
    let mut guest = guest_with("attacks");
    said(&mut guest, "gcc -no-pie -w -o /root/attacks /run/vm/payload/attacks.c; exit $?");
    // What the protected shell starts and what becomes another program is not
    // protected. $PPID is the agent.
    for victim in ["$$", "$PPID"] {
        let script = format!("setsid -w /root/attacks {victim}; exit 0");
        assert_eq!(allowed(&mut guest, &script, 100), [""; 0], "against {victim}");
    }
    for victim in ["$$", "$PPID"] {
        let script = format!("setsid -w bash /run/vm/payload/cgroups.sh {victim} 2>&1; exit 0");
        assert_eq!(allowed(&mut guest, &script, 30), [""; 0], "against {victim}");
    }
    assert_eq!(said(&mut guest, "echo alive"), ["alive"]);
}

#[test]
#[ignore = "needs clang-14 and llvm-14"]
fn the_object_that_is_built_in_is_that_of_its_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let rebuilt = scratch.path().join("guard.bpf.o");
    assert!(Program::new(root.join("ci/guard")).arg(&rebuilt).status().unwrap().success());
    let built_in = std::fs::read(root.join("vm/guard/guard.bpf.o")).unwrap();
    assert!(std::fs::read(&rebuilt).unwrap() == built_in, "run ci/guard and commit vm/guard/guard.bpf.o");
}
