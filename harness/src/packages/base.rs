//! Base trees made in advance: what debootstrap takes 14 minutes for under
//! emulation, it does here once.
//!
//! The real debootstrap makes the tree, on this host or in a guest ([`Maker`]), from the package
//! cache. The tree is kept as a tar file beside the words of the command line that it stands for
//! ([`Base`]), in a directory named by everything that went into it:
//!
//! ```text
//! bases/<key>/base.json     a Base
//! bases/<key>/tree.tar      the tree: owners, modes, devices, links, extended attributes
//! bases/new-…/              one in the making; swept when its maker is gone
//! ```
//!
//! Two things in a tree depend on where it was made: the mirror's name, which is a placeholder
//! here, and the machine's resolv.conf and hostname, which are left out.
//! [`crate::guest::fakes::debootstrap`] puts the guest's in their place.

mod maker;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::PackageCache;
use super::proof::fetch;
use crate::hex::hex;
pub use maker::{MAKE, Maker};

/// A tree and the debootstrap command line that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The suite's code name, such as `bookworm`.
    pub suite: String,
    /// As dpkg names it.
    pub arch: String,
    /// `--variant`, where it is not the default one.
    pub variant: Option<String>,
    /// `--components`.
    pub components: String,
    /// Whether the mirror that the tree names is one of https: such trees have ca-certificates.
    pub https: bool,
    /// The mirror that the tree names; not a real one.
    pub mirror: String,
    /// The one that debootstrap takes where none is named.
    pub default_mirror: String,
}

/// The host of the mirror that trees name: no real one has this name (RFC 6761).
const MIRROR: &str = "mirror.invalid";
/// The names of a base's two files.
pub const BASE_FILE: &str = "base.json";
/// See [`BASE_FILE`].
pub const TREE_FILE: &str = "tree.tar";

/// This host's architecture, as dpkg names it.
pub(super) const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// Part of every key: raised when a tree would come out differently.
const FORMAT: u32 = 2;

/// A tree to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The archive's path on a mirror: `debian`, `ubuntu`.
    pub archive: String,
    /// What the tree shall stand for; `arch` is this host's.
    pub suite: String,
    /// Whether debootstrap is given a mirror of https.
    pub https: bool,
    /// `--variant`.
    pub variant: Option<String>,
    /// `--components`, as [`components`] spells them.
    pub components: String,
    /// Checks the archive's signature; debootstrap's own choice where there is none.
    pub keyring: Option<PathBuf>,
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A file or program on this host failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// debootstrap needs root, or a machine to be root in.
    #[error("making a base tree needs root or a virtual machine, and this run has neither")]
    NotRoot,
    /// The archive's index is not to be had.
    #[error("cannot get the archive's index of {suite}: {why}")]
    NoIndex {
        /// Of which suite.
        suite: String,
        /// What the cache said.
        why: String,
    },
    /// The virtual machine that was to make it did not.
    #[error("the virtual machine could not make the base tree: {why}")]
    Guest {
        /// What happened.
        why: String,
    },
    /// A program that was run failed.
    #[error("{program} failed ({status}); the end of what it said:\n{output}")]
    Failed {
        /// The file or folder in question.
        program: String,
        /// How.
        status: String,
        /// Its last lines.
        output: String,
    },
}

/// The components of both archives, in the order in which their own lists name them.
const COMPONENTS: [&str; 7] =
    ["main", "contrib", "non-free", "non-free-firmware", "restricted", "universe", "multiverse"];

