//! `conductor addnetwork`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Addnetwork;
use crate::net::{self, Change, Wishes};
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::lock::Share;
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Addnetwork) -> Outcome {
    let container = Container::open(&Store::new(settings), &args.container, Share::Exclusive)?;
    let wishes = Wishes { internet: args.internet, ports: &args.expose };
    let changes = net::connect(settings, &container, wishes, |record| {
        // The assignment's text. Nothing needs to settle, so nothing waits.
        let _ = writeln!(
            io::stdout(),
            "Setting up network '{}' with peer ip {}. Waiting for interface configuration to settle...",
            args.container,
            record.address
        );
    })?;
    let mut stdout = io::stdout();
    for change in changes {
        let name = &args.container;
        match change {
            Change::Internet { through, before: Some(before) } => {
                writeln!(
                    stdout,
                    "Network '{name}' now leads to the Internet through {through}, no longer {before}"
                )?;
            }
            Change::Internet { through, before: None } => {
                writeln!(stdout, "Network '{name}' now leads to the Internet through {through}")?;
            }
            Change::Published(port) => {
                writeln!(
                    stdout,
                    "Port {} of the host now leads to port {} of '{name}'",
                    port.outer, port.inner
                )?;
            }
        }
    }
    Ok(0)
}
