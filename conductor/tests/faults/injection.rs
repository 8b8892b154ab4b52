//! System calls that fail: strace replaces one call of a command by its error.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::support::Playground;

/// The system calls that a disk can let fail.
pub const CALLS: &str = "open,openat,openat2,read,pread64,write,pwrite64,getdents64,mkdir,mkdirat,rmdir,unlink,unlinkat,\
    rename,renameat,renameat2,linkat,symlinkat,mknodat,chmod,fchmod,fchmodat,fchown,fchownat,utimensat,stat,lstat,\
    fstat,newfstatat,statx,readlink,readlinkat,flistxattr,fgetxattr,fsetxattr,fremovexattr,fsync,fdatasync,syncfs,\
    ftruncate,copy_file_range,statfs,mount,umount2,chdir,flock";

/// One call: the `number`th of its name in each process.
pub struct Call {
    name: String,
    number: u32,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} number {}", self.name, self.number)
    }
}

/// How a command ended.
pub struct Injected {
    pub status: i32,
    /// Its standard output.
    pub said: String,
    /// Its standard error.
    pub message: String,
    /// The calls that failed, as strace shows them.
    pub at: String,
}

/// The calls of a command that can fail.
pub fn calls(place: &Playground, command: &[&str]) -> Vec<Call> {
    let trace = run(place, command, CALLS, &[]).at;
    let mut numbers: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        if let Some((name, _)) = rest.trim_start().split_once('(') {
            *numbers.entry((name, process)).or_default() += 1;
        }
    }
    let mut most: BTreeMap<&str, u32> = BTreeMap::new();
    for ((name, _), number) in numbers {
        let known = most.entry(name).or_default();
        *known = number.max(*known);
    }
    let each = |(name, last): (&str, u32)| {
        let name = name.to_owned();
        (1..=last).map(move |number| Call { name: name.clone(), number })
    };
    most.into_iter().flat_map(each).collect()
}

/// Runs a command and lets `call` fail with EIO.
pub fn inject(place: &Playground, command: &[&str], call: &Call) -> Injected {
    let fault = format!("inject={}:error=EIO:when={}", call.name, call.number);
    failed(run(place, command, &call.name, &["-e", &fault]))
}

/// Runs a command and lets all its `calls` on `path` fail with EIO. The path is absolute or in the
/// playground.
pub fn hide(place: &Playground, command: &[&str], calls: &str, path: &str) -> Injected {
    let whole = place.path().join(path).to_string_lossy().into_owned();
    // A command may name a file by its path in a folder that is open.
    let inside = path.strip_prefix(".containers/").unwrap_or(path);
    let fault = format!("inject={calls}:error=EIO");
    failed(run(place, command, calls, &["-P", &whole, "-P", inside, "-e", &fault]))
}

fn failed(mut injected: Injected) -> Injected {
    injected.at =
        injected.at.lines().filter(|line| line.contains("(INJECTED)")).collect::<Vec<_>>().join("; ");
    injected
}

fn run(place: &Playground, command: &[&str], calls: &str, options: &[&str]) -> Injected {
    let log = place.path().join("trace");
    let mut strace = place.command("strace");
    strace.args(["-f", "-y", "-qq", "-s", "300", "-o"]).arg(&log).arg(format!("--trace={calls}"));
    strace.args(options);
    strace.arg(env!("CARGO_BIN_EXE_conductor")).args(command).stdin(Stdio::null());
    // A command that waits for something that never comes is killed.
    let ended = assert_cmd::Command::from_std(strace).timeout(Duration::from_secs(60)).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Injected {
        status: ended.status.code().unwrap_or(-1),
        said: text(&ended.stdout),
        message: text(&ended.stderr),
        at: fs::read_to_string(&log).unwrap_or_default(),
    }
}
