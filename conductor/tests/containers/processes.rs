//! The first process of a container: its end, its signals, and zombies.

use std::io::{BufRead, BufReader, Read};

use super::*;

#[test]
fn a_caller_that_ignores_its_children_hears_of_the_commands_end() {
    let Some(place) = place() else { return };
    let ignoring = |args: &[&str]| {
        let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
        let ignore = || {
            // SAFETY: as below.
            unsafe { nix::sys::signal::signal(Signal::SIGCHLD, nix::sys::signal::SigHandler::SigIgn) }?;
            Ok(())
        };
        // SAFETY: one system call between fork and exec.
        unsafe { command.args(args).pre_exec(ignore) };
        assert_cmd::Command::from_std(command).assert()
    };
    // The command learns the end of its own children, too.
    let script = "grep SigIgn /proc/self/status; exit 3";
    // SIGCHLD is number 17: the lowest bit of the fifth digit.
    let heeded = is_match(r"^SigIgn:\t[0-9a-f]{11}[02468ace][0-9a-f]{4}\n$").unwrap();
    ignoring(&["-q", "run", "img", "eg", "sh", "-c", script]).code(3).stdout(heeded);
    ignoring(&["-q", "run", "--init", "img", "eg2", "sh", "-c", "exit 3"]).code(3);
    place.write("Conductorfile", "FROM debian:bookworm\nRUN true\n");
    ignoring(&["build", "img2"]).success();
}

#[test]
fn signals_reach_the_command_or_end_it() {
    let Some(place) = place() else { return };
    let handler = "trap 'echo caught; exit 3' TERM; echo ready > /ready; while :; do sleep 0.05; done";
    let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
    run.args(["-q", "run", "img", "handles", "--", "sh", "-c", handler]).stdout(Stdio::piped());
    let run = run.spawn().unwrap();
    wait_for(|| place.path().join(".containers/handles/upper/ready").exists());
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGTERM).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"caught\n".as_slice()));

    // The kernel drops SIGTERM for process 1 without a handler; `run` must not wait forever.
    let mut run = place.start("does-not", &["sleep", "infinity"]);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

/// The signals that nohup(1) and shells make a program ignore.
const IGNORED: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// Starts conductor as nohup(1) and `… &` in a script do, and sends it these signals once its
/// command has printed `ready`. Returns its standard output.
fn unimpressed(place: &Playground, args: &[&str]) -> String {
    let ignore = || {
        for signal in IGNORED {
            // SAFETY: as below.
            unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) }?;
        }
        Ok(())
    };
    let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
    // SAFETY: system calls between fork and exec.
    unsafe { command.args(args).pre_exec(ignore) };
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.ends_with("ready\n") {
        assert_ne!(output.read_line(&mut said).unwrap(), 0, "{said}");
    }
    for signal in IGNORED {
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }
    output.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}: {said}");
    said
}

#[test]
fn signals_that_the_caller_made_conductor_ignore_do_not_reach_the_command() {
    let Some(place) = place() else { return };
    place.keep_running("bg", &["sleep", "infinity"]);
    let script = "grep SigIgn /proc/self/status; echo ready; sleep 1; echo over";
    place.write("Conductorfile", &format!("FROM debian:bookworm\nRUN {script}\n"));
    let commands: [&[&str]; 4] = [
        &["run", "img", "eg", "sh", "-c", script],
        &["run", "--init", "img", "eg2", "sh", "-c", script],
        &["exec", "bg", "sh", "-c", script],
        &["build", "built"],
    ];
    for args in commands {
        let said = unimpressed(&place, args);
        // The command itself has the default actions.
        assert!(said.contains("SigIgn:\t0000000000000000\nready\nover\n"), "{args:?}: {said}");
    }
}

#[test]
fn orphans_do_not_stay_zombies_under_a_first_process_that_never_waits() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    place.exec("eg", ["sh", "-c", "(sleep 0.01; echo done > /done) & (sleep 0.01) & (sleep 0.01) &"]);
    wait_for(|| place.path().join(".containers/eg/upper/done").exists());
    let states = || place.exec("eg", ["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ') Z '"]);
    wait_for(|| states() == "0\n");
}

/// A first process that never waits for a child. Its name does not show that.
const NEVER_WAITS: [&str; 3] = ["sh", "-c", "exec sleep infinity"];

