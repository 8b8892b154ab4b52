//! The layers of an image as they were found: the overlay stack of a running container, and which
//! file came from which layer.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use serde::Deserialize;

use super::size::Budget;
use crate::evidence::Recording;
use crate::evidence::process::Directory;
use crate::report::text::visible;

/// Most stacks of one recording.
const STACKS: usize = 8;
/// Most layers of one stack, and most files of one layer.
const LAYERS: usize = 20;
const FILES: usize = 12;

/// Overlays at one moment, as the record `overlays` has them.
#[derive(Deserialize)]
struct Overlays {
    step: String,
    mounted: Vec<Overlay>,
}

#[derive(Deserialize)]
struct Overlay {
    at: Vec<String>,
    lower: Vec<Directory>,
    upper: Option<Directory>,
}

/// The layers of an image, as the record `layers` has them.
#[derive(Deserialize)]
struct Layers {
    step: String,
    dirs: Vec<Directory>,
    having: BTreeMap<String, Vec<usize>>,
}

/// One layer, as it is shown.
struct Layer {
    role: String,
    path: String,
    files: Vec<String>,
}

/// The overlay that each running container lives on.
pub fn mounted(recording: &Recording, budget: &mut Budget) -> Markup {
    let all = recording.all::<Overlays>("overlays").map(|(_, overlays)| overlays);
    let stacks = all.flat_map(|overlays| {
        let step = overlays.step;
        overlays
            .mounted
            .into_iter()
            .map(move |overlay| (format!("At the step {step}: {}", place(&overlay)), overlay))
    });
    let stacks = stacks.map(|(title, overlay)| {
        let upper = overlay.upper.map(|dir| Layer {
            role: "the container's own, writable".into(),
            path: dir.path,
            files: vec![],
        });
        let count = overlay.lower.len();
        let lower = overlay.lower.into_iter().enumerate().map(move |(index, dir)| Layer {
            role: if index + 1 == count { "lowest".into() } else { format!("layer {}", count - index) },
            path: dir.path,
            files: vec![],
        });
        (title, upper.into_iter().chain(lower).collect())
    });
    section("The layers of running containers, the top one first", stacks, budget)
}

/// Where an overlay is mounted. Copies of one mount in other namespaces are not listed.
fn place(overlay: &Overlay) -> String {
    overlay.at.first().cloned().unwrap_or_default()
}

/// What the `layers` files of images name, with this run's files that are in each.
pub fn named(recording: &Recording, budget: &mut Budget) -> Markup {
    let all = recording.all::<Layers>("layers").map(|(_, layers)| layers);
    let stacks = all.filter(|layers| !layers.dirs.is_empty()).map(|layers| {
        let title = format!("The image of the step {}", layers.step);
        let files = |number: usize| {
            let having = layers.having.iter().filter(|(_, numbers)| numbers.contains(&number));
            having.map(|(path, _)| path.clone()).collect()
        };
        let stack = layers.dirs.iter().enumerate();
        let stack = stack.map(|(number, dir)| Layer {
            role: format!("named {}", ordinal(number)),
            path: dir.path.clone(),
            files: files(number),
        });
        (title, stack.collect())
    });
    section("The layers that each image names, and the files that each layer has", stacks, budget)
}

fn ordinal(number: usize) -> String {
    match number {
        0 => "first".to_owned(),
        number => format!("as number {}", number + 1),
    }
}

fn section(title: &str, stacks: impl Iterator<Item = (String, Vec<Layer>)>, budget: &mut Budget) -> Markup {
    let parts: Vec<String> = stacks
        .take(STACKS)
        .filter_map(|(title, layers)| budget.admit(stack(&title, &layers).into_string()))
        .collect();
    if parts.is_empty() {
        return html! {};
    }
    html! {
        h3 { (title) }
        @for part in &parts { (PreEscaped(part)) }
    }
}

fn stack(title: &str, layers: &[Layer]) -> Markup {
    html! {
        details.figure {
            summary { (visible(title)) ", " (layers.len()) @if layers.len() == 1 { " layer" } @else { " layers" } }
            ol.stack {
                @for layer in layers.iter().take(LAYERS) {
                    li {
                        span.quiet { (layer.role) } " " code { (visible(&layer.path)) }
                        @if !layer.files.is_empty() {
                            ul { @for file in layer.files.iter().take(FILES) { li { code { (visible(file)) } } } }
                        }
                    }
                }
            }
            @if layers.len() > LAYERS { p.quiet { (layers.len() - LAYERS) " more layers" } }
        }
    }
}
