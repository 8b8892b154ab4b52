//! `harness class grade`: every submission graded in a process of its own.

use std::ffi::OsString;
use std::path::Path;

use harness::class::input;
use harness::class::results::{self, Results};
use harness::class::run::{self, Ending, Event, Request};
use harness::class::table::Table;
use harness::class::take::Take;
use harness::rubric::Rubric;
use harness::selection::select;
use harness::submission::marked;
use harness::workdir::Workdir;
use harness::{note, say};

use super::super::grade::default_jobs;
use super::super::stop;
use super::{Failure, Status, left_aside};
use crate::cli::Drive;
use crate::cli::class::Grade;

/// Grades the class and says how it went.
pub fn run(arguments: &Grade) -> Result<Status, Failure> {
    let drive = &arguments.drive;
    let rubric = Rubric::load(drive.rubric.as_deref()).map_err(Failure::unreadable)?;
    let subtasks = select(drive.only.as_deref()).map_err(Failure::unreadable)?;
    let subtasks: Vec<&str> = subtasks.iter().map(|subtask| subtask.id).collect();
    // Each grade would fail over it, and each would seem to be the submission's fault.
    if let Some(starter) = &drive.starter {
        let wrong = |error| Failure::unreadable(format!("--starter: {}", vm::chain(&error)));
        marked::check_starter(starter).map_err(wrong)?;
    }
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
        key: &key(drive, &subtasks),
        subtasks: &subtasks,
        rubric: &rubric,
        scratch: &scratch,
    };
    let mut kept = vec![];
    stop::at_once(Status::Infrastructure, "stopped by you; start the same command again to continue");
    let graded = run::grade(&request, &mut |event| match event {
        Event::Kept(ids) => kept = ids,
        event => table.show(&event),
    });
    drop(table);
    let endings = graded.map_err(|error| match error {
        results::Error::OtherKind { .. } => Failure::unreadable(error),
        error => Failure::infrastructure(error),
    })?;
    left_aside(&class);
    say_kept(&kept, &arguments.into);
    Ok(told(&endings, &arguments.into))
}

/// Says who stays in the results though this export does not name them.
fn say_kept(ids: &[String], into: &Path) {
    const MOST: usize = 5;
    if ids.is_empty() {
        return;
    }
    let more = if ids.len() > MOST { ", …" } else { "" };
    note!(
        "{} submissions of earlier exports stay in {}: {}{more}; to drop them, remove its class.json and start the same \
         command again",
        ids.len(),
        into.display(),
        ids[..ids.len().min(MOST)].join(", ")
    );
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

/// What a report depends on apart from the submission: the machine, the harness and the request.
/// How many machines run at a time, and marks, which can be given again, are no part of it.
fn key(drive: &Drive, subtasks: &[&str]) -> String {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_ref().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()))
    };
    format!(
        "harness {} image {} only {subtasks:?} starter {:?} seed {:?} pcap {}",
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
         elsewhere, {unreadable} cannot be graded, {failed} failed by the infrastructure",
        endings.len()
    );
    for (id, ending) in endings {
        match ending {
            Ending::Unreadable(why) => say!("  {id}: cannot be graded: {why}"),
            Ending::Failed(why) => say!("  {id}: the infrastructure failed: {why}"),
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
