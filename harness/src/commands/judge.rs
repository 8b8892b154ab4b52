//! `harness judge`: judges the evidence of an earlier run again, with this version and this rubric.

use harness::reports::{self, Place};
use harness::rubric::Rubric;
use harness::{bundle, judge, say};

use super::{Failure, Status, printed_from};
use crate::cli::Judge;

/// Reads an evidence bundle, judges it and prints the marks.
pub fn run(arguments: &Judge) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let bundle = bundle::read(&arguments.evidence).map_err(Failure::unreadable)?;
    let report = arguments.detail.of(judge::judge(&bundle, &rubric));
    if let Some(directory) = &arguments.report {
        let place =
            Place::claim(Some(directory), &report.submission, arguments.force).map_err(Failure::place)?;
        reports::write(&place, &report, &bundle).map_err(Failure::place)?;
    }
    super::print_report(&report, arguments.verbose);
    if let Some(directory) = &arguments.report {
        say!("  {}", directory.join("index.html").display());
        printed_from(directory)?;
    }
    Ok(judge::outcome(&report).into())
}
