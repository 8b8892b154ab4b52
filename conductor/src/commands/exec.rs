//! `conductor exec`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Exec;
use crate::sandbox;
use crate::sandbox::launch::{self, Command, Streams};
use crate::sandbox::process;
use crate::sandbox::reaper::Reaper;
use crate::sandbox::supervise::Signals;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::lock::Share;
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Exec, quiet: bool) -> Outcome {
    let container = Container::open(&Store::new(settings), &args.container, Share::Shared)?;
    let first = container.running()?;
    drop(container);
    let said = if quiet {
        Ok(())
    } else {
        writeln!(io::stdout(), "Executing exec in {} container!", args.container)
    };
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
        Ok(running) => {
            let status = signals.watch(running.child, running.terminal)?;
            super::or_unsaid(process::shell_status(status), said)
        }
        Err(error) => super::not_started(error.into()),
    }
}
