//! What the guests of a run need from the host beyond their payload: packages, and a
//! disk with base trees.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};
use vm::FileError;

use super::base::{BASE_FILE, BaseError, Maker, Order, TREE_FILE};
use super::cache::PackageCache;
use super::mirrors::Mirrors;
use super::proof::{Missing, Wanted, prove};
use super::server::{Server, Takes};
use super::stats::Stats;
use crate::hex::hex;
use crate::host_look::Tunnels;
use crate::stage::Medium;

/// Why a run cannot be supplied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A package that a scenario installs is neither here nor to be had.
    #[error("cannot get a package that scenarios install in {suite}")]
    NoPackage {
        /// Of which suite.
        suite: String,
        /// Which file, and why.
        source: Missing,
    },
    /// A base tree that a scenario needs is neither here nor to be had.
    #[error("cannot get or make a base tree of {suite}")]
    NoTree {
        /// Of which suite.
        suite: String,
        /// The reason, part of a sentence.
        source: BaseError,
    },
    /// The disk cannot be made.
    #[error(transparent)]
    Vm(#[from] vm::Error),
}

/// A running package server, and the store disk.
#[derive(Debug)]
pub struct Supply {
    cache: Arc<PackageCache>,
    server: Server,
    socket: PathBuf,
    bases: PathBuf,
    trees: Vec<PathBuf>,
    lacks: Vec<(Need, Error)>,
    workdir: PathBuf,
}

/// What a scenario may need.
#[derive(Debug, PartialEq)]
enum Need {
    Tree(Order),
    Packages(Wanted),
}

impl Need {
    fn suite(&self) -> &str {
        match self {
            Self::Tree(order) => &order.suite,
            Self::Packages(wanted) => &wanted.order.suite,
        }
    }
}

impl Supply {
    /// Opens the package cache in `$HARNESS_CACHE/packages`, serves it on a socket in `workdir`,
    /// and makes the trees that were ordered (in `$HARNESS_CACHE/debootstrap`, from where the next
    /// run takes them). `maker` makes those that are not there; `say` hears what takes long.
    /// Packages that scenarios install are fetched beforehand.
    ///
    /// A tree or package that is not available is a lack: without it, the real debootstrap would
    /// run for an hour, and the submission would lose marks for it. A scenario that needs it is not
    /// to be driven ([`Supply::lack_of`]).
    ///
    /// # Errors
    /// If a directory cannot be written.
    pub fn start(
        root: &Path,
        offline: bool,
        workdir: &Path,
        orders: &[Order],
        wanted: &[Wanted],
        maker: Option<Maker>,
        say: &mut dyn FnMut(String),
    ) -> Result<Self, Error> {
        let packages = root.join("packages");
        let cache = PackageCache::open(&packages, Mirrors::of_this_host(), offline)
            .map_err(FileError::at("open the package cache in", &packages))?;
        let cache = Arc::new(cache);
        let socket = workdir.join("packages.sock");
        let server =
            Server::on_socket(&cache, &socket).map_err(FileError::at("serve packages at", &socket))?;
        let bases = root.join("debootstrap");
        let (mut trees, mut lacks) = (Vec::new(), Vec::<(Need, Error)>::new());
        for order in orders {
            match order.prepare(maker, &cache, &bases, say) {
                Ok(tree) => trees.push(tree),
                Err(source) => {
                    let error = Error::NoTree { suite: order.suite.clone(), source };
                    lacks.push((Need::Tree(order.clone()), error));
                }
            }
        }
        for wanted in wanted {
            // Without the tree, nobody installs them.
            let suite = wanted.order.suite.clone();
            if lacks.iter().any(|(need, _)| need.suite() == suite) {
                continue;
            }
            if let Err(source) = prove(wanted, &cache, &packages, say) {
                lacks.push((Need::Packages(wanted.clone()), Error::NoPackage { suite, source }));
            }
        }
        Ok(Self { cache, server, socket, bases, trees, lacks, workdir: workdir.to_owned() })
    }

    /// Why a scenario that needs these trees and packages cannot be driven.
    pub fn lack_of(&self, orders: &[Order], wanted: &[Wanted]) -> Option<&Error> {
        let is_needed = |need: &Need| match need {
            Need::Tree(order) => orders.contains(order),
            Need::Packages(packages) => wanted.contains(packages),
        };
        self.lacks.iter().find(|(need, _)| is_needed(need)).map(|(_, error)| error)
    }

