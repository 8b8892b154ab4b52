//! Control groups, version 2: limit the CPU time of a group of processes.
//!
//! A group is a directory in a file system of type cgroup2, and its limits are files in it. See
//! Documentation/admin-guide/cgroup-v2.rst of the kernel.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The period of the CPU limit in microseconds: the kernel's default.
pub const PERIOD: u32 = 100_000;

/// Why a control group cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file system of type cgroup2 is mounted.
    #[error("no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup")]
    NotMounted,
    /// The CPU controller is not available in version 2.
    #[error(
        "the cpu controller is not available in {0}: it belongs to a version 1 hierarchy, or the kernel has none"
    )]
    NoCpu(PathBuf),
    /// A file of the hierarchy cannot be used.
    #[error("cannot {action} {path}")]
    File {
        /// The operation.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn at<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::File { action, path: path.to_owned(), source })
}

/// A control group that is removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates a group at the top of the hierarchy and enables the CPU controller for it.
    pub fn create(name: &str) -> Result<Self, Error> {
        let top = mount_point()?;
        let controllers = top.join("cgroup.controllers");
        let list = at("read", &controllers, fs::read_to_string(&controllers))?;
        if !list.split_ascii_whitespace().any(|controller| controller == "cpu") {
            return Err(Error::NoCpu(top));
        }
        // A plain Debian 12 does not enable the controller for groups below the top.
        let enable = top.join("cgroup.subtree_control");
        at("write", &enable, fs::write(&enable, "+cpu"))?;
        let path = top.join(name);
        at("make", &path, fs::create_dir(&path))?;
        Ok(Self { path })
    }

    /// Limits the CPU time of all processes in the group together to `quota` microseconds in every
    /// [`PERIOD`]. Half a period is half of one core, however many cores there are.
    pub fn limit_cpu(&self, quota: u32) -> Result<(), Error> {
        let path = self.path.join("cpu.max");
        at("write", &path, fs::write(&path, format!("{quota} {PERIOD}")))
    }

    /// Opens the directory, for [`crate::sandbox::namespaces::fork_into_cgroup`].
    pub fn open(&self) -> Result<File, Error> {
        at("open", &self.path, File::open(&self.path))
    }

    /// Kills all processes in the group and removes it.
    pub fn remove(mut self) -> Result<(), Error> {
        let path = std::mem::take(&mut self.path);
        at("remove", &path, remove(&path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // Only after an error, and that error is the one to report.
            let _ = remove(&self.path);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    // Linux has `cgroup.kill` since 5.14. An empty group does not need it.
    let _ = fs::write(path.join("cgroup.kill"), "1");
    // The group is busy until the last of its processes has been waited for.
    for _ in 0..1000 {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(1));
            }
            removed => return removed,
        }
    }
    fs::remove_dir(path)
}

/// The mount point of the cgroup2 file system.
fn mount_point() -> Result<PathBuf, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let table = at("read", path, fs::read_to_string(path))?;
    let is_cgroup2 =
        |line: &&str| line.split_once(" - ").is_some_and(|(_, rest)| rest.starts_with("cgroup2 "));
    let target = table.lines().filter(is_cgroup2).find_map(|line| line.split(' ').nth(4));
    target.map(PathBuf::from).ok_or(Error::NotMounted)
}
