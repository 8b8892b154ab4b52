//! What the rows say about the class: how points are spread, which checks fail most and how.

use std::collections::BTreeMap;

use super::rows::Row;
use crate::report::text::{shortened, visible};
use crate::task;
use crate::verdict::Status;

/// How many bars a distribution has.
pub const BARS: usize = 10;

/// How the points of one subtask, or of all, are spread.
#[derive(Debug, PartialEq)]
pub struct Spread {
    /// The subtask's id, or `all`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Points there were to get.
    pub max: f64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub median: f64,
    /// How many had all of the points.
    pub full: usize,
    /// How many are in each tenth of the points; those with all of them in the last.
    pub bars: [usize; BARS],
}

/// A check that many lost.
#[derive(Debug, PartialEq)]
pub struct Lost {
    /// The check.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How many failed it or could not be tried.
    pub times: usize,
    /// What was seen, what is alike put together, and by whom; most frequent first.
    pub causes: Vec<(String, Vec<String>)>,
}

/// The spread of all points, then of each subtask in the assignment's order.
pub fn spreads(rows: &[Row]) -> Vec<Spread> {
    let reports: Vec<_> = rows.iter().filter_map(Row::final_report).collect();
    let all: Vec<_> = reports.iter().map(|report| (report.score, report.max)).collect();
    let mut spreads: Vec<_> = spread("all", "all subtasks", &all).into_iter().collect();
    for subtask in task::subtasks() {
        let of: Vec<_> = reports
            .iter()
            .flat_map(|report| report.subtasks.iter().filter(|other| other.id == subtask.id))
            .map(|subtask| (subtask.score, subtask.max))
            .collect();
        spreads.extend(spread(subtask.id, subtask.title, &of));
    }
    spreads
}

fn spread(id: &str, title: &str, scores: &[(f64, f64)]) -> Option<Spread> {
    let max = scores.iter().map(|(_, max)| *max).fold(0.0, f64::max);
    if max <= 0.0 {
        return None;
    }
    let mut sorted: Vec<f64> = scores.iter().map(|(score, _)| *score).collect();
    sorted.sort_by(f64::total_cmp);
    let mut bars = [0; BARS];
    for score in &sorted {
        let tenth = (score / max * BARS as f64).floor().clamp(0.0, (BARS - 1) as f64);
        bars[tenth as usize] += 1;
    }
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    Some(Spread {
        id: id.to_owned(),
        title: title.to_owned(),
        max,
        mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        median,
        full: scores.iter().filter(|(score, max)| score >= max).count(),
        bars,
    })
}

/// The checks that cost marks, most frequent first.
pub fn lost(rows: &[Row]) -> Vec<Lost> {
    let mut by_check = BTreeMap::<&str, (&str, BTreeMap<String, Vec<String>>)>::new();
    for row in rows {
        for check in row.report.iter().flat_map(|report| &report.subtasks).flat_map(|subtask| &subtask.checks)
        {
            if check.max > 0.0 && matches!(check.status, Status::Fail | Status::Skip) {
                let causes = &mut by_check.entry(&check.id).or_insert((&check.title, BTreeMap::new())).1;
                causes.entry(cause(&check.actual)).or_default().push(row.id.clone());
            }
        }
    }
    let order = |(id, (title, causes)): (&str, (&str, BTreeMap<String, Vec<String>>))| {
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(_, ids)| std::cmp::Reverse(ids.len()));
        let times = causes.iter().map(|(_, ids)| ids.len()).sum();
        Lost { id: id.to_owned(), title: title.to_owned(), times, causes }
    };
    let mut all: Vec<_> = by_check.into_iter().map(order).collect();
    all.sort_by(|a, b| b.times.cmp(&a.times).then_with(|| a.id.cmp(&b.id)));
    all
}

/// What was seen, without the numbers, which differ from run to run. So equal causes are one. The
/// names of checks keep their digits.
fn cause(actual: &str) -> String {
    let line = visible(actual.lines().next().unwrap_or_default());
    let mut out = String::new();
    for word in line.split_inclusive(char::is_whitespace) {
        let name = word.trim_matches(|c: char| !c.is_alphanumeric());
        if task::subtasks().iter().flat_map(|subtask| subtask.checks).any(|check| check.id == name) {
            out.push_str(word);
            continue;
        }
        let mut in_number = false;
        for c in word.chars() {
            let is_digit = c.is_ascii_digit();
            if !is_digit {
                out.push(c);
            } else if !in_number {
                out.push('#');
            }
            in_number = is_digit;
        }
    }
    if out.trim().is_empty() { "nothing was said".to_owned() } else { shortened(&out, 160, 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_cause_with_other_numbers_is_one() {
        assert_eq!(cause("PID 2203 of 4026531836\nmore"), "PID # of #");
        assert_eq!(cause("PID 7 of 12"), cause("PID 2203 of 4026531836"));
        assert_eq!(cause("2c/cpu-quota failed 3 times"), "2c/cpu-quota failed # times");
        assert_eq!(cause(" \n"), "nothing was said");
    }

    #[test]
    fn full_points_are_in_the_last_bar_and_none_in_the_first() {
        let spread = spread("1", "t", &[(0.0, 10.0), (5.0, 10.0), (10.0, 10.0), (9.9, 10.0)]).unwrap();
        assert_eq!(spread.bars, [1, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!((spread.full, spread.median), (1, 7.45));
    }
}
