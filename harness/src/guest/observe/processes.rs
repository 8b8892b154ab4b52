//! What the kernel says of a process: its ids, namespaces, root and cgroup, read from
//! procfs by our own means.
//!
//! A process may vanish between two reads: whatever is gone by then comes back as zero or empty,
//! and only a process that is gone from the start is `None`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::handles;
use crate::evidence::process::{Directory, Namespaces, Process};

/// Longest command line kept, in bytes.
const COMMAND_LINE_CAP: usize = 512;

/// The directory at `path`, with links followed.
pub fn directory(path: &Path) -> Option<Directory> {
    let meta = fs::metadata(path).ok()?;
    let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    Some(Directory { path: name.to_string_lossy().into_owned(), dev: meta.dev(), ino: meta.ino() })
}

/// The calling thread's own process, as seen from itself.
pub fn own() -> Process {
    read(nix::unistd::gettid().as_raw()).unwrap_or_default()
}

/// Everything about `pid` that can be read now.
pub fn read(pid: i32) -> Option<Process> {
    let dir = handles::proc(pid);
    let status = fs::read_to_string(format!("{dir}/status")).ok()?;
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
    };
    let mut cmdline = fs::read(format!("{dir}/cmdline")).unwrap_or_default();
    cmdline.truncate(COMMAND_LINE_CAP);
    let cmdline = String::from_utf8_lossy(&cmdline).trim_end_matches('\0').to_owned();
    let root = format!("{dir}/root");
    let meta = fs::metadata(&root).ok();
    Some(Process {
        pid,
        tgid: field("Tgid").parse().unwrap_or(pid),
        ppid: field("PPid").parse().unwrap_or(0),
        nspid: field("NSpid").split_whitespace().filter_map(|n| n.parse().ok()).collect(),
        start: start_time(pid).unwrap_or(0),
        exe: link(format!("{dir}/exe")),
        cmdline: if cmdline.is_empty() {
            Vec::new()
        } else {
            cmdline.split('\0').map(str::to_owned).collect()
        },
        namespaces: namespaces(&dir),
        root: Directory {
            path: link(&root),
            dev: meta.as_ref().map_or(0, MetadataExt::dev),
            ino: meta.as_ref().map_or(0, MetadataExt::ino),
        },
        cgroup: super::cgroups::of(pid),
    })
}

fn namespaces(dir: &str) -> Namespaces {
    let inode = |name: &str| fs::metadata(format!("{dir}/ns/{name}")).map_or(0, |meta| meta.ino());
    Namespaces {
        pid: inode("pid"),
        pid_for_children: inode("pid_for_children"),
        uts: inode("uts"),
        mnt: inode("mnt"),
        ipc: inode("ipc"),
        net: inode("net"),
        user: inode("user"),
        cgroup: inode("cgroup"),
    }
}

/// How long the first thread of a process has been on a CPU (`schedstat` in proc(5)); `None`
/// when it is gone or dead.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    let text = fs::read_to_string(handles::proc(format!("{pid}/schedstat"))).ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// The inode of the PID namespace that `pid` lives in; 0 when it is gone.
pub fn pid_namespace(pid: i32) -> u64 {
    fs::metadata(handles::proc(format!("{pid}/ns/pid"))).map_or(0, |meta| meta.ino())
}

/// Whether it is PID 1 of a PID namespace below the machine's.
pub fn is_init_of_namespace(pid: i32) -> bool {
    let pids = status_field(pid, "NSpid:").unwrap_or_default();
    pids.split_ascii_whitespace().skip(1).last() == Some("1")
}

/// Whether it has a handler for a signal.
pub fn handles(pid: i32, signal: i32) -> bool {
    let mask = status_field(pid, "SigCgt:").and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 << (signal - 1) != 0)
}

/// A field of `/proc/PID/status` (proc(5)).
fn status_field(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(handles::proc(format!("{pid}/status"))).ok()?;
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
}

/// Every process there is, with its parent.
pub fn parents() -> BTreeMap<i32, i32> {
    let Ok(entries) = fs::read_dir(handles::proc("")) else { return BTreeMap::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?)))
        .collect()
}

/// All processes below any of `ancestors`, themselves left out.
pub fn descendants(ancestors: &[i32]) -> Vec<i32> {
    let parents = parents();
    let mut found = ancestors.to_vec();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, ppid)| **ppid == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(ancestors.len())
}

/// When a process started, in clock ticks since boot; `None` when it is gone.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

/// What a process does, by its letter in proc(5): `S` sleeps, `D` waits for a disk;
/// `None` when it is gone.
pub fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Processor time of a process and of its children that it has waited for, in clock ticks;
/// `None` when it is gone.
pub fn ticks(pid: i32) -> Option<u64> {
    let stat = stat(pid)?;
    stat.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

/// What a process is at one moment, in one line of the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Its parent's PID.
    pub parent: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// Its processor time and that of its children that it has waited for, in clock ticks.
    pub ticks: u64,
}

