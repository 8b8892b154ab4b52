//! What `stop` leaves of the container that has a network, a port and a peer: for `3a/stop-cleans-
//! up` and `3a/stop-removes-rules`.

use super::{NetworkLeft, Reach, STOP_SCENARIO};
use crate::evidence::Bundle;
use crate::task::task3::run::{Left, remains};
use crate::task::task3::shared::timeline::{Seen, Timeline};

/// What is left of it beside its network.
pub fn left(bundle: &Bundle) -> Option<Seen<Left>> {
    Timeline::of(bundle.recordings.get(STOP_SCENARIO)?).at("left", "stop-web")
}

/// The firewall's rules of it, and where they were seen.
pub fn rules_of_exposed(bundle: &Bundle) -> Option<(Vec<String>, String)> {
    let timeline = Timeline::of(bundle.recordings.get(STOP_SCENARIO)?);
    let left = timeline.at::<NetworkLeft>("network-left", "stop-web")?;
    Some((left.value.rules, left.place))
}

/// What `stop` left of it: one phrase each, and where it was seen. `None` where
/// there was no such container.
pub fn left_of_exposed(bundle: &Bundle) -> Option<(Vec<String>, Vec<String>)> {
    let timeline = Timeline::of(bundle.recordings.get(STOP_SCENARIO)?);
    let left = timeline.at::<Left>("left", "stop-web")?;
    let mut words = remains(&left.value);
    let mut places = vec![left.place];
    if let Some(network) = timeline.at::<NetworkLeft>("network-left", "stop-web") {
        let NetworkLeft { links, listening, .. } = &network.value;
        if !links.is_empty() {
            words.push(format!("interfaces: {}", links.join(", ")));
        }
        if let Some(port) = listening {
            words.push(format!("a program still listens on port {port} of the machine, which `-e` opened"));
        }
        places.push(network.place);
    }
    let reaches: Vec<Seen<Reach>> = timeline.all("reach");
    let worked = |step: &str, from: &str, to: &str| {
        reaches.iter().any(|seen| {
            let reach = &seen.value;
            (reach.step.as_str(), reach.from.as_str(), reach.to.as_str()) == (step, from, to)
                && reach.reached()
        })
    };
    for (from, to) in [("store", "internet"), ("machine", "store"), ("machine", "plain"), ("plain", "quiet")]
    {
        if worked("peer", from, to) && !worked("after-stop", from, to) {
            words.push(format!("stop broke another container: {from} can no longer reach {to}"));
        }
    }
    Some((words, places))
}
