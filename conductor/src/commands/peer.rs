//! `conductor peer`.

use crate::cli::Peer;
use crate::commands::Outcome;
use crate::container::Container;
use crate::net;
use crate::settings::Settings;
use crate::store::{Share, Store};

/// Runs the command.
pub fn run(settings: &Settings, args: &Peer) -> Outcome {
    net::check_distinct(&args.first, &args.second)?;
    let store = Store::new(settings);
    // Always locked in the same order, so that two of us cannot wait for each other.
    let (low, high) =
        (args.first.clone().min(args.second.clone()), args.first.clone().max(args.second.clone()));
    let low = Container::open(&store, &low, Share::Exclusive)?;
    let high = Container::open(&store, &high, Share::Exclusive)?;
    net::peer(&low, &high)?;
    Ok(0)
}