/// Every process there is.
pub fn stats() -> BTreeMap<i32, Stat> {
    let Ok(entries) = fs::read_dir(handles::proc("")) else { return BTreeMap::new() };
    let of = |pid: i32| {
        let fields = stat(pid)?;
        Some(Stat {
            parent: fields.get(1)?.parse().ok()?,
            start: fields.get(19)?.parse().ok()?,
            ticks: fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum(),
        })
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, of(pid)?)))
        .collect()
}

/// Now, in clock ticks since boot, as start times are given.
pub fn uptime_ticks() -> u64 {
    let text = fs::read_to_string(handles::proc("uptime")).unwrap_or_default();
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse::<f64>().ok());
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    (seconds.unwrap_or(0.0) * per_second as f64) as u64
}

/// Pages of 4 KiB that a process has read and written, its children left out (proc(5)).
pub fn pages_moved(pid: i32) -> u64 {
    let text = fs::read_to_string(handles::proc(format!("{pid}/io"))).unwrap_or_default();
    let bytes = text.lines().filter_map(|line| {
        line.strip_prefix("rchar: ").or_else(|| line.strip_prefix("wchar: "))?.trim().parse::<u64>().ok()
    });
    bytes.sum::<u64>() / 4096
}

/// A process's arguments, the first of them its own name; at most some.
pub fn arguments(pid: i32) -> Vec<String> {
    let mut text = fs::read(handles::proc(format!("{pid}/cmdline"))).unwrap_or_default();
    text.truncate(8 * COMMAND_LINE_CAP);
    let text = String::from_utf8_lossy(&text).into_owned();
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// The file that an argument of a process names, as that process sees it.
pub fn file(pid: i32, argument: &str) -> PathBuf {
    let place = if argument.starts_with('/') { "root" } else { "cwd" };
    PathBuf::from(handles::proc(pid)).join(place).join(argument.trim_start_matches('/'))
}

/// The files that may hold the program of a process: its executable and, if that is a dynamic
/// loader, what the loader's arguments name. The last argument is the program's own: ldd(1) calls
/// the loader with a program and nothing after it, and runs nothing.
pub fn programs(pid: i32) -> Vec<PathBuf> {
    let exe = PathBuf::from(handles::proc(format!("{pid}/exe")));
    let is_loader = Process { exe: link(&exe), ..Process::default() }.is_loader();
    let words = if is_loader { arguments(pid) } else { Vec::new() };
    let loaded = words.iter().skip(1).rev().skip(1).map(|word| file(pid, word));
    std::iter::once(exe).chain(loaded).collect()
}

/// The fields of `/proc/PID/stat` after the name, which may itself hold spaces
/// and brackets (proc(5)).
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read(handles::proc(format!("{pid}/stat"))).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn link(path: impl AsRef<Path>) -> String {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn a_process_reads_its_own_facts() {
        let me = own();
        assert_eq!(me.tgid, std::process::id() as i32);
        assert_eq!(me.nspid.last(), Some(&me.pid));
        assert_eq!(me.namespaces.pid, me.namespaces.pid_for_children);
        assert!(me.root.is(&directory(Path::new("/")).unwrap()));
        assert!(me.start > 0);
    }

    #[test]
    fn the_program_that_a_loader_was_called_to_start_is_among_the_programs() {
        let loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"];
        let loader = loader.into_iter().find(|loader| Path::new(loader).exists()).unwrap();
        let named = |arguments: &[&str]| {
            let mut child = std::process::Command::new(loader).args(arguments).spawn().unwrap();
            let pid = child.id() as i32;
            while super::arguments(pid).len() != arguments.len() + 1 {
                std::thread::yield_now();
            }
            let found = programs(pid);
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            child.wait().unwrap();
            let seen = |path: &PathBuf| path.ends_with("root/bin/sleep");
            (found.len(), found.iter().any(seen))
        };
        assert_eq!(named(&["/bin/sleep", "60"]), (2, true));
        assert_eq!(named(&["--inhibit-cache", "/bin/sleep", "60"]), (3, true));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(programs(child.id() as i32).len(), 1);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_none() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        child.wait().unwrap();
        assert_eq!(read(pid), None);
    }

    #[test]
    fn descendants_are_found_across_generations() {
        let mut child = std::process::Command::new("sh").args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let pid = child.id() as i32;
        while descendants(&[pid]).is_empty() {
            std::thread::yield_now();
        }
        let sleeper = descendants(&[pid])[0];
        assert!(descendants(&[std::process::id() as i32]).contains(&sleeper));
        kill(Pid::from_raw(sleeper), Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert_eq!(descendants(&[pid]), Vec::<i32>::new());
    }
}
