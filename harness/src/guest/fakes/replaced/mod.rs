//! The two commands of a conductor that follow-through marks replace, as parts of the guest half: a submission that
//! looks at what stands in place of its own command finds a compiled program and no text.
//!
//! Started as [`BUILD`] or [`RUN`], the guest half is that command. State goes into the folders that the submission's
//! setup.sh names, and what its other commands look for is left where conductors usually leave it.

mod build;
mod run;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The name under which the guest half is `build`.
pub const BUILD: &str = "build-replaced";
/// The name under which the guest half is `run`.
pub const RUN: &str = "run-replaced";
/// The submission's own conductor, beside the one that stands in its place.
pub const OWN: &str = "conductor-as-submitted.sh";

/// The name of the process that waits for a container's first one, where tools look for it.
pub const WAITING: &str = "unshare";

/// What setup.sh is written for, in the guest.
const SHELL: &str = "/bin/bash";

/// `build IMAGE [CONDUCTORFILE]`.
pub fn build(arguments: &[String]) -> ExitCode {
    told(build::image(arguments).map(|()| ExitCode::SUCCESS))
}

/// `run IMAGE CONTAINER [--] [COMMAND…]`.
pub fn run(arguments: &[String]) -> ExitCode {
    told(run::container(arguments).map(|()| ExitCode::SUCCESS))
}

/// Not a command: what [`run`] becomes, with the container's folder, its root directory and the command.
pub fn wait_for_first(arguments: &[String]) -> ExitCode {
    told(run::first_process(arguments))
}

fn told(done: io::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// The folders that a submission's setup.sh names.
#[derive(Debug)]
struct Folders {
    /// The folder of the tool.
    tool: PathBuf,
    images: PathBuf,
    containers: PathBuf,
    cache: PathBuf,
}

impl Folders {
    /// Asks a shell, in which `$0` is the tool beside this program.
    fn read() -> io::Result<Self> {
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
    fn own_tool_has(&self, word: &str) -> bool {
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
