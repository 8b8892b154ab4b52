//! Where scenarios are driven: in a virtual machine, or in namespaces of this machine.

use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::host_look::Tunnels;
use crate::packages::Supply;
use crate::packages::base::Maker;
use crate::stage::Medium;
use crate::verdict::Environment;

/// Starts a machine for each scenario. The guest half drives the scenario in it.
pub trait Driver: fmt::Debug + Sync {
    /// How many times slower the machines are than the reference machine.
    fn slowdown(&self) -> f64;

    /// Describes the machine in the report's environment; returns a sentence about
    /// it for the terminal.
    fn describe(&self, environment: &mut Environment) -> String;

    /// How folders of the host reach a machine.
    fn medium(&self) -> Medium;

    /// What makes base trees.
    fn maker(&self) -> Option<Maker<'_>>;

    /// Adapts a plan to what these machines cannot do or do otherwise.
    fn adapt(&self, plan: &mut Value);

    /// Starts a new machine. The error says why there is none.
    fn start(&self, supplied: Supplied) -> Result<Box<dyn Running + '_>, String>;
}

/// A machine that was started for one program. It ends when dropped.
pub trait Running {
    /// Runs a program to its end and calls `take` with each line of its output.
    fn run(&mut self, command: &vm::Command, take: &mut dyn FnMut(&[u8])) -> vm::Outcome;
}

/// What a machine gets from the host.
#[derive(Debug)]
pub struct Supplied<'a> {
    /// The submission and the guest half, in the driver's [`Medium`].
    pub payload: &'a Path,
    /// The base trees, in the driver's [`Medium`].
    pub store: Option<&'a Path>,
    /// The package cache.
    pub packages: Option<&'a Supply>,
    /// Takes the machine's tunnel to its web page.
    pub tunnels: Option<Tunnels>,
}
