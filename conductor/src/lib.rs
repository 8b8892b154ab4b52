//! A container system over the Linux kernel: images of overlay layers built from Conductorfiles, containers
//! in namespaces of their own, veth networking with NAT, port forwarding and peering.
//!
//! The programs are thin: [`cli`] says what can be asked, [`commands`] has one small file for each verb, and
//! everything else is the library they call.

mod attributes;
pub mod base;
pub mod build;
pub mod cache;
pub mod cache_key;
pub mod cgroup;
pub mod cli;
pub mod commands;
pub mod conductorfile;
pub mod container;
pub mod copy;
pub mod delete;
pub mod images;
pub mod launch;
pub mod layer;
pub mod listing;
pub mod merged;
pub mod names;
pub mod namespaces;
pub mod net;
pub mod overlay;
pub mod port_mapping;
pub mod process;
pub mod reaper;
pub mod rootfs;
pub mod run_instruction;
pub mod sandbox;
pub mod settings;
pub mod settings_file;
pub mod source_tree;
pub mod stat_index;
pub mod store;
pub mod supervise;
pub mod tty;
