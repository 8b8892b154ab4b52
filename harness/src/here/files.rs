//! The files of a machine: a copy-on-write view of the host's, with devices, /proc, /sys, /run
//! and folders of its own.
//!
//! What the host mounts below `/` is not part of that view: file systems with programs get a view
//! of their own, and all others stay hidden. Folders in which submissions work are on the host's
//! disk directly, because an overlay (overlayfs) cannot lie on another one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::pivot_root;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, move_mount,
};

use super::{FRESH, PACKAGES, Plan};
use crate::guest::fakes::debootstrap::STORE;
use crate::guest::observe::mounts;
use crate::stage::MOUNTED_AT;

/// Folders whose file systems have programs and their data.
const VIEWED: [&str; 6] = ["/usr", "/var", "/opt", "/etc", "/bin", "/lib"];
/// File systems with files.
const ON_DISK: [&str; 9] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "overlay", "bcachefs"];
/// The devices that programs expect.
const DEVICES: [(&str, u64, u64); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("fuse", 10, 229),
];
/// Replaces `sudo` if the host has none: the machine's only user is root.
const SUDO: &str = "#!/bin/sh\nexec \"$@\"\n";

/// Mounts the files of a machine and makes them the root of this mount namespace.
pub(super) fn mount_all(plan: &Plan) -> io::Result<()> {
    bare(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    let root = plan.home.join("machine");
    fs::create_dir(&root)?;
    view(Path::new("/"), &root, &plan.home, 0)?;
    let others = mounts::own();
    let others = others.iter().filter(|mount| is_viewed(&mount.mount_point, &mount.fs_type));
    for (number, other) in others.enumerate() {
        let place = Path::new(&other.mount_point);
        if place.is_dir() {
            view(place, &below(&root, &other.mount_point), &plan.home, number + 1)?;
        }
    }
    for (folder, mode) in FRESH {
        let own = plan.home.join("disk").join(folder);
        make(&own, mode)?;
        make(&root.join(folder), mode)?;
        bind(&own, &root.join(folder))?;
    }
    devices(&root.join("dev"))?;
    kernels(&root)?;
    run(&root, plan)?;
    enter(&root)?;
    finish()
}

fn is_viewed(place: &str, kind: &str) -> bool {
    let place = Path::new(place);
    let is_fresh = FRESH.iter().any(|(folder, _)| place.starts_with(Path::new("/").join(folder)));
    ON_DISK.contains(&kind) && !is_fresh && VIEWED.iter().any(|folder| place.starts_with(folder))
}

/// A copy-on-write view of a folder of the host.
fn view(of: &Path, at: &Path, home: &Path, number: usize) -> io::Result<()> {
    let layers = home.join(format!("layer-{number}"));
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    for folder in [&upper, &work] {
        make(folder, 0o755)?;
    }
    fs::set_permissions(&upper, fs::metadata(of)?.permissions())?;
    let options = [("lowerdir", of), ("upperdir", &upper), ("workdir", &work)];
    new("overlay", &options, MountAttrFlags::empty(), at).map_err(|error| {
        let home = home.display();
        io::Error::other(format!(
            "the folder {home} cannot hold changes to {} ({error}): set HARNESS_CACHE to a folder on ext4, xfs or btrfs",
            of.display()
        ))
    })
}

/// A /dev with the usual devices and its own terminals, so that nothing removes the host's.
fn devices(at: &Path) -> io::Result<()> {
    make(at, 0o755)?;
    new("tmpfs", &[("mode", Path::new("755"))], MountAttrFlags::MOUNT_ATTR_NOSUID, at)?;
    for (name, major, minor) in DEVICES {
        let (place, mode) = (at.join(name), Mode::from_bits_truncate(0o666));
        mknod(&place, SFlag::S_IFCHR, mode, makedev(major, minor))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o666))?;
    }
    for (folder, mode) in [("pts", 0o755), ("shm", 0o1777), ("mqueue", 0o1777)] {
        make(&at.join(folder), mode)?;
    }
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals =
        [("ptmxmode", "666"), ("mode", "620"), ("gid", "5")].map(|(key, value)| (key, Path::new(value)));
    new("devpts", &terminals, quiet, &at.join("pts"))?;
    new("tmpfs", &[("mode", Path::new("1777"))], MountAttrFlags::MOUNT_ATTR_NOSUID, &at.join("shm"))?;
    // Some kernels have no message queues.
    let _ = new("mqueue", &[], quiet, &at.join("mqueue"));
    for (name, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
    ] {
        symlink(to, at.join(name))?;
    }
    Ok(())
}

