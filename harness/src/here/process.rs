//! Runs a program in a machine of namespaces, within the limits of a [`vm::Command`].

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use vm::{Console, Outcome};

use super::outside::code;

/// How much of the standard error to keep, in bytes.
const TAIL: usize = 4096;
/// How long an ended machine's processes may take to die.
const DYING: Duration = Duration::from_secs(10);

/// Runs `command` in the machine that `plan` describes.
pub(super) fn run(
    guest_half: &Path,
    plan: &str,
    command: &vm::Command,
    take: &mut dyn FnMut(&[u8]),
) -> Outcome {
    let spawned = Command::new(guest_half)
        .args(["machine", plan])
        .args(&command.argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C is for the harness.
        .process_group(0)
        .spawn();
    match spawned {
        Ok(mut child) => attend(&mut child, command, take),
        Err(error) => Outcome::NotStarted { why: format!("{}: {error}", guest_half.display()) },
    }
}

fn attend(child: &mut Child, command: &vm::Command, take: &mut dyn FnMut(&[u8])) -> Outcome {
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Outcome::NotStarted { why: "no pipes".to_owned() };
    };
    let lifeline = feed(stdin, command.stdin.clone());
    let (output, reader) = chunks(stdout);
    let tail = thread::spawn(move || tail(stderr));
    let early = listen(&output, command, take);
    if early.is_some() {
        // The machine ends with this pipe.
        drop(lifeline);
        let deadline = Instant::now() + DYING;
        while Instant::now() < deadline
            && !matches!(output.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Disconnected))
        {
        }
        let _ = child.kill();
    }
    drop(output);
    let status = child.wait();
    let _ = reader.join();
    let stderr = tail.join().unwrap_or_default();
    match (early, status) {
        (Some(outcome), _) => outcome,
        (None, Ok(status)) => Outcome::Exited { code: code(status), stderr },
        (None, Err(error)) => Outcome::NotStarted { why: error.to_string() },
    }
}

/// Writes what PID 1 reads first. The pipe stays open as long as the thread's result is kept.
fn feed(mut stdin: ChildStdin, input: Vec<u8>) -> JoinHandle<ChildStdin> {
    thread::spawn(move || {
        // A machine that cannot be made does not read it.
        let _ = writeln!(stdin, "{}", input.len()).and_then(|()| stdin.write_all(&input));
        stdin
    })
}

/// Reads the output in a thread, until it ends or nobody listens.
fn chunks(mut stdout: impl Read + Send + 'static) -> (Receiver<Vec<u8>>, JoinHandle<()>) {
    let (send, output) = sync_channel(16);
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = stdout.read(&mut buffer) {
            if send.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    (output, reader)
}

/// Passes on each line; says why it stopped before the output ended.
fn listen(output: &Receiver<Vec<u8>>, command: &vm::Command, take: &mut dyn FnMut(&[u8])) -> Option<Outcome> {
    let began = Instant::now();
    let (mut line, mut written) = (Vec::new(), 0);
    loop {
        let more = Duration::from_millis(command.more.load(Ordering::Relaxed));
        let left = (command.deadline + more).saturating_sub(began.elapsed());
        let data = match output.recv_timeout(left) {
            Ok(data) => data,
            Err(RecvTimeoutError::Timeout) => return Some(Outcome::TimedOut(Console::default())),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        written += data.len() as u64;
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if line.len() > command.max_line || written > command.max_output {
                return Some(Outcome::Flooded(Console::default()));
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                take(&line);
                line.clear();
            }
        }
    }
    if !line.is_empty() {
        take(&line);
    }
    None
}

fn tail(mut stderr: impl Read) -> Vec<u8> {
    let (mut tail, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stderr.read(&mut buffer) {
            Ok(count @ 1..) => {
                tail.extend_from_slice(&buffer[..count]);
                let surplus = tail.len().saturating_sub(TAIL);
                tail.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return tail,
        }
    }
}
