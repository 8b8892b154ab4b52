//! Judges 3c between containers: isolated by default, connected as peers.

use super::judge::NetworkContext;
use super::two::each_works;
use crate::task::check::Verdicts;
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

pub fn isolated(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("no container reaches another one");
    let ways = match connected(context, &[&PEERS[..], &APART].concat()) {
        Ok(ways) => ways,
        Err(why) => return context.timeline.missing(question, why),
    };
    if !verdicts.passed("3c/two-containers") && !each_works(context) {
        return context.timeline.unmet(question, "3c/two-containers", "");
    }
    context.ways(question, "connected", &ways, false, "no container reaches another one")
}

/// Where containers are not isolated by default, only the two peers are judged:
/// 3c/isolated-by-default covers the rest.
pub fn peer(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let apart = verdicts.passed("3c/isolated-by-default");
    let question = question.expects(if apart {
        "peers reach each other, and a third container reaches neither"
    } else {
        "peers reach each other"
    });
    let ways = match connected(context, &PEERS) {
        Ok(ways) => ways,
        Err(why) => return context.timeline.missing(question, why),
    };
    if !verdicts.passed("3c/two-containers") && !each_works(context) {
        return context.timeline.unmet(question, "3c/two-containers", "");
    }
    let both = context.ways(question.clone(), "peer", &ways, true, "peers reach each other");
    if both.status == Status::Fail {
        return context.with_complaint(both, &["peer", "peer-plain"].map(str::to_owned));
    }
    if both.status != Status::Pass || !apart {
        return both;
    }
    match connected(context, &APART) {
        Ok(third) => context.ways(
            question,
            "peer",
            &third,
            false,
            "peers reach each other, and the other containers reach neither",
        ),
        Err(_) => both,
    }
}
