//! An image made from packages, for hosts that cannot download the official one. `mmdebstrap` makes
//! the tree, `mkfs.ext4 -d` the disk. Neither needs root: an ordinary user makes both in a user
//! namespace or, if the system refuses one, under `fakechroot` and `fakeroot`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::DISK;
use crate::cache::Lock;
use crate::{Error, Event, Setup, Suite, Unit, spawn, tool};

/// The kernel's arguments for the root before provisioning.
pub(super) const ROOT: &str = "root=LABEL=vmroot ds=nocloud";

/// The script. Another script makes another image.
pub(super) const RECIPE: &str = include_str!("packages.sh");

/// Makes `raw`, and beside it `vmlinuz` and `initrd`.
pub(super) fn make(
    suite: Suite,
    setup: &Setup,
    built: &Path,
    raw: &Path,
    lock: &Lock,
    log: &Path,
    on: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    on(Event::Step(format!("making {} from packages", suite.title())));
    let mkfs = tool::MKFS.path()?;
    let mmdebstrap = tool::MMDEBSTRAP.path()?;
    let sources = sources(suite)?;

    let mut command = as_root_in_effect(on)?;
    command
        .env("MMDEBSTRAP", mmdebstrap)
        .env("MKFS", mkfs)
        .env("SUITE", suite.codename())
        .env("INCLUDE", setup.all_packages().join(","))
        .env("SOURCES", sources)
        .env("BUILT", built)
        .env("RAW", raw)
        .env("SIZE", DISK)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // The child inherits the lock, so no other process removes the directory before the child ends.
    let mut child = spawn::spawn(command, vec![lock.descriptor()?], Signal::SIGKILL)
        .map_err(Error::io("run", "mmdebstrap"))?;

    let mut said = Vec::new();
    let mut done = 0;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if line.starts_with(b"I: ") {
                done += 1;
                on(Event::Progress { done, total: Some(STEPS), unit: Unit::Items });
            }
            said.extend_from_slice(&line);
            said.push(b'\n');
        }
    }
    let status = child.wait().map_err(Error::io("wait for", "mmdebstrap"))?;
    if status.success() {
        return Ok(());
    }
    let mut failed = tool::MMDEBSTRAP.failed(status, without_logins(&said).as_bytes());
    if let Error::ToolFailed { log: kept, .. } = &mut failed {
        *kept = fs::write(log, without_logins(&said)).ok().map(|()| log.to_owned());
    }
    Err(failed)
}

/// `sh` with the script, able to make a tree that belongs to root.
fn as_root_in_effect(on: &mut dyn FnMut(Event)) -> Result<Command, Error> {
    /// Namespaces of its own: no other process sees its mounts, and all of it
    /// ends with this process.
    const APART: [&str; 5] = ["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    /// With all users that a tree has.
    const AS_USER: [&str; 2] = ["--map-root-user", "--map-auto"];
    let tried = |user: &[&str]| {
        tool::UNSHARE.output(|command| {
            command.args(user).args(APART).arg("true");
        })
    };
    let refused = if geteuid().is_root() {
        None
    } else {
        // First with one user only: with more, a refused unshare leaves a process behind.
        tried(&AS_USER[..1]).and_then(|_| tried(&AS_USER)).err()
    };
    if let Some(why) = refused {
        let why = crate::chain(&why);
        let why = why.lines().last().unwrap_or_default();
        on(Event::Note(format!(
            "this user cannot make a user namespace ({why}): fakechroot makes the image"
        )));
        let mut command = tool::FAKECHROOT.command()?;
        let script = concat!(include_str!("packages-user.sh"), include_str!("packages.sh"));
        command.arg(tool::FAKEROOT.path()?).arg(tool::SH.path()?).args(["-c", script, "packages.sh"]);
        return Ok(command);
    }
    let mut command = tool::UNSHARE.command()?;
    if !geteuid().is_root() {
        command.args(AS_USER);
    }
    command.args(APART).arg(tool::SH.path()?).args(["-c", RECIPE, "packages.sh"]);
    Ok(command)
}

/// The number of steps that mmdebstrap and the script announce.
const STEPS: u64 = 16;

/// The host's package sources for this suite, as lines of a sources.list. If there are none,
/// mmdebstrap uses the distribution's.
fn sources(suite: Suite) -> Result<String, Error> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let output = tool::APT_GET.output(|command| {
        command.args(["indextargets", "--format", format, "Created-By: Packages"]);
    })?;
    let mut lines: Vec<String> = output
        .lines()
        .filter(|line| {
            let release = line.split(' ').nth(1).unwrap_or_default();
            let name = suite.codename();
            ["", "-updates", "-security"].iter().any(|suffix| release == format!("{name}{suffix}"))
        })
        .map(|line| format!("deb {line}"))
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n"))
}

/// Text with the name and password of each address left out: what stands between `://` and `@`.
fn without_logins(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut pieces = text.split("://");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(piece.len());
        let start = piece[..end].rfind('@').map_or(0, |at| at + 1);
        clean.push_str("://");
        clean.push_str(&piece[start..]);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_left_out_of_what_is_kept() {
        let said = b"E: http://us%40er:sword@m.example/debian and https://b.example/x@y, mail root@example";
        let clean = "E: http://m.example/debian and https://b.example/x@y, mail root@example";
        assert_eq!(without_logins(said), clean);
    }

    /// The script's own line, on a tree with sources and a login file.
    #[test]
    fn a_tree_keeps_no_login() {
        let tree = tempfile::tempdir().unwrap();
        let apt = tree.path().join("etc/apt");
        fs::create_dir_all(apt.join("sources.list.d")).unwrap();
        fs::create_dir_all(apt.join("auth.conf.d")).unwrap();
        let list = apt.join("sources.list.d/0000main.list");
        fs::write(&list, "deb [trusted=yes] http://user:sword@m.example/debian bookworm main\n").unwrap();
        fs::write(apt.join("auth.conf.d/mine"), "machine m.example login user password sword").unwrap();
        let lines = RECIPE.lines().skip_while(|line| !line.starts_with("find \"$tree/etc/apt\""));
        let script: Vec<&str> = lines.take_while(|line| !line.starts_with("echo")).collect();
        assert_eq!(script.len(), 2, "{script:?}");
        let script = format!("set -eu\ntree=$1\n{}", script.join("\n"));
        let status = Command::new("sh").args(["-c", &script, "sh"]).arg(tree.path()).status().unwrap();
        assert!(status.success());
        assert_eq!(
            fs::read_to_string(&list).unwrap(),
            "deb [trusted=yes] http://m.example/debian bookworm main\n"
        );
        assert_eq!(fs::read_dir(apt.join("auth.conf.d")).unwrap().count(), 0);
    }
}
