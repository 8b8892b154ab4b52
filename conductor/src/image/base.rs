//! Base systems: created once by debootstrap for each reference in `FROM`, and shared by all
//! images.
//!
//! A base system is `base/<distribution>-<suite>` in the cache, with a `.metadata` file beside it.
//! debootstrap works in a half-made directory that is renamed only if it succeeds. It runs in its
//! own PID and mount namespaces: if it fails or conductor is killed, no process and no mount stays
//! behind.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::{env, fs, io};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::image::cache_key::CacheKey;
use crate::image::layer::{self, Layer, Metadata};
use crate::sandbox::Sandbox;
use crate::sandbox::launch::{self, Command, Streams};
use crate::sandbox::namespaces;
use crate::sandbox::reaper::Reaper;
use crate::sandbox::rootfs::Dev;
use crate::settings::Settings;
use crate::state::half_made::HalfMade;
use crate::state::lock::{Lock, Share};
use crate::state::store::{self, Store};
use crate::state::{self, at, if_there, is_directory};

/// The folder of the base systems in the cache.
pub const FOLDER: &str = "base";

/// Why there is no base system.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// debootstrap did not start.
    #[error("debootstrap did not start{}", remedy(.0))]
    Start(#[source] launch::Error),
    /// debootstrap failed; its messages are above.
    #[error(
        "debootstrap of {reference} from {mirror} failed ({status}); `build --mirror URL` takes another mirror"
    )]
    Failed {
        /// The reference in `FROM`.
        reference: String,
        /// The package mirror.
        mirror: String,
        /// The exit status of debootstrap.
        status: ExitStatus,
    },
    /// debootstrap succeeded but created no usable system.
    #[error("debootstrap of {reference} left no /bin/sh")]
    Empty {
        /// The reference in `FROM`.
        reference: String,
    },
    /// Something else has the name of the base system.
    #[error("conductor did not make {0}, because a base system is a folder: move it away")]
    Foreign(PathBuf),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

fn remedy(error: &launch::Error) -> &'static str {
    let is_missing = |source: &io::Error| source.kind() == io::ErrorKind::NotFound;
    match error {
        launch::Error::Execute { source, .. } if is_missing(source) => " (apt install debootstrap)",
        _ => "",
    }
}

/// The key of the base system `reference`.
pub fn key(settings: &Settings, reference: &str) -> CacheKey {
    CacheKey::of_base(&name(settings, reference))
}

/// Distribution and suite: `debian` and `bookworm` of `debian:bookworm`.
fn parts<'a>(settings: &'a Settings, reference: &'a str) -> (&'a str, &'a str) {
    let distribution = reference.split(':').next().unwrap_or(reference);
    (distribution, settings.suites.get(reference).map_or(reference, String::as_str))
}

/// The name of the base system's folder in the cache.
fn name(settings: &Settings, reference: &str) -> String {
    let (distribution, suite) = parts(settings, reference);
    format!("{distribution}-{suite}").replace('/', "-")
}

/// Tells which entries of `folder`, the folder of the base systems, `ensure` has made: those of a
/// suite in the settings, and those that have metadata.
pub(crate) fn names(settings: &Settings, folder: &Path) -> Box<dyn Fn(&str) -> bool> {
    let known: Vec<String> = settings.suites.keys().map(|reference| name(settings, reference)).collect();
    let folder = folder.to_owned();
    Box::new(move |entry| {
        let base = entry.strip_suffix(layer::METADATA).and_then(|base| base.strip_suffix('.'));
        let base = base.unwrap_or(entry);
        known.iter().any(|known| known == base) || Metadata::read(&folder.join(base)).is_some()
    })
}

