//! `harness vm shell` and `harness debug` on a real terminal.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use rexpect::session::{PtySession, spawn_command};

/// Enough for a busy machine, in milliseconds: a hang, not a slow machine.
const PATIENCE: u64 = 120_000;

/// The program, once a machine has been made. `None` where none can be made.
fn harness() -> Option<Command> {
    let program = || Command::new(assert_cmd::cargo::cargo_bin!("harness"));
    if !program().args(["vm", "build"]).status().unwrap().success() {
        eprintln!("skipped: no machine can be made here");
        return None;
    }
    Some(program())
}

fn ends_well(mut terminal: PtySession) {
    terminal.exp_eof().unwrap();
    let status = format!("{:?}", terminal.process().wait().unwrap());
    assert!(status.starts_with("Exited(") && status.ends_with(", 0)"), "{status}");
}

#[test]
fn a_shell_in_a_machine_has_a_terminal_of_the_right_size() {
    let Some(mut shell) = harness() else { return };
    shell.args(["vm", "shell"]);
    let mut terminal = spawn_command(shell, Some(PATIENCE)).unwrap();
    terminal.exp_string("cs695").unwrap();
    terminal.send_line("stty size; tty; hostname | rev").unwrap();
    terminal.exp_string("24 80").unwrap();
    terminal.exp_string("/dev/ttyS0").unwrap();
    terminal.exp_string("596sc").unwrap();
    // Ctrl-C ends what runs in the machine, not the harness. An interrupt is lost while bash starts
    // a program, and discards what was typed before the next prompt: the test waits for both.
    terminal.send_line("sh -c 'echo peels | rev; exec sleep 1000'").unwrap();
    terminal.exp_string("sleep 1000").unwrap();
    terminal.exp_string("sleep").unwrap();
    terminal.send_control('c').unwrap();
    terminal.exp_string("cs695").unwrap();
    terminal.send_line("echo $((6 * 7))$?").unwrap();
    terminal.exp_string("42130").unwrap();
    terminal.send_line("exit").unwrap();
    ends_well(terminal);
}

#[test]
fn debug_stops_where_a_check_was_decided_and_ends_with_a_key() {
    let Some(mut debug) = harness() else { return };
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures");
    debug.args(["debug", &format!("{fixtures}/evidence/reference"), "1/child2-joins-pid-namespace"]);
    debug.args(["--submission", &format!("{fixtures}/submissions/reference-bash")]);
    let mut terminal = spawn_command(debug, Some(PATIENCE)).unwrap();
    terminal
        .exp_string("stopped after the evidence for 1/child2-joins-pid-namespace. Its last command: `./namespace_prog`")
        .unwrap();
    // Child 2 has just begun; the program has not gone on since.
    terminal.exp_string("task1#").unwrap();
    terminal.send_line("pgrep -c namespace_prog; basename $PWD | rev").unwrap();
    terminal.exp_regex("[23]\r").unwrap();
    terminal.exp_string("1ksat").unwrap();
    terminal.send_control(']').unwrap();
    ends_well(terminal);
}

#[test]
fn the_end_of_the_input_ends_a_shell_that_has_not_read_yet() {
    let Some(harness) = harness() else { return };
    let mut shell = assert_cmd::Command::from_std(harness);
    shell.args(["vm", "shell"]).write_stdin("").timeout(std::time::Duration::from_millis(PATIENCE));
    shell.assert().success();
}
