//! The command line, with one small file for each verb: load, call the library, print.

use std::error::Error;
use std::io::{self, Write};

use crate::commands::cli::{Cli, Command};
use crate::sandbox::launch;
use crate::settings::Settings;

pub mod addnetwork;
pub mod build;
pub mod cli;
pub mod completions;
pub mod exec;
mod habits;
pub mod images;
mod listing;
pub mod man;
pub mod peer;
pub mod ps;
pub mod rmcache;
pub mod rmi;
pub mod run;
pub mod stop;

/// The exit status, or the error.
pub type Outcome = Result<u8, Box<dyn Error>>;

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
struct Unsaid(#[source] io::Error);

/// Carries out the command.
pub fn dispatch(cli: &Cli) -> Outcome {
    // Only writes to standard output fail with a plain I/O error: all other errors name what
    // failed.
    perform(cli).and_then(flushed).map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => Unsaid(*error).into(),
        Err(error) => error,
    })
}

/// Writes what standard output still holds: nobody does it after `main`.
fn flushed(status: u8) -> Outcome {
    io::stdout().flush()?;
    Ok(status)
}

/// Prints an error and its causes to standard error.
pub fn complain(error: &(dyn Error + 'static)) {
    // A reader that closed the pipe has read enough.
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
    // If standard error cannot be written either, the exit status remains.
    let _ = writeln!(io::stderr(), "{text}");
}

fn perform(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Completions(args) => return completions::run(args),
        Command::Man => return man::run(),
        _ => {}
    }
    drop_the_callers_groups()?;
    let settings = Settings::load(&cli.general.settings, cli.command.settings())?;
    let said = if cli.general.quiet || cli.command.is_machine_readable() {
        Ok(())
    } else {
        writeln!(io::stdout(), "CS695 Conductor that manages containers")
    };
    let status = match &cli.command {
        Command::Build(args) => build::run(&settings, args),
        Command::Images(args) => images::run(&settings, args),
        Command::Rmi(args) => rmi::run(&settings, args),
        Command::Rmcache(args) => rmcache::run(&settings, args),
        Command::Run(args) => run::run(&settings, args),
        Command::Ps(args) => ps::run(&settings, args),
        Command::Stop(args) => stop::run(&settings, args),
        Command::Exec(args) => exec::run(&settings, args, cli.general.quiet),
        Command::Addnetwork(args) => addnetwork::run(&settings, args),
        Command::Peer(args) => peer::run(&settings, args),
        Command::Completions(_) | Command::Man => Ok(0),
    }?;
    or_unsaid(status, said)
}

/// The status of a command that has done its work. If it failed to say something, that is an error,
/// unless the command has failed anyway.
fn or_unsaid(status: u8, said: io::Result<()>) -> Outcome {
    if status == 0 {
        said?;
    }
    Ok(status)
}

/// The groups of the caller cannot be dropped.
#[derive(Debug, thiserror::Error)]
#[error("cannot drop the supplementary groups of the caller")]
struct GroupsKept(#[source] io::Error);

/// Drops the caller's supplementary groups and takes root's own group, before any file or process
/// is created. Otherwise files in images and processes in containers would get the caller's groups.
/// Only root needs this.
fn drop_the_callers_groups() -> Result<(), GroupsKept> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    nix::unistd::setgroups(&[])
        .and_then(|()| nix::unistd::setgid(nix::unistd::Gid::from_raw(0)))
        .map_err(|error| GroupsKept(error.into()))
}

/// Handles a command that could not be started in a container: prints the reason, returns what
/// shells return.
fn not_started(error: Box<dyn Error>) -> Outcome {
    if let Some(launch::Error::Execute { source, .. }) = error.downcast_ref() {
        complain(&*error);
        return Ok(if source.kind() == io::ErrorKind::NotFound { 127 } else { 126 });
    }
    Err(error)
}
