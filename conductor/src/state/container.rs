//! Containers on disk, and the process that belongs to each.
//!
//! A container is a folder in `CONTAINERDIR`, readable by root only:
//!
//! ```text
//! image          the name of its image
//! upper/ work/   the writable layer of its overlay, and overlayfs's work directory
//! rootfs/        mount point of the overlay, in the container's mount namespace only
//! process.json   its first process, recorded before that process starts
//! network.json   its addresses and ports, if it has a network
//! ```
//!
//! The folder appears complete and is locked while a command changes the container. An exited
//! container is only this folder: the kernel removes its mounts and namespaces with its last
//! process.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::Pid;
use rustix::fs::Mode;

use crate::sandbox::process::{self, Identity};
use crate::state::attributes::{self, DIRECTORY};
use crate::state::half_made::HalfMade;
use crate::state::lock::{Lock, Share};
use crate::state::names::{ContainerName, ImageName};
use crate::state::store::{self, IMAGE_FILE, Store};
use crate::state::{self, at, half_made, if_there, read};

const PROCESS_FILE: &str = "process.json";

/// Why a container cannot be created or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is taken, by a running or an exited container.
    #[error("container '{0}' exists already: `stop {0}` deletes it")]
    Exists(ContainerName),
    /// There is no container with this name.
    #[error("no container '{0}': `ps` lists the containers")]
    Unknown(ContainerName),
    /// Something else has the name of the container.
    #[error(
        "no container '{name}': conductor did not make {folder}, because a container is a folder with a file \
         'image'; move it away, or choose another name"
    )]
    Foreign {
        /// The name.
        name: ContainerName,
        /// The folder or file with this name.
        folder: PathBuf,
    },
    /// The container has exited.
    #[error("container '{0}' has exited: `stop {0}` deletes it, then it can be run again")]
    Exited(ContainerName),
    /// The first process cannot be examined or killed.
    #[error("cannot {action} the first process of container '{name}'")]
    Process {
        /// The operation.
        action: &'static str,
        /// The container.
        name: ContainerName,
        /// The reason.
        source: io::Error,
    },
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// An existing container. It is locked, so no other command changes or deletes it.
#[derive(Debug)]
pub struct Container {
    name: ContainerName,
    folder: PathBuf,
    _lock: Lock,
}

impl Container {
    /// Creates a container that has no process yet. Its root directory gets the owner, mode and
    /// attributes of `top`, the top layer of the image.
    pub fn create(
        store: &Store,
        name: &ContainerName,
        image: &ImageName,
        top: Option<&Path>,
    ) -> Result<Self, Error> {
        let folder = store.container(name);
        if if_there(fs::symlink_metadata(&folder), "find", &folder)?.is_some() {
            return Err(taken(name, folder)?);
        }
        store::make_folder(&store.containers)?;
        let half_made = HalfMade::begin(&store.containers)?;
        let image_file = half_made.path().join(IMAGE_FILE);
        at(fs::write(&image_file, format!("{image}\n")), "write", &image_file)?;
        for part in ["upper", "work", "rootfs"] {
            let path = half_made.path().join(part);
            at(fs::DirBuilder::new().mode(0o755).create(&path), "make", &path)?;
        }
        // The root directory of the merged tree is `upper`.
        let upper = half_made.path().join("upper");
        let made = at(rustix::fs::open(&upper, DIRECTORY, Mode::empty()), "open", &upper)?;
        at(attributes::make_like(made.as_fd(), top), "set the owner and mode of", &upper)?;
        let lock = half_made.finish(&folder)?.ok_or_else(|| Error::Exists(name.clone()))?;
        Ok(Self { name: name.clone(), folder, _lock: lock })
    }

