//! Running programs of a submission on terminals, within limits.

pub mod obstructed;
pub mod patience;
pub mod programs;
pub mod pty;
pub mod session;
pub mod terminal;
