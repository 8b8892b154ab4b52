//! What the scenarios of tasks 3 and 4 share: the submission's tool, terminals to run it on, and
//! ways to look at containers without the tool.

pub mod colons;
pub mod command;
pub mod launch;
pub mod overlays;
pub mod said;
pub mod state;
pub mod terminals;
pub mod timeline;
pub mod tokens;
pub mod tool;
pub mod view;

use std::io;
use std::path::Path;

use crate::guest::fakes::debootstrap;
use crate::guest::trust::trust;
use crate::guest::world::{World, WorldPlan};

/// Connects the machine to a world and makes it trust that world's servers, and gives it the quick
/// `debootstrap` where trees made in advance are at hand.
///
/// # Errors
/// When there are no cards for it, or the kernel refuses.
pub fn connect(plan: &WorldPlan) -> io::Result<World> {
    let world = World::start(plan).map_err(io::Error::other)?;
    trust(Path::new("/"), &world.certificate())?;
    let trees = Path::new(debootstrap::STORE);
    if trees.is_dir() {
        debootstrap::install(trees, world.certificate())?;
    }
    Ok(world)
}
