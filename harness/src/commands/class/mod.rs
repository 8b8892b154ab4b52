//! `harness class`: the submissions of a class.

mod collect;
mod diff;
mod grade;
mod list;
mod similarity;

use harness::class::moodle::worksheet::Worksheet;
use harness::note;

use super::{Failure, Status};
use crate::cli::class::{Class, ClassCommand, Sheet};

/// Does what was asked.
pub fn run(arguments: &Class) -> Result<Status, Failure> {
    match &arguments.command {
        ClassCommand::Grade(arguments) => grade::run(arguments),
        ClassCommand::Collect(arguments) => collect::run(arguments),
        ClassCommand::Diff(arguments) => diff::run(arguments),
        ClassCommand::Similarity(arguments) => similarity::run(arguments),
        ClassCommand::List(arguments) => list::run(arguments),
    }
}

/// The worksheet, where one was named.
fn worksheet(sheet: &Sheet) -> Result<Option<Worksheet>, Failure> {
    let read = |path: &std::path::PathBuf| Worksheet::read(path, &sheet.column).map_err(Failure::unreadable);
    sheet.worksheet.as_ref().map(read).transpose()
}

/// Says what of the export belongs to nobody.
fn left_aside(class: &harness::class::Class) {
    for aside in &class.left_aside {
        note!("left aside: {aside}");
    }
}
