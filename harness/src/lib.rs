//! Grades submissions: records evidence in virtual machines, judges it on the host and writes
//! reports.
//!
//! Data flows one way:
//! 1. [`submission`] reads a submission, and [`stage`] writes it to a disk image.
//! 2. In the guest, a scenario of a [`task`] runs the submission and records [`evidence`].
//! 3. On the host, the task's judge turns the evidence into one finding for each check.
//! 4. [`judge`] adds points from a [`rubric`]. The result is a [`verdict::Report`].
//! 5. [`report`] renders that report in every format.

pub mod bundle;
pub mod cast;
mod cause;
pub mod class;
pub mod corpus;
pub mod course;
pub mod debug;
pub mod evidence;
pub mod explain;
pub mod fit;
pub mod follow_through;
pub mod grade;
pub mod guest;
pub mod here;
mod hex;
pub mod host_look;
pub mod judge;
pub mod lack;
mod lifetime;
pub mod machine;
pub mod packages;
pub mod programs;
pub mod progress;
mod remove;
pub mod report;
pub mod reports;
pub mod rubric;
pub mod say;
pub mod see;
pub mod selection;
pub mod siblings;
pub mod stage;
pub mod submission;
pub mod task;
pub mod terminals;
pub mod verdict;
pub mod weight;
pub mod wire;
pub mod workdir;

/// The package's version and the first digits of a digest of the source: `0.1.0+1a2b3c4d5e6f`. Two
/// programs with the same text here drive and judge in the same way.
pub const VERSION: &str = env!("HARNESS_VERSION");
