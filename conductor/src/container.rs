//! What a container is on disk, and how one gets from there to its processes.
//!
//! A folder of its name in `CONTAINERDIR`, root's only:
//!
//! ```text
//! image          name of the image it was made from
//! upper/ work/   what the container writes: the top layer of its overlay, and overlayfs's scratch space
//! rootfs/        where the overlay is mounted as its root, in the container's mount namespace only
//! process.json   which process is its first, written before that starts
//! network.json   addresses and ports, once it has a network
//! ```
//!
//! The folder appears whole, is locked while a command changes the container, and is all there is to a container
//! that does not run: mounts and namespaces go with the last process, whoever ends it.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::Mode;
use rustix::mount::UnmountFlags;

use crate::names::{ContainerName, ImageName};
use crate::net;
use crate::process::{self, Identity};
use crate::store::{self, HalfMade, IMAGE_FILE, Lock, Share, Store};

const PROCESS_FILE: &str = "process.json";

/// Why a container cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its name is taken, by a running container or an exited one.
    #[error("container '{0}' exists already: `stop {0}` deletes it")]
    Exists(ContainerName),
    /// There is no such container.
    #[error("no container '{0}': `ps` lists what there is")]
    Unknown(ContainerName),
    /// It does not run.
    #[error("container '{0}' has exited: `stop {0}` deletes it, then it can be run again")]
    Exited(ContainerName),
    /// Its first process could not be looked at or killed.
    #[error("cannot {action} the first process of container '{name}'")]
    Process {
        /// What was tried.
        action: &'static str,
        /// Which container.
        name: ContainerName,
        /// Why not.
        source: io::Error,
    },
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A container that exists; locked, so that it goes on existing and stays as it is.
#[derive(Debug)]
pub struct Container {
    name: ContainerName,
    folder: PathBuf,
    _lock: Lock,
}

impl Container {
    /// Makes a container that has no process yet.
    pub fn create(store: &Store, name: &ContainerName, image: &ImageName) -> Result<Self, Error> {
        let folder = store.container(name);
        if folder.exists() {
            return Err(Error::Exists(name.clone()));
        }
        store::make_folder(&store.containers)?;
        let half_made = HalfMade::begin(&store.containers)?;
        let image_file = half_made.path().join(IMAGE_FILE);
        store::at(fs::write(&image_file, format!("{image}\n")), "write", &image_file)?;
        for part in ["upper", "work", "rootfs"] {
            let path = half_made.path().join(part);
            store::at(fs::DirBuilder::new().mode(0o755).create(&path), "make", &path)?;
        }
        // The root directory of the merged tree has the mode of the upper's, whatever our umask is: apt's own user
        // must be able to enter it.
        let upper = half_made.path().join("upper");
        store::at(rustix::fs::chmod(&upper, Mode::from_raw_mode(0o755)), "set the mode of", &upper)?;
        let lock = half_made.finish(&folder)?.ok_or_else(|| Error::Exists(name.clone()))?;
        Ok(Self { name: name.clone(), folder, _lock: lock })
    }

