//! The guest half: what runs inside the VM beside a submission, drives it and records what happens.

pub mod recorder;
pub mod world;
