//! Subtask 3c: how are containers connected, and who reached whom?

use super::link::{addresses, both_ways, loopback, seen_on_outside, veth_pair};
use super::peers::{isolated, peer};
use super::plan::NetworkPlan;
use super::two::two_containers;
use super::{Networks, Reach, STOP_SCENARIO, packages};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Seen, Timeline, quote};
use crate::task::task3::shared::view::ContainerView;
use crate::verdict::{Finding, Status};

const DEFAULT: &str = "It should be noted that only communication between eg-outside and eg-inside is possible. That \
                       implies that an application running inside a container eg will not be able to access the \
                       Internet (end points beyond-outside.)";
const VETH: &str = "you need to add a veth link connecting the container's network namespace to the root (host) \
                    namespace. Moreover the interfaces should be enabled for its proper usage.";

pub const CHECKS: [CheckSpec; 13] = [
    CheckSpec {
        id: "3c/veth-pair",
        title: "a pair of interfaces, both up",
        requirement: VETH,
        hint: "`ip -d link` on the machine and in the container: which interfaces are each other's peers (name@ifN), \
               and is each of them UP?",
        informational: false,
    },
    CheckSpec {
        id: "3c/addresses",
        title: "addresses of one network at both ends",
        requirement: "eg-inside: inet 192.168.1.2/24, eg-outside: inet 192.168.1.1/24",
        hint: "Compare `ip addr` at both ends: are both addresses in one network?",
        informational: false,
    },
    CheckSpec {
        id: "3c/two-containers",
        title: "a second container",
        requirement: "Network path between container and host [for each container that is run]",
        hint: "Run two containers and call addnetwork for both: `ip addr` and `ip route` on the machine.",
        informational: false,
    },
    CheckSpec {
        id: "3c/loopback-up",
        title: "the container's loopback",
        requirement: "1: lo: <LOOPBACK,UP,LOWER_UP> inet 127.0.0.1/8 scope host lo",
        hint: "In a new network namespace lo is down.",
        informational: false,
    },
    CheckSpec {
        id: "3c/ping-both-ways",
        title: "between the container and the machine",
        requirement: "Network path between container and host",
        hint: "Ping the machine's end from the container and the container's end from the machine.",
        informational: false,
    },
    CheckSpec {
        id: "3c/no-internet-by-default",
        title: "no Internet without -i",
        requirement: DEFAULT,
        hint: "Which routes does a container have without -i, and whose packets does the machine translate?",
        informational: false,
    },
    CheckSpec {
        id: "3c/internet",
        title: "Internet with -i",
        requirement: "If the option -i or --internet is specified the script should allow for the applications \
                      running inside the container to access the Internet.",
        hint: "A default route in the container, forwarding on the machine, a rule that lets the packets through in \
               both directions, and address translation: which one is missing?",
        informational: false,
    },
    packages::CHECK,
    CheckSpec {
        id: "3c/expose",
        title: "the exposed port",
        requirement: "You can use the --expose or -e option to make a port available to services outside of the \
                      container. This creates a rule in the host, mapping a container port to a port on the host to \
                      the outside world.",
        hint: "Connections of other machines and the machine's own pass through different chains of the nat table.",
        informational: false,
    },
    CheckSpec {
        id: "3c/not-exposed-otherwise",
        title: "no other port is open",
        requirement: "exposing services deployed inside containers is still not possible (Basically, if you deploy a \
                      server or anything inside the container it will not be accessible outside the host)",
        hint: "To which ports and protocols does the rule that maps the port apply?",
        informational: false,
    },
    CheckSpec {
        id: "3c/isolated-by-default",
        title: "containers are apart",
        requirement: "By default our conductor isolates the container so that no inter-container communication is \
                      possible.",
        hint: "Which of your rules let packets through that come from one container's interface and go to another's?",
        informational: false,
    },
    CheckSpec {
        id: "3c/peer",
        title: "peers reach each other, and nobody else",
        requirement: "peer: This function allows two containers to communicate with each other.",
        hint: "A way is needed in both directions, and for these two only.",
        informational: false,
    },
    CheckSpec {
        id: "3c/seen-on-outside",
        title: "pings are seen on NAME-outside",
        requirement: "eg-outside: the machine's end of the link",
        hint: "`tcpdump -i eg-outside icmp` on the machine, while the container pings it.",
        informational: true,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, STOP_SCENARIO, &CHECKS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    if timeline.plan::<NetworkPlan>().is_none() {
        let older = |spec: &CheckSpec| {
            Question::new(spec.id, "a network")
                .error("the evidence is older than this check: grade the submission again")
        };
        return CHECKS.iter().map(older).collect();
    }
    let context = NetworkContext { reaches: timeline.all("reach"), timeline };
    let veth = veth_pair(&context);
    let both_ways = both_ways(&context);
    let addresses = addresses(&context);
    let internet = internet(&context);
    let expose = expose(&context);
    let packages = packages::packages(bundle, &internet);
    let two = two_containers(&context, &veth, &internet, &expose);
    let isolated = isolated(&context, &two);
    let peer = peer(&context, &two, &isolated);
    vec![
        veth,
        addresses,
        loopback(&context),
        both_ways,
        no_internet(&context, &two),
        internet,
        packages,
        expose,
        not_exposed(&context, &two),
        two,
        isolated,
        peer,
        seen_on_outside(&context),
    ]
}

pub struct NetworkContext<'a> {
    pub timeline: Timeline<'a>,
    reaches: Vec<Seen<Reach>>,
}

