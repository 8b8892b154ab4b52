//! `conductor stop`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Stop;
use crate::net;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::half_made;
use crate::state::lock::Share;
use crate::state::names::ContainerName;
use crate::state::store::Store;

/// Why a container's network outlives it.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "container '{0}' is removed, but part of its network remains: the next `addnetwork`, or `stop` of a \
         container with a network, deletes it"
    )]
    Remains(ContainerName, #[source] net::Error),
}

/// Runs the command.
pub fn run(settings: &Settings, args: &Stop) -> Outcome {
    let store = Store::new(settings);
    half_made::sweep_with_mounts(&store.containers);
    let container = Container::open(&store, &args.container, Share::Exclusive)?;
    // The rules go first: no rule may point to an address that another container has taken.
    // If the host refuses, the container ends all the same. The rules stay in our table of the
    // packet filter, and nobody gets a network until they are gone. But a record that cannot be
    // read stays with its container.
    let disconnected = match net::disconnect(&container) {
        Err(error @ (net::Error::Store(_) | net::Error::Container(_))) => return Err(error.into()),
        disconnected => disconnected,
    };
    container.kill()?;
    let link_gone = match &disconnected {
        Ok(Some(link)) => net::wait_until_gone(link),
        _ => Ok(()),
    };
    container.delete()?;
    disconnected.map_err(|error| Error::Remains(args.container.clone(), error))?;
    link_gone?;
    writeln!(io::stdout(), "{} succesfully removed", args.container)?;
    Ok(0)
}
