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

/// The host's end of the network in which a container has `inside`.
pub fn gateway(inside: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(inside.to_bits().wrapping_sub(1))
}

/// The first free network, starting with the second of the range (192.168.1.0/24 of
/// 192.168.0.0/16), as in the assignment.
pub fn first_free(range: Subnet, taken: &[Network]) -> Option<Pair> {
    let base = u64::from(range.base.to_bits());
    let step = 1_u64 << (32 - range.prefix);
    let end = base + (1_u64 << (32 - range.full_prefix));
    let mut free = if end - base == step { base } else { base + step };
    // Sorted, each needs one look: no later one begins before it.
    let mut taken: Vec<(u64, u64)> = taken.iter().map(|network| network.bounds()).collect();
    taken.sort_unstable();
    for (first, after) in taken {
        if first >= free + step {
            break;
        }
        if after > free {
            free = base + (after - base).next_multiple_of(step);
        }
    }
    let address = |offset: u64| Some(Ipv4Addr::from_bits(u32::try_from(free + offset).ok()?));
    if free >= end {
        return None;
    }
    Some(Pair { outside: address(1)?, inside: address(2)?, prefix: range.prefix })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn the_first_network_that_overlaps_none_is_chosen() {
        let range = Subnet { base: Ipv4Addr::new(10, 0, 0, 0), full_prefix: 26, prefix: 29 };
        let taken = prop::collection::vec((0_u8..80, 24_u8..=32), 0..12);
        proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }, |(taken in taken)| {
            let taken: Vec<Network> = taken.iter().map(|(last, prefix)| network([10, 0, 0, *last], *prefix)).collect();
            let is_free = |last: &u8| !taken.iter().any(|other| other.overlaps(network([10, 0, 0, *last], 29)));
            let first = (8..64).step_by(8).find(is_free).map(|last| Ipv4Addr::new(10, 0, 0, last + 1));
            prop_assert_eq!(first_free(range, &taken).map(|pair| pair.outside), first);
        });
    }

    #[test]
    fn a_full_range_gives_nothing() {
        assert_eq!(first_free(RANGE, &[network([192, 168, 0, 0], 16)]), None);
    }
}