/// The base system `reference`. It is created if the cache does not have it.
pub fn ensure(
    settings: &Settings,
    store: &Store,
    reference: &str,
    mirror: Option<&str>,
) -> Result<Layer, Error> {
    let folder = store.cache.join(FOLDER);
    let (distribution, suite) = parts(settings, reference);
    let tree = folder.join(name(settings, reference));
    let layer = Layer { key: key(settings, reference), tree, cached: true };
    if is_directory(&layer.tree)? {
        return Ok(layer);
    }
    store::make_folder(&folder)?;
    // A second build waits here and then finds the base system.
    let _lock = Lock::wait(&folder, Share::Exclusive)?;
    if is_directory(&layer.tree)? {
        return Ok(layer);
    }
    if if_there(fs::symlink_metadata(&layer.tree), "find", &layer.tree)?.is_some() {
        return Err(Error::Foreign(layer.tree));
    }
    let mirror = mirror.or(settings.mirrors.get(distribution).map(String::as_str));
    let half_made = HalfMade::begin(&folder)?;
    debootstrap(reference, suite, mirror, half_made.path())?;
    let metadata = Metadata::new(format!("FROM {reference}"), None, layer::size(half_made.path())?);
    metadata.write(&Metadata::path(&layer.tree))?;
    half_made.sync()?;
    half_made.finish(&layer.tree)?;
    Ok(Layer { cached: false, ..layer })
}

fn debootstrap(reference: &str, suite: &str, mirror: Option<&str>, target: &Path) -> Result<(), Error> {
    let make = |error: io::Error| state::Error::new("make", target, error);
    // The temporary directory is accessible only to root; a root directory must be accessible to
    // every user.
    rustix::fs::chmod(target, Mode::from_raw_mode(0o755)).map_err(|error| make(error.into()))?;
    let mut argv = vec!["debootstrap".into(), suite.into(), target.into()];
    argv.extend(mirror.map(Into::into));
    let command = Command {
        argv,
        env: with_sbin(env::vars_os()),
        cwd: "/".into(),
        streams: Streams::NoInput,
        reaper: Reaper::ProcessOne,
    };
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let status = on_the_host(&command, target);
    rustix::process::umask(umask);
    let status = status.map_err(Error::Start)?;
    if !status.success() {
        let mirror = mirror.unwrap_or("its own mirror").to_owned();
        return Err(Error::Failed { reference: reference.into(), mirror, status });
    }
    if !at(has_shell(target), "look for bin/sh in", target)? {
        return Err(Error::Empty { reference: reference.into() });
    }
    Ok(())
}

/// Whether a tree has a /bin/sh. Links in it lead to places in the tree, as they will in a
/// container.
fn has_shell(tree: &Path) -> Result<bool, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(tree, flags | OFlags::DIRECTORY, Mode::empty())?;
    match rustix::fs::openat2(root, c"bin/sh", flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(false),
        found => found.map(|_| true),
    }
}

/// Folders with root's programs. `su` without `-` leaves them out of `PATH`.
const SBIN: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// Our environment, with root's folders at the end of its `PATH`.
fn with_sbin(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    let mut env: Vec<_> = variables.collect();
    match env.iter_mut().find(|(name, _)| name == "PATH") {
        Some((_, path)) => {
            path.push(":");
            path.push(SBIN);
        }
        None => env.push(("PATH".into(), format!("/usr/local/bin:/usr/bin:/bin:{SBIN}").into())),
    }
    env
}

/// Runs a command on the host's own root, in PID and mount namespaces that end with it. `anchor` is
/// any directory: the host's root is mounted on it.
fn on_the_host(command: &Command, anchor: &Path) -> Result<ExitStatus, launch::Error> {
    let bind = || {
        rustix::mount::mount_bind_recursive("/", anchor)
            .map_err(|error| ("bind the host's root".into(), error.into()))?;
        // The command uses the host's network namespace, so its sysfs is the host's, which cannot
        // be mounted twice on one directory.
        let _ = rustix::mount::unmount(anchor.join("sys"), UnmountFlags::DETACH);
        Ok(())
    };
    Sandbox {
        namespaces: namespaces::BUILD,
        root: anchor,
        mount_root: Some(&bind),
        dev: Dev::Host,
        files: &[],
        hostname: None,
        command,
        dies_with_us: true,
    }
    .run()
}