    /// A container that exists, once nobody changes it.
    pub fn open(store: &Store, name: &ContainerName, share: Share) -> Result<Self, Error> {
        let folder = store.container(name);
        match Lock::wait(&folder, share) {
            Err(error) if error.is_not_found() => Err(Error::Unknown(name.clone())),
            lock => Ok(Self { name: name.clone(), folder, _lock: lock? }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &ContainerName {
        &self.name
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Upper, work and root directory of its overlay.
    pub fn overlay(&self) -> [PathBuf; 3] {
        ["upper", "work", "rootfs"].map(|part| self.folder.join(part))
    }

    /// Records its first process, which must not have begun its work: from here on `stop` finds it.
    pub fn record(&self, first: nix::unistd::Pid) -> Result<(), Error> {
        let identity = Identity::of(first).map_err(self.process_error("identify"))?;
        let path = self.folder.join(PROCESS_FILE);
        let json = serde_json::to_vec(&identity).unwrap_or_default();
        Ok(store::at(fs::write(&path, json), "write", &path)?)
    }

    /// Its first process, if that runs.
    pub fn first_process(&self) -> Result<Option<OwnedFd>, Error> {
        match recorded(&self.folder)? {
            Some(identity) => identity.open().map_err(self.process_error("look for")),
            None => Ok(None),
        }
    }

    /// Its first process; an error if it does not run.
    pub fn running(&self) -> Result<OwnedFd, Error> {
        self.first_process()?.ok_or_else(|| Error::Exited(self.name.clone()))
    }

    /// The pid of its first process; meaningful as long as [`Container::running`] says that it runs.
    pub fn first_pid(&self) -> Result<i32, Error> {
        recorded(&self.folder)?.map(|identity| identity.pid).ok_or_else(|| Error::Exited(self.name.clone()))
    }

    /// Kills every process in it, and waits until they are gone.
    pub fn kill(&self) -> Result<(), Error> {
        match self.first_process()? {
            Some(pidfd) => process::kill(&pidfd).map_err(self.process_error("kill")),
            None => Ok(()),
        }
    }

    /// Deletes all state of it. It must not run.
    pub fn delete(self) -> Result<(), Error> {
        unmount_below(&self.folder)?;
        Ok(store::remove(&self.folder)?)
    }

    fn process_error(&self, action: &'static str) -> impl Fn(io::Error) -> Error {
        let name = self.name.clone();
        move |source| Error::Process { action, name: name.clone(), source }
    }
}

/// A line of `ps`.
#[derive(Debug)]
pub struct Summary {
    /// The container's name.
    pub name: ContainerName,
    /// The image it was made from.
    pub image: Option<ImageName>,
    /// When it was made.
    pub created: SystemTime,
    /// Host's pid of its first process, if it runs.
    pub pid: Option<i32>,
    /// Its address, if it has a network.
    pub address: Option<Ipv4Addr>,
}

/// All containers there are.
pub fn list(store: &Store) -> Result<Vec<Summary>, Error> {
    let mut summaries = Vec::new();
    for (name, image) in store.containers()? {
        let folder = store.container(&name);
        // The image file is as old as the container. A container may vanish while we look.
        let created = fs::metadata(folder.join(IMAGE_FILE)).and_then(|data| data.modified());
        let (Ok(created), Ok(recorded)) = (created, recorded(&folder)) else { continue };
        let pid = match recorded {
            Some(identity) => identity
                .open()
                .map_err(|source| Error::Process { action: "look for", name: name.clone(), source })?
                .map(|_| identity.pid),
            None => None,
        };
        let address = net::Record::load(&folder).map(|record| record.address);
        summaries.push(Summary { name, image, created, pid, address });
    }
    Ok(summaries)
}

/// The recorded first process. A file that is cut off was being written when its writer died, before the process
/// had begun its work; that one ended too.
fn recorded(folder: &Path) -> Result<Option<Identity>, store::Error> {
    let path = folder.join(PROCESS_FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        json => Ok(serde_json::from_slice(&store::at(json, "read", &path)?).ok()),
    }
}

/// Detaches what somebody mounted below `folder` in our mount namespace, innermost first.
fn unmount_below(folder: &Path) -> Result<(), store::Error> {
    // The table has paths without links.
    let folder = store::at(fs::canonicalize(folder), "find", folder)?;
    let path = Path::new("/proc/self/mountinfo");
    let table = store::at(fs::read_to_string(path), "read", path)?;
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape);
    let mut below: Vec<PathBuf> = targets.filter(|target| target.starts_with(&folder)).collect();
    below.sort();
    for target in below.iter().rev() {
        let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
        store::at(rustix::mount::unmount(target, flags), "unmount", target)?;
    }
    Ok(())
}

/// A path of mountinfo, where space, tab, newline and backslash are octal escapes (`proc_pid_mountinfo(5)`).
fn unescape(word: &str) -> PathBuf {
    let mut parts = word.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3).unwrap_or((part, ""));
        path.extend(u8::from_str_radix(digits, 8).map(char::from));
        path.push_str(rest);
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mountinfo_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c/d"), Path::new("/a b\\c/d"));
    }
}
