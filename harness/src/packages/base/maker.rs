//! Runs debootstrap: as root on this host, or else in a virtual machine, which needs
//! no rights on the host.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::SeedableRng;

use super::{BaseError, Order, TREE_FILE, failed, said};
use crate::guest::base_tree::Job;
use crate::guest::world::WorldPlan;
use crate::packages::cache::PackageCache;
use crate::packages::server::{Server, Takes};
use crate::siblings;
use crate::stage::{GUEST_HALF, MOUNTED_AT};

/// Makes the tree; the same text for this host and for a guest.
pub const MAKE: &str = include_str!("make-tree.sh");
/// The key that signs Ubuntu's archive since 2018
/// (F6ECB3762474EDA9D21B7022871920D1991BC93C): Debian's debootstrap looks for it in a
/// package that few have, and checks nothing where it is missing.
const UBUNTU_KEY: &[u8] = include_bytes!("../ubuntu-archive-2018.gpg");
/// The program, here and in guests.
const DEBOOTSTRAP: &str = "/usr/sbin/debootstrap";
/// How long a guest may take: a quarter of an hour on a quiet machine without KVM.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);

/// Runs debootstrap somewhere.
#[derive(Clone, Copy, Debug)]
pub enum Maker<'a> {
    /// On this host, as root, in namespaces of its own.
    Host,
    /// In a machine restored from this template.
    Guest(&'a vm::Template),
}

impl<'a> Maker<'a> {
    /// The quickest maker that works here, if any. Without root or without
    /// debootstrap, this is a guest.
    pub fn find(template: Option<&'a vm::Template>) -> Option<Self> {
        let has_debootstrap = Path::new(DEBOOTSTRAP).exists();
        match template {
            _ if nix::unistd::geteuid().is_root() && has_debootstrap => Some(Self::Host),
            template => template.map(Self::Guest),
        }
    }

    /// What may change a tree: another one makes its own.
    pub(super) fn version(self) -> Result<String, BaseError> {
        match self {
            Self::Host => said(Command::new(DEBOOTSTRAP).arg("--version")),
            Self::Guest(template) => Ok(template.image().to_owned()),
        }
    }

    /// Makes the tree of an order as the file [`TREE_FILE`] in the folder `making`. `say`
    /// hears what takes long.
    pub(super) fn make(
        self,
        order: &Order,
        arch: &str,
        cache: &Arc<PackageCache>,
        making: &Path,
        say: &mut dyn FnMut(String),
    ) -> Result<(), BaseError> {
        let settings = order.settings(arch);
        let what = format!("base tree of {} for mirrors of {}", order.suite, order.scheme());
        let began = Instant::now();
        match self {
            Self::Host => {
                say(format!(
                    "{what}: debootstrap makes this tree on this host, once; this takes some minutes"
                ));
                on_host(&settings, cache, making)?;
            }
            Self::Guest(template) => {
                let long = if template.accelerator().kind == vm::Kind::Kvm { "some" } else { "15 or more" };
                say(format!(
                    "{what}: debootstrap makes this tree in a virtual machine, once; this takes {long} minutes"
                ));
                in_guest(&settings, template, cache, making, &mut |step| {
                    say(format!("{what}: {step} ({} s)", began.elapsed().as_secs()));
                })?;
            }
        }
        say(format!("{what}: made in {} s", began.elapsed().as_secs()));
        Ok(())
    }
}

