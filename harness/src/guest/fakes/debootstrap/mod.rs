//! `debootstrap` in the guest: unpacks a tree made in advance where it has one that the real
//! program would make, and hands over to the real program otherwise.
//!
//! [`install`] puts it ahead of the real one in the usual PATH (and in sudo's), as a link to the
//! guest half; started under that name, the guest half runs [`main`]. The trees and how they come
//! to be are [`crate::packages::base`]'s.

mod options;
mod unpack;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use crate::guest::trust::trust;
use crate::packages::base::{BASE_FILE, Base, TREE_FILE};
use options::Request;

/// The name under which [`main`] is started.
pub const NAME: &str = "debootstrap";
/// Where the disk with the trees is mounted in the guest.
pub const STORE: &str = "/run/vm/store";
/// Ahead of the real one.
const LINK: &str = "/usr/local/sbin/debootstrap";
/// The real one.
const REAL: &str = "/usr/sbin/debootstrap";
/// Set by the commands that follow-through replaces: they name no mirror and no options, and any
/// tree of the suite that was made for the submission will do. Without it, the real program runs,
/// for minutes, wherever the submission's own calls name an https mirror.
pub const ANY_TREE: &str = "HARNESS_ANY_TREE";
/// Tells the program where the trees are.
const SETTINGS: &str = "/run/harness-bases.json";

#[derive(Serialize, Deserialize)]
struct Settings {
    bases: PathBuf,
    /// Of the authority that every tree is to trust, in PEM.
    certificate: String,
}

/// Makes `debootstrap` take trees from `bases`, a directory with one folder for each
/// (`bases/*/base.json`), and makes every tree trust `certificate`. Needs the running program's own
/// file to stay where it is.
///
/// # Errors
/// When /run or /usr/local/sbin cannot be written.
pub fn install(bases: &Path, certificate: String) -> io::Result<()> {
    let settings = Settings { bases: bases.to_owned(), certificate };
    fs::write(SETTINGS, serde_json::to_vec(&settings)?)?;
    let _ = fs::remove_file(LINK);
    std::os::unix::fs::symlink(std::env::current_exe()?, LINK)
}

/// Does what was asked on the command line: `arguments` without the program's name.
pub fn main(arguments: &[String]) -> ExitCode {
    let settings = fs::read(SETTINGS).ok().and_then(|settings| serde_json::from_slice(&settings).ok());
    match settings.as_ref().and_then(|settings| answer(settings, arguments)) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("E: {error}");
            ExitCode::FAILURE
        }
        None => real(arguments, settings.as_ref()),
    }
}

/// Has the real program do it, and makes the tree trust the world.
fn real(arguments: &[String], settings: Option<&Settings>) -> ExitCode {
    let (Some(settings), Some(target)) = (settings, options::target(arguments)) else {
        let error = Command::new(REAL).args(arguments).exec();
        eprintln!("{REAL}: {error}");
        return ExitCode::from(127);
    };
    // Who ends this program means the real one.
    let mut program = Command::new("setpriv");
    program.args(["--pdeathsig", "TERM", "--", REAL]).args(arguments);
    match program.status() {
        Ok(status) if status.success() => match trust(Path::new(target), &settings.certificate) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("E: {target}: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
        Err(error) => {
            eprintln!("{REAL}: {error}");
            ExitCode::from(127)
        }
    }
}

/// Nothing where the real program must do it.
fn answer(settings: &Settings, arguments: &[String]) -> Option<io::Result<()>> {
    // The real program heeds it.
    if std::env::var_os("DEBOOTSTRAP_DIR").is_some() {
        return None;
    }
    let request = Request::parse(arguments)?;
    let target = std::path::absolute(&request.target).ok()?;
    let empty = fs::read_dir(&target).map_or(!target.exists(), |mut entries| entries.next().is_none());
    let any = std::env::var_os(ANY_TREE).is_some();
    let (tree, base) =
        find(&settings.bases, &request, any).filter(|_| empty && nix::unistd::geteuid().is_root())?;
    let mirror = request.mirror.as_ref().unwrap_or(&base.default_mirror);
    println!("I: Target architecture can be executed");
    println!("I: Installing the base system...");
    Some(
        unpack::unpack(&tree, &base, &target, mirror)
            .and_then(|()| trust(&target, &settings.certificate))
            .map(|()| println!("I: Base system installed successfully.")),
    )
}

/// The tree that stands for a request, and its description. If there is none, `any` of the suite
/// may stand for a request that names nothing but the suite.
fn find(bases: &Path, request: &Request, any: bool) -> Option<(PathBuf, Base)> {
    let trees: Vec<(PathBuf, Base)> = fs::read_dir(bases)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let base = serde_json::from_slice(&fs::read(entry.path().join(BASE_FILE)).ok()?).ok()?;
            Some((entry.path().join(TREE_FILE), base))
        })
        .collect();
    let exact = trees.iter().find(|(_, base)| request.is_for(base));
    let other = || trees.iter().find(|(_, base)| any && request.is_for_suite(base));
    exact.or_else(other).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_command_takes_the_tree_of_an_https_mirror() {
        let bases = tempfile::tempdir().unwrap();
        let base = Base {
            suite: "bookworm".to_owned(),
            arch: "amd64".to_owned(),
            variant: Some("minbase".to_owned()),
            components: "main".to_owned(),
            https: true,
            mirror: "https://mirror.invalid/debian".to_owned(),
            default_mirror: "http://deb.example/debian".to_owned(),
        };
        fs::create_dir(bases.path().join("one")).unwrap();
        fs::write(bases.path().join("one").join(BASE_FILE), serde_json::to_vec(&base).unwrap()).unwrap();
        let found = |line: &str, any| {
            let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
            find(bases.path(), &Request::parse(&words).unwrap(), any).is_some()
        };
        assert!(found("bookworm d", true));
        // A submission's own call gets what the real program makes.
        assert!(!found("bookworm d", false));
        for other in ["focal d", "bookworm d http://deb.example/debian", "--variant=buildd bookworm d"] {
            assert!(!found(other, true), "{other}");
        }
    }
}
