//! An image made from packages, for where the official one cannot be fetched: `mmdebstrap` makes the tree,
//! `mkfs.ext4 -d` the disk. Neither needs root: an ordinary user makes both in a user namespace, or under
//! `fakechroot` and `fakeroot` where the system refuses one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;

use super::DISK;
use super::provision::PACKAGES;
use crate::cache::Lock;
use crate::{Error, Event, Suite, Unit, spawn, tool};

/// Where the kernel finds the root before provisioning.
pub(super) const ROOT: &str = "root=LABEL=vmroot ds=nocloud";

/// What makes an image another one, besides the provisioning.
pub(super) const RECIPE: &str = include_str!("packages.sh");

/// Makes `raw`, and beside it `vmlinuz` and `initrd`.
pub(super) fn make(
    suite: Suite,
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
    let include: Vec<&str> = PACKAGES.lines().collect();

    let mut command = as_root_in_effect(on)?;
    command
        .env("MMDEBSTRAP", mmdebstrap)
        .env("MKFS", mkfs)
        .env("SUITE", suite.codename())
        .env("INCLUDE", include.join(","))
        .env("SOURCES", sources)
        .env("BUILT", built)
        .env("RAW", raw)
        .env("SIZE", DISK)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // The lock goes with it: nobody clears away what is still being made.
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
    let mut failed = tool::MMDEBSTRAP.failed(status, &said);
    if let Error::ToolFailed { log: kept, .. } = &mut failed {
        *kept = fs::write(log, &said).ok().map(|()| log.to_owned());
    }
    Err(failed)
}

/// `sh` with the script, able to make a tree that belongs to root.
fn as_root_in_effect(on: &mut dyn FnMut(Event)) -> Result<Command, Error> {
    /// In namespaces of its own its mounts are seen by nobody else, and all of it ends with this process.
    const APART: [&str; 5] = ["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    /// With all the users that a tree has.
    const AS_USER: [&str; 2] = ["--map-root-user", "--map-auto"];
    let tried = |user: &[&str]| {
        tool::UNSHARE.output(|command| {
            command.args(user).args(APART).arg("true");
        })
    };
    let refused = if geteuid().is_root() {
        None
    } else {
        // First with no users but one's own: with them, unshare leaves a process behind where it is refused.
        tried(&AS_USER[..1]).and_then(|_| tried(&AS_USER)).err()
    };
    if let Some(why) = refused {
        let why = why.to_string();
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

/// How many steps mmdebstrap and the script announce.
const STEPS: u64 = 16;

/// The host's own package sources for this suite, as lines of a sources.list; empty where it has none, and
/// mmdebstrap then uses the distribution's.
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
