//! `conductor exec`.

use std::io::{self, Write};

use crate::cli::Exec;
use crate::commands::Outcome;
use crate::container::Container;
use crate::launch::{self, Command, Streams};
use crate::process;
use crate::reaper::Reaper;
use crate::sandbox;
use crate::settings::Settings;
use crate::store::{Share, Store};
use crate::supervise::Signals;

/// Runs the command.
pub fn run(settings: &Settings, args: &Exec, quiet: bool) -> Outcome {
    let container = Container::open(&Store::new(settings), &args.container, Share::Shared)?;
    let first = container.running()?;
    drop(container);
    if !quiet {
        writeln!(io::stdout(), "Executing exec in {} container!", args.container)?;
    }
    let streams = Streams::of_ours();
    let command = Command {
        argv: args.command.clone(),
        env: launch::environment(streams),
        cwd: "/".into(),
        streams,
        reaper: Reaper::ProcessOne,
    };
    let signals = Signals::hold()?;
    match sandbox::join(&first, &command) {
        Ok(running) => Ok(process::shell_status(signals.watch(running.child, running.terminal)?)),
        Err(error) => super::not_started(error.into()),
    }
}
