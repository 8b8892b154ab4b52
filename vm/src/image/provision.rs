//! The boot that turns a disk into an image. cloud-init applies the seed. provision.sh does the
//! rest and hands out the kernel on a disk of its own, as a tar archive.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Base, Manifest};
use crate::arguments::{Disk, Memory};
use crate::confine::lend;
use crate::disk::open_to_write;
use crate::hardware::{Cards, Hardware, mac_address};
use crate::machine::{Machine, Uplink};
use crate::{Error, Event, Kind, Setup, Unit, qemu};

/// The seed's files as they are in the source, by name.
const SEED: [(&str, &str); 6] = [
    ("meta-data", include_str!("seed/meta-data")),
    ("network-config", include_str!("seed/network-config")),
    ("user-data", include_str!("seed/user-data")),
    ("provision.sh", include_str!("seed/provision.sh")),
    ("vm-agent.service", include_str!("seed/vm-agent.service")),
    ("vm.slice", include_str!("seed/vm.slice")),
];

/// The size of the export disk: a kernel and its RAM disk fit.
const EXPORT: u64 = 256 << 20;

/// The time limit for the boot. A cloud image installs its packages in it, under emulation about
/// 100 times slower than a host.
const PATIENCE: Duration = Duration::from_secs(45 * 60);

/// The seed of a setup: each file's name and text.
pub(super) fn seed(setup: &Setup) -> Vec<(&'static str, String)> {
    let mut files: Vec<_> =
        SEED.iter().map(|(name, text)| (*name, text.replace("@NAME@", &setup.name))).collect();
    let cards = setup.cards.iter().zip(1..).map(|(name, number)| format!("{} {name}\n", mac_address(number)));
    files.push(("cards", cards.collect()));
    files.push(("packages", setup.all_packages().join("\n") + "\n"));
    files
}

/// Boots `base` with the seed, waits until the machine switches itself off, and copies kernel and
/// RAM disk to `built`.
pub(super) fn boot(
    base: &Base,
    built: &Path,
    accel: Kind,
    title: String,
    setup: &Setup,
    on: &mut dyn FnMut(Event),
) -> Result<Manifest, Error> {
    on(Event::Step("provisioning the image".to_owned()));
    let seed = built.join("seed");
    fs::create_dir_all(&seed).map_err(Error::io("create", &seed))?;
    for (name, text) in self::seed(setup) {
        let path = seed.join(name);
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            file.write_all(text.as_bytes())?;
            lend(&file, false)
        };
        write().map_err(Error::io("write", &path))?;
    }
    let export = built.join("export");
    let disk = File::create(&export).and_then(|file| file.set_len(EXPORT));
    disk.map_err(Error::io("create", &export))?;

    let model = qemu::Installed::find()?.model;
    let mut running = Machine {
        hardware: Hardware { model: &model, accel, cards: Cards::Provisioning, freezable: false },
        kernel: base.kernel.as_ref().map(super::KernelFiles::kernel),
        memory: Memory::Own,
        disks: vec![
            ("root", Disk::Layers(open_to_write(&base.disk)?, vec![])),
            ("seed", Disk::Seed(File::open(&seed).map_err(Error::io("open", &seed))?)),
            ("export", Disk::Raw(open_to_write(&export)?)),
        ],
        uplink: Uplink::Internet,
        incoming: false,
    }
    .start()?;
    let began = Instant::now();
    let mut phases = 0;
    while !running.ended_within(Duration::from_millis(500)) {
        if began.elapsed() > PATIENCE {
            let console = running.console.tail().to_string();
            return Err(Error::Guest { what: format!("provisioning took more than {PATIENCE:?}"), console });
        }
        let now = running.console.since(0).matches("provision: ").count() as u64;
        if now > phases {
            phases = now;
            on(Event::Progress { done: phases, total: Some(PHASES), unit: Unit::Items });
        }
    }
    let console = running.console.tail().to_string();
    drop(running);
    let incomplete = |why: String| Error::Guest { what: format!("provisioning failed: {why}"), console };
    let manifest = unpack(&export, built, title).map_err(|error| incomplete(error.to_string()))?;
    let _ = fs::remove_file(&export);
    let _ = fs::remove_dir_all(&seed);
    Ok(manifest)
}

/// The number of phases that provision.sh announces.
const PHASES: u64 = 6;

/// Takes four files from the guest's export disk. The guest is our own here, but gets no more trust
/// than another: its names are compared, never used as paths.
fn unpack(export: &Path, to: &Path, title: String) -> std::io::Result<Manifest> {
    let mut root = String::new();
    let mut release = String::new();
    let mut found = 0;
    let mut archive = tar::Archive::new(File::open(export)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.path_bytes().as_ref() {
            b"cmdline" => drop(entry.read_to_string(&mut root)?),
            b"release" => drop(entry.read_to_string(&mut release)?),
            b"vmlinuz" => drop(std::io::copy(&mut entry, &mut File::create(to.join("vmlinuz"))?)?),
            b"initrd" => drop(std::io::copy(&mut entry, &mut File::create(to.join("initrd"))?)?),
            _ => continue,
        }
        found += 1;
    }
    if found < 4 {
        return Err(std::io::Error::other("the guest did not hand out its kernel"));
    }
    Ok(Manifest { title, root: root.trim().to_owned(), release: release.trim().to_owned() })
}
