//! `harness class list`: one line for each submission.

use harness::class::listing::{Line, lines, take_times};
use harness::class::moodle::worksheet;
use harness::class::{Class, input};
use harness::rubric::Rubric;
use harness::workdir::Workdir;
use harness::{note, say};

use super::{Failure, Status, left_aside};
use crate::cli::class::List;

/// Looks at every submission and prints what is in it.
pub fn run(arguments: &List) -> Result<Status, Failure> {
    let rubric = Rubric::load(arguments.rubric.as_deref()).map_err(Failure::unreadable)?;
    let mut class = input::read(&arguments.class.input).map_err(Failure::unreadable)?;
    let mut remarks = vec![];
    if let Some(sheet) = super::worksheet(&arguments.sheet)? {
        worksheet::check(class.kind).map_err(Failure::unreadable)?;
        remarks = take_times(&mut class, &sheet);
    }
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let scratch = workdir.folder("class").map_err(Failure::infrastructure)?;
    let lines = lines(&class, rubric.late(), &scratch);
    print(&class, &lines, rubric.late().is_some());
    for remark in remarks {
        note!("{remark}");
    }
    let flawed = lines.iter().filter(|line| !line.problems.is_empty()).count();
    note!("{} submissions, {flawed} of them cannot be graded as they are", lines.len());
    Ok(if flawed == 0 { Status::Good } else { Status::Lacking })
}

fn print(class: &Class, lines: &[Line], with_times: bool) {
    let width = |text: fn(&Line) -> &str, least: usize| {
        lines.iter().map(|line| text(line).chars().count()).max().unwrap_or(0).clamp(least, 40)
    };
    let (ids, names) = (width(|line| &line.id, 2), width(|line| &line.names, 0));
    for line in lines {
        let late = if with_times { format!("{:>10}  ", line.late) } else { String::new() };
        let mut text = format!("{:ids$}  {:9}  {late}{:names$}", line.id, line.form, line.names);
        for problem in &line.problems {
            text.push_str("  PROBLEM: ");
            text.push_str(problem);
        }
        for note in &line.notes {
            text.extend(["  (", note.as_str(), ")"]);
        }
        // A name of several lines is still one entry.
        say!("{}", text.trim_end().replace(['\n', '\t'], " "));
    }
    left_aside(class);
}
