//! The guest half: what runs inside the VM beside a submission, drives it and records what happens.

pub mod cgroups;
pub mod debootstrap;
pub mod exhaustion;
pub mod firewall;
pub mod hostname;
pub mod links;
pub mod mounts;
pub mod obstructed;
pub mod patience;
pub mod probe;
pub mod processes;
pub mod programs;
pub mod pty;
pub mod recorder;
pub mod session;
pub mod sleep;
pub mod sniffer;
pub mod sockets;
pub mod speed;
pub mod stillness;
pub mod terminal;
pub mod trace;
pub mod trust;
pub mod work;
pub mod world;
