//! What shows that COPY or RUN did anything at all. A tool that ignores an instruction changes no
//! base and leaves nothing mounted either, so these checks need a trace of it.

use super::built::Built;
use super::plan::{COPIES, DELETED, RUNS_AFTER_RUN};
use super::{Base, Contents, Layers};
use crate::evidence::mount::Mount;
use crate::task::task3::shared::overlays::{self, Overlays};
use crate::task::task3::shared::view::{ContainerView, Machine};

/// Why nothing can be said of an overlay that is unmounted.
pub const NO_OVERLAY: &str = "no image has layers and no container runs on an overlay";

/// Whether a container, a layer or the base has something that a COPY brought.
pub fn of_copy(built: &Built) -> bool {
    let is_there = |step: &&str| built.plan.paths(step).iter().any(|path| is_seen(built, step, path));
    COPIES.iter().any(is_there) || has_changed(built, "copies")
}

/// Whether a container, a layer, the base or the machine has something that a RUN wrote, or an
/// image lacks what a RUN deleted.
pub fn of_run(built: &Built) -> bool {
    let alone = ["run-echo", "run-after-copy", "run-deletes"].map(|step| (step, step));
    let several = RUNS_AFTER_RUN.map(|run| (RUNS_AFTER_RUN[0], run));
    let is_there = |(step, run): &(&str, &str)| is_seen(built, step, &built.plan.wrote(run));
    let on_machine = built.timeline.at::<Contents>("found", "machine-after");
    alone.iter().chain(&several).any(is_there)
        || DELETED.iter().any(|path| is_gone(built, path))
        || on_machine.is_some_and(|seen| !seen.value.found.is_empty())
        || has_changed(built, "runs")
}

/// Whether an image names layers, or any overlay was mounted that was not the machine's.
pub fn of_overlays(built: &Built) -> bool {
    let has_layers = |layers: &Layers| !layers.dirs.is_empty();
    let machine: Machine = built.timeline.first("machine").unwrap_or_default();
    let is_own = |mount: &Mount| mount.fs_type == "overlay" && !overlays::is_machines(mount, &machine);
    built.timeline.all::<Layers>("layers").iter().any(|seen| has_layers(&seen.value))
        || built.timeline.all::<Overlays>("overlays").iter().any(|seen| !seen.value.mounted.is_empty())
        || built
            .timeline
            .all::<ContainerView>("container")
            .iter()
            .any(|seen| seen.value.mounts.iter().any(is_own))
}

/// Whether a container or a layer of a step's image has a path. It is empty in an older plan.
fn is_seen(built: &Built, step: &str, path: &str) -> bool {
    let shown = built.timeline.at::<Contents>("found", step);
    let layers = built.timeline.at::<Layers>("layers", step);
    !path.is_empty()
        && (shown.is_some_and(|seen| seen.value.found.contains_key(path))
            || layers
                .is_some_and(|seen| seen.value.having.get(path).is_some_and(|having| !having.is_empty())))
}

/// Whether a container does not show a path of the base.
fn is_gone(built: &Built, path: &str) -> bool {
    let shown = built.timeline.at::<Contents>("found", "run-deletes");
    let layers = built.timeline.at::<Layers>("layers", "run-deletes");
    let is_in_base = |layers: Layers| layers.at(path).iter().any(|found| found.kind != "other");
    shown.is_some_and(|seen| !seen.value.found.contains_key(path))
        && layers.is_some_and(|seen| is_in_base(seen.value))
}

fn has_changed(built: &Built, step: &str) -> bool {
    built.timeline.at::<Base>("base", step).is_some_and(|seen| !seen.value.changed.is_empty())
}
