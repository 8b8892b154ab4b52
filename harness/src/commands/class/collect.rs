//! `harness class collect`: what is handed back, from the reports.

use harness::class::adjust::{self, Adjustments};
use harness::class::code::Key;
use harness::class::collect::{Request, collect};
use harness::class::results::Results;
use harness::rubric::Rubric;
use harness::{note, say};

use super::{Failure, Status, worksheet};
use crate::cli::class::Collect;

/// Writes the files and names them.
pub fn run(arguments: &Collect) -> Result<Status, Failure> {
    let rubric = arguments.rubric.as_deref().map(|path| Rubric::load(Some(path))).transpose();
    let rubric = rubric.map_err(Failure::unreadable)?;
    let adjustments = match &arguments.adjust {
        Some(path) => adjust::read(path).map_err(Failure::unreadable)?,
        None => Adjustments::new(),
    };
    let sheet = worksheet(&arguments.sheet)?;
    let key = arguments.anonymous.as_deref().map(Key::read).transpose().map_err(Failure::unreadable)?;
    let into = arguments.into.clone().unwrap_or_else(|| arguments.results.join("collected"));
    let request = Request {
        results: &Results::at(&arguments.results),
        into: &into,
        rubric: rubric.as_ref(),
        adjustments: &adjustments,
        worksheet: sheet.as_ref(),
        scale: arguments.scale,
        detail: arguments.detail,
        key: key.as_ref(),
        similarity: arguments.similarity.as_deref(),
    };
    let collected = collect(&request).map_err(Failure::unreadable)?;
    for remark in &collected.remarks {
        note!("{remark}");
    }
    for file in &collected.files {
        say!("{}", file.display());
    }
    if collected.without_mark == 0 {
        return Ok(Status::Good);
    }
    note!("{} of {} submissions have no final mark", collected.without_mark, collected.submissions);
    Ok(Status::Lacking)
}
