//! `conductor stop`.

use std::io::{self, Write};

use crate::cli::Stop;
use crate::commands::Outcome;
use crate::container::Container;
use crate::net;
use crate::settings::Settings;
use crate::store::{Share, Store, sweep};

/// Runs the command.
pub fn run(settings: &Settings, args: &Stop) -> Outcome {
    let store = Store::new(settings);
    sweep(&store.containers);
    let container = Container::open(&store, &args.container, Share::Exclusive)?;
    // Rules first: none of them may point at an address that is somebody else's by then.
    let link = net::disconnect(&container)?;
    container.kill()?;
    if let Some(link) = link {
        net::wait_until_gone(&link)?;
    }
    container.delete()?;
    writeln!(io::stdout(), "{} succesfully removed", args.container)?;
    Ok(0)
}
