//! 2c: every process of the container must be limited to 50 % of one core, from its first
//! instruction to its end.

use super::checks::ROWS_2C;
use super::timeline::{Moment, Round, ScriptTimeline, When};
use super::{filesystem, isolation, script};
use crate::evidence::Bundle;
use crate::evidence::cgroup::{self, Group};
use crate::task::as_shown;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

/// What is asked for, in cores.
const HALF: f64 = 0.5;
/// Two quotas that differ by less are the same.
const TOLERANCE: f64 = 0.005;

/// One finding per check.
pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    match ScriptTimeline::open(bundle, &ROWS_2C) {
        Ok(timeline) => {
            check::judge(&ROWS_2C, |judge, question, verdicts| judge(&timeline, question, verdicts))
        }
        Err(findings) => findings,
    }
}

/// 2c's own run, or the finding that there was none.
fn round<'a>(timeline: &'a ScriptTimeline, question: &Question) -> Result<&'a Round, Finding> {
    timeline.rounds[2].as_ref().ok_or_else(|| {
        question.clone().expects("container_prog runs as subtask3").skip(format!(
            "container_prog was not run in 2c; {}{}",
            timeline.fate(),
            timeline.complaint(2)
        ))
    })
}

pub fn root_isolated(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    match round(timeline, &question) {
        Ok(round) => filesystem::root_of(timeline, Some(round), question),
        Err(skipped) => skipped,
    }
}

pub fn transcript(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    script::judge(timeline, 2, question, as_shown::TASK_2C, verdicts)
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

pub fn quota(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let round = match round(timeline, &question) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let question = question.expects(format!("the tightest CPU limit is {}", percent(HALF)));
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

pub fn members(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let round = match round(timeline, &question) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let question = question.expects(
        "every process of the container is under the same limit from its first instruction to its end",
    );
    let Some((_, cap, group)) = tightest(round) else {
        let first = &round.moments[0];
        let elsewhere =
            timeline.limits.iter().find(|limit| limit.cpu_max.as_deref().and_then(cgroup::cores).is_some());
        return match elsewhere {
            Some(limit) => question.proof(timeline.proof(first.record)).fail(format!(
                "the cap is on {}; process {} of the container ran in {}{}",
                limit.group,
                first.pid,
                first.cgroup,
                timeline.inside(&[&limit.group])
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

pub fn throttled(timeline: &ScriptTimeline, question: Question, verdicts: &Verdicts) -> Finding {
    let round = match round(timeline, &question) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let question = question.expects("the kernel throttled the group in some periods (nr_throttled grew)");
    if let Some(needed) = verdicts.unmet() {
        return question.unmet(needed, "");
    }
    let Some((_, _, group)) = tightest(round) else { return question.skip("no cap") };
    if round.computes_nothing() {
        return question
            .proof(timeline.proof(round.record))
            .pass("container_prog ran with the argument subtask1, which computes nothing, so the limit had nothing to throttle");
    }
    let count = |chain: &[Group]| {
        chain
            .iter()
            .find(|link| link.path == group)
            .map_or((0, 0), |link| (link.nr_throttled, link.throttled_usec))
    };
    let (before, after) = (count(&round.run.member.chain), count(&round.last_chain));
    let periods = after.0.saturating_sub(before.0);
    if periods == 0
        && let Some(used) = use_below_quota(&round.run.member.chain, &round.last_chain, group)
    {
        return question.proof(timeline.proof(round.record)).pass(format!(
            "{group} used {used:.1} s of CPU time, less than the quota of one period, so the limit had nothing to throttle"
        ));
    }
    let seconds = after.1.saturating_sub(before.1) as f64 / 1e6;
    question.proof(timeline.proof(round.record)).answer(
        periods > 0,
        format!(
            "the kernel throttled {group} in {periods} periods, {seconds:.1} s in total{}",
            comparison(timeline)
        ),
    )
}

/// The CPU time that a group used between two looks, if the quota of one period allows it. The
/// benchmark of a slow machine on a busy host may be that short.
fn use_below_quota(before: &[Group], after: &[Group], group: &str) -> Option<f64> {
    let of = |chain: &[Group]| chain.iter().find(|link| link.path == group).cloned();
    let (before, after) = (of(before)?, of(after)?);
    let quota: u64 = after.cpu_max.as_ref()?.split_whitespace().next()?.parse().ok()?;
    let used = after.usage_usec.checked_sub(before.usage_usec)?;
    (used > 0 && used < quota).then(|| used as f64 / 1e6)
}

/// The benchmark's times side by side; they prove nothing, but they are what a
/// person would look at.
fn comparison(timeline: &ScriptTimeline) -> String {
    let seconds = |subtask: usize| script::time(timeline, subtask).map(|time| time / 1e6);
    match (seconds(1), seconds(2)) {
        (Some(free), Some(capped)) => format!("; the benchmark took {capped:.1} s, in 2b {free:.1} s"),
        _ => String::new(),
    }
}

pub fn namespaces(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let round = match round(timeline, &question) {
        Ok(round) => round,
        Err(skipped) => return skipped,
    };
    let mut finding = isolation::is_pid_one(timeline, round, question);
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

pub fn removed(timeline: &ScriptTimeline, question: Question, _: &Verdicts) -> Finding {
    let round = timeline.rounds[2].as_ref();
    let question = question.expects("the script leaves no cgroup behind");
    let Some(groups) = &timeline.groups else { return question.skip(timeline.fate()) };
    // systemd makes and removes groups of its own; they count only if the container was in them.
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
        question.pass(format!("cgroups made and removed: {}", created.len()))
    } else {
        question.fail(format!(
            "cgroups still there after the script ended: {}{}",
            left.join(", "),
            timeline.inside(&left)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(usec: u64) -> [Group; 1] {
        let cpu_max = Some("500000 1000000".to_owned());
        [Group { path: "/half".into(), cpu_max, usage_usec: usec, ..Group::default() }]
    }

    #[test]
    fn a_limit_has_nothing_to_throttle_below_the_quota_of_one_period() {
        let between = |before, after| use_below_quota(&used(before), &used(after), "/half");
        assert_eq!(between(315_000, 793_000), Some(0.478));
        assert_eq!(between(315_000, 2_793_000), None);
        assert_eq!(between(315_000, 315_000), None);
        assert_eq!(use_below_quota(&used(0), &[], "/half"), None);
    }
}
