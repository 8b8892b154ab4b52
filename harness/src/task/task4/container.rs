//! The containers of a machine, whoever started them: distinguished by their root directories,
//! recognised by their files.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::contents::{Contents, Trees};
use super::servers::{Server, servers};
use crate::evidence::process::{Directory, Namespaces, Process};
use crate::guest::observe::handles;
use crate::guest::observe::links;
use crate::guest::observe::probe::Place;
use crate::guest::observe::sockets;
use crate::task::task3::shared::overlays::Overlay;
use crate::task::task3::shared::view::Machine;

/// A container at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its root directory.
    pub root: Directory,
    /// The oldest process below that root, if possible one in namespaces of its own.
    pub pid: i32,
    /// The namespaces of that process.
    pub namespaces: Namespaces,
    /// What runs in it.
    pub commands: Vec<String>,
    /// What of the services it holds.
    pub contents: Contents,
    /// What of it comes from the folders that its root is mounted from; `None` where
    /// that could not be told.
    pub image: Option<Contents>,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// The ports on which it can be reached.
    pub listening: BTreeSet<u16>,
    /// The processes that listen there. Older evidence does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<Vec<Server>>,
}

impl Container {
    /// Whether it is a container at all: processes and network of its own.
    pub fn is_apart(&self, machine: &Machine) -> bool {
        self.namespaces.pid != machine.namespaces.pid && self.namespaces.net != machine.namespaces.net
    }
}

/// All containers there are now. What is in those whose root is among `known` is
/// not looked for again.
pub fn containers(machine: &Machine, known: &[Container]) -> Vec<Container> {
    let mut found: Vec<Container> = Vec::new();
    let mut processes: Vec<Process> = machine.contained();
    processes.sort_by_key(|process| rank(process, &machine.namespaces));
    for process in processes.iter().filter(|process| process.root.ino != 0 && !process.root.is(&machine.root))
    {
        let command = process.cmdline.join(" ");
        if let Some(container) = found.iter_mut().find(|container| container.root.is(&process.root)) {
            container.commands.push(command);
            continue;
        }
        let contents = match known.iter().find(|container| container.root.is(&process.root)) {
            Some(container) => container.contents,
            None => Contents::of(&PathBuf::from(handles::proc(format!("{}/root", process.pid)))),
        };
        let network = Place::Process(process.pid).run(links::here).unwrap_or_default();
        found.push(Container {
            root: process.root.clone(),
            pid: process.pid,
            namespaces: process.namespaces,
            commands: vec![command],
            contents,
            image: None,
            address: network.address(),
            listening: sockets::listening(process.pid),
            servers: Some(servers(process.pid)),
        });
    }
    found
}

/// Sorts the first process of a container before others below the same root. After `pivot_root(2)`
/// these include the `unshare` that waits for it, which is older and outside its PID namespace.
fn rank(process: &Process, machine: &Namespaces) -> (bool, bool, u64) {
    let own = &process.namespaces;
    (own.pid == machine.pid, own.net == machine.net, process.start)
}

/// What the image of a container holds: the lower folders of the overlay that is its root.
pub fn image_of(container: &Container, overlays: &[Overlay], trees: &mut Trees) -> Option<Contents> {
    let place = format!("process {}:/", container.pid);
    let root = overlays.iter().find(|overlay| overlay.at.contains(&place))?;
    let is_known = !root.lower.is_empty() && root.lower.iter().all(|dir| dir.ino != 0);
    is_known.then(|| trees.together(&root.lower))
}

/// The container of the counter-service and that of the external-service, as far as they are there.
pub fn roles(containers: &[Container]) -> (Option<&Container>, Option<&Container>) {
    // Where everything was copied into both, what was made or installed there tells them apart.
    let counter = containers
        .iter()
        .filter(|container| container.contents.has_counter())
        .max_by_key(|container| (container.contents.counter_program, !container.contents.flask));
    let page = containers
        .iter()
        .filter(|container| container.contents.page)
        .filter(|container| counter.is_none_or(|counter| !counter.root.is(&container.root)))
        .max_by_key(|container| (container.contents.flask, !container.contents.counter_program));
    (counter, page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(ino: u64, contents: Contents) -> Container {
        let root = Directory { path: "/".to_owned(), dev: 1, ino };
        Container { root, contents, ..Container::default() }
    }

    #[test]
    fn containers_that_hold_everything_are_told_apart_by_what_was_made_there() {
        let all = Contents { counter_source: true, page: true, python: true, ..Contents::default() };
        let page = container(1, Contents { flask: true, requests: true, ..all });
        let counter = container(2, Contents { counter_program: true, ..all });
        let containers = [page.clone(), counter.clone()];
        assert_eq!(roles(&containers), (Some(&counter), Some(&page)));
    }

    #[test]
    fn a_process_that_waits_outside_the_namespaces_is_not_the_first_one() {
        let machine = Namespaces { pid: 1, net: 2, ..Namespaces::default() };
        let process = |pid, start, namespaces| Process { pid, start, namespaces, ..Process::default() };
        let unshare = process(10, 1, Namespaces { net: 4, ..machine });
        let first = process(11, 2, Namespaces { pid: 3, net: 4, ..machine });
        let exec = process(12, 3, Namespaces { pid: 3, net: 4, ..machine });
        let mut all = [exec, unshare, first];
        all.sort_by_key(|process| rank(process, &machine));
        assert_eq!(all.map(|process| process.pid), [11, 12, 10]);
    }

    #[test]
    fn one_container_is_not_both() {
        let both = Contents { counter_program: true, page: true, flask: true, ..Contents::default() };
        let containers = [container(1, both)];
        assert_eq!(roles(&containers), (Some(&containers[0]), None));
    }
}
