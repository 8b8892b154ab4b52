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

/// Our output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct Unsaid(#[source] io::Error);

/// Does what was asked.
pub fn dispatch(cli: &Cli) -> Outcome {
    // All other errors say what was tried.
    perform(cli).map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => Unsaid(*error).into(),
        Err(error) => error,
    })
}

/// Says on standard error what went wrong, and why.
pub fn complain(error: &(dyn Error + 'static)) {
    // Who closes a pipe has read enough, and need not be told.
    if error.downcast_ref().is_some_and(|Unsaid(error)| error.kind() == io::ErrorKind::BrokenPipe) {
        return;
    }
    let mut text = format!("conductor: {error}");
    let mut last = error;
    while let Some(cause) = last.source() {
        text = format!("{text}: {cause}");
        last = cause;
    }
    let denied =
        last.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied);
    if denied && !nix::unistd::geteuid().is_root() {
        text += ": conductor needs root";
    }
    // If this cannot be written either, there is the status.
    let _ = writeln!(io::stderr(), "{text}");
}

fn perform(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man => return man::run(),
        _ => {}
    }
    leave_the_callers_groups()?;
    let settings = Settings::load(&cli.settings, cli.command.settings())?;
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

/// The caller's groups could not be left.
#[derive(Debug, thiserror::Error)]
#[error("cannot leave the caller's groups")]
struct InGroups(#[source] io::Error);

/// Gives us root's own group and no others, before anything is made or started: the caller's groups must not
/// become groups of files in an image or of a container's processes. Without root there is nothing to leave.
fn leave_the_callers_groups() -> Result<(), InGroups> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    nix::unistd::setgroups(&[])
        .and_then(|()| nix::unistd::setgid(nix::unistd::Gid::from_raw(0)))
        .map_err(|error| InGroups(error.into()))
}

/// A command that could not be started in a container: what shells exit with, and the reason.
fn not_started(error: Box<dyn Error>) -> Outcome {
    if let Some(launch::Error::Execute { source, .. }) = error.downcast_ref() {
        complain(&*error);
        return Ok(if source.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
    }
    Err(error)
}