/// Creates an orphan that ends, and counts the zombies after that.
fn zombies_after_an_orphan(place: &Playground, name: &str) -> String {
    place.exec(name, ["sh", "-c", "(sleep 0.01; echo done > /done) &"]);
    let upper = place.path().join(".containers").join(name).join("upper/done");
    wait_for(|| upper.exists());
    let living = "cat /proc/[0-9]*/stat | grep -v ') Z ' | grep -c 'sh) '";
    // The shell of this line and its subshells are the only shells that are alive.
    wait_for(|| place.exec(name, ["sh", "-c", &format!("[ $({living}) -le 2 ] && echo yes")]) == "yes\n");
    place.exec(name, ["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ') Z '"])
}

#[test]
fn an_init_waits_for_orphans_where_it_is_asked_for() {
    let Some(place) = place() else { return };
    let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
    // Options may stand after names.
    run.args(["-q", "run", "img", "eg", "--init", "--"]).args(NEVER_WAITS);
    let mut run = run.stdin(Stdio::null()).spawn().unwrap();
    wait_for(|| place.conductor(["exec", "eg", "true"]).ok().is_ok());
    assert_eq!(zombies_after_an_orphan(&place, "eg"), "0\n");
    let processes = place.exec("eg", ["ps", "-o", "pid,comm"]);
    assert!(processes.contains("    1 init\n    2 sleep\n"), "{processes}");
    // The init keeps no file of the host open.
    assert_eq!(place.exec("eg", ["sh", "-c", "readlink /proc/1/fd/*"]), "anon_inode:[signalfd]\n");
    place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(run.wait().unwrap().code(), Some(137));

    place.keep_running("without", &NEVER_WAITS);
    // The container is there a moment before its first process has become the command.
    wait_for(|| place.exec("without", ["ps", "-o", "pid,comm"]).contains("    1 sleep\n"));
    assert_eq!(zombies_after_an_orphan(&place, "without"), "1\n");
}

#[test]
fn a_command_under_an_init_has_its_status_its_signals_and_its_end() {
    let Some(place) = place() else { return };
    let run =
        |name, script| place.conductor(["-q", "run", "--init", "img", name, "sh", "-c", script]).assert();
    // Background processes end with the command and delay nothing.
    run("status", "echo $$; sleep 4242 & exit 7").code(7).stdout("2\n");
    run("killed", "kill -9 $$").code(137);
    run("real-time", "kill -40 $$").code(168);
    for (args, status) in [(["no-file", "nosuch"], 127), (["no-program", "/etc/motd"], 126)] {
        place.conductor(["run", "--init", "img"].into_iter().chain(args)).assert().code(status);
        assert!(!place.path().join(".containers").join(args[0]).exists());
    }

    // A signal with its default action (which process 1 would ignore), one with a handler, and an
    // ignored one.
    let signalled = |name, script: &str| {
        let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
        let script = format!("{script} echo ready > /ready; sleep 1 & wait; exec sleep infinity");
        let mut run = run.args(["-q", "run", "--init", "img", name, "sh", "-c", &script]).spawn().unwrap();
        wait_for(|| place.path().join(format!(".containers/{name}/upper/ready")).exists());
        kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGTERM).unwrap();
        if script.contains("trap ''") {
            kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGUSR1).unwrap();
        }
        run.wait().unwrap().code()
    };
    assert_eq!(signalled("default", ""), Some(143));
    assert_eq!(signalled("handles", "trap 'exit 3' TERM;"), Some(3));
    assert_eq!(signalled("ignores", "trap '' TERM;"), Some(138));
}

/// Commands that end before their parent waits: if SIGCHLD is lost, `run` hangs.
fn run_short_commands(times: usize) {
    let Some(place) = place() else { return };
    for _ in 0..times {
        place
            .conductor(["run", "img", "eg", "true"])
            .timeout(std::time::Duration::from_secs(60))
            .assert()
            .success();
        place.conductor(["stop", "eg"]).assert().success();
    }
}

#[test]
fn a_command_that_ends_at_once_is_waited_for() {
    run_short_commands(20);
}

#[test]
#[ignore = "slow: a thousand runs"]
fn a_thousand_commands_that_end_at_once_are_waited_for() {
    run_short_commands(1000);
}
