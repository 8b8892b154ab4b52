//! `harness judge`: marks from evidence that an earlier run left, with this harness and this rubric.

use harness::rubric::Rubric;
use harness::{bundle, judge, report};

use super::{Failure, Status};
use crate::cli::Judge;

/// Reads a bundle and judges it.
pub fn run(arguments: &Judge) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let bundle = bundle::read(&arguments.evidence).map_err(Failure::unreadable)?;
    let report = judge::judge(&bundle, &rubric);
    if let Some(directory) = &arguments.report {
        report::write(directory, &report).map_err(Failure::infrastructure)?;
    }
    anstream::print!("{}", report::terminal::render(&report, arguments.verbose));
    Ok(judge::outcome(&report).into())
}
