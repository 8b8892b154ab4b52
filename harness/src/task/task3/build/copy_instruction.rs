//! Subtask 3e: what COPY puts where.

use super::Contents;
use super::Layers;
use super::built::{Built, fault};
use super::layers::{are_same, base_untouched, own_layer, unmounted};
use super::plan::{CHANGED_MODE, COPIES, LINK};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const COPY: &str = "you should extend the tool to support COPY instruction";
const LAYER: &str = "Since the instruction modifies the rootfs, you should consider it as a layer for the overlayfs \
                     and store it in the layer stack.";
const FIRST: &str = "3e/file";
/// Builds that copy one file.
const OF_A_FILE: [&str; 3] = ["copy-name", "copy-into", "copy-bin"];

pub const CHECKS: [CheckSpec; 7] = [
    CheckSpec {
        id: FIRST,
        title: "a file",
        requirement: COPY,
        hint: "Copy a file to a new name, into a folder that exists, and to /bin, which is a link to usr/bin: what is \
               where in a container of the image?",
        informational: false,
    },
    CheckSpec {
        id: "3e/directory",
        title: "a folder with its contents",
        requirement: COPY,
        hint: "Copy a folder to a new name, and one to /, and compare it with its copy in a container of the image: \
               hidden files, folders in it and links included.",
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
        hint: "`findmnt -t overlay` before and after the build.",
        informational: false,
    },
    CheckSpec {
        id: "3e/modes",
        title: "the modes of copied files and folders",
        requirement: COPY,
        hint: "Compare the modes of a folder and of its copy: which modes does cp keep, and what does the umask do?",
        informational: true,
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
    let built = match Built::open(bundle, &CHECKS) {
        Ok(built) => built,
        Err(errors) => return errors,
    };
    let directory = directory(&built);
    let needs = |question: Question, judge: &dyn Fn(Question) -> Finding| {
        if built.why_none(&COPIES).is_some() {
            question.skip(format!("there is no image to check: see {FIRST}"))
        } else {
            judge(question)
        }
    };
    // Not the one in /bin: in a bare layer it lies elsewhere.
    let instructions: Vec<(&str, Vec<String>)> =
        ["copy-name", "copy-into", "copy-two"].iter().map(|step| (*step, built.plan.paths(step))).collect();
    let own = needs(Question::new("3e/own-layer", "a layer for each COPY"), &|question| {
        own_layer(&built, question, &instructions)
    });
    let untouched = needs(Question::new("3e/base-untouched", "the base stays as it was"), &|question| {
        base_untouched(&built, question, "copies")
    });
    let unmounted =
        needs(Question::new("3e/unmounted", "no overlay is mounted after the build"), &|question| {
            unmounted(&built, question, &built.made(&COPIES))
        });
    let (modes, cached) = (modes(&built), cached(&built, &untouched));
    vec![file(&built), directory, own, untouched, unmounted, modes, cached]
}

fn file(built: &Built) -> Finding {
    let question = Question::new(
        FIRST,
        "COPY puts the file's text at a new name, into a folder and into /bin, each in an image of its own",
    );
    if let Some(why) = built.timeline.why_unbuilt() {
        return question.skip(format!("no image with FROM alone: {why}"));
    }
    if let Some(why) = built.why_none(&COPIES) {
        return question.fail(why);
    }
    if !built.any_ran() {
        let why = built.timeline.why_absent(OF_A_FILE[0]);
        return built.timeline.missing(question, format!("no container of the image: {why}"));
    }
    let mut question = question;
    let mut faults = Vec::new();
    for step in OF_A_FILE {
        let wrong = match built.shown(step) {
            Ok(seen) => {
                question = question.proof(&seen.place);
                let path = built.plan.copied(step);
                let wrong = fault(&path, seen.value.found.get(&path), built.plan.text_of(step));
                wrong.or_else(|| built.moved(step))
            }
            Err(why) => Some(why),
        };
        faults.extend(wrong.map(|wrong| format!("`{}`: {wrong}", built.plan.instructions(step))));
    }
    if faults.is_empty() {
        question.pass("all three files are there")
    } else {
        question.fail(faults.join("; "))
    }
}

fn directory(built: &Built) -> Finding {
    let top = built.plan.copied_folder();
    let question =
        Question::new("3e/directory", format!("the folder's files, folders and links at {top}, and in /"));
    if let Some(why) = built.unseen(&COPIES, FIRST) {
        return built.timeline.missing(question, why);
    }
    let mut question = question;
    let mut faults = Vec::new();
    for (step, tops) in [("copy-folder", vec![top]), ("copy-to-root", built.plan.copied_to_root().to_vec())] {
        let wrong = match built.shown(step) {
            Ok(seen) => {
                question = question.proof(&seen.place);
                // In one place or the other: the one that lacks least is told of.
                let lacking = tops.iter().map(|top| missing_of_folder(built, top, &seen.value));
                let wrong = lacking.min_by_key(Vec::len).unwrap_or_default().into_iter().next();
                wrong.or_else(|| built.moved(step))
            }
            Err(why) => Some(why),
        };
        faults.extend(wrong.map(|wrong| format!("`{}`: {wrong}", built.plan.instructions(step))));
    }
    if faults.is_empty() {
        question.pass("all files, folders and links are there")
    } else {
        question.fail(faults.join("; "))
    }
}

/// What is not as it should be of a copied folder.
fn missing_of_folder(built: &Built, top: &str, seen: &Contents) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, _, text) in built.plan.folder_content() {
        let path = format!("{top}/{path}");
        match (seen.found.get(&path), text) {
            (found, Some(text)) => faults.extend(fault(&path, found, text)),
            (None, None) => faults.push(format!("there is no {path}")),
            (Some(found), None) if found.kind != "folder" => {
                faults.push(format!("{path} is a {}", found.kind));
            }
            (Some(_), None) => {}
        }
    }
    let link = format!("{top}/{}", LINK.0);
    match seen.found.get(&link) {
        None => faults.push(format!("there is no {link}")),
        Some(found) if found.kind != "link" => {
            faults.push(format!("{link} is a {}, not a link", found.kind));
        }
        Some(found) if found.text != LINK.1 => {
            faults.push(format!("{link} leads to {:?}, not to {:?}", found.text, LINK.1));
        }
        Some(_) => {}
    }
    faults
}

