//! Measures `conductor` beside other tools and a floor of raw system calls. `bench FOLDER` writes
//! the report to FOLDER; `bench FOLDER PART...` measures only some parts. `ci/bench` calls it in
//! new namespaces, because it changes mounts, links and firewall rules.

use std::path::Path;
use std::process::ExitCode;

mod build;
mod containers;
mod curve;
mod deep;
mod disk;
mod host;
mod images;
mod layers;
mod measure;
mod network;
mod place;
mod pods;
mod report;
mod scale;

use measure::Trouble;
use place::Places;
use report::Report;

/// The parts of the report, in its order.
const PARTS: [(&str, Part); 6] = [
    ("run", containers::run),
    ("exec", containers::exec),
    ("network", network::connect),
    ("build", build::run),
    ("layers", layers::run),
    ("scale", scale::run),
];

type Part = fn(&Places, &mut Report) -> Result<(), Trouble>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [folder, names @ ..] if names.iter().all(|name| PARTS.iter().any(|(part, _)| part == name)) => {
            containers(Path::new(folder), names)
        }
        _ => {
            let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
            Err(format!("usage: bench FOLDER [{}]...", names.join("|")).into())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the named parts, or all if none is named.
fn containers(folder: &Path, names: &[String]) -> Result<(), Trouble> {
    let places = Places::new(folder)?;
    let mut report = Report::new();
    for (name, part) in PARTS {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            part(&places, &mut report)?;
        }
    }
    report.publish(folder, "containers")
}
