//! Subtask 3c, containers among themselves: apart by default, together as peers.

use super::judge::NetworkContext;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

/// All ways between containers of which none is a peer of the other.
const APART: [(&str, &str); 8] = [
    ("plain", "web"),
    ("plain", "store"),
    ("quiet", "web"),
    ("quiet", "store"),
    ("web", "plain"),
    ("web", "quiet"),
    ("store", "plain"),
    ("store", "quiet"),
];

/// All ways between those that become peers: two with Internet, and two without.
const PEERS: [(&str, &str); 4] = [("web", "store"), ("store", "web"), ("plain", "quiet"), ("quiet", "plain")];

/// Those of `ways` whose two ends are connected, or why there is none.
fn connected(
    context: &NetworkContext,
    ways: &[(&'static str, &'static str)],
) -> Result<Vec<(&'static str, &'static str)>, String> {
    let why_not = |(from, to): &(&str, &str)| {
        context.why_not(from, "connected").or_else(|| context.why_not(to, "connected"))
    };
    let usable: Vec<_> = ways.iter().filter(|way| why_not(way).is_none()).copied().collect();
    if usable.is_empty() { Err(ways.iter().find_map(why_not).unwrap_or_default()) } else { Ok(usable) }
}

const NEEDS_TWO: &str = "this check needs two containers with networks of their own: see 3c/two-containers";

pub fn isolated(context: &NetworkContext, two: &Finding) -> Finding {
    let question = Question::new("3c/isolated-by-default", "no container reaches another one");
    let ways = match connected(context, &[&PEERS[..], &APART].concat()) {
        Ok(ways) => ways,
        Err(why) => return context.timeline.missing(question, why),
    };
    if two.status != Status::Pass {
        return context.timeline.missing(question, NEEDS_TWO);
    }
    context.ways(question, "connected", &ways, false, "no container gets through to another")
}

/// Where containers are not apart by default, peers are asked about alone: the others are told of there.
pub fn peer(context: &NetworkContext, two: &Finding, isolated: &Finding) -> Finding {
    let apart = isolated.status == Status::Pass;
    let question = Question::new(
        "3c/peer",
        if apart {
            "peers reach each other, and a third container reaches neither"
        } else {
            "peers reach each other"
        },
    );
    let ways = match connected(context, &PEERS) {
        Ok(ways) => ways,
        Err(why) => return context.timeline.missing(question, why),
    };
    if two.status != Status::Pass {
        return context.timeline.missing(question, NEEDS_TWO);
    }
    let both = context.ways(question.clone(), "peer", &ways, true, "both ways");
    if both.status != Status::Pass || !apart {
        return both;
    }
    match connected(context, &APART) {
        Ok(third) => context.ways(question, "peer", &third, false, "both ways, and the others stay out"),
        Err(_) => both,
    }
}
