//! Judges 3d: whether containers share the layers of their image through an overlay.

use std::path::Path;

use super::checks::ROWS;
use super::{Disk, Written};
use crate::evidence::Bundle;
use crate::evidence::process::Directory;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::overlays::{Overlay, Overlays};
use crate::task::task3::shared::state::{Image, Size};
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::ContainerView;
use crate::verdict::Finding;

/// A base of which nothing is known takes up at least this, in bytes.
const SMALL_BASE: u64 = 32 << 20;
/// What takes up this part of the base holds a copy of it.
const COPY_SHARE: u64 = 4;
/// So few files and folders are no copy of a root tree, which has thousands. They may be an archive
/// of it, which is kept to set it up again.
const FEW: u64 = 64;

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "3-run", &ROWS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let context = OverlayContext {
        image: timeline.at("image", "build"),
        second: timeline.at("image", "build-second"),
        both: timeline.at("overlays", "both"),
        worker: timeline.at("container", "worker"),
        shell: timeline.at("container", "shell"),
        other: timeline.at("container", "other"),
        timeline,
    };
    check::judge(&ROWS, |judge, question, verdicts| judge(&context, question, verdicts))
}

pub struct OverlayContext<'a> {
    pub timeline: Timeline<'a>,
    image: Option<Seen<Image>>,
    second: Option<Seen<Image>>,
    /// While the container with the default shell runs, beside the one with a
    /// command if that came up.
    both: Option<Seen<Overlays>>,
    worker: Option<Seen<ContainerView>>,
    shell: Option<Seen<ContainerView>>,
    /// A container of the second image.
    other: Option<Seen<ContainerView>>,
}

impl OverlayContext<'_> {
    fn no_container(&self, question: Question) -> Finding {
        let why = self.timeline.why_unbuilt().unwrap_or_else(|| self.timeline.why_absent("worker"));
        self.timeline.missing(question, format!("no container: {why}"))
    }

    fn disk(&self, step: &str) -> Option<Seen<Disk>> {
        self.timeline.at("disk", step)
    }

    /// What the base takes up: the folder on which a container really runs, whatever `layers`
    /// names.
    fn base(&self) -> Size {
        let named = self.image.as_ref().map(|image| image.value.base).unwrap_or_default();
        self.disk("worker").and_then(|seen| seen.value.base).unwrap_or(named)
    }

    /// The folders that an image names and that are root trees which the submission made.
    fn trees_of(&self, image: &Image) -> Vec<Directory> {
        let made = self.disk("build-second").map(|seen| seen.value.trees).unwrap_or_default();
        image.named.iter().filter(|dir| holds(&made, dir)).cloned().collect()
    }

    /// Whether an overlay was mounted while a container ran, wherever it was.
    fn has_overlay(&self) -> bool {
        let mut while_running =
            ["worker", "both"].into_iter().filter_map(|step| self.timeline.at("overlays", step));
        while_running.any(|seen: Seen<Overlays>| !seen.value.mounted.is_empty())
    }

    /// The first container that came up, and the overlays while it was the only one.
    fn alone(&self) -> Option<(&Seen<ContainerView>, Seen<Overlays>)> {
        let (container, step) = match (&self.worker, &self.shell) {
            (Some(worker), _) => (worker, "worker"),
            (None, Some(shell)) => (shell, "both"),
            (None, None) => return None,
        };
        Some((container, self.timeline.at("overlays", step)?))
    }
}

/// The overlay that is a container's root.
fn overlay_of<'a>(container: &Seen<ContainerView>, overlays: &'a Overlays) -> Option<&'a Overlay> {
    let root = container.value.mounts.iter().rfind(|mount| mount.mount_point == "/")?;
    overlays.mounted.iter().find(|overlay| overlay.device == root.device)
}

