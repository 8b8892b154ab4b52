//! Measures `conductor` beside other tools and a floor of raw system calls. `bench FOLDER` writes
//! the report to FOLDER. `ci/bench` calls it in new namespaces, because it changes mounts, links
//! and firewall rules.

use std::path::Path;
use std::process::ExitCode;

mod build;
mod containers;
mod images;
mod measure;
mod network;
mod place;
mod report;
mod scale;

use measure::Trouble;
use place::Place;
use report::Report;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [folder] => containers(Path::new(folder)),
        _ => Err("usage: bench FOLDER".into()),
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
    scale::run(&place, &mut report)?;
    report.publish(folder, "containers")
}
