//! The agent of a guest, as a program of its own: see [`vm::agent`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vm::agent::main()
}
