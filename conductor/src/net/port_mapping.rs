//! A published port, written `INNER-OUTER` as in `addnetwork -e 8080-80`: port 80 of the host leads
//! to TCP port 8080 in the container.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

/// One `INNER-OUTER` pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMapping {
    /// The port in the container.
    pub inner: u16,
    /// The port of the host that leads to it.
    pub outer: u16,
}

/// Why a string is not a port mapping.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not INNER-OUTER with two ports from 1 to 65535, as in 8080-80")]
pub struct Error(String);

impl FromStr for PortMapping {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let port = |digits: &str| {
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<NonZeroU16>().ok()).flatten().map(NonZeroU16::get)
        };
        word.split_once('-')
            .and_then(|(inner, outer)| Some(Self { inner: port(inner)?, outer: port(outer)? }))
            .ok_or_else(|| Error(word.into()))
    }
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.inner, self.outer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_port_is_the_containers_and_the_second_the_hosts() {
        let mapping: PortMapping = "8080-80".parse().unwrap();
        assert_eq!((mapping.inner, mapping.outer), (8080, 80));
        assert_eq!(mapping.to_string(), "8080-80");
    }

    #[test]
    fn anything_else_is_refused() {
        for word in ["", "80", "80-", "-80", "0-80", "80-65536", "+8-9", "8080:80", "1-2-3"] {
            assert!(word.parse::<PortMapping>().is_err(), "{word:?} was accepted");
        }
    }
}