fn paths(dirs: &[Directory]) -> String {
    dirs.iter().map(|dir| dir.path.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether `named` is the layer itself or the folder that holds it, as `layers/<key>` holds
/// `layers/<key>/diff`.
fn names_layer(named: &Directory, layer: &Directory) -> bool {
    named.is(layer) || Path::new(&layer.path).parent() == Some(Path::new(&named.path))
}

/// Whether the lower folders that `layers` does not name only add to those that it names, as the
/// hosts file of one container does: no root tree is among them, and all that it names is used.
fn only_add(overlay: &Overlay, named: &[Directory], unnamed: &[&Directory]) -> bool {
    let trees = overlay.root_trees();
    let is_tree = |dir: &Directory| trees.iter().any(|tree| tree.is(dir));
    let is_used = |named: &Directory| {
        overlay.lower.iter().any(|layer| layer.is(named) || Path::new(&layer.path).starts_with(&named.path))
    };
    !trees.is_empty() && unnamed.iter().all(|dir| dir.ino != 0 && !is_tree(dir)) && named.iter().all(is_used)
}

pub fn layers_file(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the file `layers` names the lower folders of a container's overlay");
    if let Some(why) = context.timeline.why_unbuilt() {
        return question.fail(format!("no image: {why}"));
    }
    let Some(image) = &context.image else { return context.timeline.missing(question, "no image was built") };
    let question = question.proof(&image.place);
    let Image { layers, named, dir, .. } = &image.value;
    let Some(text) = layers else {
        return question.fail(match dir {
            Some(dir) => format!("{dir} has no file `layers`"),
            None => {
                "no folder of the image's name was found, in the submission or where programs keep their state"
                    .to_owned()
            }
        });
    };
    if named.is_empty() {
        return question.fail(format!("`layers` names no folder that exists: {:?}", text.trim()));
    }
    let Some((container, overlays)) = context.alone() else {
        return question.skip(format!("`layers` names {}; no container runs on them", paths(named)));
    };
    let Some(overlay) = overlay_of(container, &overlays.value) else {
        return question.fail(format!(
            "`layers` names {}, but the container does not run on an overlay of them",
            paths(named)
        ));
    };
    let unnamed: Vec<&Directory> =
        overlay.lower.iter().filter(|dir| !named.iter().any(|named| names_layer(named, dir))).collect();
    if unnamed.is_empty() || only_add(overlay, named, &unnamed) {
        question.pass(format!("`layers` names {}", paths(named)))
    } else {
        let others: Vec<&str> = unnamed.iter().map(|dir| dir.path.as_str()).collect();
        question.fail(format!("the container runs on {}, which `layers` does not name", others.join(", ")))
    }
}

pub fn no_copy(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("image and container take up little beside the base");
    let Some(image) = &context.image else { return context.timeline.missing(question, "no image was built") };
    if let Some(why) = context.timeline.why_unbuilt() {
        return question.skip(format!("no image: {why}"));
    }
    let mut question = question.proof(&image.place);
    let base = context.base().bytes;
    let whole = base.max(SMALL_BASE);
    for image in context.image.iter().chain(&context.second) {
        if image.value.size.bytes > whole / COPY_SHARE {
            let size = megabytes(image.value.size.bytes);
            return question.proof(&image.place).fail(format!("an image's folder takes up {size}"));
        }
    }
    if let Some(built) = context.disk("build") {
        question = question.proof(built.place);
        if built.value.trees.len() > 1 {
            let trees = paths(&built.value.trees);
            return question
                .fail(format!("there is one image, but its root tree exists more than once: {trees}"));
        }
        // The base itself, unless the disk on which it lies is not looked at, and half of it for
        // what debootstrap leaves elsewhere.
        let before = context.disk("before").map(|seen| seen.value).unwrap_or_default();
        let archived = few_files(&before.beside, &built.value.beside).min(whole);
        let is_shared = context.timeline.plan::<RunPlan>().is_some_and(|plan| plan.shared_disk);
        let own = if is_shared { 0 } else { whole + archived };
        let grown = growth(&before, &built.value);
        if let Some(grown) = grown.filter(|grown| *grown > own + whole / 2) {
            return question.fail(format!(
                "the first build added {} to the machine's disks; the base takes up {}",
                megabytes(grown),
                megabytes(base)
            ));
        }
    }
    // A second base for the second image is a matter of base-shared.
    if let (Some(before), Some(running)) = (context.disk("build-second"), context.disk("worker")) {
        question = question.proof(before.place).proof(running.place);
        let beside = running.value.beside.bytes.saturating_sub(before.value.beside.bytes);
        let grown = growth(&before.value, &running.value).unwrap_or_default().max(beside);
        if grown > whole / COPY_SHARE {
            return question.fail(format!("a container takes up {} more", megabytes(grown)));
        }
    }
    if context.worker.is_none() {
        return context.no_container(question);
    }
    question.pass(format!("image and container take up little compared with the base's {}", megabytes(base)))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What the submission's folder takes up more, if that is a few files beside the base.
fn few_files(before: &Size, after: &Size) -> u64 {
    let is_few = after.entries.saturating_sub(before.entries) <= FEW;
    if is_few { after.bytes.saturating_sub(before.bytes) } else { 0 }
}

/// What is in use on the machine's disks beyond what was before; `None` in
/// evidence that does not tell.
fn growth(before: &Disk, after: &Disk) -> Option<u64> {
    Some(after.used?.saturating_sub(before.used?))
}

pub fn one(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("exactly one overlay, and it is the container's root");
    let Some((container, overlays)) = context.alone() else { return context.no_container(question) };
    let question = question.proof(&overlays.place);
    let mounted = &overlays.value.mounted;
    let places = |overlay: &Overlay| overlay.at.join(" and ");
    match mounted.as_slice() {
        [] => question.fail("no overlay is mounted"),
        [only] if overlay_of(container, &overlays.value).is_some() => {
            question.pass(format!("one, at {}", places(only)))
        }
        [only] => question.fail(format!("one, at {}, and the container's root is not on it", places(only))),
        more => {
            let places: Vec<String> = more.iter().map(places).collect();
            question.fail(format!("{} are mounted: {}", more.len(), places.join("; ")))
        }
    }
}

pub fn writes(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("files that a container writes are in that container only");
    let Some(written) = context.timeline.at::<Written>("written", "write") else {
        return if context.worker.is_none() {
            context.no_container(question)
        } else {
            let why = context.timeline.why_absent("shell");
            context.timeline.missing(question, format!("no second container to compare with: {why}"))
        };
    };
    if !context.has_overlay() {
        return context.timeline.unmet(question, "3d/one-overlay-while-running", "no overlay was mounted");
    }
    let question = question.proof(&written.place);
    let Written { error, kept, found, .. } = &written.value;
    if let Some(error) = error {
        question.fail(format!("the container's root cannot be written: {error}"))
    } else if !found.is_empty() {
        question.fail(format!("the file also shows in {}", found.join(", ")))
    } else {
        question.answer(
            *kept,
            if *kept { "the file is in the container only" } else { "the container lost the file" },
        )
    }
}

pub fn shared(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("all containers and images use the same base folder");
    let (Some(image), Some(second)) = (&context.image, &context.second) else {
        return context.timeline.missing(question, "no two images were built");
    };
    let question = question.proof(&image.place).proof(&second.place);
    let (named, others) = (&image.value.named, &second.value.named);
    let is_shared = |dir: &&Directory| others.iter().any(|other| other.is(dir));
    if !named.is_empty() && !others.is_empty() && !named.iter().any(|dir| is_shared(&dir)) {
        return question.fail(format!("one image is on {}, the other on {}", paths(named), paths(others)));
    }
    let trees = [context.trees_of(&image.value), context.trees_of(&second.value)];
    if trees.iter().all(|trees| !trees.is_empty()) && !are_same(&trees[0], &trees[1]) {
        let [one, other] = trees.map(|trees| paths(&trees));
        return question.fail(format!("the root trees of one image are {one}; of the other, {other}"));
    }
    if context.worker.is_none() && context.shell.is_none() {
        return context.no_container(question);
    }
    let other = context.timeline.at::<Overlays>("overlays", "other");
    if other.is_some() && context.other.is_none() {
        let why = context.timeline.why_absent("other");
        return context.timeline.missing(question, format!("no container of the second image: {why}"));
    }
    let worker = context.worker.as_ref().and_then(|_| context.alone()).map(|(_, overlays)| overlays);
    let containers = [(&context.worker, &worker), (&context.shell, &context.both), (&context.other, &other)];
    let mut bases: Option<Vec<Directory>> = None;
    for (container, overlays) in containers {
        let Some(container) = container else { continue };
        let overlay = overlays.as_ref().and_then(|overlays| overlay_of(container, &overlays.value));
        let Some(own) = overlay.map(bases_of).filter(|own| !own.is_empty()) else {
            return question.unmet("3d/one-overlay-while-running", "the containers are on no overlay");
        };
        if bases.as_ref().is_some_and(|bases| !are_same(bases, &own)) {
            return question
                .fail(format!("two containers run on different base folders, one of them {}", paths(&own)));
        }
        bases = Some(own);
    }
    if let (Some(first), Some(both)) = (context.disk("build"), context.disk("build-second")) {
        let grown = growth(&first.value, &both.value).unwrap_or_default();
        if grown > context.base().bytes.max(SMALL_BASE) / COPY_SHARE {
            let grown = megabytes(grown);
            return question
                .proof(first.place)
                .proof(both.place)
                .fail(format!("the second image added {grown} to the machine's disks"));
        }
    }
    question.pass(format!("all containers run on {}", bases.map_or_else(String::new, |bases| paths(&bases))))
}

/// The root trees below an overlay; in older evidence, or where there are none, its lowest folder.
fn bases_of(overlay: &Overlay) -> Vec<Directory> {
    let trees: Vec<Directory> = overlay.root_trees().into_iter().cloned().collect();
    if trees.is_empty() { overlay.lower.last().cloned().into_iter().collect() } else { trees }
}

fn holds(dirs: &[Directory], wanted: &Directory) -> bool {
    dirs.iter().any(|dir| dir.is(wanted))
}

/// Whether both have the same folders, in any order.
fn are_same(one: &[Directory], other: &[Directory]) -> bool {
    one.iter().all(|dir| holds(other, dir)) && other.iter().all(|dir| holds(one, dir))
}

pub fn unmounted(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("no overlay is mounted once the containers are stopped");
    if context.worker.is_none() && context.shell.is_none() {
        return context.no_container(question);
    }
    if !context.has_overlay() {
        return context.timeline.unmet(question, "3d/one-overlay-while-running", "no overlay was mounted");
    }
    let Some(stopped) = context.timeline.at::<Overlays>("overlays", "stopped") else {
        return context.timeline.missing(question, "not reached: the scenario ended before stop was called");
    };
    let places: Vec<String> = stopped.value.mounted.iter().map(|overlay| overlay.at.join(" and ")).collect();
    let question = question.proof(stopped.place);
    if places.is_empty() {
        question.pass("no overlay is mounted")
    } else {
        question.fail(format!("still mounted: {}", places.join("; ")))
    }
}
