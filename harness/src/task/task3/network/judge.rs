//! Judges 3c: the Internet, exposed ports, and the context that all checks of 3c share.

use super::checks::ROWS;
use super::plan::NetworkPlan;
use super::{Networks, Reach, STOP_SCENARIO};
use crate::evidence::Bundle;
use crate::task::check::{self, Verdicts};
use crate::task::finding::{OLDER, Question};
use crate::task::session;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Seen, Timeline, quote};
use crate::task::task3::shared::view::ContainerView;
use crate::verdict::{Finding, Status};

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, STOP_SCENARIO, &ROWS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    if timeline.plan::<NetworkPlan>().is_none() {
        return check::all(&ROWS, |question| question.expects("a network").error(OLDER));
    }
    let context = NetworkContext { bundle, reaches: timeline.all("reach"), timeline };
    check::judge(&ROWS, |judge, question, verdicts| judge(&context, question, verdicts))
}

/// The sample session, which decides no marks.
pub fn as_shown(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(context.timeline.recording(), question, verdicts)
}

pub struct NetworkContext<'a> {
    pub bundle: &'a Bundle,
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

    /// Fails a question about these places, and says so where `addnetwork` of a container among
    /// them did not succeed.
    pub fn fail(&self, question: Question, places: &[&str], what: impl Into<String>) -> Finding {
        let roles = places.iter().map(|place| if *place == "exposed" { "web" } else { place });
        let steps: Vec<String> = roles.map(|role| format!("addnetwork-{role}")).collect();
        self.with_complaint(question.fail(what), &steps)
    }

    /// A finding that also tells how the first of these steps ended that did not succeed: what the
    /// command did not reach is often what is missing.
    pub fn with_complaint(&self, mut finding: Finding, steps: &[String]) -> Finding {
        let mut commands = steps.iter().filter_map(|step| self.timeline.at::<Command>("command", step));
        if let Some(Seen { place, value }) = commands.find(|seen| !seen.value.succeeded()) {
            let said = ["; ", &value.ending(), &quote(&value.screen)].concat();
            finding.actual.push_str(&said);
            finding.evidence.push(place);
        }
        finding
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
                return self.timeline.missing(question, format!("not reached: {from} to {to} was not tried"));
            }
            for seen in tried {
                let reach = &seen.value;
                if reach.reached() != open {
                    let how = match &reach.answer {
                        _ if !open => "was answered".to_owned(),
                        answer => answer
                            .line
                            .as_ref()
                            .map(|line| format!("another server answered: {line:?}"))
                            .or_else(|| answer.error.clone())
                            .unwrap_or_default(),
                    };
                    let what = format!(
                        "{} to {} ({} {}): {how}",
                        self.called(from),
                        self.called(to),
                        match reach.by.as_str() {
                            "ping" => "ping of",
                            "udp" => "UDP to",
                            "dns" => "DNS query to",
                            _ => "TCP to",
                        },
                        reach.address
                    );
                    return self.fail(question.proof(&seen.place), &[from, to], what);
                }
                question = question.proof(&seen.place);
            }
        }
        question.pass(well)
    }
}

/// With others connected too, where two can be connected at all.
pub fn no_internet(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("a container without -i reaches no server in the Internet");
    if let Some(why) = context.why_not("first", "first") {
        return context.timeline.missing(question, why);
    }
    let well = "the container reaches no server, even when the machine forwards all packets";
    let mut last = question.clone().skip("it was not tried");
    let beside = verdicts.passed("3c/two-containers") && context.why_not("plain", "connected").is_none();
    for (step, role) in
        [("first", "first"), ("first-open", "first"), ("connected", "plain"), ("open", "plain")]
    {
        if role == "plain" && !beside {
            continue;
        }
        last = context.ways(question.clone(), step, &[(role, "internet")], false, well);
        if last.status != Status::Pass {
            if last.status == Status::Fail && step.ends_with("open") {
                last.actual += "; this happened with the machine's FORWARD policy ACCEPT. The tool's own rules must isolate the container, not the policy DROP alone";
            }
            return last;
        }
    }
    last
}

pub fn internet(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a container with -i reaches a server in the Internet");
    if let Some(why) = context.why_not("online", "online") {
        return context.timeline.missing(question, why);
    }
    context.ways(question, "online", &[("online", "internet")], true, "the server answers")
}

/// From another machine, and from the machine itself by its own address.
const EXPOSED: [(&str, &str); 2] = [("lan", "exposed"), ("machine", "exposed")];

pub fn expose(context: &NetworkContext, question: Question, _: &Verdicts) -> Finding {
    let plan = context.timeline.plan::<NetworkPlan>();
    let (inner, outer) = plan.map_or((0, 0), |plan| (plan.inner, plan.outer));
    let question = question.expects(format!(
            "port {outer} of the machine leads to port {inner} of the container, from the LAN and from the machine"
        ),
    );
    if let Some(why) = context.why_not("web", "web") {
        return context.timeline.missing(question, why);
    }
    context.ways(question, "web", &EXPOSED, true, "the container answers both machines")
}

pub fn not_exposed(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("no other port of the machine leads to a container");
    if let Some(why) = context.why_not("web", "web") {
        return context.timeline.missing(question, why);
    }
    let ways = [("lan", "other-port"), ("machine", "other-port")];
    let alone = context.ways(question.clone(), "web", &ways, false, "no other port answers over TCP");
    if alone.status != Status::Pass || !verdicts.passed("3c/two-containers") {
        return alone;
    }
    context.ways(question, "connected", &ways, false, "no other port answers over TCP")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::evidence::{Ending, Record, Recording};
    use crate::verdict::{Environment, SubmissionInfo};

    fn judged(status: i32) -> Finding {
        let argv = ["./conductor.sh", "addnetwork", "eg"];
        let command = json!({ "step": "addnetwork-web", "argv": argv, "end": { "status": status }, "stopped": null,
            "seconds": 1.0, "screen": "Error: Nexthop has invalid gateway.\r\n" });
        let record = Record { ms: 0, host_ms: None, kind: "command".to_owned(), data: command };
        let recording = Recording {
            scenario: STOP_SCENARIO.to_owned(),
            plan: serde_json::Value::Null,
            ending: Ending::Finished,
            seconds: 0.0,
            records: vec![record],
        };
        let bundle = Bundle {
            submission: SubmissionInfo { id: String::new(), source: String::new(), sha256: String::new() },
            environment: Environment::default(),
            subtasks: vec![],
            layout: serde_json::Value::Null,
            recordings: BTreeMap::new(),
        };
        let context =
            NetworkContext { bundle: &bundle, timeline: Timeline::of(&recording), reaches: Vec::new() };
        context.fail(Question::of(&ROWS[0].check), &["lan", "exposed"], "no answer")
    }

    #[test]
    fn a_failure_tells_what_addnetwork_said_where_it_did_not_succeed() {
        let told = "no answer; `./conductor.sh addnetwork eg` ended with status 2; its terminal showed: Error: Nexthop has \
             invalid gateway.";
        assert_eq!(judged(2).actual, told);
        assert_eq!(judged(2).evidence.len(), 1);
        assert_eq!(judged(0).actual, "no answer");
    }
}
