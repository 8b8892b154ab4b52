//! The installed QEMU: its version, and its newest machine type, by a versioned name.

use crate::{Error, tool};

/// The installed QEMU.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    /// Its version as it prints it: "7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)".
    pub(crate) version: String,
    /// A versioned machine type: "pc-i440fx-7.2".
    pub(crate) model: String,
}

impl Installed {
    /// Asks QEMU for both.
    pub(crate) fn find() -> Result<Installed, Error> {
        let banner = tool::QEMU.output(|command| {
            command.arg("--version");
        })?;
        let machines = tool::QEMU.output(|command| {
            command.args(["-machine", "help"]);
        })?;
        let unclear = |what: &str| Error::Qemu {
            what: what.to_owned(),
            why: "its output is not understood".to_owned(),
        };
        Ok(Installed {
            version: version(&banner).ok_or_else(|| unclear("did not print its version"))?,
            model: model(&machines).ok_or_else(|| unclear("did not print its machine types"))?,
        })
    }
}

fn version(banner: &str) -> Option<String> {
    let (_, version) = banner.lines().next()?.split_once("version ")?;
    Some(version.trim().to_owned())
}

fn model(machines: &str) -> Option<String> {
    let line = machines.lines().find(|line| line.starts_with("pc "))?;
    let (_, alias) = line.split_once("(alias of ")?;
    Some(alias.trim_end_matches(')').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_qemu_prints() {
        let banner = "QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright (c) 2003\n";
        assert_eq!(version(banner).unwrap(), "7.2.22 (Debian 1:7.2)");
        let machines = "Supported machines are:\nmicrovm  microvm (i386)\n\
            pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)\n";
        assert_eq!(model(machines).unwrap(), "pc-i440fx-7.2");
        assert_eq!(model(""), None);
    }
}
