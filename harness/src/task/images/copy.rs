//! Subtask 3e: what COPY puts where.

use super::drive::{CHANGED_MODE, Plan};
use super::{Base, Contents, Found, Layered, Layers, Moved, why_not_made};
use crate::evidence::Bundle;
use crate::guest::processes::Directory;
use crate::task::CheckSpec;
use crate::task::conductor::overlay::Overlays;
use crate::task::conductor::story::Story;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const LAYER: &str = "Since the instruction modifies the rootfs, you should consider it as a layer for the overlayfs \
                     and store it in the layer stack.";

pub const CHECKS: [CheckSpec; 6] = [
    CheckSpec {
        id: "3e/file",
        title: "a file",
        requirement: "you should extend the tool to support COPY instruction",
        hint: "Copy a file to a new name, into a folder that exists, and to /bin, which is a link to usr/bin: what is \
               where in a container of the image?",
        informational: false,
    },
    CheckSpec {
        id: "3e/directory",
        title: "a folder, with its modes",
        requirement: "you should extend the tool to support COPY instruction",
        hint: "Compare the folder with its copy in a container of the image, folders in it and modes included.",
        informational: false,
    },
    CheckSpec {
        id: "3e/own-layer",
        title: "a layer of its own",
        requirement: LAYER,
        hint: "In which of the folders that `layers` names is what COPY brought, and what else is there?",
        informational: false,
    },
    CheckSpec {
        id: "3e/base-untouched",
        title: "the base as it was",
        requirement: LAYER,
        hint: "Compare the base's folder before and after a build with COPY.",
        informational: false,
    },
    CheckSpec {
        id: "3e/unmounted",
        title: "unmounted after the build",
        requirement: "Temporarily mount the overlayfs, perform the copy operation, unmount the overlay file system",
        hint: "`findmnt -t overlay` after the build.",
        informational: false,
    },
    CheckSpec {
        id: "3e/layer-cached",
        title: "not copied again, unless it changed",
        requirement: LAYER,
        hint: "Build the same Conductorfile twice; then change a file that it copies, or its mode, and build it again. By \
               what does your tool know a layer?",
        informational: true,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let story = match Story::open(bundle, "3-build", &CHECKS) {
        Ok(story) => story,
        Err(errors) => return errors,
    };
    let Some(plan) = story.plan::<Plan>() else {
        let unstarted =
            |spec: &CheckSpec| story.missing(Question::new(spec.id, "an image"), "nothing was built");
        return CHECKS.iter().map(unstarted).collect();
    };
    let files = plan.copied_files();
    let directory = directory(story, &plan);
    let cached = cached(story, &plan, &directory);
    vec![
        file(story, &plan),
        directory,
        own_layer(story, Question::new("3e/own-layer", "a layer for each COPY"), "copied", &files),
        base_untouched(story, Question::new("3e/base-untouched", "the base as it was before"), "copied"),
        unmounted(story, Question::new("3e/unmounted", "no overlay is mounted after the build"), &["copied"]),
        cached,
    ]
}

/// What a container of the image has; a finding where there is none. Where the build failed, the first check of the
/// subtask fails and the others are skipped.
fn contents(story: Story, question: Question, is_first: bool) -> Result<(Question, Contents), Finding> {
    if let Some(why) = story.why_unbuilt() {
        return Err(question.skip(format!("no image with nothing but FROM: {why}")));
    }
    if let Some(why) = why_not_made(story, "copied") {
        return Err(if is_first { question.fail(why) } else { question.skip(why) });
    }
    match story.at::<Contents>("found", "copied") {
        Some(seen) => Ok((question.proof(seen.place), seen.value)),
        None => {
            Err(story.missing(question, format!("no container of the image: {}", story.why_absent("copied"))))
        }
    }
}

fn file(story: Story, plan: &Plan) -> Finding {
    let [as_name, in_folder] = plan.copied_files();
    let paths = [as_name, in_folder, plan.copied_program()];
    let question = Question::new("3e/file", format!("the file's text at {}", paths.join(", ")));
    let (question, contents) = match contents(story, question, true) {
        Ok(there) => there,
        Err(finding) => return finding,
    };
    for path in &paths {
        match contents.found.get(path) {
            Some(Found { kind, text, .. }) if kind == "file" && *text == plan.text => {}
            Some(other) => {
                return question.fail(format!("{path} is a {} with the text {:?}", other.kind, other.text));
            }
            None => return question.fail(format!("there is no {path}")),
        }
    }
    if was_moved(story, &plan.file) {
        return question.fail(format!("all are there, and {} itself is gone: COPY moved it", plan.file));
    }
    question.pass("all are there")
}

/// Whether a file or folder is gone from where COPY took it.
fn was_moved(story: Story, name: &String) -> bool {
    story.at::<Moved>("moved", "copied").is_some_and(|moved| moved.value.gone.contains(name))
}

fn directory(story: Story, plan: &Plan) -> Finding {
    let top = plan.copied_folder();
    let question = Question::new("3e/directory", format!("the folder's files, folders and modes at {top}"));
    let (question, contents) = match contents(story, question, false) {
        Ok(there) => there,
        Err(finding) => return finding,
    };
    for (path, mode, text) in plan.folder_content() {
        let path = format!("{top}/{path}");
        let kind = if text.is_some() { "file" } else { "folder" };
        match contents.found.get(&path) {
            None => return question.fail(format!("there is no {path}")),
            Some(found) if found.kind != kind => return question.fail(format!("{path} is a {}", found.kind)),
            Some(found) if text.is_some_and(|text| text != found.text) => {
                return question.fail(format!("{path} has the text {:?}", found.text));
            }
            Some(found) if found.mode != mode => {
                return question.fail(format!("{path} has mode {:o}, not {mode:o}", found.mode));
            }
            Some(_) => {}
        }
    }
    if was_moved(story, &plan.folder) {
        return question
            .fail(format!("all of it is there, and {} itself is gone: COPY moved it", plan.folder));
    }
    question.pass("all of it is there, with its modes")
}

fn cached(story: Story, plan: &Plan, directory: &Finding) -> Finding {
    let question = Question::new(
        "3e/layer-cached",
        "a second build uses the same layers, and none that was made of another text or mode",
    );
    let (before, again) =
        (story.at::<Layers>("layers", "copied"), story.at::<Layers>("layers", "copied-again"));
    let changed =
        (story.at::<Layered>("layered", "mode-changed"), story.at::<Layered>("layered", "text-changed"));
    let (Some(before), Some(again), (Some(by_mode), Some(by_text))) = (before, again, changed) else {
        return story.missing(question, "no second build");
    };
    if directory.status != Status::Pass {
        return question.skip("it needs 3e/directory");
    }
    let question = question.proof(again.place).proof(by_mode.place).proof(by_text.place);
    let [secret, program] = plan.changed_files();
    let (modes, texts) = (by_mode.value.at(&secret), by_text.value.at(&program));
    if before.value.dirs.is_empty() || modes.is_empty() || texts.is_empty() {
        return question.skip("it is in none of the layers: see 3e/own-layer");
    }
    if !modes.iter().any(|found| found.mode == CHANGED_MODE) {
        return question
            .fail(format!("{secret} has its old mode in an image that was built after the mode changed"));
    }
    if !texts.iter().any(|found| found.text == plan.changed_text) {
        return question
            .fail(format!("{program} has its old text in an image that was built after the text changed"));
    }
    let same = are_same(&before.value.dirs, &again.value.dirs);
    question.answer(same, if same { "it does" } else { "it makes them anew" })
}

/// Whether two images have the same layers.
pub fn are_same(one: &[Directory], other: &[Directory]) -> bool {
    !one.is_empty() && one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is(other))
}

