//! Judges 3f: where RUN executes its command, and what the command sees.

use super::built::{Built, fault};
use super::layers::{base_untouched, other_mounts, own_layer, unmounted, uses_same_layers};
use super::plan::{DELETED, REMADE, RUNS, SLEEPS, WORKED_IN};
use super::run_checks::ROWS;
use super::trace::{self, NO_OVERLAY};
use super::{Contents, Layers, RunProcess};
use crate::evidence::Bundle;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::task::task3::network;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::quote;
use crate::task::task3::shared::view::Machine;
use crate::verdict::{Finding, Status};

const FIRST: &str = "3f/runs-in-image";

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    match Built::open(bundle, &ROWS) {
        Ok(built) => check::judge(&ROWS, |judge, question, verdicts| judge(&built, question, verdicts)),
        Err(errors) => errors,
    }
}

/// Whether an image can show what RUN does: what ran on the machine shows in none.
fn shows_in_image(built: &Built) -> bool {
    ran_on_machine(built).is_none() && built.why_none(&RUNS).is_none()
}

pub fn own(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a layer for each RUN");
    if !shows_in_image(built) {
        return question.unmet(FIRST, "");
    }
    let instructions = ["run-echo", "run-after-run"].map(|step| (step, built.plan.paths(step)));
    own_layer(built, question, &instructions)
}

pub fn untouched(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("the base stays as it was");
    if built.why_none(&RUNS).is_some() || !trace::of_run(built) {
        return question.unmet(FIRST, "");
    }
    base_untouched(built, question, "runs")
}

pub fn left_mounted(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("nothing that a build mounted is still mounted after it");
    if built.why_none(&RUNS).is_some() || !trace::of_run(built) {
        return question.unmet(FIRST, "");
    }
    if !trace::of_overlays(built) {
        return built.timeline.unmet(question, "3d/layers-file", NO_OVERLAY);
    }
    let steps = built.made(&RUNS);
    // What a tool mounts once for all its builds, such as its cache, is no rest of a RUN.
    let later = steps.get(1..).unwrap_or_default();
    nothing_mounted(built, question, &steps, later)
}

/// Judges whether builds left overlays mounted, or those of `others` anything else.
fn nothing_mounted(built: &Built, question: Question, steps: &[&str], others: &[&str]) -> Finding {
    let overlays = unmounted(built, question.clone(), steps);
    match other_mounts(built, others) {
        Some((mounts, place)) if overlays.status == Status::Pass => {
            question.proof(place).fail(format!("still mounted: {mounts}"))
        }
        _ => overlays,
    }
}

pub fn packages_in_image(built: &Built, question: Question, verdicts: &Verdicts) -> Finding {
    network::packages_in_image(built.bundle, question, verdicts)
}

/// What shows that RUN executes its command on the machine, and the record that tells: a file that
/// it wrote, the root directory of its process, or its working directory.
fn ran_on_machine(built: &Built) -> Option<(String, String)> {
    let path = built.plan.wrote("run-echo");
    let written = built.timeline.at::<Contents>("found", "machine-after");
    if let Some(seen) = written.filter(|seen| seen.value.found.contains_key(&path)) {
        return Some((format!("the command ran on the machine and wrote {path} there"), seen.place));
    }
    let machine: Machine = built.timeline.first("machine").unwrap_or_default();
    let process = built.timeline.at::<RunProcess>("run-process", SLEEPS);
    if let Some(seen) = process.filter(|seen| seen.value.process.root.is(&machine.root)) {
        let command = seen.value.process.cmdline.join(" ");
        return Some((format!("`{command}` ran with the machine's root directory"), seen.place));
    }
    let seen = built.shown(SLEEPS).ok()?;
    let found = seen.value.found.get(&built.plan.wrote("run-after-run-third"))?;
    let folder = found.text.lines().find(|line| line.starts_with('/') && *line != WORKED_IN)?;
    Some((format!("after `cd {WORKED_IN}`, the working directory of the command is {folder}"), seen.place))
}

pub fn runs_in_image(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let path = built.plan.wrote("run-echo");
    let question = question.expects(format!("{path} is in the image and not on the machine"));
    if let Some(why) = built.timeline.why_unbuilt() {
        return question.skip(format!("no image with FROM alone: {why}"));
    }
    if let Some((how, place)) = ran_on_machine(built) {
        return question.proof(place).fail(how);
    }
    if let Some(why) = built.why_none(&RUNS) {
        return question.fail(why);
    }
    if !built.any_ran() {
        let why = built.timeline.why_absent("run-echo");
        return built.timeline.missing(question, format!("no container of the image: {why}"));
    }
    match built.shown("run-echo") {
        Err(why) => question.fail(why),
        Ok(seen) => {
            let wrong = fault(&path, seen.value.found.get(&path), built.plan.word_of("run-echo"));
            let question = question.proof(seen.place);
            match wrong {
                None => question.pass(format!("{path} is in the image")),
                Some(wrong) => {
                    let command = built.timeline.at::<Command>("command", "run-echo");
                    let screen = command.map(|seen| quote(&seen.value.screen)).unwrap_or_default();
                    question.fail(format!("in the image {wrong}; the build succeeded{screen}"))
                }
            }
        }
    }
}

