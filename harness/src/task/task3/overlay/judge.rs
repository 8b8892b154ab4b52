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
use crate::task::task3::shared::state::Image;
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::task::task3::shared::view::ContainerView;
use crate::verdict::Finding;

/// A base of which nothing is known takes up at least this, in bytes.
const SMALL_BASE: u64 = 32 << 20;
/// What takes up this part of the base holds a copy of it.
const COPY_SHARE: u64 = 4;

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
    if unnamed.is_empty() {
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
    let disk = |step| context.timeline.at::<Disk>("disk", step);
    // The folder on which a container really runs, whatever `layers` names.
    let base = disk("worker").and_then(|seen| seen.value.base).unwrap_or(image.value.base).bytes;
    let whole = base.max(SMALL_BASE);
    for image in context.image.iter().chain(&context.second) {
        if image.value.size.bytes > whole / COPY_SHARE {
            let size = megabytes(image.value.size.bytes);
            return question.proof(&image.place).fail(format!("an image's folder takes up {size}"));
        }
    }
    if let Some(built) = disk("build") {
        question = question.proof(built.place);
        if built.value.trees.len() > 1 {
            let trees = paths(&built.value.trees);
            return question
                .fail(format!("there is one image, but its root tree exists more than once: {trees}"));
        }
        // The base itself, unless the disk on which it lies is not looked at, and half of it for
        // what debootstrap leaves elsewhere.
        let own =
            if context.timeline.plan::<RunPlan>().is_some_and(|plan| plan.shared_disk) { 0 } else { whole };
        let grown = disk("before").and_then(|before| growth(&before.value, &built.value));
        if let Some(grown) = grown.filter(|grown| *grown > own + whole / 2) {
            return question.fail(format!(
                "the first build added {} to the machine's disks; the base takes up {}",
                megabytes(grown),
                megabytes(base)
            ));
        }
    }
    // A second base for the second image is a matter of base-shared.
    if let (Some(before), Some(running)) = (disk("build-second"), disk("worker")) {
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
    let mut lowest: Option<Directory> = None;
    for (container, overlays) in containers {
        let Some(container) = container else { continue };
        let overlay = overlays.as_ref().and_then(|overlays| overlay_of(container, &overlays.value));
        let Some(base) = overlay.and_then(|overlay| overlay.lower.last()) else {
            return question.unmet("3d/one-overlay-while-running", "the containers are on no overlay");
        };
        if lowest.as_ref().is_some_and(|lowest| !lowest.is(base)) {
            return question
                .fail(format!("two containers run on different base folders, one of them {}", base.path));
        }
        lowest = Some(base.clone());
    }
    question.pass(format!("all containers run on {}", lowest.map_or_else(String::new, |base| base.path)))
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
