//! Whose marks differ between two folders of results or collected files, and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use vm::FileError;

use super::results::{self, read_report};
use crate::report::text::points;
use crate::verdict::{Check, Report};

/// One submission whose mark or verdicts changed.
#[derive(Debug, PartialEq)]
pub struct Change {
    /// Whose.
    pub id: String,
    /// The score before and after; nothing where there was no report.
    pub scores: (Option<f64>, Option<f64>),
    /// Why, one sentence each.
    pub reasons: Vec<String>,
}

/// All reports below a folder, by id.
///
/// # Errors
/// When the folder has no `reports`, or one of them cannot be read.
pub fn reports(folder: &Path) -> Result<BTreeMap<String, Report>, results::Error> {
    let reports = folder.join("reports");
    let failed = || FileError::at("read", &reports);
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&reports).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let id = entry.file_name().to_string_lossy().into_owned();
        if let Some(report) = read_report(&reports.join(&id))? {
            all.insert(id, report);
        }
    }
    Ok(all)
}

/// What differs, in the order of ids.
pub fn changes(old: &BTreeMap<String, Report>, new: &BTreeMap<String, Report>) -> Vec<Change> {
    let mut ids: Vec<&String> = old.keys().chain(new.keys()).collect();
    ids.sort();
    ids.dedup();
    let change = |id: &String| {
        let (old, new) = (old.get(id), new.get(id));
        let reasons = match (old, new) {
            (Some(old), Some(new)) => reasons(old, new),
            (None, Some(_)) => vec!["there was no report".to_owned()],
            (Some(_), None) => vec!["there is no report any more".to_owned()],
            (None, None) => vec![],
        };
        let scores = (old.map(|report| report.score), new.map(|report| report.score));
        (scores.0 != scores.1 || !reasons.is_empty()).then(|| Change { id: id.clone(), scores, reasons })
    };
    ids.into_iter().filter_map(change).collect()
}

fn reasons(old: &Report, new: &Report) -> Vec<String> {
    let mut reasons = vec![];
    if old.by_hand != new.by_hand {
        let now =
            if new.by_hand { "the mark is given by hand now" } else { "the mark was given by hand before" };
        reasons.push(now.to_owned());
    } else if old.submission.sha256 != new.submission.sha256 {
        reasons.push("another version was handed in".to_owned());
    }
    if (old.max - new.max).abs() > 1e-9 {
        reasons.push(format!("the maximum: {} → {}", points(old.max), points(new.max)));
    }
    let (before, after) = (checks(old), checks(new));
    for (id, check) in &after {
        match before.get(id) {
            None => reasons.push(format!("{id} was not graded before")),
            Some(other) => reasons.extend(difference(other, check)),
        }
    }
    reasons.extend(
        before.keys().filter(|id| !after.contains_key(*id)).map(|id| format!("{id} is not graded any more")),
    );
    for one in new.adjustments.iter().filter(|one| !old.adjustments.contains(one)) {
        reasons.push(format!(
            "{} adjusted by {}: {} ({}, {})",
            one.of,
            points(one.applied),
            one.reason,
            one.who,
            one.when
        ));
    }
    for one in old.adjustments.iter().filter(|one| !new.adjustments.contains(one)) {
        reasons.push(format!("the adjustment of {} by {} is gone", one.of, points(one.applied)));
    }
    let penalty = |report: &Report| report.late.as_ref().map_or(0.0, |late| late.penalty);
    if (penalty(old) - penalty(new)).abs() > 1e-9 {
        reasons.push(format!("penalty for being late: {} → {}", points(penalty(old)), points(penalty(new))));
    }
    reasons
}

fn checks(report: &Report) -> BTreeMap<&str, &Check> {
    report
        .subtasks
        .iter()
        .flat_map(|subtask| &subtask.checks)
        .map(|check| (check.id.as_str(), check))
        .collect()
}

fn difference(old: &Check, new: &Check) -> Option<String> {
    let own = |check: &Check| check.follow_through.as_ref().map_or(0.0, |own| own.score);
    if old.status != new.status {
        let seen =
            if new.actual.is_empty() { String::new() } else { format!(": {}", first_line(&new.actual)) };
        Some(format!("{} {} → {}{seen}", new.id, old.status, new.status))
    } else if old.max.to_bits() != new.max.to_bits() {
        let worth = (points(old.max), points(new.max));
        Some(format!("{} ({}) is worth {} → {}", new.id, new.status, worth.0, worth.1))
    } else if own(old).to_bits() != own(new).to_bits() {
        Some(format!("{} follow-through: {} → {}", new.id, points(own(old)), points(own(new))))
    } else {
        None
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