impl Order {
    /// The script's environment.
    fn settings(&self, arch: &str) -> Vec<(&'static str, String)> {
        let keyring = match &self.keyring {
            Some(path) => fs::read(path).unwrap_or_default(),
            None if self.archive == "ubuntu" => UBUNTU_KEY.to_vec(),
            None => Vec::new(),
        };
        vec![
            ("ARCH", arch.to_owned()),
            ("SUITE", self.suite.clone()),
            ("MIRROR", self.mirror()),
            ("COMPONENTS", self.components.clone()),
            ("VARIANT", self.variant.clone().unwrap_or_default()),
            ("KEYRING", BASE64_STANDARD.encode(keyring)),
            ("HOME", "/root".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
        ]
    }
}

/// In namespaces of its own, so that no mount and no process of it outlives it, and it
/// does not outlive us.
fn on_host(
    settings: &[(&'static str, String)],
    cache: &Arc<PackageCache>,
    making: &Path,
) -> Result<(), BaseError> {
    let (_server, proxy) = Server::on_loopback(cache).map_err(failed("serve packages on the loopback"))?;
    let tree = File::create(making.join(TREE_FILE)).map_err(failed("create the tree's file"))?;
    let work = making.join("work");
    fs::create_dir(&work).map_err(failed("make a folder for the tree"))?;
    let mut script = Command::new("setpriv");
    script.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--ipc", "--uts"]);
    script.args(["--kill-child", "--", "sh", "-c", &format!("exec 3>&2\n{MAKE}")]);
    script.env_clear().envs(settings.iter().cloned());
    script.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    script.env("WORK", &work).env("http_proxy", format!("http://{proxy}"));
    let output = script
        .stdin(Stdio::null())
        .stdout(tree)
        .stderr(Stdio::piped())
        .output()
        .map_err(failed("run setpriv (apt install util-linux)"))?;
    if !output.status.success() {
        return Err(failure(&String::from_utf8_lossy(&output.stderr), &output.status.to_string()));
    }
    fs::remove_dir_all(&work).map_err(failed("remove the tree after it was packed"))
}

/// In a machine whose guest half plays the world, asks this host for packages, and sends the tree.
fn in_guest(
    settings: &[(&'static str, String)],
    template: &vm::Template,
    cache: &Arc<PackageCache>,
    making: &Path,
    step: &mut dyn FnMut(&str),
) -> Result<(), BaseError> {
    let not_restored = |error: vm::Error| BaseError::Guest { why: vm::chain(&error) };
    let work = tempfile::tempdir().map_err(failed("make a folder for a guest's disk"))?;
    let server = Server::on_socket(cache, &work.path().join("packages"))
        .map_err(failed("serve packages to a guest"))?;
    let tree = File::create(making.join(TREE_FILE)).map_err(failed("create the tree's file"))?;
    let disks = vm::Disks { payload: Some(guest_half(work.path())?), store: None };
    let mut guest = template.restore(&disks).map_err(not_restored)?;
    if let Some(port) = guest.stream() {
        server.serve_guest(port, Takes::File(tree));
    }
    let program = Path::new(MOUNTED_AT).join(GUEST_HALF);
    let mut command = vm::Command::new([&*program.to_string_lossy(), "make-tree"]);
    let job = Job {
        world: WorldPlan::draw(&mut rand::rngs::StdRng::from_rng(&mut rand::rng())),
        settings: settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    command.stdin = serde_json::to_vec(&job).map_err(|error| failed("write a guest's job")(error.into()))?;
    command.deadline = PATIENCE;
    let (mut lines, mut last) = (Vec::new(), Instant::now());
    let outcome = guest.run(&command, &mut |line| {
        let line = String::from_utf8_lossy(line).into_owned();
        if last.elapsed() > Duration::from_secs(60) {
            last = Instant::now();
            step(line.trim_start_matches("I: "));
        }
        lines.push(line);
        if lines.len() > 400 {
            lines.drain(..200);
        }
    });
    match outcome {
        vm::Outcome::Exited { code: 0, .. } => Ok(()),
        vm::Outcome::Exited { code, stderr } => {
            let said = lines.join("\n") + "\n" + &String::from_utf8_lossy(&stderr);
            Err(failure(&said, &format!("exit status: {code}")))
        }
        outcome => Err(BaseError::Guest { why: outcome.to_string() }),
    }
}

/// A disk with the guest half, in the folder `work`.
fn guest_half(work: &Path) -> Result<PathBuf, BaseError> {
    let (content, disk) = (work.join("content"), work.join("content.img"));
    let program =
        siblings::find(GUEST_HALF).map_err(|error| failed("find the guest half")(io::Error::other(error)))?;
    fs::create_dir(&content)
        .and_then(|()| fs::copy(program, content.join(GUEST_HALF)))
        .map_err(failed("copy the guest half"))?;
    vm::disk_from_dir(&content, &disk).map_err(|error| BaseError::Guest { why: vm::chain(&error) })?;
    Ok(disk)
}

/// Names the program that failed, by the script's last word.
fn failure(said: &str, status: &str) -> BaseError {
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let named = lines.iter().rev().find_map(|line| line.strip_prefix("failed: ")?.split_once(' '));
    let (program, status) = named.map_or(("sh", status), |(program, status)| (program, status));
    BaseError::Failed {
        program: program.to_owned(),
        status: status.trim_matches(['(', ')']).to_owned(),
        output: lines[lines.len().saturating_sub(15)..].join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_failed_is_named() {
        let said = "I: Retrieving InRelease\nE: no such suite\nfailed: debootstrap (status 1)\n";
        let text = failure(said, "exit status: 1").to_string();
        assert!(text.starts_with("debootstrap failed (status 1)"), "{text}");
        assert!(failure("sh: 3: Bad file descriptor", "exit status: 2").to_string().starts_with("sh failed"));
    }

    #[test]
    fn a_missing_program_is_named_and_no_other_one() {
        let missing = "/nonexistent/dpkg";
        let error = said(&mut Command::new(missing)).unwrap_err().to_string();
        assert!(error.contains(missing) && !error.contains("debootstrap failed"), "{error}");
        let error = said(Command::new("tar").arg("--no-such-option")).unwrap_err().to_string();
        assert!(error.starts_with("tar failed"), "{error}");
    }
}
