//! Measures `conductor` beside its peers and a floor of raw system calls, and restored virtual machines beside
//! booted ones: `bench containers|machines FOLDER` publishes the report in FOLDER. `ci/bench` calls it; the
//! containers' part changes mounts, links and firewall and must have namespaces of its own.

use std::path::Path;
use std::process::ExitCode;

mod build;
mod containers;
mod images;
mod machines;
mod measure;
mod network;
mod place;
mod report;

use measure::Trouble;
use place::Place;
use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [part, folder] if part == "containers" => containers(Path::new(folder)),
        [part, folder] if part == "machines" => machines(Path::new(folder)),
        _ => Err("usage: bench containers|machines FOLDER".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn containers(folder: &Path) -> Result<(), Trouble> {
    let place = Place::new()?;
    let mut report = Report::new();
    containers::run(&place, &mut report)?;
    containers::exec(&place, &mut report)?;
    network::connect(&place, &mut report)?;
    build::cold(&place, &mut report);
    build::cached(&place, &mut report)?;
    report.publish(folder, "containers")
}

fn machines(folder: &Path) -> Result<(), Trouble> {
    let mut report = Report::new();
    machines::measure(&mut report)?;
    report.publish(folder, "machines")
}
