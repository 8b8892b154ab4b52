//! Judges 3c for several containers: whatever works for one must work when others have networks,
//! too.

use std::net::Ipv4Addr;

use super::Networks;
use super::judge::NetworkContext;
use crate::evidence::network::Network;
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::verdict::Finding;

/// The containers that have a network at once, in the order in which they got it.
const ROLES: [&str; 4] = ["web", "plain", "store", "quiet"];

/// `alone` is what a container that is alone has: its pair, the Internet with `-i`, its exposed
/// port. What is lost there already is not lost here once more.
pub fn two_containers(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("each container gets its own address and works as it does alone");
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
    let mut ways = with_machine(context);
    if verdicts.passed("3c/internet") {
        ways.extend([("web", "internet"), ("store", "internet")]);
    }
    if verdicts.passed("3c/expose") {
        ways.extend([("lan", "exposed"), ("machine", "exposed")]);
    }
    context.ways(question, "connected", &ways, true, "four containers work together as each one does alone")
}

/// The ways between the machine and each of the four that work for a container that is alone.
fn with_machine(context: &NetworkContext) -> Vec<(&'static str, &'static str)> {
    let into = reached(context, "first", "machine", "first");
    let out = reached(context, "first", "first", "machine");
    let both = |role| [(into, ("machine", role)), (out, (role, "machine"))];
    ROLES.into_iter().flat_map(both).filter_map(|(works, way)| works.then_some(way)).collect()
}

fn reached(context: &NetworkContext, step: &str, from: &str, to: &str) -> bool {
    let tried = context.tried(step, from, to);
    !tried.is_empty() && tried.iter().all(|seen| seen.value.reached())
}

/// Two containers that have one address.
fn shared(context: &NetworkContext, networks: &Networks) -> Option<String> {
    let mut taken: Vec<(&str, Ipv4Addr)> = Vec::new();
    for role in ROLES {
        let Some(own) = networks.containers.get(role).and_then(Network::address) else { continue };
        if let Some((other, _)) = taken.iter().find(|(_, other)| *other == own) {
            return Some(format!(
                "{} and {} both have the address {own}",
                context.called(other),
                context.called(role)
            ));
        }
        taken.push((role, own));
    }
    None
}

/// Whether each of the four has an address of its own, and packets pass between it and the machine
/// as for one alone. Then it is known who reaches whom, whatever else fails beside others.
pub fn each_works(context: &NetworkContext) -> bool {
    let Some(networks) = context.networks("connected") else { return false };
    let ways = with_machine(context);
    !ways.is_empty()
        && ROLES.iter().all(|role| context.why_not(role, "connected").is_none())
        && shared(context, &networks.value).is_none()
        && ways.iter().all(|(from, to)| reached(context, "connected", from, to))
}
