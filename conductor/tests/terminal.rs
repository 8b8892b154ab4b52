//! The transcripts of the assignment, typed at a terminal.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, poll};
use rexpect::session::{PtySession, spawn_command};
use support::Playground;

/// How long to wait for output, in milliseconds. Longer means that the program hangs.
const PATIENCE: u64 = 60_000;

/// A shell on the "host" with `conductor` in its path and a unique prompt. It records its output as
/// a transcript.
struct Terminal {
    session: PtySession,
    transcript: String,
}

const HOST_PROMPT: &str = "host$ ";
const PROMPT: &str = "root@box:/# ";

impl Terminal {
    fn open(place: &Playground) -> Self {
        place.write(".shrc", &format!("PS1='{PROMPT}'\n"));
        let mut shell = place.command("/bin/sh");
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_conductor")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        shell.env("PS1", HOST_PROMPT).env("PATH", path).env("TERM", "dumb").arg("-i");
        let mut session = spawn_command(shell, Some(PATIENCE)).unwrap();
        // An interactive shell does not end on SIGTERM.
        session.process_mut().set_kill_timeout(Some(100));
        session.exp_string(HOST_PROMPT).unwrap();
        // The terminal echoes what is typed.
        session.send_line("stty echo").unwrap();
        session.exp_string(HOST_PROMPT).unwrap();
        Self { session, transcript: HOST_PROMPT.to_owned() }
    }

    /// Types a line and records the output up to the next prompt.
    fn line(&mut self, line: &str, prompt: &str) -> String {
        self.session.send_line(line).unwrap();
        let printed = self.session.exp_string(prompt).unwrap();
        // busybox's shell asks the terminal for the position of the cursor.
        let printed = printed.replace("\u{1b}[6n", "").replace('\r', "");
        self.transcript += &printed;
        self.transcript += prompt;
        printed.split_once('\n').map(|(_, printed)| printed.to_owned()).unwrap_or_default()
    }

