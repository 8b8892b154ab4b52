//! Mounting overlay file systems: read-only layers below, one writable directory above, merged into one tree.
//!
//! See Documentation/filesystems/overlayfs.rst of the kernel. Mounts are made in the caller's mount namespace.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags};

/// Mount options must fit one page, with their terminating NUL.
const OPTIONS_MAX: usize = 4096;

/// As many layers can be mounted wherever they lie: the names of so many descriptors fit.
pub const LAYERS_MAX: usize = 200;

/// What a mount gives besides the merged tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// Never sync the upper directory: for temporary mounts whose upper is thrown away after a crash. An upper
    /// that was written under it must not be an upper again without removing `work/incompat/volatile` from
    /// its work directory.
    pub volatile: bool,
}

/// Why a stack of layers could not be mounted, or a mount not be undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer is not there.
    #[error("layer {path}")]
    Layer {
        /// Which one.
        path: PathBuf,
        /// What opening it said.
        source: io::Error,
    },
    /// More layers than fit a mount's options.
    #[error("{0} layers are more than an overlay mount can take")]
    TooMany(usize),
    /// The kernel refused.
    #[error("cannot mount an overlay of {layers} layers on {target}")]
    Mount {
        /// How many lower layers.
        layers: usize,
        /// Where.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something still uses the mount.
    #[error("cannot unmount {target}")]
    Unmount {
        /// Which mount.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// The error as a step that failed in a sandbox's child: in words, with its number.
    pub fn into_failure(self) -> (String, io::Error) {
        let step = match &self {
            Self::Layer { path, .. } => format!("find layer {}", path.display()),
            Self::TooMany(layers) => format!("mount {layers} layers at once"),
            Self::Mount { layers, target, .. } => {
                format!("mount an overlay of {layers} layers on {}", target.display())
            }
            Self::Unmount { target, .. } => format!("unmount {}", target.display()),
        };
        match self {
            Self::Layer { source, .. } | Self::Mount { source, .. } | Self::Unmount { source, .. } => {
                (step, source)
            }
            Self::TooMany(_) => (step, io::Error::from_raw_os_error(nix::libc::E2BIG)),
        }
    }
}

/// A mounted overlay. Dropped, it is detached; [`Mount::unmount`] says whether that was clean;
/// [`Mount::leave`] leaves it to the mount namespace.
#[derive(Debug)]
#[must_use = "a dropped mount is unmounted"]
pub struct Mount {
    target: PathBuf,
    mounted: bool,
}

/// Mounts `lowers` (top first, as the kernel wants them) under `upper` on `target`. `work` is an empty
/// directory on the file system of `upper`.
pub fn mount(
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    flags: Flags,
) -> Result<Mount, Error> {
    let as_named = options(lowers.iter().map(PathBuf::as_path), upper, work, flags);
    let (data, _open) = match as_named {
        Some(data) => (data, Vec::new()),
        None => by_descriptor(lowers, upper, work, flags)?,
    };
    rustix::mount::mount("overlay", target, "overlay", MountFlags::empty(), data.as_c_str()).map_err(
        |error| {
            // The kernel says ENOENT without saying of what.
            if let Some((path, source)) =
                lowers.iter().find_map(|path| Some((path.clone(), path.metadata().err()?)))
            {
                return Error::Layer { path, source };
            }
            Error::Mount { layers: lowers.len(), target: target.to_owned(), source: error.into() }
        },
    )?;
    Ok(Mount { target: target.to_owned(), mounted: true })
}

/// The options of a stack too long to be named by paths: each layer by a descriptor opened here, 17 bytes
/// each. That works on every kernel; `fsconfig`'s `lowerdir+` needs 6.5.
fn by_descriptor(
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    flags: Flags,
) -> Result<(CString, Vec<File>), Error> {
    let open =
        |path: &Path| File::open(path).map_err(|source| Error::Layer { path: path.to_owned(), source });
    let all = [upper, work].into_iter().chain(lowers.iter().map(PathBuf::as_path));
    let files = all.map(open).collect::<Result<Vec<_>, _>>()?;
    let paths: Vec<PathBuf> =
        files.iter().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()).into()).collect();
    let data = match paths.as_slice() {
        [upper, work, lowers @ ..] => options(lowers.iter().map(PathBuf::as_path), upper, work, flags),
        _ => None,
    };
    Ok((data.ok_or(Error::TooMany(lowers.len()))?, files))
}

/// The option string, if it fits.
///
/// `index`, `metacopy` and `redirect_dir` are off whatever the kernel's defaults are: layers made with them
/// would mean something only together with the very stack they were made on.
fn options<'a>(
    lowers: impl Iterator<Item = &'a Path>,
    upper: &Path,
    work: &Path,
    flags: Flags,
) -> Option<CString> {
    let mut text = b"index=off,metacopy=off,redirect_dir=off,".to_vec();
    if flags.volatile {
        text.extend_from_slice(b"volatile,");
    }
    for (at, lower) in lowers.enumerate() {
        text.extend_from_slice(if at == 0 { b"lowerdir=" } else { b":" });
        escape(lower, &mut text);
    }
    text.extend_from_slice(b",upperdir=");
    escape(upper, &mut text);
    text.extend_from_slice(b",workdir=");
    escape(work, &mut text);
    CString::new(text).ok().filter(|data| data.as_bytes_with_nul().len() <= OPTIONS_MAX)
}

/// Appends a path with the characters escaped that separate options and layers.
fn escape(path: &Path, text: &mut Vec<u8>) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
}

impl Mount {
    /// Where it is mounted.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Unmounts it; an error if something still uses it.
    pub fn unmount(mut self) -> Result<(), Error> {
        self.mounted = false;
        rustix::mount::unmount(&self.target, UnmountFlags::NOFOLLOW)
            .map_err(|error| Error::Unmount { target: self.target.clone(), source: error.into() })
    }

    /// Leaves it mounted for as long as its mount namespace lives.
    pub fn leave(mut self) {
        self.mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Only on the way out of an error, which is what will be reported.
            let _ = rustix::mount::unmount(&self.target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}
