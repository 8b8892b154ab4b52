//! `conductor ps`.

use std::io::{self, BufWriter, Write};

use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::commands::cli::Listing;
use crate::commands::listing::day;
use crate::net::Record;
use crate::settings::Settings;
use crate::state;
use crate::state::container::{self, Summary};
use crate::state::names::ImageName;
use crate::state::store::{self, Store};

/// Runs the command.
pub fn run(settings: &Settings, args: &Listing) -> Outcome {
    let containers = container::list(&Store::new(settings))?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        let objects = containers.iter().map(object).collect::<Result<Vec<_>, _>>()?;
        writeln!(out, "{}", serde_json::to_string_pretty(&objects)?)?;
        out.flush()?;
        return Ok(0);
    }
    if containers.is_empty() {
        writeln!(out, "No containers found")?;
        out.flush()?;
        return Ok(0);
    }
    writeln!(out, "{:<20} {:<10} Status", "Name", "Date")?;
    for container in containers {
        let status = status(container.pid);
        writeln!(out, "{:<20} {:<10} {status}", container.name, day(container.created))?;
    }
    out.flush()?;
    Ok(0)
}

fn object(container: &Summary) -> Result<Value, state::Error> {
    Ok(json!({
        "name": container.name.as_str(),
        "image": store::image_of(&container.folder)?.as_ref().map(ImageName::as_str),
        "date": day(container.created),
        "status": status(container.pid),
        "pid": container.pid,
        "address": Record::load(&container.folder)?.map(|record| record.address),
    }))
}

fn status(pid: Option<i32>) -> &'static str {
    if pid.is_some() { "running" } else { "exited" }
}
