//! Valid names of images and containers, and the interface names that follow from them.
//!
//! Names become file names, host names, firewall comments and interface names. They are checked
//! once, when they are parsed, so no other code has to handle a name such as `..` or one with a
//! space.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// The longest name of an image or container: one label of a host name (RFC 1123).
pub const MAX_LEN: usize = 63;

/// The longest name of a network interface: `IFNAMSIZ` (16) without the terminating NUL.
pub const MAX_INTERFACE_LEN: usize = 15;

const OUTSIDE: &str = "-outside";
const INSIDE: &str = "-inside";
/// The longest container name for which `<name>-outside` is a valid interface name.
const PLAIN_LEN: usize = MAX_INTERFACE_LEN - OUTSIDE.len();

/// Why a string is not a valid name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The empty string.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`MAX_LEN`] characters.
    #[error("'{0}' is longer than {MAX_LEN} characters")]
    TooLong(String),
    /// The first character is not a letter or a digit.
    #[error("'{0}' must begin with a letter or a digit")]
    Start(String),
    /// A character that is not allowed.
    #[error("'{name}' contains {character:?}: names are made of letters, digits, '-', '_' and '.'")]
    Character {
        /// The string as given.
        name: String,
        /// The first invalid character.
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
            /// The name as a string.
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
    /// A valid image name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at
    /// most [`MAX_LEN`] long.
    ImageName
}

name_type! {
    /// A valid container name: letters, digits, `-`, `_` and `.`, beginning with a letter or digit,
    /// at most [`MAX_LEN`] long.
    ContainerName
}

/// The names of the two ends of a container's veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceNames {
    /// The host's end, `<stem>-outside`.
    pub outside: String,
    /// The container's end, `<stem>-inside`.
    pub inside: String,
}

/// How many interface names a long container name can choose from.
const CHOICES: u8 = 16;

impl ContainerName {
    /// The interface names that the container may have, in order of preference.
    ///
    /// A name of up to 7 characters is its own stem and has one choice. A longer name does not fit
    /// the 15 characters of an interface name: its stem is its first three characters and four
    /// hexadecimal digits of a SHA-256. Without the hash `webserver1` and `webserver2` would get
    /// the same interface, as in systemd#10721, because the kernel cuts names silently. If two
    /// hashes are equal, the next choice has another one.
    pub fn interfaces(&self) -> impl Iterator<Item = InterfaceNames> + '_ {
        let is_short = self.0.len() <= PLAIN_LEN;
        (0..if is_short { 1 } else { CHOICES }).map(move |choice| {
            let stem = if is_short { self.0.clone() } else { self.hashed_stem(choice) };
            InterfaceNames { outside: format!("{stem}{OUTSIDE}"), inside: format!("{stem}{INSIDE}") }
        })
    }

    fn hashed_stem(&self, choice: u8) -> String {
        let mut hash = Sha256::new().chain_update(self.0.as_bytes());
        if choice > 0 {
            hash.update([0, choice]);
        }
        let digest = hash.finalize();
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

    fn interfaces(name: &str) -> Vec<InterfaceNames> {
        name.parse::<ContainerName>().unwrap().interfaces().collect()
    }

    #[test]
    fn short_names_are_interface_names_as_they_stand() {
        let only = InterfaceNames { outside: "es-cont-outside".into(), inside: "es-cont-inside".into() };
        assert_eq!(interfaces("es-cont"), [only]);
    }

    #[test]
    fn long_names_give_distinct_interface_names_that_fit() {
        let (one, two) = (interfaces("webserver1"), interfaces("webserver2"));
        assert_ne!(one[0], two[0]);
        assert_ne!(one[0], one[1]);
        for names in one.iter().chain(&two) {
            assert_eq!(names.outside.len(), MAX_INTERFACE_LEN);
            assert!(names.outside.starts_with("web"));
        }
    }
}
