//! A container system over the Linux kernel: images of overlay layers built from Conductorfiles,
//! containers in their own namespaces, and veth networks with NAT, published ports and peers.
//!
//! The programs are thin: [`commands`] parses the command line and has one small file for each
//! verb. The verbs call the modules below them. Each module uses only modules that stand further
//! down this list:
//!
//! | module | subject |
//! |---|---|
//! | [`commands`] | the command line: one file for each verb |
//! | [`image`] | building, caching and listing images |
//! | [`net`] | the network of a container |
//! | [`state`] | the folders that hold images, containers and the cache |
//! | [`settings`] | setup.sh, the environment and flags |
//! | [`sandbox`] | processes in namespaces, with a root directory and a terminal |

pub mod commands;
pub mod image;
pub mod net;
pub mod sandbox;
pub mod settings;
pub mod state;
