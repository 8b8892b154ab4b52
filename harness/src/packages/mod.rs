//! The host's side of the world's package mirrors: a pull-through cache, and base
//! trees made in advance.
//!
//! Guests ask for packages by HTTP; a [`Server`] answers from the [`PackageCache`], which fetches
//! what it lacks from the mirrors this host is configured for. Once warm, it makes no request:
//! pool and by-hash files never change, and what may change is asked after once a day.
//! `docs/world.md` tells the whole.

mod answer;
pub mod base;
mod cache;
mod fetch;
mod index;
mod mirrors;
pub mod proof;
mod server;
mod stats;
mod store;
mod supply;

pub use cache::PackageCache;
pub use mirrors::Mirrors;
pub use server::{Server, Takes};
pub use stats::{Listed, Stats};
pub use supply::{Error, Supply};
