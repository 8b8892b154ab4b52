//! Base trees made in advance: what debootstrap takes 14 minutes for under emulation, it does here once.
//!
//! The real debootstrap makes the tree on this host, from the package cache. The tree is kept as a tar file
//! beside the words of the command line that it stands for ([`Base`]), in a directory named by everything that
//! went into it:
//!
//! ```text
//! bases/<key>/base.json     a Base
//! bases/<key>/tree.tar      the tree; owners, modes, devices, links, extended attributes as they were
//! bases/new-…/              one in the making; swept when its maker is gone
//! ```
//!
//! Two things in a tree depend on where it was made: the mirror's name, which is a placeholder here, and the machine's
//! resolv.conf and hostname, which are left out. [`crate::guest::debootstrap`] puts the guest's in their place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cache::{Content, PackageCache};
use super::server::Server;
use super::store::hex;

/// What a tree is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Exactly what debootstrap makes.
    Full,
    /// A quick stand-in: the essential packages, apt and what the scenarios of containers need, without
    /// documentation. Answers to any variant.
    Small,
}

/// A tree and the debootstrap command line that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The suite's code name, such as `bookworm`.
    pub suite: String,
    /// As dpkg names it.
    pub arch: String,
    /// `--variant`, where it is not the default one.
    pub variant: Option<String>,
    /// How much of the suite it holds.
    pub extent: Extent,
    /// The mirror that the tree names; not a real one.
    pub mirror: String,
    /// The one that debootstrap takes where none is named.
    pub default_mirror: String,
}

/// The host of the mirror that trees name: no real one has this name (RFC 6761).
const MIRROR: &str = "http://mirror.invalid";
/// The names of a base's two files.
pub const BASE_FILE: &str = "base.json";
/// See [`BASE_FILE`].
pub const TREE_FILE: &str = "tree.tar";

/// What a [`Extent::Small`] tree has beyond debootstrap's minimum.
const SMALL_INCLUDE: &str = "iproute2,iputils-ping,procps";
/// What it lacks.
const SMALL_LACKS: [&str; 5] =
    ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian"];
/// Part of every key: raised when a tree would come out differently.
const FORMAT: u32 = 1;

/// A tree to prepare.
#[derive(Clone, Debug)]
pub struct Order {
    /// The archive's path on a mirror: `debian`, `ubuntu`.
    pub archive: String,
    /// What the tree shall stand for; `arch` is this host's.
    pub suite: String,
    /// `--variant`.
    pub variant: Option<String>,
    /// How much.
    pub extent: Extent,
    /// Checks the archive's signature; debootstrap's own choice where there is none.
    pub keyring: Option<PathBuf>,
}

/// Why there is no tree.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// A file or program on this host failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// debootstrap needs it.
    #[error(
        "base trees are made by root: run this once as root, or copy the cache from a host where that was done"
    )]
    NotRoot,
    /// The archive's index is not to be had.
    #[error("no index of {suite}: {why}")]
    NoIndex {
        /// Of which suite.
        suite: String,
        /// What the cache said.
        why: String,
    },
    /// A program that was run failed.
    #[error("{program} failed ({status}); the end of what it said:\n{output}")]
    Failed {
        /// Which.
        program: &'static str,
        /// How.
        status: String,
        /// Its last lines.
        output: String,
    },
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> BaseError {
    let what = what.into();
    move |source| BaseError::Io { what, source }
}

impl Order {
    /// The tree that `debootstrap bookworm DIR` makes.
    pub fn debian(suite: &str, extent: Extent) -> Self {
        Self { archive: "debian".to_owned(), suite: suite.to_owned(), variant: None, extent, keyring: None }
    }

    /// The same for a suite of Ubuntu.
    pub fn ubuntu(suite: &str, extent: Extent) -> Self {
        Self { archive: "ubuntu".to_owned(), ..Self::debian(suite, extent) }
    }

    /// The directory of this tree under `bases`, made where it is missing; any number of processes may ask for
    /// it at once. A tree is made anew when the archive's index or this host's debootstrap changes.
    ///
    /// # Errors
    /// See [`BaseError`].
    pub fn prepare(&self, cache: &Arc<PackageCache>, bases: &Path) -> Result<PathBuf, BaseError> {
        let at = |error: io::Error| failed(format!("keep base trees in {}", bases.display()))(error);
        fs::create_dir_all(bases).map_err(at)?;
        let arch = said(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
        let version = said(Command::new("debootstrap").arg("--version"))?;
        let index = self.index(cache)?;
        let what =
            format!("{FORMAT}\n{self:?}\n{arch}\n{version}\n{SMALL_INCLUDE}\n{SMALL_LACKS:?}\n{index}");
        let key = &hex(&Sha256::digest(what))[..16];
        let place = bases.join(format!("{}-{}-{key}", self.suite, self.extent.name()));

        let lock = File::create(bases.join(format!("{key}.lock"))).map_err(at)?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| at(errno.into()))?;
        if place.join(BASE_FILE).exists() {
            return Ok(place);
        }
        let making = bases.join(format!("new-{key}"));
        let _ = fs::remove_dir_all(&making);
        fs::create_dir(&making).map_err(at)?;
        let made = self.make(cache, &making, arch).and_then(|()| fs::rename(&making, &place).map_err(at));
        if made.is_err() {
            let _ = fs::remove_dir_all(&making);
        }
        made.map(|()| place)
    }

