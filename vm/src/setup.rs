//! What the caller wants its guests to be, beyond their system.

/// A guest's name, packages and cards. Everything here is part of the image or the template, so a
/// change makes another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The host name, and the name of an ordinary user who may use sudo without a password:
    /// lower-case letters and digits.
    pub name: String,
    /// Packages to install, one a line. The packages that this crate needs are added.
    pub packages: String,
    /// The names of the two ends of the cable, and of a card that leads nowhere.
    pub cards: [String; 3],
    /// A shell script that uses what guests will use, so that they find it in memory. Its
    /// status does not matter.
    pub warm_up: String,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            name: "guest".to_owned(),
            packages: String::new(),
            cards: ["cable0", "cable1", "uplink0"].map(str::to_owned),
            warm_up: String::new(),
        }
    }
}

/// What provisioning needs, and what makes the machine one that people can log in to.
const OWN_PACKAGES: [&str; 6] = ["cloud-init", "dbus", "kmod", "libpam-systemd", "sudo", "util-linux"];

impl Setup {
    /// All packages, sorted.
    pub(crate) fn all_packages(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.packages.split_whitespace().chain(OWN_PACKAGES).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}
