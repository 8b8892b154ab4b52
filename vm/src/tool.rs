//! The host's programs that this crate runs: where each is, which package supplies it, and what it said.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::Error;

/// A program of the host and the Debian package it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
    pub(crate) purpose: &'static str,
}

pub(crate) const QEMU: Program =
    Program { name: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "runs the guests" };
pub(crate) const QEMU_IMG: Program =
    Program { name: "qemu-img", package: "qemu-utils", purpose: "makes the guests' disks" };
pub(crate) const MKFS: Program =
    Program { name: "mkfs.ext4", package: "e2fsprogs", purpose: "makes disks from directories" };
pub(crate) const MMDEBSTRAP: Program = Program {
    name: "mmdebstrap",
    package: "mmdebstrap",
    purpose: "makes an image from packages where none can be downloaded",
};
pub(crate) const UNSHARE: Program =
    Program { name: "unshare", package: "util-linux", purpose: "makes disks without root" };

/// Every program there may be need of.
pub(crate) const ALL: [Program; 5] = [QEMU, QEMU_IMG, MKFS, MMDEBSTRAP, UNSHARE];

impl Program {
    /// Where it is: in `$PATH`, or where administrators' programs are, which not every user's `$PATH` has.
    pub(crate) fn find(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .map(|dir| dir.join(self.name))
            .find(|file| file.is_file())
    }

    /// Where it is, or an error that says how to get it.
    pub(crate) fn path(self) -> Result<PathBuf, Error> {
        self.find().ok_or(Error::ToolMissing { program: self.name, package: self.package })
    }

    pub(crate) fn command(self) -> Result<Command, Error> {
        Ok(Command::new(self.path()?))
    }

    /// Runs it to its end and returns what it wrote to standard output.
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
        Error::ToolFailed { program: self.name.to_owned(), status: status.to_string(), output: tail }
    }
}
