//! 2c: every process of the container is under a cap of 50 % of one core, from its first instruction to its end.

use super::timeline::{Moment, Round, ScriptTimeline, When};
use super::{filesystem, isolation, script};
use crate::evidence::Bundle;
use crate::evidence::cgroup::{self, Group};
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

/// What is asked for, in cores.
const HALF: f64 = 0.5;
/// Two quotas that differ by less are the same.
const TOLERANCE: f64 = 0.005;

const QUOTA: &str = "In this subtask, you are required to set the utilization limit to 50% of single core and not 50% \
                     utilization limit of all cores.";

const SNAPSHOT: &str = include_str!("../../../../snapshots/task2c.snap");

/// What is checked.
pub static CHECKS: [CheckSpec; 7] = [
    CheckSpec {
        id: "2c/cpu-quota",
        title: "50 % of one core",
        requirement: QUOTA,
        hint: "While it runs, read cpu.max of every group on the path in /proc/PID/cgroup. Is the file there in each \
               of them, and what do quota and period make together?",
        informational: false,
    },
    CheckSpec {
        id: "2c/processes-in-cgroup",
        title: "every process of the container, all the time",
        requirement: "This cgroup should be assigned to all processes running within the container.",
        hint: "A process is born in the group of the process that creates it. Who has to be in the group, and when, \
               so that nothing of the container ever runs outside?",
        informational: false,
    },
    CheckSpec {
        id: "2c/throttled",
        title: "the cap is felt",
        requirement: "create a new cgroup that restricts the maximum CPU utilization to 50%",
        hint: "nr_throttled in cpu.stat of the group counts the periods in which it was stopped; the benchmark should \
               take about twice the time of 2b.",
        informational: false,
    },
    CheckSpec {
        id: "2c/namespaces",
        title: "PID and UTS namespaces as in 2b",
        requirement: "Output Subtask 2c: Process PID: 1, Child Process PID: 2",
        hint: "2c adds to 2b: compare /proc/PID/ns of container_prog with those of your shell.",
        informational: false,
    },
    CheckSpec {
        id: "2c/root-isolated",
        title: "the same root directory as in 2a",
        requirement: "Output Subtask 2c: Files/Directories in root directory: lib64, container_prog, ., .., lib",
        hint: "2c adds to 2b, which adds to 2a: compare `ls -di /` with `ls -di /proc/PID/root/.` of container_prog \
               while it runs.",
        informational: false,
    },
    CheckSpec {
        id: "2c/transcript",
        title: "output as shown",
        requirement: "Output Subtask 2c: Process PID: 1, Child Process PID: 2, …, Computation Benchmark, Time Taken, \
                      Value",
        hint: "Lines with `-` are missing or in another place. Extra lines, with `+`, cost no marks. Does \
               container_prog run to its end?",
        informational: false,
    },
    CheckSpec {
        id: "2c/cgroup-removed",
        title: "the cgroup is removed",
        requirement: "Read comments and fill in commands at marked portions in simple-container.sh script.",
        hint: "A group can be removed when no process is in it and no group is below it: who is still in it?",
        informational: false,
    },
];

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match ScriptTimeline::open(bundle, &CHECKS) {
        Ok(timeline) => timeline,
        Err(findings) => return findings,
    };
    let Some(round) = &timeline.rounds[2] else {
        let missing =
            format!("container_prog was not run in 2c; {}{}", timeline.fate(), timeline.complaint(2));
        let skip = |check| Question::new(check, "container_prog runs as subtask3").skip(&missing);
        return vec![
            skip("2c/cpu-quota"),
            skip("2c/processes-in-cgroup"),
            skip("2c/throttled"),
            skip("2c/namespaces"),
            skip("2c/root-isolated"),
            script::judge(&timeline, 2, "2c/transcript", SNAPSHOT, false),
            removed(&timeline, None),
        ];
    };
    let quota = quota(&timeline, round);
    let members = members(&timeline, round);
    let throttled = throttled(&timeline, round, &quota, &members);
    let namespaces = namespaces(&timeline, round);
    let root = filesystem::root_isolated(&timeline, Some(round), "2c/root-isolated");
    let facts = [&namespaces, &root].iter().all(|finding| finding.status == Status::Pass);
    let transcript = script::judge(&timeline, 2, "2c/transcript", SNAPSHOT, facts);
    vec![quota, members, throttled, namespaces, root, transcript, removed(&timeline, Some(round))]
}

