//! `conductor stop`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Stop;
use crate::net;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::half_made;
use crate::state::lock::Share;
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Stop) -> Outcome {
    let store = Store::new(settings);
    half_made::sweep(&store.containers);
    let container = Container::open(&store, &args.container, Share::Exclusive)?;
    // The rules go first: no rule may point to an address that another container has taken.
    let link = net::disconnect(&container)?;
    container.kill()?;
    if let Some(link) = link {
        net::wait_until_gone(&link)?;
    }
    container.delete()?;
    writeln!(io::stdout(), "{} succesfully removed", args.container)?;
    Ok(0)
}
