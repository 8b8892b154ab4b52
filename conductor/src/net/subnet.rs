//! Chooses the network of a container: the first of its size in the configured range that is free.

use std::net::Ipv4Addr;

use super::links::Network;
use crate::settings::Subnet;

/// The network of a container's veth pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The host's end and the container's gateway: the first address of the network.
    pub outside: Ipv4Addr,
    /// The container's end: the second address of the network.
    pub inside: Ipv4Addr,
    /// The prefix length.
    pub prefix: u8,
}

/// The first free network, starting with the second of the range (192.168.1.0/24 of
/// 192.168.0.0/16), as in the assignment.
pub fn first_free(range: Subnet, taken: &[Network]) -> Option<Pair> {
    let step = 1_u64 << (32 - range.prefix);
    let size = 1_u64 << (32 - range.full_prefix);
    let first = if size == step { 0 } else { step };
    (first..size)
        .step_by(usize::try_from(step).ok()?)
        .map(|offset| Ipv4Addr::from_bits(range.base.to_bits() + offset as u32))
        .find(|base| {
            let network = Network { address: *base, prefix: range.prefix };
            !taken.iter().any(|other| network.overlaps(*other))
        })
        .map(|base| Pair {
            outside: Ipv4Addr::from_bits(base.to_bits() + 1),
            inside: Ipv4Addr::from_bits(base.to_bits() + 2),
            prefix: range.prefix,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Subnet = Subnet { base: Ipv4Addr::new(192, 168, 0, 0), full_prefix: 16, prefix: 24 };

    fn network(address: [u8; 4], prefix: u8) -> Network {
        Network { address: address.into(), prefix }
    }

    #[test]
    fn the_first_container_gets_the_addresses_of_the_transcript() {
        let pair = first_free(RANGE, &[]).unwrap();
        assert_eq!((pair.outside, pair.inside), ([192, 168, 1, 1].into(), [192, 168, 1, 2].into()));
    }

    #[test]
    fn networks_in_use_are_passed_over() {
        let taken = [network([192, 168, 1, 1], 24), network([192, 168, 2, 128], 25)];
        assert_eq!(first_free(RANGE, &taken).unwrap().inside, Ipv4Addr::new(192, 168, 3, 2));
    }

    #[test]
    fn a_full_range_gives_nothing() {
        assert_eq!(first_free(RANGE, &[network([192, 168, 0, 0], 16)]), None);
    }
}
