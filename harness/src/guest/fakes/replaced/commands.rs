//! The two commands, and what they share: the folders that the submission's setup.sh names.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::OWN;

/// The name of the process that waits for a container's first one, where tools look for it.
pub(super) const WAITING: &str = "unshare";

/// What setup.sh is written for, in the guest.
const SHELL: &str = "/bin/bash";

/// `build IMAGE [CONDUCTORFILE]`: makes an image of the base system alone.
pub fn build(arguments: &[String]) -> ExitCode {
    ended(super::build::image(arguments).map(|()| ExitCode::SUCCESS))
}

/// `run IMAGE CONTAINER [--] [COMMAND…]`: mounts the container and becomes the process that waits
/// for its first one. That process has another `name`; its arguments are the container's folder,
/// its root directory and the command.
pub fn run(name: &str, arguments: &[String]) -> ExitCode {
    ended(match name {
        WAITING => super::run::first_process(arguments),
        _ => super::run::container(arguments).map(|()| ExitCode::SUCCESS),
    })
}

fn ended(done: io::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// The folders that a submission's setup.sh names.
#[derive(Debug)]
pub(super) struct Folders {
    /// The folder of the tool.
    pub(super) tool: PathBuf,
    pub(super) images: PathBuf,
    pub(super) containers: PathBuf,
    pub(super) cache: PathBuf,
}

impl Folders {
    /// Asks a shell, in which `$0` is the tool beside this program.
    pub(super) fn read() -> io::Result<Self> {
        const ASK: &str = r#". "$1"; printf '%s\0' "$IMAGEDIR" "$CONTAINERDIR" "$CACHEDIR""#;
        let tool = own_folder()?;
        let asked = Command::new(SHELL)
            .args(["-c", ASK])
            .args([tool.join("conductor.sh"), tool.join("setup.sh")])
            .output()?;
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        let mut folders = text.split('\0').filter(|folder| !folder.is_empty()).map(PathBuf::from);
        match (folders.next(), folders.next(), folders.next()) {
            (Some(images), Some(containers), Some(cache)) => Ok(Self { tool, images, containers, cache }),
            _ => Err(io::Error::other("setup.sh does not name the folders of images, containers and cache")),
        }
    }

    /// Whether the submission's own tool speaks of something.
    pub(super) fn own_tool_has(&self, word: &str) -> bool {
        let text = std::fs::read(self.tool.join(OWN)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
    }
}

/// Where this program was called, as its link lies: beside the tool.
fn own_folder() -> io::Result<PathBuf> {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let folder = called.parent().filter(|folder| !folder.as_os_str().is_empty());
    std::path::absolute(folder.unwrap_or(Path::new(".")))
}