fn percent(cores: f64) -> String {
    format!("{:.0} % of one core", cores * 100.0)
}

/// The tightest cap that any process of the container ever was under.
fn tightest(round: &Round) -> Option<(&Moment, f64, &str)> {
    let caps = round.moments.iter().filter_map(|moment| {
        let (cores, group) = moment.cap()?;
        Some((moment, cores, group))
    });
    caps.min_by(|one, other| one.1.total_cmp(&other.1))
}

fn quota(timeline: &ScriptTimeline, round: &Round) -> Finding {
    let question = Question::new("2c/cpu-quota", format!("a tightest cap of {}", percent(HALF)));
    let Some((moment, cores, group)) = tightest(round) else {
        let first = &round.moments[0];
        let missing = first.limits.iter().find(|limit| limit.cpu_max.is_none());
        let seen = missing.map_or_else(
            || format!("no cap on container_prog's cgroup {} or above it", first.cgroup),
            |limit| {
                format!(
                    "no cap: container_prog's cgroup is {}, and {} has no cpu.max",
                    first.cgroup, limit.group
                )
            },
        );
        return question.proof(timeline.proof(round.record)).fail(seen + &timeline.refused_write());
    };
    let limit = moment.limits.iter().find(|limit| limit.group == group);
    let file = limit.and_then(|limit| limit.cpu_max.clone()).unwrap_or_default();
    question.proof(timeline.proof(moment.record)).answer(
        (cores - HALF).abs() < TOLERANCE,
        format!("cpu.max of {group} is `{file}`, {}", percent(cores)),
    )
}

fn members(timeline: &ScriptTimeline, round: &Round) -> Finding {
    let question = Question::new(
        "2c/processes-in-cgroup",
        "every process of the container under the same cap, from its first instruction to its end",
    );
    let Some((_, cap, group)) = tightest(round) else {
        let first = &round.moments[0];
        let elsewhere =
            timeline.limits.iter().find(|limit| limit.cpu_max.as_deref().and_then(cgroup::cores).is_some());
        return match elsewhere {
            Some(limit) => question.proof(timeline.proof(first.record)).fail(format!(
                "the cap is on {}; process {} of the container ran in {}",
                limit.group, first.pid, first.cgroup
            )),
            None => question.skip("no group has a cap"),
        };
    };
    let loose = |moment: &&Moment| moment.cap().is_none_or(|(cores, _)| cores > cap + TOLERANCE);
    match round.moments.iter().find(loose) {
        None => question
            .proof(timeline.proof(round.record))
            .pass(format!("{} processes, all under the cap of {group} all the time", processes(round))),
        Some(moment) => {
            let when = match moment.when {
                When::First => "at its first instruction".to_owned(),
                When::Later => {
                    let start = timeline.recording.records[round.record].ms;
                    format!("{:.1} s after the start", moment.ms.saturating_sub(start) as f64 / 1000.0)
                }
                When::Last => "at its end".to_owned(),
            };
            let under = moment
                .cap()
                .map_or_else(|| "without a cap".to_owned(), |(cores, _)| format!("with {}", percent(cores)));
            question.proof(timeline.proof(moment.record)).fail(format!(
                "process {} was in {} {when}, {under}; the cap of {} is on {group}",
                moment.pid,
                moment.cgroup,
                percent(cap)
            ))
        }
    }
}