/// What a step's RUN wrote that first reads a file and then writes a word of its own:
/// whether it found the file. If `run` leaves out the layer, the layer itself tells.
enum Read {
    Found,
    Missed,
    Nothing(String),
}

fn read(built: &Built, step: &str, by: &str, word: &str) -> (Read, Option<String>) {
    match built.shown(step) {
        Err(why) => (Read::Nothing(why), None),
        Ok(seen) => {
            let path = built.plan.wrote(by);
            let layers = built.timeline.at::<Layers>("layers", step);
            let in_layers = layers.as_ref().and_then(|seen| seen.value.at(&path).first());
            let found = seen.value.found.get(&path).or(in_layers);
            let has = |word: &str| found.is_some_and(|found| found.text.lines().any(|line| line == word));
            let read = if has(word) {
                Read::Found
            } else if has(built.plan.word_of(by)) {
                Read::Missed
            } else {
                Read::Nothing(format!("what RUN wrote to {path} is not in the image"))
            };
            (read, Some(seen.place))
        }
    }
}

/// What the fourth RUN of an image did not find of what the first and the third one wrote.
fn after_three_runs(built: &Built) -> Option<String> {
    let fourth = "run-after-run-fourth";
    // The plan of an older harness has no fourth RUN.
    if built.plan.wrote(fourth).is_empty() {
        return None;
    }
    let wrong = |(order, by): (&str, &str)| {
        let what = match read(built, "run-after-run", fourth, built.plan.word_of(by)).0 {
            Read::Found => return None,
            Read::Missed => format!("did not find the file that the {order} one wrote"),
            Read::Nothing(why) => format!("left nothing: {why}"),
        };
        Some(format!("a second RUN finds the file of the first, but the fourth RUN of an image {what}"))
    };
    [("first", "run-after-run"), ("third", "run-after-run-third")].into_iter().find_map(wrong)
}

pub fn earlier(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a RUN reads what the instructions before it wrote");
    if !shows_in_image(built) {
        return question.unmet(FIRST, "");
    }
    if !built.any_ran() {
        return built.timeline.missing(question, "no container of the image");
    }
    let plan = &built.plan;
    let (after_run, place) =
        read(built, "run-after-run", "run-after-run-second", plan.word_of("run-after-run"));
    let mut question = place.into_iter().fold(question, Question::proof);
    match after_run {
        Read::Found => {}
        Read::Missed => {
            return question.fail("the second RUN did not find the file that the first RUN wrote");
        }
        Read::Nothing(why) => return question.fail(why),
    }
    if let Some(wrong) = after_three_runs(built) {
        return question.fail(wrong);
    }
    // Where COPY brings nothing there is nothing to find.
    let copied = plan.copied("run-after-copy");
    let text = plan.text_of("run-after-copy");
    let is_copied = built
        .shown("run-after-copy")
        .is_ok_and(|seen| fault(&copied, seen.value.found.get(&copied), text).is_none());
    if !is_copied {
        return question.pass("RUN finds the file of an earlier RUN; the file of an earlier COPY is not in the image (see 3e/file)");
    }
    let (after_copy, place) = read(built, "run-after-copy", "run-after-copy", text);
    question = place.into_iter().fold(question, Question::proof);
    match after_copy {
        Read::Found => question.pass("RUN finds the files of an earlier RUN and of an earlier COPY"),
        Read::Missed => question.fail(format!(
            "RUN finds the file of an earlier RUN, but not {copied} from an earlier COPY, which is in the image"
        )),
        Read::Nothing(why) => question.fail(format!("RUN finds the file of an earlier RUN; after COPY {why}")),
    }
}

/// What is wrong with the paths that RUN removed, and with the folder that it made again.
fn not_deleted(built: &Built, seen: &Contents) -> Option<String> {
    let there: Vec<&str> = DELETED.into_iter().filter(|path| seen.found.contains_key(*path)).collect();
    if !there.is_empty() {
        return Some(format!("the image still has what RUN removed: {}", there.join(", ")));
    }
    let (folder, old) = REMADE;
    let again = || format!("RUN removed {folder} and made it again with another file");
    if seen.found.contains_key(old) {
        return Some(format!("{}; the image still has {old}", again()));
    }
    let new = built.plan.wrote("run-deletes");
    // The plan of an older harness makes no folder again.
    let wrong = if new.is_empty() {
        None
    } else {
        fault(&new, seen.found.get(&new), built.plan.word_of("run-deletes"))
    };
    wrong.map(|wrong| format!("{}; in the image {wrong}", again()))
}

