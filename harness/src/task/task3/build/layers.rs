//! Judges what COPY and RUN have in common: a layer for each instruction, a base that does not
//! change, and no overlay left mounted.

use std::collections::BTreeSet;
use std::path::Path;

use super::built::Built;
use super::{Base, Layers, OtherMounts};
use crate::evidence::mount::Mount;
use crate::evidence::process::Directory;
use crate::task::finding::Question;
use crate::task::task3::shared::overlays::Overlays;
use crate::task::task3::shared::state::Image;
use crate::verdict::Finding;

/// Judges whether what each instruction brought is in a layer of its own above the base: of each
/// step, its paths are what different instructions brought.
pub fn own_layer(built: &Built, question: Question, steps: &[(&str, Vec<String>)]) -> Finding {
    let base = built.timeline.at::<Image>("image", "build").map(|seen| seen.value.named).unwrap_or_default();
    let mut question = question;
    let mut above = 0;
    let mut known = false;
    for (step, paths) in steps.iter().filter(|(step, _)| built.is_made(step)) {
        let Some(layers) = built.timeline.at::<Layers>("layers", step) else { continue };
        question = question.proof(layers.place);
        if layers.value.dirs.is_empty() {
            continue;
        }
        known = true;
        match own_of_each(&layers.value, paths, &base) {
            Ok(count) => above += count,
            Err(fault) => return question.fail(fault),
        }
    }
    if !known {
        return question.unmet("3d/layers-file", "the layers of no image are known");
    }
    question.pass(format!("{above} instructions, and a layer above the base for each"))
}

/// Whether each path is in a layer that has no other instruction's path. A layer with a path that
/// an overlay copied up is not the one of the path's instruction. Neither is a folder that holds
/// the other layers, or the base's own files.
fn own_of_each(layers: &Layers, paths: &[String], base: &[Directory]) -> Result<usize, String> {
    let Layers { dirs, having, copied_up, whole, .. } = layers;
    let holds_layers = |dir: &Directory| {
        dirs.iter().any(|other| !other.is(dir) && Path::new(&other.path).starts_with(&dir.path))
    };
    let mut taken: Vec<usize> = Vec::new();
    for path in paths {
        let with = having.get(path).map_or(&[][..], Vec::as_slice);
        if with.is_empty() {
            return Err(format!("{path} is in none of the image's {} layers", dirs.len()));
        }
        let mut own: Vec<(usize, &Directory)> =
            with.iter().filter_map(|number| Some((*number, dirs.get(*number)?))).collect();
        own.retain(|(_, dir)| !base.iter().any(|base| base.is(dir)));
        let Some((_, first)) = own.first().copied() else {
            return Err(format!("{path} is in the base itself"));
        };
        let is_copy = |number: &usize| copied_up.get(path).is_some_and(|copies| copies.contains(number));
        own.retain(|(number, dir)| !is_copy(number) && !holds_layers(dir) && !whole.contains(number));
        if own.is_empty() {
            return Err(format!(
                "{path} is in {}, which holds files of the base or other layers, too",
                first.path
            ));
        }
        if let Some((_, shared)) = own.iter().find(|(number, _)| taken.contains(number)) {
            let shared = &shared.path;
            return Err(format!("{path} is in the same layer as what another instruction brought: {shared}"));
        }
        taken.extend(own.iter().map(|(number, _)| number));
    }
    Ok(paths.len())
}

/// Judges whether a second image has the layers of the first one.
pub fn uses_same_layers(question: Question, first: &[Directory], second: &[Directory]) -> Finding {
    let is_same = !first.is_empty()
        && first.len() == second.len()
        && first.iter().zip(second).all(|(one, other)| one.is(other));
    if is_same {
        return question.pass("the second build used the same layers");
    }
    question
        .fail(lost_layers(first, second).unwrap_or_else(|| "the second build makes new layers".to_owned()))
}

/// What a second image lacks that made no new layer, such as one whose `layers` file misspells the
/// folder of a cached layer.
pub fn lost_layers(first: &[Directory], second: &[Directory]) -> Option<String> {
    let is_known = |dir: &Directory| first.iter().any(|known| known.is(dir));
    let is_part = second.len() < first.len() && second.iter().all(is_known);
    is_part.then(|| {
        format!(
            "the second build made no new layer, but its `layers` file names {} of the {} folders of the first image; a \
             name that is no folder is not counted",
            second.len(),
            first.len()
        )
    })
}

/// Judges whether the base is as it was.
pub fn base_untouched(built: &Built, question: Question, step: &str) -> Finding {
    let Some(base) = built.timeline.at::<Base>("base", step) else {
        return built.timeline.unmet(question, "3d/layers-file", "the base is not known");
    };
    let changed = &base.value.changed;
    let question = question.proof(base.place);
    if changed.is_empty() {
        question.pass("nothing in the base changed")
    } else {
        question.fail(format!(
            "changed in the base: {}",
            changed.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ))
    }
}

/// What the first of these builds that left something mounted beside overlays left, and the record
/// that tells.
pub fn other_mounts(built: &Built, steps: &[&str]) -> Option<(String, String)> {
    let mut records = steps.iter().filter_map(|step| built.timeline.at::<OtherMounts>("other-mounts", step));
    let seen = records.find(|seen| !seen.value.mounts.is_empty())?;
    let told = |mount: &Mount| format!("{} ({})", mount.mount_point, mount.fs_type);
    let mounts: BTreeSet<String> = seen.value.mounts.iter().map(told).collect();
    Some((Vec::from_iter(mounts).join("; "), seen.place))
}

/// Judges whether a build left an overlay mounted that was not mounted before it.
pub fn unmounted(built: &Built, question: Question, steps: &[&str]) -> Finding {
    let mut question = question;
    let mut looked = false;
    for step in steps {
        let Some(overlays) = built.timeline.at::<Overlays>("overlays", step) else { continue };
        looked = true;
        let places: Vec<String> =
            overlays.value.mounted.iter().map(|overlay| overlay.at.join(" and ")).collect();
        if !places.is_empty() {
            return question.proof(overlays.place).fail(format!("still mounted: {}", places.join("; ")));
        }
        question = question.proof(overlays.place);
    }
    if looked {
        question.pass("no overlay is mounted")
    } else {
        built.timeline.missing(question, "no image was built")
    }
}
