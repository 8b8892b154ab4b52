//! The drawings of each subtask: the network, processes and their namespaces, the use of the CPU,
//! the layers of images.

use std::collections::BTreeMap;

use maud::Markup;

use super::size::Budget;
use super::{cpu, layers, network, processes};
use crate::evidence::{Bundle, Recording};
use crate::verdict::Report;

/// What draws something of a scenario's recording.
type Draw = fn(&Recording, &mut Budget) -> Markup;

/// Which drawings stand below which subtask, and the scenario that they are of.
const FIGURES: [(&str, &str, Draw); 8] = [
    ("1", "1", processes::of),
    ("2a", "2", processes::of),
    ("2c", "2", cpu::of),
    ("3a", "3-run", processes::of),
    ("3c", "3-network", network::of),
    ("3d", "3-run", layers::mounted),
    ("3e", "3-build", layers::named),
    ("4", "4-matrix", network::of_matrix),
];

/// The drawings by the subtask that they stand below.
pub fn all<'a>(report: &'a Report, bundle: &Bundle, budget: &mut Budget) -> BTreeMap<&'a str, Vec<Markup>> {
    let mut figures: BTreeMap<&str, Vec<Markup>> = BTreeMap::new();
    for (id, scenario, draw) in FIGURES {
        let subtask = report.subtasks.iter().find(|subtask| subtask.id == id);
        if let (Some(subtask), Some(recording)) = (subtask, bundle.recordings.get(scenario)) {
            figures.entry(&subtask.id).or_default().push(draw(recording, budget));
        }
    }
    figures
}