/// Judges whether each of `paths`, which different instructions brought, is in a layer of its own above the base.
pub fn own_layer(story: Story, question: Question, step: &str, paths: &[String]) -> Finding {
    if let Some(why) = story.why_unbuilt().or_else(|| why_not_made(story, step)) {
        return question.skip(format!("no image: {why}"));
    }
    let Some(layers) = story.at::<Layers>("layers", step) else {
        return story.missing(question, "no image was built");
    };
    let base = story.at::<crate::task::conductor::state::Image>("image", "build");
    let base = base.map(|seen| seen.value.named).unwrap_or_default();
    let question = question.proof(layers.place);
    let Layers { dirs, having, .. } = &layers.value;
    if dirs.is_empty() {
        return question.skip("the image's layers are not known: see 3d/layers-file");
    }
    let mut taken = Vec::new();
    for path in paths {
        let with = having.get(path).map_or(&[][..], Vec::as_slice);
        let own = with.iter().find(|number| !taken.contains(*number));
        let Some(own) = own else {
            return question.fail(if with.is_empty() {
                format!("{path} is in none of the image's {} layers", dirs.len())
            } else {
                format!(
                    "{path} is in the same layer as what another instruction brought: {}",
                    dirs[with[0]].path
                )
            });
        };
        if base.iter().any(|base| dirs.get(*own).is_some_and(|dir| base.is(dir))) {
            return question.fail(format!("{path} is in the base itself, {}", dirs[*own].path));
        }
        taken.push(*own);
    }
    question.pass(format!("{} layers above the base", taken.len()))
}

/// Judges whether the base is as it was.
pub fn base_untouched(story: Story, question: Question, step: &str) -> Finding {
    if let Some(why) = story.why_unbuilt().or_else(|| why_not_made(story, step)) {
        return question.skip(format!("no image: {why}"));
    }
    let Some(base) = story.at::<Base>("base", step) else {
        return story.missing(question, "the base is not known: see 3d/layers-file");
    };
    let changed = &base.value.changed;
    let question = question.proof(base.place);
    if changed.is_empty() {
        question.pass("nothing in it changed")
    } else {
        question.fail(format!(
            "changed in it: {}",
            changed.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
        ))
    }
}

/// Judges whether the builds left an overlay mounted.
pub fn unmounted(story: Story, question: Question, steps: &[&str]) -> Finding {
    let first = steps.first().copied().unwrap_or_default();
    if let Some(why) = story.why_unbuilt().or_else(|| why_not_made(story, first)) {
        return question.skip(format!("no image: {why}"));
    }
    let mut question = question;
    for step in steps {
        let Some(overlays) = story.at::<Overlays>("overlays", step) else {
            return story.missing(question, "no image was built");
        };
        question = question.proof(overlays.place);
        let places: Vec<String> =
            overlays.value.mounted.iter().map(|overlay| overlay.at.join(" and ")).collect();
        if !places.is_empty() {
            return question.fail(format!("still mounted: {}", places.join("; ")));
        }
    }
    question.pass("none is mounted")
}
