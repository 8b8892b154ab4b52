//! The `run` that follow-through puts in the place of a submission's own: `run-replaced IMAGE
//! CONTAINER [--] [COMMAND…]`. Only the payload of a scenario that is driven again with another
//! `run` holds this program.

use std::process::ExitCode;

use harness::guest::fakes::replaced;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    replaced::run(&name, &arguments.collect::<Vec<_>>())
}
