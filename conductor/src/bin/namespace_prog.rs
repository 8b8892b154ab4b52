//! Task 1: child 1 in a new UTS and a new PID namespace, child 2 in the same two, the parent in
//! neither.
//!
//! The output is that of the assignment. No flag *creates* a process in the PID namespace of
//! another process. Instead the parent calls setns(2), so that its later children are born there,
//! and calls it again to return.

use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use conductor::sandbox::namespaces::{self, Fork};
use nix::sched::CloneFlags;

const NAME: &str = "Child1Hostname";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("namespace_prog: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    writeln!(io::stdout(), "{RULE}")?;
    show("Parent")?;

    // Child 1 closes the first pipe when it has printed, and ends when the parent closes the
    // second. Until then its namespaces exist for child 2.
    let (printed, tell) = io::pipe()?;
    let (stay, end) = io::pipe()?;
    let uts_and_pid = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID;
    // SAFETY: this process has one thread.
    let first = match unsafe { namespaces::fork_into(uts_and_pid) }? {
        Fork::Parent(child) => child,
        Fork::Child => {
            drop(end);
            leave_with(&nix::unistd::sethostname(NAME).map_err(Into::into).and_then(|()| {
                show("Child1")?;
                drop(tell);
                wait_for_end(stay)
            }))
        }
    };
    drop((tell, stay));
    wait_for_end(printed)?;
    show("Parent")?;

    let ours = File::open("/proc/self/ns/pid")?;
    namespaces::join(&first, CloneFlags::CLONE_NEWPID)?;
    // SAFETY: this process has one thread.
    let second = match unsafe { namespaces::fork_into(CloneFlags::empty()) }? {
        Fork::Parent(child) => child,
        Fork::Child => {
            leave_with(&namespaces::join(&first, CloneFlags::CLONE_NEWUTS).and_then(|()| show("Child2")))
        }
    };
    namespaces::join(&ours, CloneFlags::CLONE_NEWPID)?;
    let status = second.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("child 2: {status}")));
    }
    show("Parent")?;

    drop(end);
    first.wait()?;
    Ok(())
}

const RULE: &str = "----------------------------------------";

fn show(who: &str) -> io::Result<()> {
    let hostname = nix::unistd::gethostname()?;
    let (pid, hostname) = (nix::unistd::getpid(), hostname.to_string_lossy());
    // One write, so that no child inherits buffered text.
    let text = format!("{who} Process PID: {pid}\n{who} Hostname: {hostname}\n{RULE}\n");
    io::stdout().write_all(text.as_bytes())?;
    io::stdout().flush()
}

fn wait_for_end(mut pipe: io::PipeReader) -> io::Result<()> {
    pipe.read_to_end(&mut Vec::new()).map(drop)
}

/// Ends a child process.
fn leave_with(result: &io::Result<()>) -> ! {
    if let Err(error) = result {
        eprintln!("namespace_prog: child: {error}");
    }
    std::process::exit(i32::from(result.is_err()))
}
