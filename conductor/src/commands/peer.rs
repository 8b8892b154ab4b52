//! `conductor peer`.

use crate::commands::cli::Peer;
use crate::commands::{Outcome, addnetwork};
use crate::net;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::lock::Share;
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Peer) -> Outcome {
    net::check_distinct(&args.first, &args.second)?;
    let store = Store::new(settings);
    // Both are always locked in the same order: two `peer`s cannot wait for each other.
    let (low, high) =
        (args.first.clone().min(args.second.clone()), args.first.clone().max(args.second.clone()));
    let low = Container::open(&store, &low, Share::Exclusive)?;
    let high = Container::open(&store, &high, Share::Exclusive)?;
    addnetwork::tell(&args.first, net::peer(&low, &high)?)?;
    Ok(0)
}
