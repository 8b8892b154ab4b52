//! Images: a provisioned disk with the kernel it boots.
//!
//! The disk is an official cloud image or, if the download fails, one made from packages. Both get
//! the same provisioning: one boot with a cloud-init seed. At its end the guest hands out its
//! kernel, so that all machines boot in the same way.

pub(crate) mod download;
mod packages;
mod pins;
mod provision;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Lock};
use crate::machine::Kernel;
use crate::space::free_disk;
use crate::{Accelerator, Error, Event, Setup, Source, Suite, digest, tool};

/// The virtual size of a guest's disk: enough for some images of containers. The disk is sparse.
pub(crate) const DISK: &str = "20G";

/// The space to make an image on the host's disk, in bytes: the tree, the disk made from it
/// and its compact form.
const ROOM: u64 = 4 << 30;

/// An image in the cache. While this value lives, the image stays there.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    _lock: Lock,
}

/// The description of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// For people: "Debian 12, from packages".
    pub(crate) title: String,
    /// `root=…`, for the kernel.
    pub(crate) root: String,
    /// The kernel's release.
    pub(crate) release: String,
}

impl Image {
    pub(crate) fn disk(&self) -> PathBuf {
        self.dir.join("disk.qcow2")
    }

    pub(crate) fn kernel(&self) -> KernelFiles {
        KernelFiles::of(&self.dir, &self.manifest.root)
    }
}

/// The paths of a kernel's files.
#[derive(Debug)]
pub(crate) struct KernelFiles {
    image: PathBuf,
    initrd: PathBuf,
    root: String,
}

impl KernelFiles {
    fn of(dir: &Path, root: &str) -> KernelFiles {
        KernelFiles { image: dir.join("vmlinuz"), initrd: dir.join("initrd"), root: root.to_owned() }
    }

    pub(crate) fn kernel(&self) -> Kernel<'_> {
        Kernel { image: &self.image, initrd: &self.initrd, root: &self.root }
    }
}

/// A disk before its provisioning: enough to try an accelerator.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) disk: PathBuf,
    /// If there is none, the firmware boots the disk.
    pub(crate) kernel: Option<KernelFiles>,
}

/// Chooses the accelerator for a disk that boots.
pub(crate) type Choose<'a> = dyn FnMut(&Base, &mut dyn FnMut(Event)) -> Result<Accelerator, Error> + 'a;

/// The image for a suite: from the cache, else from `source`. An image made from packages is used
/// while it is in the cache; the download is tried again only after its removal.
pub(crate) fn ensure(
    cache: &Cache,
    suite: Suite,
    source: Source,
    setup: &Setup,
    choose: &mut Choose,
    on: &mut dyn FnMut(Event),
) -> Result<Image, Error> {
    let cloud = id(suite, Source::Cloud, setup);
    let packages = id(suite, Source::Packages, setup);
    match source {
        Source::Cloud => make(cache, suite, Source::Cloud, setup, choose, on),
        Source::Auto if present(cache, &cloud) || !present(cache, &packages) => {
            match make(cache, suite, Source::Cloud, setup, choose, on) {
                Err(why @ Error::Download { .. }) => {
                    on(Event::Note(format!("{why}; making the image from packages instead")));
                    make(cache, suite, Source::Packages, setup, choose, on)
                }
                made => made,
            }
        }
        Source::Packages | Source::Auto => make(cache, suite, Source::Packages, setup, choose, on),
    }
}

fn present(cache: &Cache, id: &str) -> bool {
    Cache::manifest::<Manifest>(&cache.image(id)).is_some()
}

/// The name of an image: it contains a digest of the recipe.
fn id(suite: Suite, source: Source, setup: &Setup) -> String {
    let (word, own) = match source {
        Source::Cloud => ("cloud", pins::of(suite).digest),
        Source::Auto | Source::Packages => ("packages", packages::RECIPE),
    };
    let seed = provision::seed(setup);
    let texts = seed.iter().flat_map(|(name, text)| [*name, text.as_str()]);
    let recipe = digest::of([own, DISK].into_iter().chain(texts));
    format!("{suite}-{word}-{recipe}")
}

fn make(
    cache: &Cache,
    suite: Suite,
    source: Source,
    setup: &Setup,
    choose: &mut Choose,
    on: &mut dyn FnMut(Event),
) -> Result<Image, Error> {
    let id = id(suite, source, setup);
    let dir = cache.image(&id);
    loop {
        if present(cache, &id) {
            let lock = cache.lock_shared(&id)?;
            if let Some(manifest) = Cache::manifest(&dir) {
                return Ok(Image { id, dir, manifest, _lock: lock });
            }
        }
        let waiting = format!("another run is making {}: waiting for it", suite.title());
        let lock = cache.lock(&id, || on(Event::Note(waiting)))?;
        if !present(cache, &id) {
            let built = cache.build(&id)?;
            check_room(&built)?;
            let (base, origin) = match source {
                Source::Cloud => (cloud_base(cache, suite, &built, on)?, "official cloud image"),
                Source::Auto | Source::Packages => {
                    (packages_base(suite, setup, &built, &lock, &cache.log(&id)?, on)?, "from packages")
                }
            };
            let accelerator = choose(&base, on)?;
            let title = format!("{}, {origin}", suite.title());
            let manifest = provision::boot(&base, &built, accelerator.kind, title, setup, on)?;
            Cache::publish(&built, &dir, &manifest)?;
            if source == Source::Cloud {
                let _ = fs::remove_file(cache.download(pins::of(suite).file_name())?);
            }
        }
    }
}

fn check_room(place: &Path) -> Result<(), Error> {
    let free = free_disk(place);
    if free < ROOM { Err(Error::NoRoom { place: place.to_owned(), free, needed: ROOM }) } else { Ok(()) }
}

fn cloud_base(cache: &Cache, suite: Suite, built: &Path, on: &mut dyn FnMut(Event)) -> Result<Base, Error> {
    let pin = pins::of(suite);
    let file = cache.download(pin.file_name())?;
    on(Event::Step(format!("downloading {}", suite.title())));
    download::fetch(pin.url, pin.digest, &file, on)?;
    let disk = built.join("disk.qcow2");
    // The download stays until the image is complete.
    tool::QEMU_IMG.output(|command| {
        command.args(["convert", "-O", "qcow2"]).arg(&file).arg(&disk);
    })?;
    tool::QEMU_IMG.output(|command| {
        command.args(["resize", "-q"]).arg(&disk).arg(DISK);
    })?;
    Ok(Base { disk, kernel: None })
}

fn packages_base(
    suite: Suite,
    setup: &Setup,
    built: &Path,
    lock: &Lock,
    log: &Path,
    on: &mut dyn FnMut(Event),
) -> Result<Base, Error> {
    let raw = built.join("disk.raw");
    packages::make(suite, setup, built, &raw, lock, log, on)?;
    let disk = built.join("disk.qcow2");
    tool::QEMU_IMG.output(|command| {
        command.args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(&disk);
    })?;
    fs::remove_file(&raw).map_err(Error::io("remove", &raw))?;
    Ok(Base { disk, kernel: Some(KernelFiles::of(built, packages::ROOT)) })
}
