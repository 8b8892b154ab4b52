//! `conductor stop`.

use std::io::{self, Write};

use crate::cli::Stop;
use crate::commands::Outcome;
use crate::container::Container;
use crate::settings::Settings;
use crate::store::{Share, Store, sweep};

/// Runs the command.
pub fn run(settings: &Settings, args: &Stop) -> Outcome {
    let store = Store::new(settings);
    sweep(&store.containers)?;
    let container = Container::open(&store, &args.container, Share::Exclusive)?;
    container.kill()?;
    container.delete()?;
    writeln!(io::stdout(), "{} succesfully removed", args.container)?;
    Ok(0)
}
