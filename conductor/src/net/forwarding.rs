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
/// The name under which future interfaces have their settings.
const FUTURE: &str = "default";

/// Switches forwarding on for all interfaces, also future ones, unless the host forwards already.
pub(super) fn start() -> Result<(), Error> {
    let settings = Path::new(SETTINGS);
    let value = |name| at("read the forwarding of packets", read(&setting(settings, name)));
    if value("all")? != OFF || value(FUTURE)? == ON_FOR_CONTAINERS {
        return Ok(());
    }
    at("switch on the forwarding of packets", switch_on(settings))
}

/// Switches forwarding off wherever [`start`] has switched it on, and no other program since.
pub(super) fn stop() -> Result<(), Error> {
    at("switch off the forwarding of packets", switch_off(Path::new(SETTINGS)))
}

/// Future interfaces come last: with their value, [`start`] knows that the work is complete.
fn switch_on(settings: &Path) -> io::Result<()> {
    exchange_all(settings, OFF, ON_FOR_CONTAINERS)?;
    exchange(&setting(settings, FUTURE), OFF, ON_FOR_CONTAINERS)
}

/// Future interfaces come first: if we are killed in between, [`start`] does its work again.
fn switch_off(settings: &Path) -> io::Result<()> {
    exchange(&setting(settings, FUTURE), ON_FOR_CONTAINERS, OFF)?;
    exchange_all(settings, ON_FOR_CONTAINERS, OFF)
}

fn setting(settings: &Path, name: impl AsRef<Path>) -> PathBuf {
    settings.join(name).join("forwarding")
}

fn read(setting: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(setting)?.trim().to_owned())
}

/// Gives the value `new` to all interfaces with the value `old`.
fn exchange_all(settings: &Path, old: &str, new: &str) -> io::Result<()> {
    for entry in fs::read_dir(settings)? {
        let name = entry?.file_name();
        if name != "all" && name != FUTURE {
            exchange(&setting(settings, name), old, new)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_work_is_never_taken_for_all_of_it() {
        let settings = tempfile::tempdir().unwrap();
        let eth0 = setting(settings.path(), "eth0");
        fs::create_dir_all(eth0.parent().unwrap()).unwrap();
        // The value for future interfaces can be neither read nor written.
        fs::create_dir_all(setting(settings.path(), FUTURE)).unwrap();
        fs::write(&eth0, OFF).unwrap();
        switch_on(settings.path()).unwrap_err();
        assert_eq!(read(&eth0).unwrap(), ON_FOR_CONTAINERS);
        switch_off(settings.path()).unwrap_err();
        assert_eq!(read(&eth0).unwrap(), ON_FOR_CONTAINERS);
    }
}