    /// Opens an existing container. Waits while another command changes it.
    pub fn open(store: &Store, name: &ContainerName, share: Share) -> Result<Self, Error> {
        let folder = store.container(name);
        let Some(there) = if_there(fs::symlink_metadata(&folder), "find", &folder)? else {
            return Err(Error::Unknown(name.clone()));
        };
        let foreign = |folder| Error::Foreign { name: name.clone(), folder };
        if !there.is_dir() {
            return Err(foreign(folder));
        }
        match Lock::wait(&folder, share) {
            Err(error) if error.is_not_found() => Err(Error::Unknown(name.clone())),
            lock => {
                let lock = lock?;
                if !store::is_container(&folder)? {
                    return Err(foreign(folder));
                }
                Ok(Self { name: name.clone(), folder, _lock: lock })
            }
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

    /// The upper, work and root directories of its overlay.
    pub fn overlay(&self) -> [PathBuf; 3] {
        ["upper", "work", "rootfs"].map(|part| self.folder.join(part))
    }

    /// Records the first process, which must still be held: once recorded, `stop` finds it.
    pub fn record(&self, first: &process::Child) -> Result<(), Error> {
        let identity = Identity::of(first).map_err(self.process_error("identify"))?;
        let path = self.folder.join(PROCESS_FILE);
        let json = serde_json::to_vec(&identity).unwrap_or_default();
        Ok(at(fs::write(&path, json), "write", &path)?)
    }

    /// The first process, if it runs.
    pub fn first_process(&self) -> Result<Option<OwnedFd>, Error> {
        match recorded(&self.folder)? {
            Some(identity) => identity.open(&boot()?).map_err(self.process_error("look for")),
            None => Ok(None),
        }
    }

    /// The first process; an error if it has exited.
    pub fn running(&self) -> Result<OwnedFd, Error> {
        self.first_process()?.ok_or_else(|| Error::Exited(self.name.clone()))
    }

    /// The PID of the first process. It is valid only while [`Container::running`] succeeds.
    pub fn first_pid(&self) -> Result<i32, Error> {
        recorded(&self.folder)?.map(|identity| identity.pid).ok_or_else(|| Error::Exited(self.name.clone()))
    }

    /// Kills all its processes and waits until they have ended.
    pub fn kill(&self) -> Result<(), Error> {
        match self.first_process()? {
            Some(pidfd) => {
                let pid = Pid::from_raw(self.first_pid()?);
                process::kill(&pidfd, pid).map_err(self.process_error("kill"))
            }
            None => Ok(()),
        }
    }

    /// Deletes the folder of a container that has exited.
    pub fn delete(self) -> Result<(), Error> {
        Ok(half_made::remove_with_mounts(&self.folder)?)
    }

    fn process_error(&self, action: &'static str) -> impl Fn(io::Error) -> Error {
        process_error(&self.name, action)
    }
}

/// Why a container cannot have the name `name`: `folder` exists.
fn taken(name: &ContainerName, folder: PathBuf) -> Result<Error, state::Error> {
    let is_container = store::is_container(&folder)?;
    let name = name.clone();
    Ok(if is_container { Error::Exists(name) } else { Error::Foreign { name, folder } })
}

fn process_error(name: &ContainerName, action: &'static str) -> impl Fn(io::Error) -> Error {
    let name = name.clone();
    move |source| Error::Process { action, name: name.clone(), source }
}

/// One line of `ps`.
#[derive(Debug)]
pub struct Summary {
    /// The container's name.
    pub name: ContainerName,
    /// Its folder.
    pub folder: PathBuf,
    /// When it was made.
    pub created: SystemTime,
    /// The PID of its first process on the host, if it runs.
    pub pid: Option<i32>,
}

/// Lists all containers, sorted by name.
pub fn list(store: &Store) -> Result<Vec<Summary>, Error> {
    let names = store::entries(&store.containers)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let containers = at(read::folder(&store.containers), "open", &store.containers)?;
    let boot = boot()?;
    let summary = |name: ContainerName| -> Result<Option<Summary>, Error> {
        let folder = store.container(&name);
        let path = |file| Path::new(name.as_str()).join(file);
        // The image file is as old as the container. The container may be deleted while it is
        // listed.
        let created = read::time(&containers, &path(IMAGE_FILE));
        let Some(created) = if_there(created, "find", &folder.join(IMAGE_FILE))? else {
            return Ok(None);
        };
        let process = read::file(&containers, &path(PROCESS_FILE));
        let process = if_there(process, "read", &folder.join(PROCESS_FILE))?;
        let process = process.and_then(|json| serde_json::from_slice::<Identity>(&json).ok());
        let pid = match process {
            Some(process) => {
                let open = process.open(&boot).map_err(process_error(&name, "look for"))?;
                open.map(|_| process.pid)
            }
            None => None,
        };
        Ok(Some(Summary { name, folder, created, pid }))
    };
    let names = names.into_iter().filter_map(|name| name.parse().ok());
    names.filter_map(|name| summary(name).transpose()).collect()
}

/// The identity of the running boot.
fn boot() -> Result<String, state::Error> {
    at(process::boot_id(), "read", Path::new(process::BOOT_ID))
}

/// The recorded first process. An incomplete file means that its writer was killed before the
/// process started; the process died with it.
fn recorded(folder: &Path) -> Result<Option<Identity>, state::Error> {
    let path = folder.join(PROCESS_FILE);
    let json = if_there(fs::read(&path), "read", &path)?;
    Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
}
