//! Where the kernel's facts are read: procfs, sysfs and the control groups.
//!
//! Root can mount anything over `/proc`, `/sys` and what is below them, and who reads by these
//! paths then reads what the mounter wrote. [`take`] makes mounts of our own that lie nowhere: a
//! detached mount has no path, and nothing can be mounted on it (fsopen(2), fsmount(2)). The
//! working directory becomes the root of that procfs, so its files have short relative paths and
//! every function of `std::fs` works on them; sysfs and the control groups are reached through its
//! links to our open files.
//!
//! Without [`take`], as in tests on a host, the usual paths are used.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// Mounts that nobody else can reach, as long as this process lives.
#[derive(Debug)]
struct Handles {
    sys: OwnedFd,
    cgroup: OwnedFd,
    dev: OwnedFd,
    own_files: Option<OwnedFd>,
}

/// The variable that names the folder with all files of a machine whose disk others use too.
pub const OWN_FILES: &str = "HARNESS_OWN_FILES";

static HANDLES: OnceLock<Handles> = OnceLock::new();

/// Makes the mounts and moves the process's working directory into the procfs. To be called once,
/// before the first program of a submission runs; programs that are started later need a working
/// directory of their own.
///
/// # Errors
/// What the kernel answers: it needs Linux 5.2 and root.
pub fn take() -> io::Result<()> {
    let dev = openat(CWD, "/dev", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let own_files = std::env::var_os(OWN_FILES).and_then(|folder| {
        openat(CWD, Path::new(&folder), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .ok()
    });
    let handles = Handles { sys: detached("sysfs")?, cgroup: detached("cgroup2")?, dev, own_files };
    rustix::process::fchdir(detached("proc")?)?;
    HANDLES.set(handles).map_err(|_| io::Error::other("the handles were taken twice"))
}

/// A new, detached mount of one of the kernel's file systems.
pub(crate) fn detached(kind: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// A path in procfs: `proc("1/status")`.
pub fn proc(path: impl std::fmt::Display) -> String {
    match HANDLES.get() {
        Some(_) => format!("./{path}"),
        None => format!("/proc/{path}"),
    }
}

/// A path in sysfs: `sys("class/net")`.
pub fn sys(path: &str) -> String {
    match HANDLES.get() {
        Some(handles) => proc(format!("self/fd/{}/{path}", handles.sys.as_raw_fd())),
        None => format!("/sys/{path}"),
    }
}

/// The root of the control groups (version 2); `None` where [`take`] was not called.
pub fn cgroup() -> Option<String> {
    let handles = HANDLES.get()?;
    Some(proc(format!("self/fd/{}/.", handles.cgroup.as_raw_fd())))
}

/// The machine's /dev as it was when the handles were taken.
pub fn dev() -> String {
    match HANDLES.get() {
        Some(handles) => proc(format!("self/fd/{}/.", handles.dev.as_raw_fd())),
        None => "/dev".to_owned(),
    }
}

/// The folder with all files that the machine has written; `None` if the machine has a disk of its
/// own.
pub fn own_files() -> Option<String> {
    let folder = HANDLES.get()?.own_files.as_ref()?;
    Some(proc(format!("self/fd/{}/.", folder.as_raw_fd())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid, Uid, fork};

    use super::*;
    use crate::guest::observe::cgroups::Hierarchy;
    use crate::guest::observe::processes;

    /// Files in which a path in /proc or /sys is no fact about a process: what the machine lost,
    /// and programs of their own.
    const OTHERS: [&str; 4] = ["handles.rs", "exhaustion.rs", "terminal.rs", "obstructed.rs"];

    #[test]
    fn no_fact_is_read_by_a_path_that_can_be_mounted_over() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        let files =
            ["guest", "task"].map(|folder| source.join(folder)).into_iter().flat_map(walkdir::WalkDir::new);
        for file in files.map(|file| file.unwrap().into_path()) {
            let is_other = OTHERS.iter().any(|other| file.ends_with(other))
                || file.iter().any(|part| part == "replaced");
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let reads = ["(\"/proc", "(\"/sys/", "format!(\"/proc/{", "from(\"/proc"];
            let lines = code.lines().filter(|line| reads.iter().any(|read| line.contains(read)));
            found.extend(
                lines.filter(|_| !is_other).map(|line| format!("{}: {}", file.display(), line.trim())),
            );
        }
        assert_eq!(found, [""; 0]);
    }

    const COVER: &str = "mount --make-rprivate / && mount -t tmpfs none /proc \
        && mkdir -p /proc/1 && echo forged > /proc/1/stat && mount -t tmpfs none /sys";

    /// What is read in a process of its own after a mount over /proc and /sys; 0
    /// where all is as it was.
    fn after_a_mount() -> i32 {
        let Ok(()) = unshare(CloneFlags::CLONE_NEWNS) else { return 1 };
        let Ok(()) = take() else { return 2 };
        let Ok(hierarchy) = Hierarchy::open() else { return 3 };
        let covered = Command::new("/bin/sh").args(["-c", COVER]).current_dir("/").status();
        if !covered.is_ok_and(|status| status.success()) {
            return 4;
        }
        if processes::start_time(1).is_none() || !processes::parents().contains_key(&1) {
            return 5;
        }
        if std::fs::read_dir(sys("class/net")).is_err() || std::fs::read_dir("/sys/class/net").is_ok() {
            return 6;
        }
        if hierarchy.read("", "cgroup.procs").is_none() { 7 } else { 0 }
    }

    #[test]
    fn a_mount_over_proc_and_sys_changes_nothing_that_is_read() {
        if !Uid::effective().is_root() {
            eprintln!("skipped: needs root for a mount namespace");
            return;
        }
        // SAFETY: the child ends by _exit; the tests' other threads do not exist in it.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = after_a_mount();
                // SAFETY: ends this process and nothing else.
                unsafe { nix::libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(
                    waitpid(child, None).unwrap(),
                    WaitStatus::Exited(Pid::from_raw(child.as_raw()), 0)
                );
            }
        }
    }
}