    /// The digest of the suite's signed index: another one may mean another tree.
    fn index(&self, cache: &Arc<PackageCache>) -> Result<String, BaseError> {
        let path = format!("/{}/dists/{}/InRelease", self.archive, self.suite);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed("start a runtime"))?;
        runtime.block_on(async {
            let no_index = |why| BaseError::NoIndex { suite: self.suite.clone(), why };
            let answer = cache.answer(MIRROR, &path).await;
            let mut file = match answer.body {
                Content::File(file) if answer.status == 200 => file,
                Content::File(_) => return Err(no_index(format!("the mirror answered {}", answer.status))),
                Content::Text(why) => return Err(no_index(format!("{} {why}", answer.status))),
            };
            let mut bytes = Vec::new();
            loop {
                let more =
                    file.read_at(bytes.len() as u64).await.map_err(|error| no_index(error.to_string()))?;
                if more.is_empty() {
                    return Ok(hex(&Sha256::digest(&bytes)));
                }
                bytes.extend(more);
            }
        })
    }

    /// Makes the tree and its files in an empty directory.
    fn make(&self, cache: &Arc<PackageCache>, making: &Path, arch: String) -> Result<(), BaseError> {
        if !nix::unistd::geteuid().is_root() {
            return Err(BaseError::NotRoot);
        }
        let (_server, proxy) =
            Server::on_loopback(cache).map_err(failed("serve packages on the loopback"))?;
        let tree = making.join("tree");
        fs::create_dir(&tree).map_err(failed("make a directory for the tree"))?;
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o755)).map_err(failed("open it"))?;

        // In namespaces of its own, so that no mount and no process of it outlives it, and it does not outlive us.
        let mut debootstrap = Command::new("setpriv");
        debootstrap.args([
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--ipc",
            "--uts",
            "--kill-child",
            "--",
        ]);
        debootstrap.args(["debootstrap", "--arch", &arch]);
        match (self.extent, &self.variant) {
            (Extent::Small, _) => {
                debootstrap.args(["--variant=minbase", &format!("--include={SMALL_INCLUDE}")]);
            }
            (Extent::Full, Some(variant)) => {
                debootstrap.arg(format!("--variant={variant}"));
            }
            (Extent::Full, None) => {}
        }
        if let Some(keyring) = &self.keyring {
            debootstrap.arg("--keyring").arg(keyring);
        }
        let mirror = format!("{MIRROR}/{}", self.archive);
        debootstrap.arg(&self.suite).arg(&tree).arg(&mirror);
        debootstrap.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        debootstrap.env("HOME", "/root").env("LANG", "C.UTF-8").env("http_proxy", format!("http://{proxy}"));
        said(&mut debootstrap)?;

        if self.extent == Extent::Small {
            for path in SMALL_LACKS {
                let _ = fs::remove_dir_all(tree.join(path));
            }
        }
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(making.join(TREE_FILE)).arg("--directory").arg(&tree);
        tar.args(["--format=posix", "--pax-option=delete=atime,delete=ctime,delete=mtime", "--sort=name"]);
        tar.args(["--numeric-owner", "--xattrs", "--xattrs-include=*"]);
        tar.args(["--exclude=./etc/resolv.conf", "--exclude=./etc/hostname", "."]);
        said(&mut tar)?;
        fs::remove_dir_all(&tree).map_err(failed("remove the tree after it was packed"))?;

        let base = Base {
            suite: self.suite.clone(),
            arch,
            variant: self.variant.clone(),
            extent: self.extent,
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

impl Extent {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Small => "small",
        }
    }
}

/// What a program that must succeed printed.
fn said(command: &mut Command) -> Result<String, BaseError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(failed(format!("run {program} (apt install debootstrap tar util-linux)")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let all = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = all.lines().collect();
    Err(BaseError::Failed {
        program: if program == "tar" { "tar" } else { "debootstrap" },
        status: output.status.to_string(),
        output: lines[lines.len().saturating_sub(15)..].join("\n"),
    })
}
