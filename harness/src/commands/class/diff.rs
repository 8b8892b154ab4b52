//! `harness class diff`: whose marks changed, and why.

use harness::class::diff::{changes, reports};
use harness::report::text::points;
use harness::say;

use super::{Failure, Status};
use crate::cli::class::Diff;

/// Prints a paragraph for each submission that differs.
pub fn run(arguments: &Diff) -> Result<Status, Failure> {
    let read = |folder: &std::path::Path| reports(folder).map_err(Failure::unreadable);
    let (old, new) = (read(&arguments.old)?, read(&arguments.new)?);
    let changes = changes(&old, &new);
    let score = |score: Option<f64>| score.map_or_else(|| "-".to_owned(), points);
    for change in &changes {
        say!("{}  {} → {}", change.id, score(change.scores.0), score(change.scores.1));
        for reason in &change.reasons {
            say!("    {reason}");
        }
    }
    let all = old.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>().len();
    say!("{} of {all} submissions differ", changes.len());
    Ok(if changes.is_empty() { Status::Good } else { Status::Lacking })
}
