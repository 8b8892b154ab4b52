//! The two commands of a conductor that follow-through marks replace. Each is a program of its own:
//! a submission that looks at what stands in place of its own command finds no text, and a
//! submission whose commands work finds neither program in its machine.
//!
//! State goes into the folders that the submission's setup.sh names, and what its other commands
//! look for is left where conductors usually leave it.
//!
//! A build without the feature `follow-through` has none of these commands, and so no part of a
//! solution.

#[cfg(feature = "follow-through")]
mod build;
#[cfg(feature = "follow-through")]
mod commands;
#[cfg(feature = "follow-through")]
mod run;

/// The program that is `build`.
pub const BUILD: &str = "build-replaced";
/// The program that is `run`.
pub const RUN: &str = "run-replaced";
/// The submission's own conductor, beside the one that stands in its place.
pub const OWN: &str = "conductor-as-submitted.sh";

#[cfg(feature = "follow-through")]
pub use commands::{build, run};
