//! Checks the scripts of a submission without running them: the interpreter line, and the
//! messages of `bash -n`.
//!
//! `bash -n` reads commands and executes none (bash(1), *set -n*). It gets the text on its standard
//! input, an empty environment, no start-up files, and limits on time, memory and files before the
//! first byte. Its messages are data.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde::{Deserialize, Serialize};

use super::Submission;

/// The scripts that the assignment asks for.
const SCRIPTS: [&str; 4] =
    ["task2/simple_container.sh", "task3/setup.sh", "task3/conductor.sh", "task4/service-orchestrator.sh"];
/// Longer scripts are not checked.
const LONGEST: u64 = 1 << 20;
/// How much of bash's message is kept, in bytes.
const MESSAGE: u64 = 4 << 10;
/// The most lines of that message.
const LINES: usize = 4;
/// How long bash may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Address space that bash may take.
const MEMORY: u64 = 512 << 20;
/// The shell.
const BASH: &str = "/bin/bash";

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptFact {
    /// Its path.
    pub path: String,
    /// What is wrong with its first line; absent if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
    /// What bash said; absent if it could read the script, or did not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syntax: Option<String>,
}

/// The facts about each script that exists.
pub fn look(submission: &Submission) -> Vec<ScriptFact> {
    let look = |path: &str| {
        let text = submission.read(Path::new(path), LONGEST).ok()?;
        let is_bash = shell(&text).is_none_or(|name| ["bash", "sh", "dash"].contains(&name.as_str()));
        Some(ScriptFact {
            path: path.to_owned(),
            interpreter: interpreter_fault(path, &text),
            syntax: if is_bash { syntax_fault(path, &text) } else { None },
        })
    };
    SCRIPTS.into_iter().filter_map(look).collect()
}

/// The first line without `#!`.
fn first_line(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next())
}

/// The name of the interpreter; `None` where there is no such line.
fn shell(text: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(first_line(text)?).into_owned();
    let mut words = line.split_whitespace();
    let first = words.next()?.rsplit('/').next()?.to_owned();
    if first == "env" { words.find(|word| !word.starts_with('-')).map(str::to_owned) } else { Some(first) }
}

fn interpreter_fault(path: &str, text: &[u8]) -> Option<String> {
    // It is read by conductor.sh, never run.
    if path.ends_with("/setup.sh") {
        return None;
    }
    if text.starts_with(b"\xef\xbb\xbf") {
        return Some("a byte order mark stands before its first line, so the kernel sees no #!".to_owned());
    }
    let Some(line) = first_line(text) else {
        return Some("it has no interpreter line such as #!/bin/bash".to_owned());
    };
    let line = String::from_utf8_lossy(line).into_owned();
    let short: String = line.chars().take(80).collect();
    if line.ends_with('\r') {
        return Some(
            "its interpreter line ends with CR: the kernel looks for a program of that name".to_owned(),
        );
    }
    let is_absolute = line.trim_start().starts_with('/');
    (!is_absolute).then(|| format!("its interpreter line names no absolute path: #!{short}"))
}

/// The complaint of `bash -n`.
fn syntax_fault(path: &str, text: &[u8]) -> Option<String> {
    let mut bash = Command::new(BASH)
        .args(["--noprofile", "--norc", "-n"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let message = listen(&mut bash, text);
    // bash has ended by now, or was too slow.
    let _ = bash.kill();
    let _ = bash.wait();
    let message = String::from_utf8_lossy(&message?).into_owned();
    let lines: Vec<String> = message.lines().filter_map(|line| told(path, line)).take(LINES).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Limits bash, gives it the text, and returns its message; `None` where it took too long.
fn listen(bash: &mut Child, text: &[u8]) -> Option<Vec<u8>> {
    let pid = Pid::from_raw(i32::try_from(bash.id()).ok()?)?;
    let limits = [
        (Resource::Cpu, PATIENCE.as_secs()),
        (Resource::As, MEMORY),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) }).ok()?;
    }
    let (mut input, output) = (bash.stdin.take()?, bash.stderr.take()?);
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        // A bash that stops reading ends both threads when it is killed below.
        scope.spawn(move || drop(input.write_all(text)));
        let message = scope.spawn(move || {
            let mut message = Vec::new();
            let read = output.take(MESSAGE).read_to_end(&mut message);
            read.ok().map(|_| message)
        });
        while !matches!(bash.try_wait(), Ok(Some(_)) | Err(_)) {
            if Instant::now() > deadline {
                let _ = bash.kill();
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
        message.join().ok()?
    })
}

/// `task3/conductor.sh:12: syntax error …`, of `/bin/bash: line 12: syntax error …`.
fn told(path: &str, line: &str) -> Option<String> {
    let rest = line.strip_prefix(BASH)?.strip_prefix(": ")?;
    match rest.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((number, what)) => Some(format!("{path}:{number}: {what}")),
        None => Some(format!("{path}: {rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syntax_error_is_named_with_its_line_and_nothing_runs() {
        let marker = tempfile::tempdir().unwrap();
        let touch = marker.path().join("ran");
        let text = format!("#!/bin/bash\ntouch {0}\n$(touch {0})\nif true; then\n", touch.display());
        let fault = syntax_fault("task3/conductor.sh", text.as_bytes()).unwrap();
        assert!(fault.starts_with("task3/conductor.sh:5: syntax error"), "{fault}");
        assert!(!touch.exists());
        assert_eq!(syntax_fault("x", format!("touch {}", touch.display()).as_bytes()), None);
        assert!(!touch.exists());
    }

    #[test]
    fn a_script_that_keeps_bash_busy_or_talking_is_cut_off() {
        let deep = "$(".repeat(100_000);
        let began = Instant::now();
        let _ = syntax_fault("x", deep.as_bytes());
        assert!(began.elapsed() < PATIENCE * 3);
        let many = ")\n".repeat(200_000);
        assert!(syntax_fault("x", many.as_bytes()).is_none_or(|fault| fault.len() < 4096));
    }

    #[test]
    fn the_first_line_must_be_one_that_the_kernel_reads() {
        let fault = |text: &str| interpreter_fault("task3/conductor.sh", text.as_bytes());
        assert_eq!(fault("#!/bin/bash\n"), None);
        assert_eq!(fault("#! /usr/bin/env bash\n"), None);
        assert!(fault("#!/bin/bash\r\n").unwrap().contains("CR"));
        assert!(fault("\u{feff}#!/bin/bash\n").unwrap().contains("byte order mark"));
        assert!(fault("#!bash\n").unwrap().contains("no absolute path"));
        assert!(fault("echo\n").unwrap().contains("no interpreter line"));
        assert_eq!(interpreter_fault("task3/setup.sh", b"A=1\n"), None);
        assert_eq!(shell(b"#!/usr/bin/env -S python3 -u\n").as_deref(), Some("python3"));
    }
}
