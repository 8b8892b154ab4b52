//! `harness debug`: a shell in the machine as it was when a check was decided.

use std::path::Path;

use harness::bundle;
use harness::debug::{self, Target};
use harness::grade::{Again, again};
use harness::progress::Progress;
use harness::rubric::Rubric;
use harness::submission::{self, Limits};
use harness::verdict::NO_MARK;
use harness::workdir::Workdir;

use super::vm::machine;
use super::{Failure, Status};
use crate::cli::Debug;

/// Drives the scenario again and opens the shell.
pub fn run(arguments: &Debug) -> Result<Status, Failure> {
    let bundle = bundle::read(&arguments.report).map_err(Failure::unreadable)?;
    let rubric = Rubric::load(None).map_err(Failure::unreadable)?;
    let target = debug::target(&bundle, &arguments.check, &rubric).map_err(Failure::unreadable)?;
    if bundle.environment.notes.iter().any(|note| note == NO_MARK) {
        return Err(Failure::unreadable(format!(
            "{} was made with grade --here; debug needs a report of virtual machines",
            arguments.report.display()
        )));
    }
    let source = arguments.submission.as_deref().unwrap_or(Path::new(&bundle.submission.source));
    if arguments.submission.is_none() && !source.exists() {
        return Err(Failure::unreadable(format!(
            "the submission is not at {}, the path in the report; name its path with --submission PATH",
            source.display()
        )));
    }
    if bundle.environment.harness != harness::VERSION {
        harness::note!(
            "harness: this report was made by harness {}, this is {}: the scenario may differ",
            bundle.environment.harness,
            harness::VERSION
        );
    }
    let cache = harness::machine::cache().map_err(Failure::infrastructure)?;
    let workdir = Workdir::new(cache.root()).map_err(Failure::infrastructure)?;
    let into = workdir.folder("submission").map_err(Failure::infrastructure)?;
    let submission = submission::open(source, &into, &Limits::default(), None).map_err(|error| {
        let is_given = arguments.submission.is_some() || error.is_ours();
        if is_given {
            return Failure::submission(error);
        }
        Failure::unreadable(format!(
            "{}; the path came from the report, and --submission PATH names another",
            vm::chain(&error)
        ))
    })?;
    if submission.info.sha256 != bundle.submission.sha256 {
        harness::note!("harness: {} has changed since this report was made", source.display());
    }

    let mut progress = Progress::new(false);
    let what = Again {
        scenario: target.scenario,
        recording: target.recording,
        at: target.at.clone(),
        machine: &machine(&arguments.machine),
        cache: &cache,
        workdir: workdir.path(),
        offline: arguments.offline,
    };
    let mut told = |is_the_moment| say_where(&target, is_the_moment);
    again(submission, &what, &mut told, &mut |event| progress.show(event))
        .map_err(Failure::infrastructure)?;
    Ok(Status::Good)
}

/// Says where the machine stands and what to type.
fn say_where(target: &Target, is_the_moment: bool) {
    let Target { check, scenario, command, look, .. } = target;
    harness::note!("");
    match (is_the_moment, command) {
        (true, Some(command)) => {
            harness::note!(
                "The scenario is stopped after the evidence for {}. Its last command: `{command}`.",
                check.id
            );
        }
        (true, None) => harness::note!("This is the end of scenario {}.", scenario.id),
        (false, _) => {
            harness::note!(
                "The evidence for {} did not appear again. This is the end of scenario {}.",
                check.id,
                scenario.id
            );
        }
    }
    harness::note!("Seen in the report: {}", check.actual);
    harness::note!("The shell is in the task's folder. Ctrl-D or Ctrl-] ends the machine.");
    for line in look {
        harness::note!("  {line}");
    }
}
