//! Traces of a container on the machine: the ends of its veth pairs, and the words by which its
//! firewall rules are known.

use std::net::Ipv4Addr;

use crate::evidence::network::{Address, Link, Network};

/// The machine's ends of a container's pairs.
pub fn outside_links(inside: &Network, machine: &Network) -> Vec<Link> {
    let pairs = |link: &&Link| {
        link.veth
            && inside
                .links
                .iter()
                .any(|own| own.veth && own.peer == Some(link.index) && link.peer == Some(own.index))
    };
    machine.links.iter().filter(pairs).cloned().collect()
}

/// The machine's address in a container's network: one whose network the container's first address
/// is in, or else, as with a pair of /32, the one at the other end of the container's pair.
pub fn machine_end(inside: &Network, machine: &Network) -> Option<Address> {
    let own: Vec<Address> = inside
        .links
        .iter()
        .filter(|link| link.name != "lo")
        .flat_map(|link| link.addresses.clone())
        .collect();
    let outside = outside_links(inside, machine);
    let of_pair = outside.iter().flat_map(|link| link.addresses.clone());
    let all = machine.links.iter().flat_map(|link| link.addresses.clone());
    // The pair's own address before another one that is in the same network by chance.
    let candidates: Vec<Address> = of_pair.clone().chain(all).collect();
    candidates
        .into_iter()
        .find(|ours| own.iter().any(|own| own.reaches(ours.ip)))
        .or_else(|| of_pair.clone().next())
}

/// What a rule of this container names.
pub fn marks(name: &str, inside: &Network, outside: &[Link]) -> Vec<String> {
    let mut marks = vec![name.to_owned()];
    for address in inside.links.iter().filter(|link| link.name != "lo").flat_map(|link| &link.addresses) {
        let mask = u32::MAX.checked_shl(32 - u32::from(address.prefix)).unwrap_or(0);
        let network = Ipv4Addr::from(u32::from(address.ip) & mask);
        marks.extend([address.ip.to_string(), format!("{network}/{}", address.prefix)]);
    }
    marks.extend(outside.iter().map(|link| link.name.clone()));
    marks
}

/// Whether a rule names something, and not just something whose name begins or ends like it.
pub fn names(rule: &str, mark: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '.';
    rule.match_indices(mark).any(|(at, _)| {
        let before = rule[..at].chars().next_back();
        let after = rule[at + mark.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn a_rule_names_an_address_but_not_a_longer_one() {
        assert!(names("ip saddr 192.168.1.2 accept", "192.168.1.2"));
        assert!(names("dnat to 192.168.1.2:80", "192.168.1.2"));
        assert!(!names("ip saddr 192.168.1.20 accept", "192.168.1.2"));
        assert!(names("comment \"conductor:/ab-123/\"", "ab-123"));
    }
}
