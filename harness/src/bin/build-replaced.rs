//! The `build` that follow-through puts in the place of a submission's own: `build-replaced IMAGE
//! [CONDUCTORFILE]`. Only the payload of a scenario that is driven again with another `build` holds
//! this program.

use std::process::ExitCode;

use harness::guest::fakes::replaced;

fn main() -> ExitCode {
    replaced::build(&std::env::args().skip(1).collect::<Vec<_>>())
}
