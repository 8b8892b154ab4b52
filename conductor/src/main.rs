//! The `conductor` program: parse the command line, run the command, report its error.
//!
//! The C library calls [`main`] directly. Rust's own start would read /proc/self/maps and set up a
//! message about a full stack. That takes a twelfth of the time of a short command
//! (docs/performance.md).

#![no_main]

use std::ffi::{c_char, c_int};

use conductor::commands;
use conductor::commands::cli::Cli;
use conductor::sandbox::start;

/// Called by the C library. `std::env` gets the arguments from it, too.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    if start::prepare().is_err() {
        return 1;
    }
    let cli = Cli::from_command_line();
    match commands::dispatch(&cli) {
        Ok(status) => status.into(),
        Err(error) => {
            commands::complain(&*error);
            cli.command.failure_status().into()
        }
    }
}
