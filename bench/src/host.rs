//! The namespaces of the measurement: what the tools write outside of their own folders stays in
//! them, and a pair of interfaces stands for the way to the Internet.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::measure::{Trouble, command, finish};

/// The interface that stands for the way to the Internet.
pub const INTERFACE: &str = "bench0";

/// Where the tools keep locks, records of networks and caches, whatever folder they are given.
const SHARED: [&str; 3] = ["/run", "/var/lib", "/dev/shm"];

/// Mounts a tmpfs on `root`, covers the shared folders, and makes the interfaces. The caller must
/// be the only process in its mount, network and PID namespaces.
pub fn prepare(root: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(root)?;
    mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .map_err(|error| format!("cannot mount a tmpfs: {error}; ci/bench calls this program as root"))?;
    for folder in SHARED {
        cover(Path::new(folder), &root.join("host").join(folder.replace('/', "_")))?;
    }
    for line in [
        "ip link set lo up",
        "ip link add bench0 type veth peer name bench1",
        "ip addr add 10.99.0.2/24 dev bench0",
        "ip link set bench0 up",
        "ip link set bench1 up",
        "ip route add default via 10.99.0.1",
    ] {
        let mut words = line.split(' ');
        finish(&mut command(words.next().unwrap_or_default(), &words.collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// Mounts an overlay on a folder, so that changes go to `changes`.
fn cover(folder: &Path, changes: &Path) -> Result<(), Trouble> {
    let [upper, work] = ["upper", "work"].map(|part| changes.join(part));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let [lower, upper, work] = [folder, &upper, &work].map(Path::display);
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(Some("overlay"), folder, Some("overlay"), MsFlags::empty(), Some(&*options))
        .map_err(|error| format!("cannot cover {}: {error}", folder.display()).into())
}
