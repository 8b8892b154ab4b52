//! Judges 3c for one container: its veth pair, addresses, loopback, and packets to and from the
//! machine.

use super::judge::NetworkContext;
use super::marks::{machine_end, outside_links};
use super::plan::NetworkPlan;
use super::{Networks, Sniffed};
use crate::evidence::network::{Address, Link, Network};
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::quote;
use crate::verdict::Finding;

pub fn veth_pair(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a veth pair from the container to the machine, both ends up");
    let Some(networks) = context.networks("first") else {
        return context.timeline.missing(question, "no container was connected");
    };
    let question = question.proof(&networks.place);
    let Some(inside) = networks.value.containers.get("first") else {
        return context.timeline.missing(question, context.why_not("first", "first").unwrap_or_default());
    };
    let outside = outside_links(inside, &networks.value.machine);
    let names = |links: &[Link]| links.iter().map(|link| link.name.clone()).collect::<Vec<_>>().join(", ");
    let Some(link) = outside.first() else {
        let command = context.timeline.at::<Command>("command", "addnetwork-first");
        let said = command.map_or_else(String::new, |seen| {
            format!("; {}{}", seen.value.ending(), quote(&seen.value.screen))
        });
        return question.fail(format!(
            "the container has {}, and no interface leads to the machine{said}",
            names(&inside.links)
        ));
    };
    let ends = inside.links.iter().filter(|own| own.peer == Some(link.index)).chain([link]);
    let down: Vec<String> = ends.filter(|end| !end.up).map(|end| end.name.clone()).collect();
    if down.is_empty() {
        question.pass(format!("{} on the machine", link.name))
    } else {
        // What is seen of a link tells more than how addnetwork ended: the report shows both.
        question.fail(format!("{} is down", down.join(" and ")))
    }
}

pub fn addresses(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let question =
        question.expects("one network with a different address at each end; each container ran alone");
    let mut question = question;
    let mut seen = Vec::new();
    for role in ["first", "online", "web"] {
        let Some(networks) = context.networks(role) else { continue };
        let Networks { machine, containers, .. } = &networks.value;
        let Some(inside) = containers.get(role) else { continue };
        if outside_links(inside, machine).is_empty() {
            continue;
        }
        question = question.proof(&networks.place);
        match ends(context, role, inside, machine) {
            Ok(own) => seen.push(own),
            Err(fault) => return question.fail(fault),
        }
    }
    if seen.is_empty() {
        return context.timeline.unmet(question, "3c/veth-pair", "no container is connected to the machine");
    }
    question.pass(seen.iter().map(|own| format!("{}/{}", own.ip, own.prefix)).collect::<Vec<_>>().join(", "))
}

/// The container's address, where it and the machine's fit together.
fn ends(
    context: &NetworkContext,
    role: &str,
    inside: &Network,
    machine: &Network,
) -> Result<Address, String> {
    let mut own = inside.links.iter().filter(|link| link.name != "lo").flat_map(|link| &link.addresses);
    let called = context.called(role);
    let Some(own) = own.next().copied() else { return Err(format!("the container {called} has no address")) };
    let Some(ours) = machine_end(inside, machine) else {
        return Err(format!("the machine has no address in the network of {}/{}", own.ip, own.prefix));
    };
    if ours.ip == own.ip {
        return Err(format!("both ends have the address {}", own.ip));
    }
    // The sample session gives .1 to the machine and .2 to the container. Other numbers are as
    // good, but these two have their places.
    let [machine, container] = [ours.ip, own.ip].map(|ip| ip.octets());
    if machine[..3] == container[..3] && (machine[3], container[3]) == (2, 1) {
        return Err(format!("the machine has {} and the container {called} {}", ours.ip, own.ip));
    }
    // With addresses of any other kind, such as two /32, packets must find their way.
    let fits = own.reaches(ours.ip) && ours.reaches(own.ip);
    let flows = [("machine", role), (role, "machine")].iter().all(|(from, to)| {
        let tried = context.tried(role, from, to);
        !tried.is_empty() && tried.iter().all(|seen| seen.value.reached())
    });
    if fits || flows {
        Ok(own)
    } else {
        Err(format!(
            "the machine has {}/{} and the container {called} {}/{}: not one network, and no packets get through",
            ours.ip, ours.prefix, own.ip, own.prefix
        ))
    }
}

pub fn loopback(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("lo is up, and the container reaches itself by 127.0.0.1");
    let networks = context.networks("first");
    let inside = networks.as_ref().and_then(|seen| seen.value.containers.get("first"));
    let (Some(networks), Some(inside)) = (&networks, inside) else {
        return context.timeline.missing(question, context.why_not("first", "first").unwrap_or_default());
    };
    if outside_links(inside, &networks.value.machine).is_empty() {
        return context.timeline.unmet(
            question,
            "3c/veth-pair",
            "the container is not connected to the machine",
        );
    }
    let lo = inside.links.iter().find(|link| link.name == "lo");
    if lo.is_none_or(|lo| !lo.up) {
        return context.fail(question, &["first"], "lo is down");
    }
    // Without a network of its own nothing else is tried.
    if context.tried("first", "first", "itself").is_empty() {
        return question.pass("lo is up");
    }
    context.ways(question, "first", &[("first", "itself")], true, "the container answers on 127.0.0.1")
}

pub fn both_ways(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("ping and TCP, from the machine to the container and back");
    if let Some(why) = context.why_not("first", "first") {
        return context.timeline.missing(question, why);
    }
    if context.tried("first", "first", "machine").is_empty() {
        return context.timeline.unmet(
            question,
            "3c/addresses",
            "the machine has no address in the container's network",
        );
    }
    let ways = [("machine", "first"), ("first", "machine")];
    context.ways(question, "first", &ways, true, "both answer each other")
}

pub fn seen_on_outside(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let name = context.timeline.plan::<NetworkPlan>().map_or_else(String::new, |plan| plan.first);
    let question = question.expects(format!("the container's pings pass an interface {name}-outside"));
    if let Some(why) = context.why_not("first", "first") {
        return context.timeline.missing(question, why);
    }
    let Some(sniffed) = context.timeline.at::<Sniffed>("sniffed", "first") else {
        return context
            .timeline
            .missing(question, "not reached: the harness did not listen on the interface");
    };
    let question = question.proof(&sniffed.place);
    match sniffed.value.icmp {
        None => question.fail("the machine has no interface of that name"),
        Some(0) => question.fail("no ping was seen there"),
        Some(count) => question.pass(format!("{count} pings were seen")),
    }
}
