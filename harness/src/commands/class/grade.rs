//! `harness class grade`: every submission graded in a process of its own.

use std::ffi::OsString;
use std::path::Path;

use harness::class::input;
use harness::class::results::Results;
use harness::class::run::{self, Ending, Request};
use harness::class::table::Table;
use harness::class::take::Take;
use harness::rubric::Rubric;
use harness::say;
use harness::selection::select;
use harness::workdir::Workdir;

use super::super::grade::default_jobs;
use super::{Failure, Status};
use crate::cli::Drive;
use crate::cli::class::Grade;

/// Grades the class and says how it went.
pub fn run(arguments: &Grade) -> Result<Status, Failure> {
    let drive = &arguments.drive;
    let rubric = Rubric::load(drive.rubric.as_deref()).map_err(Failure::unreadable)?;
    select(drive.only.as_deref()).map_err(Failure::unreadable)?;
    let class = input::read(&arguments.class.input).map_err(Failure::unreadable)?;
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let scratch = workdir.folder("class").map_err(Failure::infrastructure)?;
    let program = std::env::current_exe().map_err(Failure::infrastructure)?;
    let jobs = arguments.jobs.map_or_else(default_jobs, usize::from);
    let mut table = Table::new(arguments.quiet, jobs);
    let results = Results::at(&arguments.into);
    let request = Request {
        class: &class,
        results: &results,
        take: arguments.take.unwrap_or(Take::ALL),
        jobs,
        program: &program,
        options: &options(drive),
        key: &key(drive),
        rubric: &rubric,
        scratch: &scratch,
    };
    let endings = run::grade(&request, &mut |event| table.show(&event)).map_err(Failure::infrastructure)?;
    drop(table);
    Ok(told(&endings, &arguments.into))
}

/// The options of a grade, to be given on.
fn options(drive: &Drive) -> Vec<OsString> {
    let mut options: Vec<OsString> = vec!["--jobs=1".into()];
    let mut add = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        let mut option = OsString::from(format!("--{name}="));
        option.push(value.as_ref());
        options.push(option);
    };
    if let Some(only) = &drive.only {
        add("only", only);
    }
    if let Some(rubric) = &drive.rubric {
        add("rubric", rubric);
    }
    if let Some(starter) = &drive.starter {
        add("starter", starter);
    }
    if let Some(seed) = drive.seed {
        add("seed", &seed.to_string());
    }
    add("accel", &drive.machine.accel.to_string());
    add("image", &drive.machine.image.to_string());
    for (name, is_set) in [("--offline", drive.offline), ("--pcap", drive.pcap)] {
        options.extend(is_set.then(|| name.into()));
    }
    options
}

/// What a report depends on besides the submission: the machine, the harness and what was asked.
/// How many machines run at a time, and marks, which can be given again, are no part of it.
fn key(drive: &Drive) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()))
    };
    let only: Option<Vec<_>> = drive
        .only
        .as_deref()
        .map(|only| only.split(',').map(str::trim).filter(|one| !one.is_empty()).collect());
    format!(
        "harness {} image {} only {only:?} starter {:?} seed {:?} pcap {}",
        harness::VERSION,
        drive.machine.image,
        path(&drive.starter),
        drive.seed,
        drive.pcap
    )
}

/// Prints how many were graded, and names those that were not.
fn told(endings: &[(String, Ending)], into: &Path) -> Status {
    let count = |is: fn(&Ending) -> bool| endings.iter().filter(|(_, ending)| is(ending)).count();
    let graded = count(|ending| matches!(ending, Ending::Graded { .. }));
    let before = count(|ending| matches!(ending, Ending::AsBefore));
    let again = count(|ending| matches!(ending, Ending::MarkedAgain));
    let elsewhere = count(|ending| matches!(ending, Ending::Elsewhere(_)));
    let unreadable = count(|ending| matches!(ending, Ending::Unreadable(_)));
    let failed = count(|ending| matches!(ending, Ending::Failed(_)));
    say!(
        "{} submissions: {graded} graded, {before} had their report, {again} marked again, {elsewhere} graded \
         elsewhere, {unreadable} cannot be graded, {failed} errors of ours",
        endings.len()
    );
    for (id, ending) in endings {
        match ending {
            Ending::Unreadable(why) => say!("  {id}: cannot be graded: {why}"),
            Ending::Failed(why) => say!("  {id}: error of ours: {why}"),
            Ending::Elsewhere(why) => say!("  {id}: {why}"),
            Ending::Graded { .. } | Ending::AsBefore | Ending::MarkedAgain => {}
        }
    }
    say!("  {}", into.display());
    match (failed, unreadable) {
        (0, 0) => Status::Good,
        (0, _) => Status::Lacking,
        _ => Status::Infrastructure,
    }
}
