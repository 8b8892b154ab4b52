//! The two commands of a conductor that follow-through marks replace, as parts of the guest
//! half: a submission that looks at what stands in place of its own command finds a compiled
//! program and no text.
//!
//! Started as [`BUILD`] or [`RUN`], the guest half is that command. State goes into the folders
//! that the submission's setup.sh names, and what its other commands look for is left where
//! conductors usually leave it.
//!
//! A build without the feature `follow-through` has none of these commands, and so
//! no part of a solution.

#[cfg(feature = "follow-through")]
mod build;
#[cfg(feature = "follow-through")]
mod commands;
#[cfg(feature = "follow-through")]
mod run;

/// The name under which the guest half is `build`.
pub const BUILD: &str = "build-replaced";
/// The name under which the guest half is `run`.
pub const RUN: &str = "run-replaced";
/// The submission's own conductor, beside the one that stands in its place.
pub const OWN: &str = "conductor-as-submitted.sh";

#[cfg(feature = "follow-through")]
pub use commands::call;

/// Without the feature `follow-through`, the guest half is none of these commands.
#[cfg(not(feature = "follow-through"))]
pub fn call(_name: &str, _arguments: &[String]) -> Option<std::process::ExitCode> {
    None
}