impl NetworkContext<'_> {
    /// The networks at a step.
    pub fn networks(&self, step: &str) -> Option<Seen<Networks>> {
        self.timeline.at("networks", step)
    }

    /// Why a container of this role has no network that could be tried at a step.
    pub fn why_not(&self, role: &str, step: &str) -> Option<String> {
        if let Some(why) = self.timeline.why_unbuilt() {
            return Some(format!("no image: {why}"));
        }
        if self.timeline.at::<ContainerView>("container", role).is_none() {
            return Some(format!("no container: {}", self.timeline.why_absent(role)));
        }
        let connected = self.networks(step).and_then(|seen| seen.value.containers.get(role)?.address());
        if connected.is_some() {
            return None;
        }
        let command = self.timeline.at::<Command>("command", &format!("addnetwork-{role}"));
        Some(command.map_or_else(
            || "addnetwork was not reached".to_owned(),
            |seen| {
                format!(
                    "{} and the container has no address{}",
                    seen.value.ending(),
                    quote(&seen.value.screen)
                )
            },
        ))
    }

    pub fn tried(&self, step: &str, from: &str, to: &str) -> Vec<&Seen<Reach>> {
        let mine = |seen: &&Seen<Reach>| {
            let reach = &seen.value;
            reach.step == step && reach.from == from && reach.to == to
        };
        self.reaches.iter().filter(mine).collect()
    }

    /// A place in words: a container by its name and by how it was connected.
    pub fn called(&self, place: &str) -> String {
        let words = match place {
            "machine" => "the machine",
            "lan" => "another machine",
            "internet" => "a server in the Internet",
            "exposed" => "its exposed port",
            "other-port" => "another port of the machine",
            "itself" => "itself",
            role => {
                let name = self
                    .timeline
                    .plan::<NetworkPlan>()
                    .map_or_else(|| role.to_owned(), |plan| plan.name(role).to_owned());
                return match role {
                    "web" => format!("{name} (-i -e)"),
                    "online" | "store" => format!("{name} (-i)"),
                    _ => name,
                };
            }
        };
        words.to_owned()
    }

    /// Every way of `ways` must have been tried and must have led through, or not.
    pub fn ways(
        &self,
        question: Question,
        step: &str,
        ways: &[(&str, &str)],
        open: bool,
        well: &str,
    ) -> Finding {
        let mut question = question;
        for (from, to) in ways {
            let tried = self.tried(step, from, to);
            if tried.is_empty() {
                let (from, to) = (self.called(from), self.called(to));
                return self.timeline.missing(question, format!("from {from} to {to} was not tried"));
            }
            for seen in tried {
                let reach = &seen.value;
                if reach.reached() != open {
                    let how = match &reach.answer {
                        _ if !open => "was answered".to_owned(),
                        answer => answer
                            .line
                            .as_ref()
                            .map(|line| format!("was answered by someone else: {line:?}"))
                            .or_else(|| answer.error.clone())
                            .unwrap_or_default(),
                    };
                    return question.proof(&seen.place).fail(format!(
                        "{} to {} ({} {}): {how}",
                        self.called(from),
                        self.called(to),
                        if reach.by == "ping" { "ping of" } else { "TCP to" },
                        reach.address
                    ));
                }
                question = question.proof(&seen.place);
            }
        }
        question.pass(well)
    }
}

/// With others connected too, where two can be connected at all.
fn no_internet(context: &NetworkContext, two: &Finding) -> Finding {
    let question =
        Question::new("3c/no-internet-by-default", "a container without -i reaches nothing in the Internet");
    if let Some(why) = context.why_not("first", "first") {
        return context.timeline.missing(question, why);
    }
    let well = "it reaches nothing there, even where the machine forwards all packets";
    let mut last = question.clone().skip("it was not tried");
    let beside = two.status == Status::Pass && context.why_not("plain", "connected").is_none();
    for (step, role) in
        [("first", "first"), ("first-open", "first"), ("connected", "plain"), ("open", "plain")]
    {
        if role == "plain" && !beside {
            continue;
        }
        last = context.ways(question.clone(), step, &[(role, "internet")], false, well);
        if last.status != Status::Pass {
            if last.status == Status::Fail && step.ends_with("open") {
                last.actual += ", once the machine's FORWARD policy was ACCEPT: that policy alone must not isolate the container";
            }
            return last;
        }
    }
    last
}

fn internet(context: &NetworkContext) -> Finding {
    let question = Question::new("3c/internet", "a container with -i reaches a server in the Internet");
    if let Some(why) = context.why_not("online", "online") {
        return context.timeline.missing(question, why);
    }
    context.ways(question, "online", &[("online", "internet")], true, "the Internet answers")
}

/// From another machine, and from the machine itself by its own address.
const EXPOSED: [(&str, &str); 2] = [("lan", "exposed"), ("machine", "exposed")];

fn expose(context: &NetworkContext) -> Finding {
    let plan = context.timeline.plan::<NetworkPlan>();
    let (inner, outer) = plan.map_or((0, 0), |plan| (plan.inner, plan.outer));
    let question = Question::new(
        "3c/expose",
        format!(
            "port {outer} of the machine leads to port {inner} of the container, from the LAN and from the machine"
        ),
    );
    if let Some(why) = context.why_not("web", "web") {
        return context.timeline.missing(question, why);
    }
    context.ways(question, "web", &EXPOSED, true, "the container answers both")
}

fn not_exposed(context: &NetworkContext, two: &Finding) -> Finding {
    let question =
        Question::new("3c/not-exposed-otherwise", "no other port of the machine leads to a container");
    if let Some(why) = context.why_not("web", "web") {
        return context.timeline.missing(question, why);
    }
    let ways = [("lan", "other-port"), ("machine", "other-port")];
    let alone = context.ways(question.clone(), "web", &ways, false, "nobody answers there");
    if alone.status != Status::Pass || two.status != Status::Pass {
        return alone;
    }
    context.ways(question, "connected", &ways, false, "nobody answers there")
}
