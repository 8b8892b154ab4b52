//! Judges 3e: what COPY puts where.

use super::built::{Built, fault};
use super::copy_checks::ROWS;
use super::layers::{base_untouched, lost_layers, own_layer, unmounted, uses_same_layers};
use super::plan::{CHANGED_MODE, COPIES, LINK};
use super::trace::{self, NO_OVERLAY};
use super::{Contents, Layers};
use crate::evidence::Bundle;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const FIRST: &str = "3e/file";
/// Builds that copy one file.
const OF_A_FILE: [&str; 3] = ["copy-name", "copy-into", "copy-bin"];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    match Built::open(bundle, &ROWS) {
        Ok(built) => check::judge(&ROWS, |judge, question, verdicts| judge(&built, question, verdicts)),
        Err(errors) => errors,
    }
}

pub fn own(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a layer for each COPY, and all layers in a container");
    if built.why_none(&COPIES).is_some() {
        return question.unmet(FIRST, "");
    }
    // Not the one in /bin: in a bare layer it lies elsewhere.
    let steps = ["copy-name", "copy-into", "copy-two"];
    let instructions = steps.map(|step| (step, built.plan.paths(step)));
    let finding = own_layer(built, question.clone(), &instructions);
    match built.lost_copy() {
        Some((wrong, place)) if finding.status == Status::Pass => question.proof(place).fail(format!(
            "each COPY has a layer, but a container does not show the files of all layers: {wrong}"
        )),
        _ => finding,
    }
}

pub fn untouched(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the base stays as it was");
    if built.why_none(&COPIES).is_some() || !trace::of_copy(built) {
        return question.unmet(FIRST, "");
    }
    base_untouched(built, question, "copies")
}

pub fn left_mounted(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("no overlay is mounted after the build");
    if built.why_none(&COPIES).is_some() || !trace::of_copy(built) {
        return question.unmet(FIRST, "");
    }
    if !trace::of_overlays(built) {
        return built.timeline.unmet(question, "3d/layers-file", NO_OVERLAY);
    }
    unmounted(built, question, &built.made(&COPIES))
}

pub fn file(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("COPY puts a file at a new name, into a folder and into /bin");
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

pub fn directory(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let top = built.plan.copied_folder();
    let question = question.expects(format!("the folder's files, folders and links at {top}, and in /"));
    if let Some(unseen) = built.unseen(&question, &COPIES, FIRST) {
        return unseen;
    }
    let mut question = question;
    let mut faults = Vec::new();
    for (step, tops) in [("copy-folder", vec![top]), ("copy-to-root", built.plan.copied_to_root().to_vec())] {
        let wrong = match built.shown(step) {
            Ok(seen) => {
                question = question.proof(&seen.place);
                // The folder may be in either place: report the one that lacks least.
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

pub fn modes(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the copy of a folder has the modes of the folder");
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
    if looked { question.pass("the modes are the same") } else { question.unmet("3e/directory", "") }
}

pub fn cached(built: &Built, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question
        .expects("a second build uses the same layers, and none that was made of another text or mode");
    if verdicts.failed("3e/base-untouched") {
        return question.unmet("3e/base-untouched", "the copied files are in the base");
    }
    let layers = |step: &str| built.timeline.at::<Layers>("layers", step);
    let all = (layers("copy-folder"), layers("copied-again"), layers("mode-changed"), layers("text-changed"));
    let (Some(before), Some(again), Some(by_mode), Some(by_text)) = all else {
        return built.timeline.missing(question, "no second build");
    };
    let question = question.proof(&again.place).proof(&by_mode.place).proof(&by_text.place);
    let [secret, program] = built.plan.changed_files();
    let (modes, texts) = (by_mode.value.at(&secret), by_text.value.at(&program));
    let images = [(&before, &secret), (&by_mode, &secret), (&by_text, &program)];
    if let Some((image, path)) = images.into_iter().find(|(image, path)| image.value.at(path).is_empty()) {
        if !verdicts.passed("3e/own-layer") {
            return question.unmet("3e/own-layer", "the copied files are in none of the layers");
        }
        let lost = lost_layers(&before.value.dirs, &image.value.dirs);
        let lost = lost.map_or_else(String::new, |lost| format!(": {lost}"));
        return question.skip(format!("not judged: no layer of the image has {path}{lost}"));
    }
    // Where modes are lost anyway, a changed one tells nothing of the cache.
    let keeps_modes = verdicts.passed("3e/modes");
    if keeps_modes && !modes.iter().any(|found| found.mode == CHANGED_MODE) {
        return question
            .fail(format!("{secret} has its old mode in an image that was built after the mode changed"));
    }
    if !texts.iter().any(|found| found.text == built.plan.changed_text) {
        return question
            .fail(format!("{program} has its old text in an image that was built after the text changed"));
    }
    uses_same_layers(question, &before.value.dirs, &again.value.dirs)
}
