//! An image of the base system that FROM names and nothing else.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, umask};

use super::commands::Folders;
use crate::guest::fakes::debootstrap::ANY_TREE;

/// Recorded in a file `layers`, or copied where the submission's tool knows of no such file.
pub(super) fn image(arguments: &[String]) -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    let name = arguments.first().ok_or_else(|| io::Error::other("which image?"))?;
    let file = arguments.get(1).map_or("Conductorfile", String::as_str);
    let folders = Folders::read()?;
    let text = fs::read_to_string(file)?;
    let system = from(&text).ok_or_else(|| io::Error::other(format!("{file} has no FROM")))?;
    let base = folders.cache.join("base").join(system.replace(':', "-"));
    if !base.is_dir() {
        make_base(&base, system.rsplit(':').next().unwrap_or(system))?;
    }
    let image = folders.images.join(name);
    fs::create_dir_all(&image)?;
    if folders.own_tool_has("layers") {
        return fs::write(image.join("layers"), format!("{}\n", base.display()));
    }
    done(Command::new("cp").arg("-a").arg(&base).arg(image.join("rootfs")))
}

/// The system of the first line that begins with FROM.
fn from(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim_start().strip_prefix("FROM")?.split_whitespace().next())
}

fn make_base(base: &Path, suite: &str) -> io::Result<()> {
    let mut unfinished = base.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    fs::create_dir_all(unfinished)?;
    fs::set_permissions(unfinished, fs::Permissions::from_mode(0o755))?;
    let before = umask(Mode::from_bits_truncate(0o022));
    let made = done(&mut debootstrap(suite, unfinished));
    umask(before);
    made?;
    fs::rename(unfinished, base)
}

fn debootstrap(suite: &str, target: &Path) -> Command {
    let mut command = Command::new("debootstrap");
    command.arg(suite).arg(target).env(ANY_TREE, "1");
    command
}

fn done(command: &mut Command) -> io::Result<()> {
    let status = command.status()?;
    let program = command.get_program().to_string_lossy().into_owned();
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{program}: {status}"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_tree_of_the_suite_will_do() {
        let command = debootstrap("bookworm", Path::new("d"));
        assert!(command.get_envs().any(|(name, value)| name == ANY_TREE && value.is_some()));
    }

    #[test]
    fn the_first_from_names_the_system() {
        assert_eq!(from("# FROM x\n  FROM   debian:bookworm \nFROM other\n"), Some("debian:bookworm"));
        assert_eq!(from("RUN true\n"), None);
    }
}
