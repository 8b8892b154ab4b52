//! The guest half: what runs inside the VM beside a submission, drives it and records what happens.

pub mod base_tree;
pub mod fakes;
pub mod observe;
pub mod pause;
pub mod recorder;
pub mod run;
pub mod trust;
pub mod world;
