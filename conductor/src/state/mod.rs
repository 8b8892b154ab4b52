//! State on disk: the three folders, how commands that run at the same time share them, and
//! containers.

pub mod attributes;
pub mod container;
pub mod delete;
pub mod error;
pub mod half_made;
pub mod limits;
pub mod lock;
mod mounts;
pub mod names;
pub mod overlays;
pub mod paths;
pub mod read;
pub mod store;

pub use error::Error;
pub(crate) use error::{at, if_there, is_directory};
