//! How a container is known on the machine: the ends of its veth pairs, and what a rule of its own names.

use std::net::Ipv4Addr;

use crate::guest::links::{Link, Network};

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
