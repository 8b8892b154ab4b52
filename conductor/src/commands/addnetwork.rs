//! `conductor addnetwork`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Addnetwork;
use crate::net::{self, News, Wishes};
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::lock::Share;
use crate::state::names::ContainerName;
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Addnetwork) -> Outcome {
    let container = Container::open(&Store::new(settings), &args.container, Share::Exclusive)?;
    let wishes = Wishes { internet: args.internet, ports: &args.expose };
    let mut said = Ok(());
    let news = net::connect(settings, &container, wishes, |record| {
        // The assignment's text. Nothing needs to settle, so nothing waits.
        said = writeln!(
            io::stdout(),
            "Setting up network '{}' with peer ip {}. Waiting for interface configuration to settle...",
            args.container,
            record.address
        );
    })?;
    tell(&args.container, news)?;
    said?;
    Ok(0)
}

/// Prints what a command has to tell about the network of a container.
pub fn tell(name: &ContainerName, news: Vec<News>) -> io::Result<()> {
    let mut stdout = io::stdout();
    for news in news {
        match news {
            News::Internet { through, before: Some(before) } => {
                writeln!(
                    stdout,
                    "Network '{name}' now leads to the Internet through {through}, no longer {before}"
                )?;
            }
            News::Internet { through, before: None } => {
                writeln!(stdout, "Network '{name}' now leads to the Internet through {through}")?;
            }
            News::Published(port) => {
                writeln!(
                    stdout,
                    "Port {} of the host now leads to port {} of '{name}'",
                    port.outer, port.inner
                )?;
            }
            News::Closed { chain, link } => {
                writeln!(
                    io::stderr(),
                    "conductor: only its owner can change the firewall '{chain}'. If it blocks packets, allow \
                     {link} there. For firewalld: firewall-cmd --zone=trusted --add-interface={link}"
                )?;
            }
        }
    }
    Ok(())
}