/// /proc, /sys and the control groups, of the machine's own namespaces.
fn kernels(root: &Path) -> io::Result<()> {
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    for (kind, place) in [("proc", "proc"), ("sysfs", "sys"), ("cgroup2", "sys/fs/cgroup")] {
        let place = root.join(place);
        if !place.is_dir() {
            make(&place, 0o755)?;
        }
        new(kind, &[], quiet, &place)?;
    }
    Ok(())
}

/// A /run of the machine's own, with what a virtual machine has on its two disks and on its port.
fn run(root: &Path, plan: &Plan) -> io::Result<()> {
    let at = root.join("run");
    make(&at, 0o755)?;
    new("tmpfs", &[("mode", Path::new("755"))], MountAttrFlags::MOUNT_ATTR_NOSUID, &at)?;
    make(&at.join("lock"), 0o1777)?;
    for (from, to) in [(Some(&plan.payload), MOUNTED_AT), (plan.store.as_ref(), STORE)] {
        let to = below(root, to);
        make(&to, 0o755)?;
        let Some(from) = from else { continue };
        bind(from, &to)?;
        bare(None, &to, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY)?;
    }
    if let Some(packages) = &plan.packages {
        let to = below(root, PACKAGES);
        File::create(&to)?;
        bind(packages, &to)?;
    }
    Ok(())
}

/// Makes a folder the root, and unmounts all of the host's. Mounts are shared, as systemd makes
/// them: otherwise a submission that forgets to make its own mounts private would pass by luck.
fn enter(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")?;
    bare(None, Path::new("/"), MsFlags::MS_REC | MsFlags::MS_SHARED)
}

/// Adds the files that a fresh virtual machine has and this view may lack.
fn finish() -> io::Result<()> {
    for skeleton in [".bashrc", ".profile"] {
        // Not every machine has them.
        let _ = fs::copy(Path::new("/etc/skel").join(skeleton), Path::new("/root").join(skeleton));
    }
    let found = Command::new("sh").args(["-c", "command -v sudo"]).output()?;
    if !found.status.success() {
        make(Path::new("/usr/local/sbin"), 0o755)?;
        fs::write("/usr/local/sbin/sudo", SUDO)?;
        fs::set_permissions("/usr/local/sbin/sudo", fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Mounts a new file system. Its options may hold any character but NUL.
fn new(kind: &str, options: &[(&str, &Path)], attributes: MountAttrFlags, at: &Path) -> io::Result<()> {
    let named = |error: rustix::io::Errno| {
        io::Error::new(error.kind(), format!("cannot mount {kind} at {}: {error}", at.display()))
    };
    let made = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        // What `mount` calls the device.
        fsconfig_set_string(&context, "source", kind)?;
        fsconfig_create(&context)?;
        let tree = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    };
    made().map_err(named)
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    bare(Some(from), to, MsFlags::MS_BIND)
}

fn bare(from: Option<&Path>, to: &Path, flags: MsFlags) -> io::Result<()> {
    mount(from, to, None::<&str>, flags, None::<&str>).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("cannot mount {}: {error}", to.display()))
    })
}

/// A path of the machine from outside of it.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Makes a folder with this mode, and those above it; one that is there stays as it is.
fn make(at: &Path, mode: u32) -> io::Result<()> {
    if at.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o755).create(at)?;
    fs::set_permissions(at, fs::Permissions::from_mode(mode))
}
