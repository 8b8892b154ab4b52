//! Instruments: each reads one kind of fact from the kernel, by means that a
//! submission cannot reach.

pub mod cgroups;
pub mod datagram;
pub mod exhaustion;
pub mod firewall;
pub mod handles;
pub mod hostname;
pub mod links;
pub mod markers;
pub mod mounts;
pub mod probe;
pub mod processes;
pub mod served;
pub mod sniffer;
pub mod sockets;
pub mod speed;
pub mod starts;
pub mod stillness;
pub mod trace;
pub mod work;
