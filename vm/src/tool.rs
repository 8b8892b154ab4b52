//! The host's programs that this crate runs: the path, the package and the output of each.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::Error;

/// A program of the host and the Debian package it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its name, or the full path of a file that is needed.
    pub name: &'static str,
    /// The package of Debian and Ubuntu that supplies it.
    pub package: &'static str,
    /// Its purpose, to be read after "which".
    pub purpose: &'static str,
}

impl Program {
    /// An entry for a list of programs.
    pub const fn new(name: &'static str, package: &'static str, purpose: &'static str) -> Program {
        Program { name, package, purpose }
    }
}

pub(crate) const QEMU: Program =
    Program::new("qemu-system-x86_64", "qemu-system-x86", "runs the virtual machines");
pub(crate) const QEMU_IMG: Program =
    Program::new("qemu-img", "qemu-utils", "makes the virtual machines' disks");
pub(crate) const MKFS: Program = Program::new("mkfs.ext4", "e2fsprogs", "makes disks from directories");
pub(crate) const MMDEBSTRAP: Program =
    Program::new("mmdebstrap", "mmdebstrap", "makes an image from packages where no image can be downloaded");
pub(crate) const UNSHARE: Program =
    Program::new("unshare", "util-linux", "separates the mounts of a new image from the host's");
pub(crate) const FAKEROOT: Program =
    Program::new("fakeroot", "fakeroot", "lets an ordinary user make an image without a user namespace");
pub(crate) const FAKECHROOT: Program =
    Program::new("fakechroot", "fakechroot", "lets an ordinary user make an image without a user namespace");
pub(crate) const NEWUIDMAP: Program =
    Program::new("newuidmap", "uidmap", "lets an ordinary user make an image in a user namespace");
pub(crate) const APT_GET: Program = Program::new("apt-get", "apt", "lists the package sources");
pub(crate) const SH: Program =
    Program::new("sh", "dash", "runs the script that makes an image from packages");

/// Every program that this crate starts on the host.
pub const PROGRAMS: [Program; 10] =
    [QEMU, QEMU_IMG, MKFS, MMDEBSTRAP, UNSHARE, FAKEROOT, FAKECHROOT, NEWUIDMAP, APT_GET, SH];

impl Program {
    /// Whether only ordinary users need it.
    pub fn is_only_for_users(self) -> bool {
        [FAKEROOT, FAKECHROOT, NEWUIDMAP].contains(&self)
    }

    /// Its path: in `$PATH`, or in the directories of administrators' programs, which
    /// not every `$PATH` has.
    pub fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|dir| dir.join(self.name))
            .find(|file| file.is_file())
    }

    /// Its path, or an error that names the package.
    pub(crate) fn path(self) -> Result<PathBuf, Error> {
        self.find().ok_or(Error::ToolMissing { program: self.name, package: self.package })
    }

    pub(crate) fn command(self) -> Result<Command, Error> {
        Ok(Command::new(self.path()?))
    }

    /// Runs it to its end and returns its standard output.
    pub(crate) fn output(self, arrange: impl FnOnce(&mut Command)) -> Result<String, Error> {
        let mut command = self.command()?;
        arrange(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = crate::spawn::spawn(command, Vec::new(), nix::sys::signal::SIGKILL)
            .and_then(std::process::Child::wait_with_output)
            .map_err(Error::io("run", self.name))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(self.failed(output.status, &output.stderr))
        }
    }

    pub(crate) fn failed(self, status: ExitStatus, output: &[u8]) -> Error {
        const LINES: usize = 20;
        let text = String::from_utf8_lossy(output);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LINES)..].join("\n");
        Error::ToolFailed {
            program: self.name.to_owned(),
            status: status.to_string(),
            output: tail,
            log: None,
        }
    }
}
