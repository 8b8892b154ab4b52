//! Which names images and containers may have, and which interface names follow from them.
//!
//! Names become file names, host names, firewall comments and interface names. Checking them once, where
//! they come in, means that nothing later has to ask whether a name could be `..` or contain a space.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Longest name of an image or container: what a host name may have (RFC 1123, one label).
pub const MAX_LEN: usize = 63;

/// Longest name of a network interface: `IFNAMSIZ` (16) less the terminating NUL.
pub const MAX_INTERFACE_LEN: usize = 15;

const OUTSIDE: &str = "-outside";
const INSIDE: &str = "-inside";
/// How long a container name may be for `<name>-outside` to be an interface name as it stands.
const PLAIN_LEN: usize = MAX_INTERFACE_LEN - OUTSIDE.len();

/// Why a word is not a name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The empty word.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("'{0}' is longer than {MAX_LEN} characters")]
    TooLong(String),
    /// Something else than a letter or digit at the start.
    #[error("'{0}' must begin with a letter or a digit")]
    Start(String),
    /// A character that names do not have.
    #[error("'{name}' contains {character:?}: names are made of letters, digits, '-', '_' and '.'")]
    Character {
        /// The word as given.
        name: String,
        /// The first character that does not belong.
        character: char,
    },
}

fn check(name: &str) -> Result<String, Error> {
    let Some(first) = name.chars().next() else { return Err(Error::Empty) };
    if let Some(character) =
        name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
    {
        return Err(Error::Character { name: name.into(), character });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(Error::Start(name.into()));
    }
    if name.len() > MAX_LEN {
        return Err(Error::TooLong(name.into()));
    }
    Ok(name.into())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as a word.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                check(name).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<Path> for $type {
            fn as_ref(&self) -> &Path {
                Path::new(&self.0)
            }
        }
    };
}

name_type! {
    /// A valid image name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most
    /// [`MAX_LEN`] long.
    ImageName
}

name_type! {
    /// A valid container name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most
    /// [`MAX_LEN`] long.
    ContainerName
}

impl ContainerName {
    /// The host's end of the container's veth pair, `<stem>-outside`.
    pub fn outside(&self) -> String {
        self.stem() + OUTSIDE
    }

    /// The container's end of its veth pair, `<stem>-inside`.
    pub fn inside(&self) -> String {
        self.stem() + INSIDE
    }

    /// What the two interface names begin with: the container's name where `<name>-outside` fits the 15
    /// characters an interface name may have, that is up to 7 characters. A longer name gives its first
    /// three characters and four hexadecimal digits of its SHA-256, so that `webserver1` and `webserver2`
    /// do not become the same interface (the kernel cuts names without a word, systemd#10721).
    fn stem(&self) -> String {
        if self.0.len() <= PLAIN_LEN {
            return self.0.clone();
        }
        let digest = Sha256::digest(self.0.as_bytes());
        format!("{}{:02x}{:02x}", &self.0[..3], digest[0], digest[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_students_use_are_valid() {
        for name in ["eg", "es-cont", "cs_cont", "testimage", "a.b", "0x1"] {
            assert_eq!(name.parse::<ContainerName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn words_that_would_leave_their_folder_or_confuse_a_tool_are_refused() {
        for name in ["", ".", "..", "a/b", "-e", ".hidden", "a b", "a\nb", "ä", "a:b", "a,b", &"x".repeat(64)]
        {
            assert!(name.parse::<ImageName>().is_err(), "{name:?} was accepted");
        }
    }

    #[test]
    fn short_names_are_interface_names_as_they_stand() {
        let name: ContainerName = "es-cont".parse().unwrap();
        assert_eq!((name.outside(), name.inside()), ("es-cont-outside".into(), "es-cont-inside".into()));
    }

    #[test]
    fn long_names_give_distinct_interface_names_that_fit() {
        let one: ContainerName = "webserver1".parse().unwrap();
        let two: ContainerName = "webserver2".parse().unwrap();
        assert_ne!(one.outside(), two.outside());
        assert_eq!(one.outside().len(), MAX_INTERFACE_LEN);
        assert!(one.outside().starts_with("web"));
    }
}
