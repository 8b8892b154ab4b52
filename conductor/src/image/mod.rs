//! Images: stacks of read-only layers, one for each instruction of a Conductorfile.
//!
//! [`conductorfile`] parses the instructions and [`build`] carries them out: [`base`] installs the
//! base system, [`copy`] writes the layer of a `COPY`, [`run_instruction`] executes a `RUN`. A
//! [`layer`] is kept in the cache under its [`cache_key`], and [`catalog`] holds the images that
//! are stacks of such layers.

pub mod base;
pub mod build;
pub mod cache;
pub mod cache_key;
pub mod catalog;
pub mod conductorfile;
pub mod copy;
mod file_digest;
mod ignore;
pub mod layer;
pub mod merged;
pub mod run_instruction;
pub mod source_tree;
pub mod stat_index;