/// That a file has the text of a RUN although a later COPY replaced it. A `run` that leaves out
/// layers loses 3e/own-layer for it.
fn not_copied_over(built: &Built, seen: &Contents) -> Option<String> {
    let path = built.plan.copied("run-rewrites-second");
    let found = seen.found.get(&path)?;
    let is_old = found.text.trim_end() == built.plan.word_of("run-rewrites");
    (is_old && built.lost_copy().is_none()).then(|| {
        format!("a COPY after a RUN had to replace {path}, which the RUN wrote; the image still has the RUN's text")
    })
}

pub fn deletions(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(format!(
        "no {} in the image, and the new text of a file that RUN rewrites",
        DELETED.join(" and ")
    ));
    if !shows_in_image(built) {
        return question.unmet(FIRST, "");
    }
    if !built.any_ran() {
        return built.timeline.missing(question, "no container of the image");
    }
    let seen = match built.shown("run-deletes") {
        Ok(seen) => seen,
        Err(why) => return question.fail(why),
    };
    let mut question = question.proof(seen.place);
    if let Some(wrong) = not_deleted(built, &seen.value) {
        return question.fail(wrong);
    }
    let path = built.plan.wrote("run-rewrites");
    let rewritten = match built.shown("run-rewrites") {
        Ok(seen) => {
            question = question.proof(&seen.place);
            if let Some(wrong) = not_copied_over(built, &seen.value) {
                return question.fail(wrong);
            }
            seen.value.found.get(&path).map(|found| found.text.trim_end().to_owned())
        }
        Err(_) => None,
    };
    match rewritten.as_deref() {
        Some(text) if text == built.plan.word_of("run-rewrites") => {
            question.pass("both deleted paths are gone, and the file has its new text")
        }
        Some(text) if text == built.plan.text_of("run-rewrites") => question
            .fail(format!("RUN had to rewrite {path}, which COPY brought; the image still has the old text")),
        Some(text) => question.fail(format!("RUN had to rewrite {path}; the image has the text {text:?}")),
        // Where COPY brings nothing to `/`, that is 3e's.
        None => question.pass("both deleted paths are gone"),
    }
}

pub fn left_by_failure(built: &Built, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("nothing that a build mounted is still mounted after it failed");
    if !verdicts.passed("3f/failure-fails-build") {
        return built.timeline.unmet(question, "3f/failure-fails-build", "");
    }
    if !verdicts.passed("3f/unmounted") {
        return built.timeline.unmet(question, "3f/unmounted", "");
    }
    nothing_mounted(built, question, &["fails"], &["fails"])
}

pub fn rebuilt(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question
        .expects("a container of a second image from the same Conductorfile runs and shows the same files");
    let Ok(first) = built.shown("run-after-copy") else {
        return built.timeline.missing(question, "there is no container of the first image");
    };
    match built.shown("rebuilt") {
        Err(why) => question.proof(first.place).fail(why),
        Ok(second) => {
            let same = first.value.found == second.value.found;
            let question = question.proof(first.place).proof(second.place);
            question.answer(
                same,
                if same {
                    "the second container shows the same files"
                } else {
                    "the second container's files differ"
                },
            )
        }
    }
}

pub fn parent_in_key(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a RUN that was built before is executed again after other instructions");
    let plan = &built.plan;
    let (first, _) = read(built, "run-after-run", "run-after-run-second", plan.word_of("run-after-run"));
    if !matches!(first, Read::Found) {
        return built.timeline.unmet(question, "3f/sees-earlier-layers", "");
    }
    let Some(layers) = built.timeline.at::<Layers>("layers", "same-run-elsewhere") else {
        return built.timeline.missing(question, "the RUN was not built again");
    };
    let question = question.proof(layers.place);
    let second = layers.value.at(&plan.wrote("run-after-run-second"));
    let has = |word: &str| second.iter().any(|found| found.text.lines().any(|line| line == word));
    if has(&plan.changed_text) {
        return question.pass("the RUN was executed again");
    }
    if has(plan.word_of("run-after-run")) {
        return question.fail("the layer came from the cache, with what the RUN read in the first build");
    }
    question.fail("no layer of the image has the file that RUN wrote")
}

pub fn cached(built: &Built, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("a second build of the same file uses the same layers");
    let layers = |step: &str| built.timeline.at::<Layers>("layers", step);
    let (Some(before), Some(after)) = (layers("run-after-copy"), layers("rebuilt")) else {
        return built.timeline.missing(question, "no second build");
    };
    uses_same_layers(question.proof(after.place), &before.value.dirs, &after.value.dirs)
}
