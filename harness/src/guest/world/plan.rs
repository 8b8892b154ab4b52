//! What the world is like in one run: drawn on the host, so that nothing in it can be hard-coded.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::network::LAN;

/// The addresses and words of one run's world. A scenario's plan holds one; the
/// judge reads it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldPlan {
    /// The name of the machine's default interface.
    #[serde(default = "own_name")]
    pub interface: String,
    /// The machine's own address on the LAN, whose prefix is [`PREFIX`] long.
    pub machine: Ipv4Addr,
    /// The machine's default gateway: the world.
    pub gateway: Ipv4Addr,
    /// The other machine on the LAN, from which the harness connects in.
    pub neighbour: Ipv4Addr,
    /// The name server in the machine's resolv.conf. Every other public address answers DNS too.
    pub resolver: Ipv4Addr,
    /// Seeds the addresses of names, see [`WorldPlan::address_of`].
    pub names: u64,
    /// What every web page of this world says.
    pub page_word: String,
    /// What every echo service of this world says before it repeats what it heard.
    pub echo_word: String,
    /// Where requests for packages go.
    pub packages: Packages,
    /// Whether frames are kept, for a pcap file.
    #[serde(default)]
    pub pcap: bool,
}

/// The length of the LAN's prefix.
pub const PREFIX: u8 = 24;

/// How the world reaches the package cache on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packages {
    /// Not at all: requests for packages are answered with 503.
    Nowhere,
    /// Through the port of the machine that leads to the host.
    Host,
    /// As [`Packages::Nowhere`]: in evidence of earlier versions, through a card at an address of
    /// QEMU's user network.
    Uplink(SocketAddrV4),
    /// Through a Unix socket, where world and host share a file system.
    Socket(PathBuf),
}

impl WorldPlan {
    /// Draws a world. The LAN is in 10.0.0.0/8, out of the way of the subnets that
    /// container tools take.
    pub fn draw(rng: &mut StdRng) -> Self {
        let [a, b] = [rng.random_range(16..=250), rng.random_range(0..=255)];
        let mut hosts = [0; 3];
        for i in 0..hosts.len() {
            hosts[i] = loop {
                let host = rng.random_range(2..=250);
                if !hosts[..i].contains(&host) {
                    break host;
                }
            };
        }
        let on_lan = |host| Ipv4Addr::new(10, a, b, host);
        let names = rng.random();
        Self {
            interface: own_name(),
            machine: on_lan(hosts[0]),
            gateway: on_lan(hosts[1]),
            neighbour: on_lan(hosts[2]),
            resolver: hashed_address(names, "resolver"),
            names,
            page_word: word(rng),
            echo_word: word(rng),
            packages: Packages::Host,
            pcap: false,
        }
    }

    /// The address that a name has in this world: always the same one, public-looking, without
    /// regard to case or a final dot.
    pub fn address_of(&self, name: &str) -> Ipv4Addr {
        hashed_address(self.names, &name.trim_end_matches('.').to_ascii_lowercase())
    }
}

/// Networks from which container tools take addresses, and which the Internet does not route.
/// The world's own LAN is in the first one.
pub(super) const PRIVATE: [(Ipv4Addr, u8); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// Whether an address is one that the Internet would route.
pub fn is_public(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn own_name() -> String {
    LAN.to_owned()
}

fn hashed_address(seed: u64, name: &str) -> Ipv4Addr {
    let mut digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    loop {
        let address = Ipv4Addr::new(digest[0], digest[1], digest[2], digest[3]);
        if is_public(address) && !matches!(address.octets()[3], 0 | 255) {
            return address;
        }
        digest = Sha256::digest(digest);
    }
}

fn word(rng: &mut StdRng) -> String {
    (0..12).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_drawn_world_has_distinct_lan_addresses_outside_qemus_network() {
        for seed in 0..2000 {
            let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(seed));
            let lan = [plan.machine, plan.gateway, plan.neighbour];
            assert!(lan[0] != lan[1] && lan[1] != lan[2] && lan[0] != lan[2], "{plan:?}");
            assert!(lan.iter().all(|address| address.octets()[..3] == lan[0].octets()[..3]));
            assert_ne!(lan[0].octets()[..3], [10, 0, 2]);
            assert!(is_public(plan.resolver));
        }
    }

    #[test]
    fn no_public_address_is_in_a_private_network() {
        for (network, _) in PRIVATE {
            assert!(!is_public(network), "{network}");
        }
    }

    #[test]
    fn a_name_keeps_its_public_address_whatever_its_case() {
        let plan = WorldPlan::draw(&mut StdRng::seed_from_u64(7));
        assert_eq!(plan.address_of("Deb.Example.ORG."), plan.address_of("deb.example.org"));
        assert_ne!(plan.address_of("a.example"), plan.address_of("b.example"));
        for n in 0..2000 {
            assert!(is_public(plan.address_of(&format!("host{n}.example"))));
        }
    }
}
