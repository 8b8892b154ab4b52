//! Subtask 3f: where and on what RUN runs.

use super::built::{Built, fault};
use super::layers::{are_same, base_untouched, own_layer, unmounted};
use super::plan::{DELETED, RUNS};
use super::{Contents, Layers};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::network;
use crate::task::task3::shared::command::Command;
use crate::verdict::{Finding, Status};

const INSIDE: &str = "Execute the RUN instruction properly inside the overlay filesystem.";
const LAYER: &str = "Create a new layer for the RUN instruction";
const LIKE_DOCKER: &str = "extend your tool to support RUN instruction just like Dockerfile";
const CLEAN: &str = "Clean up and record metadata";
const FIRST: &str = "3f/runs-in-image";

pub const CHECKS: [CheckSpec; 13] = [
    CheckSpec {
        id: FIRST,
        title: "runs in the image",
        requirement: INSIDE,
        hint: "What is the root directory of the command that RUN executes?",
        informational: false,
    },
    CheckSpec {
        id: "3f/own-layer",
        title: "a layer of its own",
        requirement: LAYER,
        hint: "In which of the folders that `layers` names is what RUN wrote, and what else is there?",
        informational: false,
    },
    CheckSpec {
        id: "3f/base-untouched",
        title: "the base as it was",
        requirement: LAYER,
        hint: "Compare the base's folder before and after a build with RUN.",
        informational: false,
    },
    CheckSpec {
        id: "3f/sees-earlier-layers",
        title: "sees the layers below",
        requirement: "Temporarily mount the overlayfs",
        hint: "Which folders are below the new layer while RUN runs, and in which order?",
        informational: false,
    },
    CheckSpec {
        id: "3f/deletions",
        title: "deleted files are gone, rewritten files are new",
        requirement: LIKE_DOCKER,
        hint: "Is the layer above the one that has the file? An overlay records a deletion as a character device 0/0 in \
               the upper folder: is it still there in the layer?",
        informational: false,
    },
    CheckSpec {
        id: "3f/failure-fails-build",
        title: "a failing command fails the build",
        requirement: LIKE_DOCKER,
        hint: "What becomes of the command's exit status?",
        informational: false,
    },
    CheckSpec {
        id: "3f/unmounted",
        title: "unmounted after the build",
        requirement: CLEAN,
        hint: "`findmnt -t overlay` before and after a build.",
        informational: false,
    },
    CheckSpec {
        id: "3f/rebuild-from-cache",
        title: "a second image of the same file",
        requirement: CLEAN,
        hint: "Build the same Conductorfile under another name and run it: which folders does its `layers` name?",
        informational: true,
    },
    CheckSpec {
        id: "3f/failure-from-cache",
        title: "a failed layer is not taken from the cache",
        requirement: CLEAN,
        hint: "Build a file with a failing RUN twice. How does your tool know that a layer is complete?",
        informational: true,
    },
    CheckSpec {
        id: "3f/parent-in-cache-key",
        title: "the same RUN after other instructions",
        requirement: CLEAN,
        hint: "How does your tool recognise a layer: by its instruction alone, or also by the layers below?",
        informational: true,
    },
    CheckSpec {
        id: "3f/unmounted-after-failure",
        title: "unmounted after a build that failed",
        requirement: CLEAN,
        hint: "`findmnt -t overlay` before and after a build whose RUN fails.",
        informational: true,
    },
    CheckSpec {
        id: "3f/layer-cached",
        title: "not run again",
        requirement: CLEAN,
        hint: "Build the same Conductorfile twice.",
        informational: true,
    },
    network::IMAGE_CHECK,
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let built = match Built::open(bundle, &CHECKS) {
        Ok(built) => built,
        Err(errors) => return errors,
    };
    let inside = runs_in_image(&built);
    // What ran on the machine shows in no image.
    let outside = ran_on_machine(&built);
    let needs = |question: Question, judge: &dyn Fn(Question) -> Finding| {
        if outside || built.why_none(&RUNS).is_some() {
            question.skip(format!("see {FIRST}"))
        } else {
            judge(question)
        }
    };
    let instructions: Vec<(&str, Vec<String>)> =
        ["run-echo", "run-after-run"].iter().map(|step| (*step, built.plan.paths(step))).collect();
    let own = needs(Question::new("3f/own-layer", "a layer for each RUN"), &|question| {
        own_layer(&built, question, &instructions)
    });
    let untouched = Question::new("3f/base-untouched", "the base stays as it was");
    let untouched = match built.why_none(&RUNS) {
        Some(_) => untouched.skip(format!("see {FIRST}")),
        None => base_untouched(&built, untouched, "runs"),
    };
    let sees = Question::new("3f/sees-earlier-layers", "a RUN reads what the instructions before it wrote");
    let sees = needs(sees, &|question| earlier(&built, question));
    let gone = Question::new(
        "3f/deletions",
        format!("no {} in the image, and the new text of a file that RUN rewrites", DELETED.join(" and ")),
    );
    let gone = needs(gone, &|question| deletions(&built, question));
    let left = Question::new("3f/unmounted", "no overlay is mounted after a build");
    let left = match built.why_none(&RUNS) {
        Some(_) => left.skip(format!("see {FIRST}")),
        None => unmounted(&built, left, &built.made(&RUNS)),
    };
    vec![
        inside,
        own,
        untouched,
        sees,
        gone,
        failure(&built),
        left.clone(),
        rebuilt(&built),
        failure_again(&built),
        parent_in_key(&built),
        left_by_failure(&built, &left),
        cached(&built),
        network::packages_in_image(bundle),
    ]
}