/// One spelling for all lists of the same components: each once, in order. Nothing where a name in
/// the list is none of a component.
pub fn components(list: &str) -> Option<String> {
    let place = |part| COMPONENTS.iter().position(|known| *known == part);
    let named: BTreeSet<usize> = list.split(',').map(place).collect::<Option<_>>()?;
    Some(named.into_iter().map(|place| COMPONENTS[place]).collect::<Vec<_>>().join(","))
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> BaseError {
    let what = what.into();
    move |source| BaseError::Io { what, source }
}

impl Order {
    /// The tree that `debootstrap bookworm DIR` makes.
    pub fn debian(suite: &str) -> Self {
        Self {
            archive: "debian".to_owned(),
            suite: suite.to_owned(),
            https: false,
            variant: None,
            components: "main".to_owned(),
            keyring: None,
        }
    }

    /// The same for a suite of Ubuntu.
    pub fn ubuntu(suite: &str) -> Self {
        Self { archive: "ubuntu".to_owned(), ..Self::debian(suite) }
    }

    /// The same where debootstrap is given a mirror of https.
    #[must_use]
    pub fn by_https(self) -> Self {
        Self { https: true, ..self }
    }

    /// Of the mirrors that debootstrap is given.
    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// The mirror that the tree names.
    fn mirror(&self) -> String {
        format!("{}://{MIRROR}/{}", self.scheme(), self.archive)
    }

    /// The directory of this tree under `bases`, made where it is missing; any number of processes
    /// may ask for it at once. A new tree is made when the archive's index or this host's
    /// debootstrap changes.
    ///
    /// # Errors
    /// See [`BaseError`].
    pub fn prepare(
        &self,
        maker: Option<Maker>,
        cache: &Arc<PackageCache>,
        bases: &Path,
        say: &mut dyn FnMut(String),
    ) -> Result<PathBuf, BaseError> {
        let maker = maker.ok_or(BaseError::NotRoot)?;
        let at = |error: io::Error| failed(format!("keep base trees in {}", bases.display()))(error);
        fs::create_dir_all(bases).map_err(at)?;
        let version = maker.version()?;
        let index = self.index(cache)?;
        let what = format!("{FORMAT}\n{self:?}\n{ARCH}\n{version}\n{index}");
        let key = &hex(&Sha256::digest(what))[..16];
        let place = bases.join(format!("{}-{}-{key}", self.suite, self.scheme()));

        let lock = File::create(bases.join(format!("{key}.lock"))).map_err(at)?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| at(errno.into()))?;
        if place.join(BASE_FILE).exists() {
            return Ok(place);
        }
        let making = bases.join(format!("new-{key}"));
        let _ = fs::remove_dir_all(&making);
        fs::create_dir(&making).map_err(at)?;
        let made =
            self.make(maker, cache, &making, say).and_then(|()| fs::rename(&making, &place).map_err(at));
        if made.is_err() {
            let _ = fs::remove_dir_all(&making);
        }
        made.map(|()| place)
    }

    /// The digest of the suite's signed index: another one may mean another tree.
    fn index(&self, cache: &Arc<PackageCache>) -> Result<String, BaseError> {
        let path = format!("/{}/dists/{}/InRelease", self.archive, self.suite);
        let index = fetch(cache, &path)
            .map_err(|missing| BaseError::NoIndex { suite: self.suite.clone(), why: missing.to_string() })?;
        Ok(hex(&Sha256::digest(index)))
    }

    /// Makes the tree and its files in an empty directory.
    fn make(
        &self,
        maker: Maker,
        cache: &Arc<PackageCache>,
        making: &Path,
        say: &mut dyn FnMut(String),
    ) -> Result<(), BaseError> {
        maker.make(self, ARCH, cache, making, say)?;
        let mirror = self.mirror();
        let base = Base {
            suite: self.suite.clone(),
            arch: ARCH.to_owned(),
            variant: self.variant.clone(),
            components: self.components.clone(),
            https: self.https,
            default_mirror: cache
                .mirrors()
                .standing_for(&format!("/{}", self.archive))
                .map_or_else(|| mirror.clone(), |url| url.as_str().trim_end_matches('/').to_owned()),
            mirror,
        };
        let json =
            serde_json::to_vec_pretty(&base).map_err(|error| failed("describe the tree")(error.into()))?;
        fs::write(making.join(BASE_FILE), json).map_err(failed("describe the tree"))
    }
}

/// What a program that must succeed printed.
fn said(command: &mut Command) -> Result<String, BaseError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(failed(format!("run {program} (apt install {program})")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let all = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = all.lines().collect();
    Err(BaseError::Failed {
        program,
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(15)..].join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::components;

    #[test]
    fn all_spellings_of_the_same_components_are_one() {
        for (list, expected) in [
            ("main", Some("main")),
            ("main,contrib,contrib,contrib", Some("main,contrib")),
            ("multiverse,main,universe,restricted", Some("main,restricted,universe,multiverse")),
            ("non-free-firmware,non-free,main", Some("main,non-free,non-free-firmware")),
            ("main,nonesuch", None),
            ("main,", None),
            ("", None),
        ] {
            assert_eq!(components(list).as_deref(), expected, "{list}");
        }
    }
}
