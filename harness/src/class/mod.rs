//! The submissions of a class: list them, grade them one by one, and hand the marks back.
//!
//! Data flows one way. [`input`] reads what a course system exported and names the [`Entry`]
//! of each participant. [`fetch`] makes one of them ready to be graded, and [`run`] grades
//! them all into a results folder. Everything that is handed back is a pure function of the
//! reports in that folder.

mod absent;
pub mod adjust;
mod by_hand;
pub mod code;
pub mod collect;
mod columns;
pub mod date;
pub mod diff;
mod drive;
pub mod entry;
pub mod fetch;
mod fresh;
mod git;
pub mod handed_in;
pub mod input;
pub mod late;
pub mod listing;
pub mod moodle;
pub mod outcome;
pub mod parent;
pub mod results;
pub mod roster;
pub mod run;
pub mod similarity;
pub mod table;
pub mod take;

pub use entry::{Class, Entry, Held, Kind, Person};