fn processes(round: &Round) -> usize {
    let mut pids: Vec<i32> = round.moments.iter().map(|moment| moment.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    pids.len()
}

fn throttled(timeline: &ScriptTimeline, round: &Round, quota: &Finding, members: &Finding) -> Finding {
    let question = Question::new("2c/throttled", "the group was stopped in some periods (nr_throttled grew)");
    if quota.status != Status::Pass || members.status != Status::Pass {
        return question.skip("the container was not under a cap of 50 % all the time");
    }
    let Some((_, _, group)) = tightest(round) else { return question.skip("no cap") };
    if round.computes_nothing() {
        return question
            .proof(timeline.proof(round.record))
            .pass("container_prog ran with subtask1, which computes nothing: the cap was there and had nothing to stop");
    }
    let count = |chain: &[Group]| {
        chain
            .iter()
            .find(|link| link.path == group)
            .map_or((0, 0), |link| (link.nr_throttled, link.throttled_usec))
    };
    let (before, after) = (count(&round.run.member.chain), count(&round.last_chain));
    let periods = after.0.saturating_sub(before.0);
    let seconds = after.1.saturating_sub(before.1) as f64 / 1e6;
    question.proof(timeline.proof(round.record)).answer(
        periods > 0,
        format!(
            "{group} was stopped in {periods} periods, for {seconds:.1} s in all{}",
            comparison(timeline)
        ),
    )
}

/// The benchmark's times side by side; they prove nothing, but they are what a person would look at.
fn comparison(timeline: &ScriptTimeline) -> String {
    let time = |subtask: usize| {
        timeline.lines(subtask).iter().find_map(|line| {
            line.strip_prefix("Time Taken: ")?.strip_suffix(" ms")?.parse::<f64>().ok().map(|time| time / 1e6)
        })
    };
    match (time(1), time(2)) {
        (Some(free), Some(capped)) => format!("; the benchmark took {capped:.1} s, in 2b {free:.1} s"),
        _ => String::new(),
    }
}

fn namespaces(timeline: &ScriptTimeline, round: &Round) -> Finding {
    let mut finding = isolation::pid_namespace(timeline, round, "2c/namespaces");
    "container_prog is PID 1 of a new PID namespace, in a new UTS namespace"
        .clone_into(&mut finding.expected);
    let namespaces = &round.process().namespaces;
    if namespaces.uts == timeline.machine.namespaces.uts {
        finding.status = Status::Fail;
        finding.actual += "; it was in the machine's own UTS namespace";
    }
    if namespaces.ipc != timeline.machine.namespaces.ipc {
        finding.actual += "; it also had an IPC namespace of its own";
    }
    finding
}

fn removed(timeline: &ScriptTimeline, round: Option<&Round>) -> Finding {
    let question = Question::new("2c/cgroup-removed", "no group of the script is left after it");
    let Some(groups) = &timeline.groups else { return question.skip(timeline.fate()) };
    // systemd makes and removes groups of its own meanwhile; they count where the container was in them.
    let homes: Vec<&str> = round.map_or_else(Vec::new, |round| {
        round.moments.iter().flat_map(|moment| &moment.limits).map(|limit| limit.group.as_str()).collect()
    });
    let is_scripts = |group: &&String| {
        let unit = group
            .split('/')
            .any(|part| [".slice", ".scope", ".service"].iter().any(|kind| part.ends_with(kind)));
        !unit || homes.contains(&group.as_str())
    };
    let created: Vec<&String> = groups.created.iter().filter(is_scripts).collect();
    let left: Vec<&str> = groups.left.iter().filter(is_scripts).map(String::as_str).collect();
    if created.is_empty() {
        question.skip("the script made no cgroup")
    } else if left.is_empty() {
        question.pass(format!("{} made and removed", created.len()))
    } else {
        question.fail(format!("still there after the script's end: {}", left.join(", ")))
    }
}
