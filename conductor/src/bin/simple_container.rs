//! Task 2: a container made of system calls, in three steps.
//!
//! 2a: its own root directory. 2b: also its own PID and UTS namespaces. 2c: also at most half a
//! core. The program and its libraries are copied into the root. The output is that of the
//! assignment's script.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;
use conductor::sandbox::cgroup::{self, Cgroup};
use conductor::sandbox::launch::{self, Streams};
use conductor::sandbox::namespaces::{self, Fork};
use conductor::sandbox::process::{Child, shell_status};
use conductor::sandbox::reaper::Reaper;
use nix::sched::CloneFlags;

/// Runs a program in its own root directory, then also in namespaces, then also in a cgroup
#[derive(Parser)]
struct Arguments {
    /// The program, such as the course's `container_prog`
    program: PathBuf,
    /// The program's root directory; created if it does not exist
    #[arg(default_value = "container_root")]
    root: PathBuf,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprint!("simple_container: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprint!(": {error}");
                cause = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<u8> {
    let name = fill(&arguments.program, &arguments.root)?;
    let container = |step: &str, namespaces, cgroup| {
        start(&arguments.root, [name.clone(), step.into()], namespaces, cgroup)
    };
    let isolated = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS;
    let mut status = 0;
    let mut finish = |child: Child| -> io::Result<()> {
        status = status.max(shell_status(child.wait()?));
        Ok(())
    };

    writeln!(io::stdout(), "Output Subtask 2a")?;
    finish(container("subtask1", CloneFlags::empty(), None)?)?;
    writeln!(io::stdout(), "__________________________________________")?;

    writeln!(io::stdout(), "Output Subtask 2b")?;
    finish(container("subtask2", isolated, None)?)?;
    writeln!(io::stdout(), "Hostname in the host: {}", nix::unistd::gethostname()?.to_string_lossy())?;
    writeln!(io::stdout(), "__________________________________________")?;

    let half_a_core = Cgroup::create(&format!("simple_container-{}", std::process::id()))?;
    half_a_core.limit_cpu(cgroup::PERIOD / 2)?;
    writeln!(io::stdout(), "Output Subtask 2c")?;
    finish(container("subtask3", isolated, Some(&half_a_core))?)?;
    half_a_core.remove()?;
    Ok(status)
}

/// Copies the program and its libraries into the root. Returns the path of the program there.
fn fill(program: &Path, root: &Path) -> Outcome<OsString> {
    let failed = |path: &Path, error: io::Error| format!("cannot copy {}: {error}", path.display());
    let name = program.file_name().ok_or_else(|| format!("{} is not a program", program.display()))?;
    fs::create_dir_all(root).map_err(|error| format!("cannot make {}: {error}", root.display()))?;
    fs::copy(program, root.join(name)).map_err(|error| failed(program, error))?;
    // Lines are `name => /path (address)` or `/path (address)`. A static program has none.
    let list =
        Command::new("ldd").arg(program).output().map_err(|error| format!("cannot run ldd: {error}"))?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for library in list.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(Path::new) {
        let target = root.join(library.strip_prefix("/").unwrap_or(library));
        let copied =
            fs::create_dir_all(target.parent().unwrap_or(root)).and_then(|()| fs::copy(library, target));
        copied.map_err(|error| failed(library, error))?;
    }
    Ok(Path::new("/").join(name).into())
}

/// Starts the program in `root`. From its first instruction it is in the namespaces and the cgroup.
fn start<const N: usize>(
    root: &Path,
    argv: [OsString; N],
    namespaces: CloneFlags,
    cgroup: Option<&Cgroup>,
) -> Outcome<Child> {
    let streams = Streams::Inherited;
    let command = launch::Command {
        argv: argv.into(),
        env: launch::environment(streams),
        cwd: "/".into(),
        streams,
        reaper: Reaper::ProcessOne,
    };
    let command = command.prepare()?;
    let (report, reporter) = launch::channel()?;
    let directory = cgroup.map(Cgroup::open).transpose()?;
    // SAFETY: this process has one thread.
    let fork = unsafe {
        match &directory {
            Some(directory) => namespaces::fork_into_cgroup(namespaces, directory.as_fd()),
            None => namespaces::fork_into(namespaces),
        }
    };
    match fork? {
        Fork::Parent(child) => {
            drop(reporter);
            report.go()?;
            report.wait(&command)?;
            Ok(child)
        }
        Fork::Child => {
            drop(report);
            reporter.launch(&command, |_| {
                let failed = |error: rustix::io::Errno| ("enter the root directory".to_owned(), error.into());
                rustix::process::chroot(root).map_err(failed)
            })
        }
    }
}
