//! The guest systems, and the sources of their images.

use std::fmt;
use std::str::FromStr;

/// A guest operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Suite {
    /// Debian 12, bookworm.
    #[default]
    Debian12,
    /// Ubuntu 22.04, jammy.
    Ubuntu2204,
}

impl Suite {
    /// Every suite, the default one first.
    pub const ALL: [Suite; 2] = [Suite::Debian12, Suite::Ubuntu2204];

    /// The name on the command line: `debian-12`, `ubuntu-22.04`.
    pub fn id(self) -> &'static str {
        match self {
            Suite::Debian12 => "debian-12",
            Suite::Ubuntu2204 => "ubuntu-22.04",
        }
    }

    /// The name for people: `Debian 12`.
    pub fn title(self) -> &'static str {
        match self {
            Suite::Debian12 => "Debian 12",
            Suite::Ubuntu2204 => "Ubuntu 22.04",
        }
    }

    /// The archive's code name: `bookworm`.
    pub fn codename(self) -> &'static str {
        match self {
            Suite::Debian12 => "bookworm",
            Suite::Ubuntu2204 => "jammy",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Suite::ALL
            .into_iter()
            .find(|suite| suite.id() == name)
            .ok_or_else(|| format!("no suite {name:?}: choose debian-12 or ubuntu-22.04"))
    }
}

/// The source of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// The official cloud image; if the download fails, an image made from packages.
    #[default]
    Auto,
    /// Only the official cloud image.
    Cloud,
    /// An image made from packages with mmdebstrap.
    Packages,
}
