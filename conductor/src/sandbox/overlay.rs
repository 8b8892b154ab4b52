//! Overlay mounts: read-only layers below, one writable directory above, merged into one tree.
//!
//! See Documentation/filesystems/overlayfs.rst of the kernel. Mounts appear in the caller's mount
//! namespace.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

/// The longest option string of a mount: one page, with the terminating NUL.
const OPTIONS_MAX: usize = 4096;

/// The most layers of an image. Their options fit a mount wherever the layers are: see
/// `by_descriptor`.
pub const LAYERS_MAX: usize = 200;

/// Options of an overlay mount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// Never sync the upper directory: for temporary mounts whose upper directory is discarded
    /// after a crash. Before such a directory is used as an upper again, `work/incompat/volatile`
    /// must be removed from its work directory.
    pub volatile: bool,
}

/// Why an overlay cannot be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer does not exist.
    #[error("cannot open the layer {path}")]
    Layer {
        /// The layer.
        path: PathBuf,
        /// The error of opening it.
        source: io::Error,
    },
    /// More layers than fit the options of a mount.
    #[error("{0} layers are more than an overlay mount can take")]
    TooMany(usize),
    /// The kernel refused.
    #[error("cannot mount an overlay of {layers} layers on {target}")]
    Mount {
        /// How many lower layers.
        layers: usize,
        /// The mount point.
        target: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The upper directory is on an overlay itself.
    #[error("cannot use {upper} as a layer: {ON_OVERLAY}")]
    OnOverlay {
        /// The upper directory.
        upper: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A process still uses the mount.
    #[error("cannot unmount {target}")]
    Unmount {
        /// The mount point.
        target: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl Error {
    /// Converts the error to a failed step of a sandbox: its text and its error number.
    pub fn into_failure(self) -> (String, io::Error) {
        let step = match &self {
            Self::Layer { path, .. } => format!("find layer {}", path.display()),
            Self::TooMany(layers) => format!("mount {layers} layers at once"),
            Self::Mount { layers, target, .. } => {
                format!("mount an overlay of {layers} layers on {}", target.display())
            }
            Self::OnOverlay { upper, .. } => format!("use {} as a layer: {ON_OVERLAY}", upper.display()),
            Self::Unmount { target, .. } => format!("unmount {}", target.display()),
        };
        match self {
            Self::Layer { source, .. }
            | Self::Mount { source, .. }
            | Self::OnOverlay { source, .. }
            | Self::Unmount { source, .. } => (step, source),
            Self::TooMany(_) => (step, io::Error::from_raw_os_error(nix::libc::E2BIG)),
        }
    }
}

/// A mounted overlay. It is detached when dropped. [`Mount::unmount`] reports whether it is still
/// in use, and [`Mount::leave`] keeps it mounted.
#[derive(Debug)]
#[must_use = "a dropped mount is unmounted"]
pub struct Mount {
    target: PathBuf,
    mounted: bool,
}

/// Mounts `lowers`, top first, with the writable `upper` on `target`. `work` is an empty directory
/// on the file system of `upper`.
pub fn mount(
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
    flags: Flags,
) -> Result<Mount, Error> {
    let as_named = options(lowers.iter().map(PathBuf::as_path), upper, work, flags);
    let (data, open) = match as_named {
        Some(data) => (data, Vec::new()),
        None => by_descriptor(lowers, upper, work, flags)?,
    };
    // Descriptors tell others nothing: then `rmcache` finds the layers by the source of the mount.
    let source = lowers.first().filter(|_| !open.is_empty()).map_or(Path::new("overlay"), PathBuf::as_path);
    rustix::mount::mount(source, target, "overlay", MountFlags::empty(), data.as_c_str()).map_err(
        |error| {
            // The kernel returns ENOENT without naming the missing directory.
            if let Some((path, source)) =
                lowers.iter().find_map(|path| Some((path.clone(), path.metadata().err()?)))
            {
                return Error::Layer { path, source };
            }
            if error == Errno::INVAL && is_overlay(upper) {
                return Error::OnOverlay { upper: upper.to_owned(), source: error.into() };
            }
            Error::Mount { layers: lowers.len(), target: target.to_owned(), source: error.into() }
        },
    )?;
    Ok(Mount { target: target.to_owned(), mounted: true })
}

/// Why an overlay cannot be the upper directory of another one, and what to do.
const ON_OVERLAY: &str = "it is on an overlay file system, which cannot hold the changes of another overlay. Set CACHEDIR and CONTAINERDIR to folders on a disk or a tmpfs";

/// Whether a directory is on an overlay file system, as it is inside many containers.
fn is_overlay(directory: &Path) -> bool {
    /// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
    const MAGIC: i64 = 0x794c_7630;
    rustix::fs::statfs(directory).is_ok_and(|stat| stat.f_type == MAGIC)
}

/// The options for a stack whose paths are too long. Each layer is named by a descriptor, which
/// takes 17 bytes. That works on every kernel; `lowerdir+` of fsconfig(2) needs Linux 6.5.
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

/// The option string, if it is short enough.
///
/// `index`, `metacopy` and `redirect_dir` are always off: layers written with them could only be
/// used in the same stack again.
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

/// Appends a path and escapes the characters that separate options and layers.
fn escape(path: &Path, text: &mut Vec<u8>) {
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b',' | b':' | b'\\') {
            text.push(b'\\');
        }
        text.push(*byte);
    }
}

impl Mount {
    /// The mount point.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Unmounts it. Fails if a process still uses it.
    pub fn unmount(mut self) -> Result<(), Error> {
        self.mounted = false;
        rustix::mount::unmount(&self.target, UnmountFlags::NOFOLLOW)
            .map_err(|error| Error::Unmount { target: self.target.clone(), source: error.into() })
    }

    /// Keeps it mounted until its mount namespace ends.
    pub fn leave(mut self) {
        self.mounted = false;
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            // Only after an error, and that error is the one to report.
            let _ = rustix::mount::unmount(&self.target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
    }
}
