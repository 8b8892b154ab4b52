//! `harness check`: judges the layout and the marked portions, without a virtual machine.

use std::collections::BTreeMap;

use harness::evidence::Bundle;
use harness::judge;
use harness::reports::{self, Place};
use harness::rubric::Rubric;
use harness::say;
use harness::submission::{self, Limits};
use harness::verdict::Environment;
use harness::workdir::Workdir;

use super::{Failure, Status, printed_from};
use crate::cli::Check;

/// Judges the `layout` subtask only.
pub fn run(arguments: &Check) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let into = workdir.folder("submission").map_err(Failure::infrastructure)?;
    let mut submission =
        submission::open(&arguments.submission, &into, &Limits::default(), arguments.starter.as_deref())
            .map_err(Failure::submission)?;
    submission.layout.scripts = submission::scripts::look(&submission);
    let bundle = Bundle {
        submission: submission.info,
        environment: Environment { harness: harness::VERSION.to_owned(), ..Environment::default() },
        subtasks: vec!["layout".to_owned()],
        layout: serde_json::to_value(&submission.layout).map_err(Failure::infrastructure)?,
        recordings: BTreeMap::new(),
    };
    let report = judge::judge(&bundle, &rubric);
    if let Some(directory) = &arguments.report {
        let place =
            Place::claim(Some(directory), &report.submission, arguments.force).map_err(Failure::place)?;
        reports::write(&place, &report, &bundle).map_err(Failure::place)?;
    }
    super::print_report(&report, true);
    if let Some(directory) = &arguments.report {
        say!("  {}", directory.join("index.html").display());
        printed_from(directory)?;
    }
    Ok(judge::outcome(&report).into())
}
