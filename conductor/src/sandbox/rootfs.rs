//! Prepares a root file system from inside a new mount namespace: mounts procfs, sysfs and /dev,
//! then makes it the root with `pivot_root(2)` and detaches all mounts of the host.
//!
//! After the pivot, all paths are inside the new root, so a symbolic link in an image cannot lead a
//! mount out of it (compare CVE-2021-30465). Mounts that come from the host are opened before the
//! pivot (`open_tree(2)`).

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    move_mount, open_tree, unmount,
};

/// The step that failed, and the reason.
pub type Failure = (String, io::Error);

fn step<T>(what: &str, result: Result<T, Errno>) -> Result<T, Failure> {
    result.map_err(|error| (what.to_owned(), error.into()))
}

/// Separates this mount namespace from the host's: mounts made here stay here.
pub fn make_private() -> Result<(), Failure> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    step("make the mounts private", mount_change("/", flags))
}

/// The /dev of a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dev {
    /// The host's, bound, as the assignment asks for containers (section "run").
    Host,
    /// A new one with the devices that every program expects. Changes in it do not reach the host.
    Own,
}

/// Makes the directory `root` the root, mounts /proc, /sys and /dev in it, and binds `files` of the
/// host over files in it. The caller must be the only process in its mount namespace and belong to
/// the PID namespace of the new /proc.
pub fn enter(root: &Path, files: &[(PathBuf, PathBuf)], dev: Dev) -> Result<(), Failure> {
    let host_dev = match dev {
        Dev::Host => Some((pick_up(Path::new("/dev"))?, bound_devices()?)),
        Dev::Own => None,
    };
    let files = files
        .iter()
        .map(|(outside, inside)| Ok((pick_up(outside)?, inside)))
        .collect::<Result<Vec<_>, Failure>>()?;
    pivot(root)?;
    mount_in_root(c"proc", c"/proc", NO_PROGRAMS, c"")?;
    mount_in_root(c"sysfs", c"/sys", NO_PROGRAMS, c"")?;
    if dev == Dev::Own {
        protect_settings()?;
    }
    match &host_dev {
        Some((dev, devices)) => {
            put_down(dev, Path::new("/dev"), Kind::Directory)?;
            for (device, path) in devices {
                put_down(device, path, Kind::File)?;
            }
        }
        None => make_dev()?,
    }
    // The container gets its own terminals and shared memory: it must not use the host's, and job
    // control and tty(1) need a terminal that has a name in the container.
    mount_in_dev(c"devpts", c"/dev/pts", c"newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    mount_in_dev(c"tmpfs", c"/dev/shm", c"mode=1777")?;
    for (file, inside) in &files {
        put_down(file, inside, Kind::File)?;
    }
    Ok(())
}

/// The devices of the host's /dev that are mounts of their own. Where the host is itself a
/// container without the right to make devices, each is bound over an empty file, and a bind of
/// /dev alone would show these files.
fn bound_devices() -> Result<Vec<(OwnedFd, &'static Path)>, Failure> {
    let Ok(dev) = rustix::fs::stat(c"/dev") else { return Ok(Vec::new()) };
    let is_bound = |path: &&CStr| rustix::fs::stat(*path).is_ok_and(|device| device.st_dev != dev.st_dev);
    let paths = DEVICES.iter().map(|(path, ..)| *path).filter(is_bound);
    paths
        .map(|path| {
            let path = Path::new(OsStr::from_bytes(path.to_bytes()));
            Ok((pick_up(path)?, path))
        })
        .collect()
}

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

fn pick_up(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    step(&format!("bind {}", path.display()), open_tree(CWD, path, flags))
}

#[derive(Clone, Copy)]
enum Kind {
    Directory,
    File,
}

fn put_down(tree: &OwnedFd, path: &Path, kind: Kind) -> Result<(), Failure> {
    let bind = || move_mount(tree, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | FOLLOW);
    let bound = match bind() {
        Err(Errno::NOENT) => {
            match kind {
                Kind::Directory => step("make a mount point", rustix::fs::mkdir(path, MODE_755))?,
                Kind::File => make_file(path)?,
            }
            bind()
        }
        bound => bound,
    };
    step(&format!("bind onto {}", path.display()), bound)
}

const FOLLOW: MoveMountFlags = MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
const MODE_755: Mode = Mode::from_raw_mode(0o755);

/// Creates an empty file as a mount point. A dangling symbolic link is replaced: /etc/resolv.conf
/// of an Ubuntu image points into /run, which is empty.
fn make_file(path: &Path) -> Result<(), Failure> {
    let what = format!("make the mount point {}", path.display());
    let _ = rustix::fs::unlinkat(CWD, path, AtFlags::empty());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    step(&what, rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))).map(drop)
}

