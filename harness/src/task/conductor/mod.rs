//! What the scenarios of task 3 share: the submission's tool, terminals to run it on, and ways to see what it made
//! that do not go through it.

pub mod desk;
pub mod launch;
pub mod overlay;
pub mod sight;
pub mod state;
pub mod story;
pub mod tool;
pub mod words;