    /// The transcript, with everything replaced that differs between runs.
    fn redacted(&self) -> String {
        let words = |line: &str| -> String {
            let date =
                |word: &str| word.len() == 10 && word.bytes().filter(|byte| *byte == b'-').count() == 2;
            let redact = |word: &str| if date(word) { "[date]".to_owned() } else { word.to_owned() };
            line.split(' ').map(redact).collect::<Vec<_>>().join(" ")
        };
        // The greeting comes from the shell of the base system.
        let greeting = |line: &&str| {
            !line.is_empty() && !line.starts_with("BusyBox") && !line.starts_with("Enter 'help'")
        };
        let lines = self.transcript.lines().filter(greeting).map(|line| words(line).trim_end().to_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

fn place() -> Option<Playground> {
    let place = Playground::new()?;
    let base = place.path().join(".cache/base/debian-bookworm");
    // The prompt of the transcripts. The shell of the base system would print another one.
    std::fs::write(base.join("bin/bash"), format!("#!/bin/sh\nPS1='{PROMPT}' exec sh \"$@\"\n")).unwrap();
    place.build("").success();
    Some(place)
}

#[test]
fn the_transcript_of_run_is_the_assignments() {
    let Some(place) = place() else { return };
    let mut terminal = Terminal::open(&place);
    terminal.line("conductor ps", HOST_PROMPT);
    terminal.line("conductor run img eg", PROMPT);
    terminal.line("ps -o pid,args", PROMPT);
    terminal.line("exit", HOST_PROMPT);
    terminal.line("conductor ps", HOST_PROMPT);
    terminal.line("conductor stop eg", HOST_PROMPT);
    terminal.line("conductor ps", HOST_PROMPT);
    insta::assert_snapshot!(terminal.redacted(), @r"
    host$ conductor ps
    CS695 Conductor that manages containers
    No containers found
    host$ conductor run img eg
    CS695 Conductor that manages containers
    root@box:/# ps -o pid,args
    PID   COMMAND
        1 sh
        2 {ps} sh
    root@box:/# exit
    host$ conductor ps
    CS695 Conductor that manages containers
    Name                 Date       Status
    eg                   [date] exited
    host$ conductor stop eg
    CS695 Conductor that manages containers
    eg succesfully removed
    host$ conductor ps
    CS695 Conductor that manages containers
    No containers found
    host$
    ");
}

#[test]
fn the_transcript_of_exec_is_the_assignments() {
    let Some(place) = place() else { return };
    place.keep_running("eg", &["sleep", "infinity"]);
    let mut terminal = Terminal::open(&place);
    terminal.line("conductor ps", HOST_PROMPT);
    terminal.line("conductor exec eg /bin/bash", PROMPT);
    terminal.line("exit", HOST_PROMPT);
    terminal.line("conductor addnetwork eg", HOST_PROMPT);
    terminal.line("conductor stop eg", HOST_PROMPT);
    insta::assert_snapshot!(terminal.redacted(), @r"
    host$ conductor ps
    CS695 Conductor that manages containers
    Name                 Date       Status
    eg                   [date] running
    host$ conductor exec eg /bin/bash
    CS695 Conductor that manages containers
    Executing exec in eg container!
    root@box:/# exit
    host$ conductor addnetwork eg
    CS695 Conductor that manages containers
    Setting up network 'eg' with peer ip 192.168.1.2. Waiting for interface configuration to settle...
    host$ conductor stop eg
    CS695 Conductor that manages containers
    eg succesfully removed
    host$
    ");
}

#[test]
fn a_container_has_a_terminal_with_job_control() {
    let Some(place) = place() else { return };
    place.keep_running("bg", &["sleep", "infinity"]);
    let mut terminal = Terminal::open(&place);
    for (start, name, kind) in [
        ("conductor -q run img eg", "eg", "dumb"),
        ("env -u TERM conductor -q run --init img eg2", "eg2", "xterm"),
        ("conductor -q exec bg", "bg", "dumb"),
    ] {
        terminal.line("stty rows 33 cols 77", HOST_PROMPT);
        terminal.line(start, PROMPT);
        assert_eq!(terminal.line("tty", PROMPT), "/dev/pts/0\n");
        assert_eq!(terminal.line("echo $TERM", PROMPT), format!("{kind}\n"));
        assert_eq!(terminal.line("stty size < /dev/tty", PROMPT), "33 77\n");
        terminal.session.send_line("sleep 4243").unwrap();
        terminal.session.exp_string("sleep 4243\r\n").unwrap();
        wait_for_foreground(&place, name);
        terminal.session.send_control('z').unwrap();
        terminal.session.exp_string("Stopped").unwrap();
        terminal.session.exp_string(PROMPT).unwrap();
        assert!(terminal.line("jobs", PROMPT).contains("sleep 4243"));
        terminal.session.send_line("fg").unwrap();
        terminal.session.exp_string("sleep 4243\r\n").unwrap();
        wait_for_foreground(&place, name);
        terminal.session.send_control('c').unwrap();
        terminal.session.exp_string(PROMPT).unwrap();
        assert_eq!(terminal.line("echo $?", PROMPT), "130\n");
        terminal.session.send_line("exit 5").unwrap();
        terminal.session.exp_string(HOST_PROMPT).unwrap();
        // Our own terminal has its modes again: the shell echoes what is typed.
        assert_eq!(terminal.line("echo $?", HOST_PROMPT), "5\n");
    }
}

/// Waits until `sleep` is the foreground job of a container's terminal.
fn wait_for_foreground(place: &Playground, name: &str) {
    // Field 8 of stat is the foreground group of the terminal, field 5 the process's own group.
    let script = "for p in /proc/[0-9]*; do read -r s < $p/stat || continue; set -- $s; \
                  [ \"$2\" = '(sleep)' ] && [ \"$5\" = \"$8\" ] && [ \"$3\" = S ] && echo yes; done";
    support::wait_for(|| place.exec(name, ["sh", "-c", script]).contains("yes"));
}

#[test]
fn a_change_of_the_terminals_size_reaches_the_container() {
    let Some(place) = place() else { return };
    let mut terminal = Terminal::open(&place);
    let device = terminal.line("tty", HOST_PROMPT);
    terminal.line("conductor -q run img eg", PROMPT);
    // The window becomes larger: the kernel informs the foreground process of our terminal.
    let stty =
        std::process::Command::new("stty").args(["-F", device.trim(), "rows", "50", "cols", "123"]).status();
    assert!(stty.unwrap().success());
    support::wait_for(|| place.exec("eg", ["sh", "-c", "stty size < /dev/pts/0"]) == "50 123\n");
    terminal.line("exit", HOST_PROMPT);
}

/// Starts `conductor run` on a new terminal. Returns the other side of the terminal.
fn run_on_a_terminal(place: &Playground, name: &str, script: &str) -> (Child, OwnedFd) {
    let (master, slave) = conductor::sandbox::tty::open_pair().unwrap();
    run_on(place, name, script, slave, master)
}

fn run_on(place: &Playground, name: &str, script: &str, slave: OwnedFd, master: OwnedFd) -> (Child, OwnedFd) {
    let mut run = place.command(env!("CARGO_BIN_EXE_conductor"));
    run.args(["-q", "run", "img", name, "sh", "-c", script]);
    run.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
    let take_terminal = || {
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(std::io::stdin())?;
        Ok(())
    };
    // SAFETY: two system calls between fork and exec.
    unsafe { run.pre_exec(take_terminal) };
    let child = run.spawn().unwrap();
    support::wait_for(|| place.path().join(format!(".containers/{name}/upper/ready")).exists());
    (child, master)
}

#[test]
fn a_terminal_that_is_gone_is_not_waited_for() {
    let Some(place) = place() else { return };
    let script = "trap '' HUP; echo > /ready; exec sleep infinity";
    let (mut run, terminal) = run_on_a_terminal(&place, "eg", script);
    drop(terminal);
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..20 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id())).unwrap();
        assert!(stat.contains(") S "), "it sleeps: {stat}");
        std::thread::sleep(Duration::from_millis(10));
    }
    place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn what_is_written_to_a_terminal_that_is_gone_ends_nothing() {
    let Some(place) = place() else { return };
    let script =
        "trap '' HUP; echo > /ready; sleep 0.3; echo seen by nobody; echo > /written; exec sleep infinity";
    let (mut run, terminal) = run_on_a_terminal(&place, "eg", script);
    drop(terminal);
    support::wait_for(|| place.path().join(".containers/eg/upper/written").exists());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(run.try_wait().unwrap(), None, "the container runs, and conductor with it");
    place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(run.wait().unwrap().code(), Some(137));
}

#[test]
fn a_terminal_that_never_waits_is_waited_for() {
    let Some(place) = place() else { return };
    let (master, slave) = conductor::sandbox::tty::open_pair().unwrap();
    conductor::sandbox::tty::never_wait(&slave).unwrap();
    let (mut run, terminal) = run_on(&place, "eg", "echo > /ready; exec yes", slave, master);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", run.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split(' ').skip(12).take(2);
        fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    std::thread::sleep(Duration::from_millis(500));
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    let spent = ticks() - before;
    assert!(spent < 10, "{spent} hundredths of a second");
    place.conductor(["stop", "eg"]).assert().success();
    drop(terminal);
    run.wait().unwrap();
}

#[test]
fn much_can_be_pasted_into_a_command_that_answers_while_it_reads() {
    let Some(place) = place() else { return };
    let (mut run, terminal) = run_on_a_terminal(&place, "eg", "stty -echo; echo > /ready; exec cat");
    let text = "a line of what is pasted\n".repeat(20_000) + "the end\n\u{4}";
    let mut keys = std::fs::File::from(terminal.try_clone().unwrap());
    let typing = std::thread::spawn(move || keys.write_all(text.as_bytes()));
    let mut screen = Vec::new();
    loop {
        let mut buffer = [0; 8192];
        let mut ready = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
        let some = poll(&mut ready, 30_000_u16).unwrap();
        assert_eq!(some, 1, "it hangs after {} bytes", screen.len());
        match rustix::io::read(&terminal, &mut buffer) {
            Ok(length) if length > 0 => screen.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    // Only the output of cat: the echo of the terminal may appear in the middle of a line.
    let screen = String::from_utf8(screen).unwrap();
    assert_eq!(screen.matches("the end\r\n").count(), 1);
    assert!(screen.matches("a line of what is pasted\r\n").count() >= 20_000);
    typing.join().unwrap().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
}

#[test]
fn a_background_job_takes_nothing_of_what_is_typed() {
    let Some(place) = place() else { return };
    let mut terminal = Terminal::open(&place);
    terminal
        .line("set -m; conductor --quiet run img eg -- sh -c 'cat; echo the end' & wait $!", "the end\r\n");
    terminal.session.exp_string(HOST_PROMPT).unwrap();
    terminal.line(
        "conductor --quiet run img other -- sh -c 'while read l; do echo got $l; done; sleep 60' &",
        HOST_PROMPT,
    );
    for _ in 0..5 {
        assert_eq!(terminal.line("echo host", HOST_PROMPT), "host\n");
    }
}

#[test]
fn without_a_terminal_there_are_plain_pipes() {
    let Some(place) = place() else { return };
    let script = "test -t 0 || echo no terminal; cat";
    let run = ["-q", "run", "img", "eg", "--", "sh", "-c", script];
    place.conductor(run).write_stdin("a\r\nb\0c").assert().success().stdout("no terminal\na\r\nb\0c");
}

#[test]
fn a_build_gives_the_terminal_back_as_it_was() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\nRUN stty -echo <&1 && stty <&1\n");
    let mut terminal = Terminal::open(&place);
    let built = terminal.line("conductor build img", HOST_PROMPT);
    assert!(built.contains("-echo"), "the RUN did not reach the terminal: {built}");
    let modes = terminal.line("stty -a", HOST_PROMPT);
    assert!(modes.contains(" echo "), "{modes}");
}