    /// Takes the last lack out.
    pub fn take_lack(&mut self) -> Option<Error> {
        self.lacks.pop().map(|(_, error)| error)
    }

    /// The base trees as a machine gets them; `None` where none were ordered.
    ///
    /// # Errors
    /// When the disk or folder cannot be made.
    pub fn store(&self, medium: Medium) -> Result<Option<PathBuf>, Error> {
        if self.trees.is_empty() {
            return Ok(None);
        }
        match medium {
            Medium::Disk => disk(&self.bases, &self.trees).map(Some),
            Medium::Folder => {
                let folder = self.workdir.join("store");
                fs::create_dir_all(&folder).map_err(FileError::at("make", &folder))?;
                link(&self.trees, &folder)?;
                Ok(Some(folder))
            }
        }
    }

    /// Where the package cache answers.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Serves packages to a guest's world, and hands over the tunnel that it may offer to its page.
    pub fn serve(&self, guest: &mut vm::Guest, tunnels: Option<Tunnels>) {
        if let Some(port) = guest.stream() {
            self.server.serve_guest(port, taken(tunnels));
        }
    }

    /// Serves packages as [`Supply::serve`] does, to a machine that shares this host's kernel,
    /// on a socket at `path`.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn serve_machine(&self, path: &Path, tunnels: Option<Tunnels>) -> io::Result<()> {
        self.server.serve_machine(path, taken(tunnels))
    }

    /// What the package cache has done so far.
    pub fn stats(&self) -> Stats {
        self.cache.stats()
    }

    /// Files that guests wanted and that were not to be had by our failure, one sentence each: a
    /// signed index names the file and the mirror has none, or no mirror answered.
    pub fn our_lack(&self) -> Vec<String> {
        self.stats().lacking.texts()
    }
}

fn taken(tunnels: Option<Tunnels>) -> Takes {
    tunnels.map_or(Takes::Nothing, Takes::Tunnel)
}

/// A disk with these trees, each in its own folder; made once.
fn disk(bases: &Path, trees: &[PathBuf]) -> Result<PathBuf, Error> {
    let names: Vec<_> = trees.iter().filter_map(|tree| tree.file_name()?.to_str()).collect();
    let key = &hex(&Sha256::digest(names.join("\n")))[..16];
    let image = bases.join(format!("store-{key}.img"));
    let lock = bases.join(format!("store-{key}.lock"));
    let file = File::create(&lock).map_err(FileError::at("create", &lock))?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| FileError::at("lock", &lock)(errno.into()))?;
    if image.exists() {
        return Ok(image);
    }
    let content = tempfile::tempdir_in(bases).map_err(FileError::at("make a directory in", bases))?;
    link(trees, content.path())?;
    vm::disk_from_dir(content.path(), &image)?;
    Ok(image)
}

/// Links the files of each tree into a subfolder of `into`.
fn link(trees: &[PathBuf], into: &Path) -> Result<(), Error> {
    for tree in trees {
        let folder = into.join(tree.file_name().unwrap_or_default());
        fs::create_dir(&folder).map_err(FileError::at("make", &folder))?;
        for file in [BASE_FILE, TREE_FILE] {
            fs::hard_link(tree.join(file), folder.join(file)).map_err(FileError::at("link", &folder))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_cannot_be_made_is_a_lack_of_those_only_who_need_it() {
        let root = tempfile::tempdir().unwrap();
        let start = |orders: &[Order], wanted: &[Wanted]| {
            // Each has a socket there.
            let work = tempfile::tempdir_in(root.path()).unwrap().keep();
            Supply::start(root.path(), true, &work, orders, wanted, Some(Maker::Host), &mut |_| {}).unwrap()
        };
        let (debian, focal) = (Order::debian("bookworm"), Order::ubuntu("focal"));
        let wanted = [Wanted { order: debian.clone(), packages: vec!["figlet"] }];
        let orders = [debian.clone()];
        let mut supply = start(&orders, &wanted);
        let why = supply.lack_of(&orders, &[]).unwrap().to_string();
        assert_eq!(why, "cannot get or make a base tree of bookworm");
        assert!(supply.lack_of(&[focal, debian.by_https()], &wanted).is_none());
        assert_eq!(supply.store(Medium::Folder).unwrap(), None);
        assert!(supply.take_lack().is_some());

        let supply = start(&[], &wanted);
        let why = supply.lack_of(&[], &wanted).unwrap().to_string();
        assert_eq!(why, "cannot get a package that scenarios install in bookworm");
        assert!(supply.lack_of(&orders, &[]).is_none());
    }
}
