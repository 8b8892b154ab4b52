//! Forwarding of packets by the host.
//!
//! A packet is forwarded if the interface on which it arrives allows it. The setting of the whole
//! host, `ip_forward`, is not used: whenever it changes, the kernel overwrites the settings of all
//! interfaces (`inet_forward_change` in net/ipv4/devinet.c), and `stop` could not restore them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::{Error, at};

const SETTINGS: &str = "/proc/sys/net/ipv4/conf";

/// The value with which conductor switches forwarding on. The kernel takes every number but 0 for
/// "on", and other programs write 1. So this value means that no other program has asked for
/// forwarding, and the last `stop` may switch it off.
const ON_FOR_CONTAINERS: &str = "2";
const OFF: &str = "0";

/// Switches forwarding on for all interfaces, also future ones, unless the host forwards already.
pub(super) fn start() -> Result<(), Error> {
    let is_on = |name: &str| at("read the forwarding of packets", read(&setting(name)));
    if is_on("all")? != OFF || is_on("default")? == ON_FOR_CONTAINERS {
        return Ok(());
    }
    at("switch on the forwarding of packets", replace(OFF, ON_FOR_CONTAINERS))
}

/// Switches forwarding off wherever [`start`] has switched it on, and no other program since.
pub(super) fn stop() -> Result<(), Error> {
    at("switch off the forwarding of packets", replace(ON_FOR_CONTAINERS, OFF))
}

fn setting(name: &str) -> PathBuf {
    Path::new(SETTINGS).join(name).join("forwarding")
}

fn read(setting: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(setting)?.trim().to_owned())
}

/// Gives the value `new` to all interfaces with the value `old`. Future interfaces come last: with
/// their value, [`start`] knows that the work is complete.
fn replace(old: &str, new: &str) -> io::Result<()> {
    for entry in fs::read_dir(SETTINGS)? {
        let name = entry?.file_name();
        if name != "all" && name != "default" {
            exchange(&Path::new(SETTINGS).join(name).join("forwarding"), old, new)?;
        }
    }
    exchange(&setting("default"), old, new)
}

fn exchange(setting: &Path, old: &str, new: &str) -> io::Result<()> {
    let exchanged =
        read(setting).and_then(|value| if value == old { fs::write(setting, new) } else { Ok(()) });
    match exchanged {
        // The interface has been deleted.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
