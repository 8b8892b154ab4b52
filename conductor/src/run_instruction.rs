//! `RUN`: a shell command in the image as it is so far, in a temporary overlay whose upper directory becomes the layer.
//!
//! The overlay is mounted in the command's own mount namespace. When the command ends, its PID namespace ends, so
//! no process of it is left, and with the last of them the mounts: there is nothing to clean up, even if we are
//! killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::fs::Mode;

use crate::launch::{self, Command, Streams};
use crate::layer::Draft;
use crate::merged::{self, Entry};
use crate::namespaces;
use crate::overlay;
use crate::reaper::Reaper;
use crate::sandbox::Sandbox;
use crate::store::{self, at};

/// Variables of the host that a `RUN` gets, so that packages can be fetched where a proxy is needed.
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Why a `RUN` made no layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command said so.
    #[error("the command failed ({0})")]
    Command(ExitStatus),
    /// The command did not start.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Runs `command` on top of `lowers`; what it changes goes into `draft`.
pub fn run(command: &str, draft: &mut Draft, lowers: &[PathBuf]) -> Result<(), Error> {
    let (work, root) = (draft.scratch("work")?, draft.scratch("merged")?);
    let diff = draft.diff();
    let mount = || {
        // Without syncing: a draft that a crash interrupts is thrown away, and one that is committed is synced then.
        let flags = overlay::Flags { volatile: true };
        overlay::mount(lowers, &diff, &work, &root, flags)
            .map(overlay::Mount::leave)
            .map_err(overlay::Error::into_failure)
    };
    let resolver = Resolver::prepare(draft, lowers)?;
    let mut env = launch::environment(Streams::NoInput);
    env.push(("DEBIAN_FRONTEND".into(), "noninteractive".into()));
    env.extend(PROXY_VARIABLES.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))));
    let command = Command {
        argv: vec!["/bin/sh".into(), "-c".into(), command.into()],
        env,
        cwd: "/".into(),
        streams: Streams::NoInput,
        reaper: Reaper::ProcessOne,
    };
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let sandbox = Sandbox {
        namespaces: namespaces::BUILD,
        root: &root,
        mount_root: Some(&mount),
        files: &resolver.files,
        hostname: None,
        command: &command,
        dies_with_us: true,
    };
    let status = sandbox.run();
    rustix::process::umask(umask);
    let status = status?;
    if !status.success() {
        return Err(Error::Command(status));
    }
    Ok(resolver.leave_no_trace(&diff)?)
}

/// Name resolution for a `RUN`: a copy of the host's resolv.conf, bound over the image's.
struct Resolver {
    files: Vec<(PathBuf, PathBuf)>,
    /// The image has no such file, so one to bind over is made in the layer.
    makes_file: bool,
}

/// Where programs look for name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Resolver {
    fn prepare(draft: &mut Draft, lowers: &[PathBuf]) -> Result<Self, Error> {
        let entry =
            |path| merged::resolve(lowers, Path::new(path)).map_or(Entry::Missing, |place| place.entry);
        let copy = draft.scratch("etc")?.join("resolv.conf");
        let copied = fs::copy(RESOLV_CONF, &copy);
        if !matches!(entry("/etc"), Entry::Directory(_)) || copied.is_err() {
            return Ok(Self { files: Vec::new(), makes_file: false });
        }
        let makes_file = entry(RESOLV_CONF) == Entry::Missing;
        Ok(Self { files: vec![(copy, RESOLV_CONF.into())], makes_file })
    }

    /// Takes the empty file that was made to bind over out of the layer. One that the command put in its place stays.
    fn leave_no_trace(&self, diff: &Path) -> Result<(), store::Error> {
        let path = diff.join(RESOLV_CONF.trim_start_matches('/'));
        let is_ours = || fs::symlink_metadata(&path).is_ok_and(|data| data.is_file() && data.len() == 0);
        if self.makes_file && is_ours() { at(fs::remove_file(&path), "remove", &path) } else { Ok(()) }
    }
}
