//! One small file for each verb: load what it names, call the library, print.

use std::error::Error;
use std::io::{self, Write};

use crate::cli::{Cli, Command};
use crate::launch;
use crate::settings::Settings;

pub mod addnetwork;
pub mod build;
pub mod completions;
pub mod exec;
pub mod images;
pub mod man;
pub mod peer;
pub mod ps;
pub mod rmcache;
pub mod rmi;
pub mod run;
pub mod stop;

/// The status to exit with, or what went wrong.
pub type Outcome = Result<u8, Box<dyn Error>>;

/// Does what was asked.
pub fn dispatch(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man => return man::run(),
        _ => {}
    }
    let settings = Settings::load(&cli.settings)?;
    if !cli.quiet && !cli.command.is_machine_readable() {
        writeln!(io::stdout(), "CS695 Conductor that manages containers")?;
    }
    match &cli.command {
        Command::Build(args) => build::run(&settings, args),
        Command::Images(args) => images::run(&settings, args),
        Command::Rmi(args) => rmi::run(&settings, args),
        Command::Rmcache(args) => rmcache::run(&settings, args),
        Command::Run(args) => run::run(&settings, args),
        Command::Ps(args) => ps::run(&settings, args),
        Command::Stop(args) => stop::run(&settings, args),
        Command::Exec(args) => exec::run(&settings, args, cli.quiet),
        Command::Addnetwork(args) => addnetwork::run(&settings, args),
        Command::Peer(args) => peer::run(&settings, args),
        Command::Completions(_) | Command::Man => Ok(0),
    }
}

/// A command that could not be started in a container: what shells exit with, and the reason.
fn not_started(error: Box<dyn Error>) -> Outcome {
    if let Some(launch::Error::Execute { program, source }) = error.downcast_ref() {
        eprintln!("conductor: cannot execute {program}: {source}");
        return Ok(if source.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
    }
    Err(error)
}
