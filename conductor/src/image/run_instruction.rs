//! `RUN`: executes a command in a temporary overlay of the layers so far. Its upper directory
//! becomes the new layer.
//!
//! The overlay is mounted in the command's own mount namespace. When the command ends, its PID
//! namespace ends with all its processes, and the mounts vanish with the last of them. So nothing
//! needs cleaning up, even if conductor is killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::image::layer::Draft;
use crate::image::merged::{self, Entry, Place, Seen};
use crate::sandbox::Sandbox;
use crate::sandbox::launch::{self, Command, Streams};
use crate::sandbox::namespaces;
use crate::sandbox::overlay;
use crate::sandbox::reaper::Reaper;
use crate::sandbox::rootfs::Dev;
use crate::sandbox::tty;
use crate::state::{self, at, if_there};

/// Variables of the host that a `RUN` gets: package managers need them behind a proxy.
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// Why a `RUN` failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command failed.
    #[error("the command failed ({0})")]
    Command(ExitStatus),
    /// The command did not start.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// A layer below cannot be read.
    #[error(transparent)]
    Below(#[from] merged::Error),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// The arguments that execute a shell command.
pub fn in_a_shell(command: &str) -> [String; 3] {
    ["/bin/sh".into(), "-c".into(), command.into()]
}

/// Executes `argv`, a program and its arguments, on top of `lowers`. Its changes go into `draft`.
pub fn run(argv: &[String], draft: &mut Draft, lowers: &[PathBuf], seen: &Seen) -> Result<(), Error> {
    let (work, root) = (draft.scratch("work")?, draft.scratch("merged")?);
    let diff = draft.diff();
    let mount = || {
        // No syncing: an interrupted draft is deleted, and the commit syncs a complete one.
        let flags = overlay::Flags { volatile: true };
        overlay::mount(lowers, &diff, &work, &root, flags)
            .map(overlay::Mount::leave)
            .map_err(overlay::Error::into_failure)
    };
    let resolver = Resolver::prepare(draft, lowers, seen)?;
    let mut env = launch::environment(Streams::NoInput);
    env.push(("DEBIAN_FRONTEND".into(), "noninteractive".into()));
    env.extend(PROXY_VARIABLES.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))));
    let command = Command {
        argv: argv.iter().map(Into::into).collect(),
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
        dev: Dev::Own,
        files: &resolver.files,
        hostname: None,
        command: &command,
        dies_with_us: true,
    };
    let modes = tty::Modes::remember();
    let status = sandbox.run();
    drop(modes);
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
    /// Where the layer gets an empty file as a mount point, because the image has no resolv.conf.
    made: Option<PathBuf>,
}

/// The file with the name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Resolver {
    fn prepare(draft: &mut Draft, lowers: &[PathBuf], seen: &Seen) -> Result<Self, Error> {
        let copy = draft.scratch("etc")?.join("resolv.conf");
        let has_etc =
            find(lowers, "/etc", seen)?.is_some_and(|place| matches!(place.entry, Entry::Directory(_)));
        let servers = if_there(fs::read(RESOLV_CONF), "read", Path::new(RESOLV_CONF))?;
        let Some(servers) = servers.filter(|_| has_etc) else {
            return Ok(Self { files: Vec::new(), made: None });
        };
        at(fs::write(&copy, servers), "write", &copy)?;
        // apt resolves names as another user, who must be able to read the copy whatever mode the
        // host's file has.
        at(rustix::fs::chmod(&copy, Mode::from_raw_mode(0o644)), "set the mode of", &copy)?;
        let place = find(lowers, RESOLV_CONF, seen)?;
        let made = place.filter(|place| place.entry == Entry::Missing).map(|place| place.path);
        Ok(Self { files: vec![(copy, RESOLV_CONF.into())], made })
    }

    /// Deletes the empty mount point from the layer. A file that the command put in its place
    /// stays. The command may have replaced a folder above by a link to a folder of the host, so no
    /// link is followed.
    fn leave_no_trace(&self, diff: &Path) -> Result<(), state::Error> {
        let Some((folder, name)) = self.made.as_deref().and_then(|path| path.parent().zip(path.file_name()))
        else {
            return Ok(());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let layer = at(rustix::fs::open(diff, flags, Mode::empty()), "open", diff)?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = diff.join(RESOLV_CONF);
        let folder = match rustix::fs::openat2(&layer, folder, flags, Mode::empty(), inside) {
            Err(Errno::LOOP | Errno::XDEV) => return Ok(()),
            folder => if_there(folder, "find", &path)?,
        };
        let Some(folder) = folder else { return Ok(()) };
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
        match if_there(stat, "find", &path)? {
            Some(stat)
                if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0 =>
            {
                at(rustix::fs::unlinkat(&folder, name, AtFlags::empty()), "remove", &path)
            }
            _ => Ok(()),
        }
    }
}

/// Resolves a path in the layers. `None` if it leads nowhere, for example through a file.
fn find(lowers: &[PathBuf], path: &str, seen: &Seen) -> Result<Option<Place>, merged::Error> {
    match merged::resolve(lowers, Path::new(path), &|path| seen.look(path)) {
        Err(error @ merged::Error::Read { .. }) => Err(error),
        place => Ok(place.ok()),
    }
}
