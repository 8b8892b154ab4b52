//! Judges 3c for several containers: whatever works for one must work when others have networks,
//! too.

use super::Networks;
use super::judge::NetworkContext;
use super::marks::outside_links;
use crate::evidence::network::Address;
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::verdict::Finding;

/// The containers that have a network at once, in the order in which they got it.
const ROLES: [&str; 4] = ["web", "plain", "store", "quiet"];

/// `alone` is what a container that is alone has: its pair, the Internet with `-i`, its exposed
/// port. What is lost there already is not lost here once more.
pub fn two_containers(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("each container gets its own network and works as it does alone");
    if !verdicts.passed("3c/veth-pair") {
        return context.timeline.unmet(question, "3c/veth-pair", "");
    }
    let Some(networks) = context.networks("connected") else {
        return context.timeline.missing(question, "no second container was connected");
    };
    let question = question.proof(&networks.place);
    for role in ROLES {
        if context.timeline.at::<crate::task::task3::shared::view::ContainerView>("container", role).is_none()
        {
            return context
                .timeline
                .missing(question, format!("no container: {}", context.timeline.why_absent(role)));
        }
        if let Some(why) = context.why_not(role, "connected") {
            return question.fail(format!("{}, beside others: {why}", context.called(role)));
        }
    }
    if let Some(fault) = shared(context, &networks.value) {
        return question.fail(fault);
    }
    let mut ways = Vec::new();
    for role in ROLES {
        ways.extend([("machine", "first", "machine", role), ("first", "machine", role, "machine")]);
    }
    let mut ways: Vec<(&str, &str)> = ways
        .into_iter()
        .filter(|(from, to, ..)| {
            let alone = context.tried("first", from, to);
            !alone.is_empty() && alone.iter().all(|seen| seen.value.reached())
        })
        .map(|(_, _, from, to)| (from, to))
        .collect();
    if verdicts.passed("3c/internet") {
        ways.extend([("web", "internet"), ("store", "internet")]);
    }
    if verdicts.passed("3c/expose") {
        ways.extend([("lan", "exposed"), ("machine", "exposed")]);
    }
    context.ways(question, "connected", &ways, true, "four containers work together as each one does alone")
}

/// Two containers that have an address or a network together.
fn shared(context: &NetworkContext, networks: &Networks) -> Option<String> {
    let mut taken: Vec<(&str, Address)> = Vec::new();
    for role in ROLES {
        let Some(inside) = networks.containers.get(role) else { continue };
        if outside_links(inside, &networks.machine).is_empty() {
            continue;
        }
        let mut own = inside.links.iter().filter(|link| link.name != "lo").flat_map(|link| &link.addresses);
        let Some(own) = own.next() else { continue };
        if let Some((other, _)) = taken.iter().find(|(_, other)| meet(*own, *other)) {
            return Some(format!(
                "{} and {} are both in the network of {}/{}",
                context.called(other),
                context.called(role),
                own.ip,
                own.prefix
            ));
        }
        taken.push((role, *own));
    }
    None
}

/// Whether an address is in the network of another one, which is at most a /24. What a wider prefix
/// spans is one network in name only; where packets get through is asked after this.
fn meet(own: Address, other: Address) -> bool {
    own.reaches(other.ip) && Address { ip: own.ip, prefix: own.prefix.max(24) }.reaches(other.ip)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn containers_may_share_a_wide_prefix_or_a_24_that_is_divided() {
        let meets = |prefix, net, host| {
            let own = Address { ip: Ipv4Addr::new(192, 168, 1, 2), prefix };
            meet(own, Address { ip: Ipv4Addr::new(192, 168, net, host), prefix })
        };
        assert!(meets(24, 1, 3) && meets(16, 1, 3) && meets(30, 1, 1));
        assert!(!meets(24, 2, 2) && !meets(16, 2, 2) && !meets(30, 1, 6));
    }
}