/// Makes `root`, a mount point, the root of the mount namespace, and detaches the old root. For a
/// moment the old root is mounted over the new one, see `pivot_root(2)`.
fn pivot(root: &Path) -> Result<(), Failure> {
    let what = format!("enter the root {}", root.display());
    step(&what, rustix::process::chdir(root))?;
    step(&what, rustix::process::pivot_root(c".", c"."))?;
    step(&what, unmount(c".", UnmountFlags::DETACH))?;
    step(&what, rustix::process::chdir(c"/"))
}

fn mount_in_root(kind: &CStr, target: &CStr, flags: MountFlags, data: &CStr) -> Result<(), Failure> {
    let mounted = match mount(kind, target, kind, flags, data) {
        Err(Errno::NOENT) => {
            step("make a mount point", rustix::fs::mkdir(target, MODE_755))?;
            mount(kind, target, kind, flags, data)
        }
        mounted => mounted,
    };
    step(&format!("mount {}", target.to_string_lossy()), mounted)
}

/// Makes /sys and /proc/sys read-only: a build uses the host's network, so their settings are the
/// host's. Only these mounts become so: the file systems are the host's too.
fn protect_settings() -> Result<(), Failure> {
    const SETTINGS: &CStr = c"/proc/sys";
    make_read_only(c"/sys")?;
    match rustix::mount::mount_bind(SETTINGS, SETTINGS) {
        // A kernel without settings.
        Err(Errno::NOENT) => Ok(()),
        bound => step("bind /proc/sys", bound).and_then(|()| make_read_only(SETTINGS)),
    }
}

fn make_read_only(path: &CStr) -> Result<(), Failure> {
    let flags = MountFlags::BIND | MountFlags::RDONLY | NO_PROGRAMS;
    let remounted = rustix::mount::mount_remount(path, flags, c"");
    step(&format!("make {} read-only", path.to_string_lossy()), remounted)
}

/// The devices of a new /dev, with their numbers (Documentation/admin-guide/devices.txt of the
/// kernel).
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
    (c"/dev/tty", 5, 0),
];

/// The symbolic links that programs expect in /dev.
const DEV_LINKS: [(&CStr, &CStr); 5] = [
    (c"pts/ptmx", c"/dev/ptmx"),
    (c"/proc/self/fd", c"/dev/fd"),
    (c"fd/0", c"/dev/stdin"),
    (c"fd/1", c"/dev/stdout"),
    (c"fd/2", c"/dev/stderr"),
];

/// Mounts an empty file system on /dev and fills it.
fn make_dev() -> Result<(), Failure> {
    mount_in_root(c"tmpfs", c"/dev", MountFlags::NOSUID | MountFlags::NOEXEC, c"mode=755,size=1m")?;
    let umask = rustix::process::umask(Mode::empty());
    let fill = || {
        for (path, major, minor) in DEVICES {
            let device = rustix::fs::makedev(major, minor);
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), device)?;
        }
        for (target, link) in DEV_LINKS {
            rustix::fs::symlinkat(target, CWD, link)?;
        }
        rustix::fs::mkdir(c"/dev/pts", MODE_755)?;
        rustix::fs::mkdir(c"/dev/shm", Mode::from_raw_mode(0o1777))
    };
    let filled = fill();
    rustix::process::umask(umask);
    step("fill /dev", filled)
}

/// Mounts on a directory of /dev if it exists. Nothing is created in the host's /dev.
fn mount_in_dev(kind: &CStr, target: &CStr, data: &CStr) -> Result<(), Failure> {
    match mount(kind, target, kind, MountFlags::NOSUID | MountFlags::NOEXEC, data) {
        Err(Errno::NOENT) => Ok(()),
        mounted => step(&format!("mount {}", target.to_string_lossy()), mounted),
    }
}

/// Binds the directory `root` onto itself: [`enter`] needs a mount point.
pub fn make_mount_point(root: &Path) -> Result<(), Failure> {
    let what = format!("use {} as a root", root.display());
    step(&what, rustix::mount::mount_bind_recursive(root, root))
}