/// Whether what RUN writes is on the machine.
fn ran_on_machine(built: &Built) -> bool {
    let on_machine = built.timeline.at::<Contents>("found", "machine-after");
    on_machine.is_some_and(|seen| seen.value.found.contains_key(&built.plan.wrote("run-echo")))
}

fn runs_in_image(built: &Built) -> Finding {
    let path = built.plan.wrote("run-echo");
    let question = Question::new(FIRST, format!("{path} in the image, and not on the machine"));
    if let Some(why) = built.timeline.why_unbuilt() {
        return question.skip(format!("no image with FROM alone: {why}"));
    }
    if ran_on_machine(built) {
        return question.fail(format!("the command ran on the machine: it wrote {path} there"));
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
                Some(wrong) => question.fail(format!("in the image {wrong}")),
            }
        }
    }
}

/// What a step's RUN wrote that first reads a file and then writes a word of its own: whether it found the file.
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
            let text = seen.value.found.get(&path).map(|found| found.text.as_str()).unwrap_or_default();
            let has = |word: &str| text.lines().any(|line| line == word);
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

fn earlier(built: &Built, question: Question) -> Finding {
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
    // Where COPY brings nothing there is nothing to find.
    let copied = plan.copied("run-after-copy");
    let text = plan.text_of("run-after-copy");
    let is_copied = built
        .shown("run-after-copy")
        .is_ok_and(|seen| fault(&copied, seen.value.found.get(&copied), text).is_none());
    if !is_copied {
        return question.pass("RUN finds the file of an earlier RUN; COPY copies nothing: see 3e/file");
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

fn deletions(built: &Built, question: Question) -> Finding {
    if !built.any_ran() {
        return built.timeline.missing(question, "no container of the image");
    }
    let seen = match built.shown("run-deletes") {
        Ok(seen) => seen,
        Err(why) => return question.fail(why),
    };
    let mut question = question.proof(seen.place);
    let there: Vec<&str> = DELETED.into_iter().filter(|path| seen.value.found.contains_key(*path)).collect();
    if !there.is_empty() {
        return question.fail(format!("the image still has what RUN removed: {}", there.join(", ")));
    }
    let path = built.plan.wrote("run-rewrites");
    let rewritten = match built.shown("run-rewrites") {
        Ok(seen) => {
            question = question.proof(&seen.place);
            seen.value.found.get(&path).map(|found| found.text.trim_end().to_owned())
        }
        Err(_) => None,
    };
    match rewritten.as_deref() {
        Some(text) if text == built.plan.word_of("run-rewrites") => {
            question.pass("both deleted paths are gone, and the file has its new text")
        }
        Some(text) if text == built.plan.text_of("run-rewrites") => {
            question.fail(format!("RUN rewrote {path}, which COPY brought, but the image has the old text"))
        }
        Some(text) => question.fail(format!("RUN rewrote {path}, but the image has the text {text:?}")),
        // Where COPY brings nothing to `/`, that is 3e's.
        None => question.pass("both deleted paths are gone"),
    }
}

fn failed(command: &Command) -> bool {
    command.stopped.is_none() && !command.succeeded()
}

fn failure(built: &Built) -> Finding {
    let question = Question::new("3f/failure-fails-build", "a status other than 0");
    if let Some(why) = built.timeline.why_failed("build") {
        return question.skip(format!("no build succeeds: {why}"));
    }
    if !RUNS.iter().any(|step| built.succeeded(step)) {
        let why = built.timeline.why_failed(RUNS[0]).unwrap_or_else(|| "no build was tried".to_owned());
        return built.timeline.missing(question, format!("no build with RUN succeeds: {why}"));
    }
    match built.timeline.at::<Command>("command", "fails") {
        None => built.timeline.missing(question, "no failing build was tried"),
        Some(seen) => question.proof(seen.place).answer(failed(&seen.value), seen.value.ending()),
    }
}

fn failure_again(built: &Built) -> Finding {
    let question = Question::new(
        "3f/failure-from-cache",
        "a status other than 0, also when the failed RUN is built again",
    );
    if failure(built).status != Status::Pass {
        return built.timeline.missing(question, "this check needs 3f/failure-fails-build");
    }
    match built.timeline.at::<Command>("command", "fails-again") {
        None => built.timeline.missing(question, "no failing build was tried again"),
        Some(seen) => question.proof(seen.place).answer(failed(&seen.value), seen.value.ending()),
    }
}

fn left_by_failure(built: &Built, unmounted_after_all: &Finding) -> Finding {
    let question =
        Question::new("3f/unmounted-after-failure", "no overlay is mounted after a build that failed");
    if failure(built).status != Status::Pass {
        return built.timeline.missing(question, "this check needs 3f/failure-fails-build");
    }
    if unmounted_after_all.status != Status::Pass {
        return built.timeline.missing(question, "this check needs 3f/unmounted");
    }
    unmounted(built, question, &["fails"])
}

fn rebuilt(built: &Built) -> Finding {
    let question = Question::new(
        "3f/rebuild-from-cache",
        "a container of a second image from the same Conductorfile runs and shows the same files",
    );
    let Ok(first) = built.shown("run-after-copy") else {
        return built.timeline.missing(question, "there is no container of the first image");
    };
    match built.shown("rebuilt") {
        Err(why) => question.proof(first.place).fail(why),
        Ok(second) => {
            let same = first.value.found == second.value.found;
            let question = question.proof(first.place).proof(second.place);
            question.answer(same, if same { "it does" } else { "its files differ" })
        }
    }
}

fn parent_in_key(built: &Built) -> Finding {
    let question = Question::new(
        "3f/parent-in-cache-key",
        "a RUN that was built before is executed again after other instructions",
    );
    let plan = &built.plan;
    let (first, _) = read(built, "run-after-run", "run-after-run-second", plan.word_of("run-after-run"));
    if !matches!(first, Read::Found) {
        return built.timeline.missing(question, "this check needs 3f/sees-earlier-layers");
    }
    let Some(layers) = built.timeline.at::<Layers>("layers", "same-run-elsewhere") else {
        return built.timeline.missing(question, "the RUN was not built again");
    };
    let question = question.proof(layers.place);
    let second = layers.value.at(&plan.wrote("run-after-run-second"));
    let has = |word: &str| second.iter().any(|found| found.text.lines().any(|line| line == word));
    if has(&plan.changed_text) {
        return question.pass("it is");
    }
    if has(plan.word_of("run-after-run")) {
        return question.fail("the layer came from the cache, with what the RUN read in the first build");
    }
    question.fail("no layer of the image has the file that RUN wrote")
}

fn cached(built: &Built) -> Finding {
    let question = Question::new("3f/layer-cached", "a second build of the same file uses the same layers");
    let layers = |step: &str| built.timeline.at::<Layers>("layers", step);
    let (Some(before), Some(after)) = (layers("run-after-copy"), layers("rebuilt")) else {
        return built.timeline.missing(question, "no second build");
    };
    let same = are_same(&before.value.dirs, &after.value.dirs);
    question
        .proof(after.place)
        .answer(same, if same { "it does" } else { "the second build makes new layers" })
}
