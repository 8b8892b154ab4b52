//! Which of the machine's firewall rules translate addresses for a container.

use std::net::Ipv4Addr;

use crate::evidence::network::{Link, Network};

/// Words of a rule that translates a source or a destination, of nft and of iptables.
const SOURCE: [&str; 2] = ["masquerade", "snat"];
const DESTINATION: [&str; 1] = ["dnat"];

/// Whether a rule translates the source address. The assignment's diagram calls this NAT.
pub fn is_nat(rule: &str) -> bool {
    has(rule, &SOURCE)
}

/// Whether a rule sends a port of the machine elsewhere.
pub fn is_forward(rule: &str) -> bool {
    has(rule, &DESTINATION)
}

fn has(rule: &str, wanted: &[&str]) -> bool {
    let rule = rule.to_ascii_lowercase();
    let mut words = rule.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| wanted.contains(&word))
}

/// The rules that translate for a container: those that name one of its addresses, its network or
/// its interface, and those for every source.
pub fn of(rules: &[String], inside: &Network, outside: Option<&Link>) -> Vec<String> {
    let own: Vec<Ipv4Addr> = inside
        .links
        .iter()
        .filter(|link| link.name != "lo")
        .flat_map(|link| &link.addresses)
        .map(|address| address.ip)
        .collect();
    let concerns = |rule: &&String| {
        let named: Vec<(Ipv4Addr, u8)> = rule.split_whitespace().filter_map(network).collect();
        let is_own =
            |(network, prefix): &(Ipv4Addr, u8)| own.iter().any(|ip| contains(*network, *prefix, *ip));
        let by_link = outside.is_some_and(|link| rule.split(['"', ' ']).any(|word| word == link.name));
        let for_all = named.is_empty() && is_nat(rule);
        by_link || for_all || named.iter().any(is_own)
    };
    rules.iter().filter(|rule| is_nat(rule) || is_forward(rule)).filter(concerns).cloned().collect()
}

/// `192.168.1.0/24`, or an address with or without a port.
fn network(word: &str) -> Option<(Ipv4Addr, u8)> {
    if let Some((address, prefix)) = word.split_once('/') {
        return Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 32)?));
    }
    Some((word.split(':').next()?.parse().ok()?, 32))
}

fn contains(network: Ipv4Addr, prefix: u8, address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    u32::from(network) & mask == u32::from(address) & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::network::Address;

    #[test]
    fn a_container_has_the_rules_of_its_network_and_those_for_all() {
        let address = Address { ip: Ipv4Addr::new(192, 168, 1, 2), prefix: 24 };
        let link = Link { name: "eg-inside".into(), addresses: vec![address], ..Link::default() };
        let inside = Network { links: vec![link], default_routes: Vec::new() };
        let rules = |rules: &[&str]| {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            of(&rules, &inside, None).len()
        };
        assert_eq!(rules(&["ip saddr 192.168.1.0/24 oifname \"lan0\" counter masquerade"]), 1);
        assert_eq!(rules(&["-A POSTROUTING -s 192.168.1.0/24 -o lan0 -j MASQUERADE"]), 1);
        assert_eq!(rules(&["oifname \"lan0\" masquerade"]), 1);
        assert_eq!(rules(&["tcp dport 3000 counter dnat to 192.168.1.2:8080"]), 1);
        assert_eq!(rules(&["ip saddr 192.168.2.0/24 masquerade", "ip saddr 192.168.1.2 accept"]), 0);
    }
}