fn modes(built: &Built) -> Finding {
    let question = Question::new("3e/modes", "the copy of a folder has the modes of the folder");
    let seen = match built.shown("copy-folder") {
        Ok(seen) => seen,
        Err(why) => return built.timeline.missing(question, why),
    };
    let question = question.proof(&seen.place);
    let top = built.plan.copied_folder();
    let mut looked = false;
    for (path, mode, _) in built.plan.folder_content() {
        let path = format!("{top}/{path}");
        let Some(found) = seen.value.found.get(&path) else { continue };
        looked = true;
        if found.mode != mode {
            return question.fail(format!("{path} has mode {:o}, not {mode:o}", found.mode));
        }
    }
    if looked {
        question.pass("the modes are the same")
    } else {
        question.skip("this check needs 3e/directory")
    }
}

fn cached(built: &Built, untouched: &Finding) -> Finding {
    let question = Question::new(
        "3e/layer-cached",
        "a second build uses the same layers, and none that was made of another text or mode",
    );
    if untouched.status == Status::Fail {
        return question.skip("the copied files are in the base: see 3e/base-untouched");
    }
    let layers = |step: &str| built.timeline.at::<Layers>("layers", step);
    let all = (layers("copy-folder"), layers("copied-again"), layers("mode-changed"), layers("text-changed"));
    let (Some(before), Some(again), Some(by_mode), Some(by_text)) = all else {
        return built.timeline.missing(question, "no second build");
    };
    let question = question.proof(again.place).proof(by_mode.place).proof(by_text.place);
    let [secret, program] = built.plan.changed_files();
    let (modes, texts) = (by_mode.value.at(&secret), by_text.value.at(&program));
    if before.value.dirs.is_empty() || modes.is_empty() || texts.is_empty() {
        return question.skip("it is in none of the layers: see 3e/own-layer");
    }
    let keeps_modes = modes_are_kept(built);
    if keeps_modes && !modes.iter().any(|found| found.mode == CHANGED_MODE) {
        return question
            .fail(format!("{secret} has its old mode in an image that was built after the mode changed"));
    }
    if !texts.iter().any(|found| found.text == built.plan.changed_text) {
        return question
            .fail(format!("{program} has its old text in an image that was built after the text changed"));
    }
    let same = are_same(&before.value.dirs, &again.value.dirs);
    question.answer(same, if same { "it does" } else { "the second build makes new layers" })
}

/// Where modes are lost anyway, a changed one tells nothing of the cache.
fn modes_are_kept(built: &Built) -> bool {
    modes(built).status == Status::Pass
}
