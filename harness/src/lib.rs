//! Submissions in, evidence recorded in virtual machines, verdicts judged on the host, reports out.
//!
//! Data flows one way: a [`submission`] is staged on a disk, a scenario of a [`task`] drives it inside
//! the guest and records [`evidence`], the task's judge turns evidence into findings, and findings plus a
//! rubric make the [`verdict`] that every report renders.

pub mod bundle;
pub mod corpus;
pub mod course;
pub mod evidence;
pub mod fit;
pub mod follow_through;
pub mod grade;
pub mod guest;
pub mod host_look;
pub mod judge;
pub mod lack;
pub mod packages;
pub mod programs;
pub mod progress;
pub mod report;
pub mod reports;
pub mod rubric;
pub mod say;
pub mod selection;
pub mod siblings;
pub mod stage;
pub mod submission;
pub mod task;
pub mod verdict;
pub mod weight;
pub mod wire;
pub mod workdir;
