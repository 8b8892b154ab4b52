//! Subtask 3f: where and on what RUN runs.

use super::copy::{are_same, base_untouched, own_layer, unmounted};
use super::drive::{DELETED, Plan};
use super::{Contents, Layered, Layers, why_not_made};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::conductor::command::Command;
use crate::task::conductor::story::Story;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

const INSIDE: &str = "Execute the RUN instruction properly inside the overlay filesystem.";
const LAYER: &str = "Create a new layer for the RUN instruction";

pub const CHECKS: [CheckSpec; 8] = [
    CheckSpec {
        id: "3f/runs-in-image",
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
        title: "what it removes is gone",
        requirement: "extend your tool to support RUN instruction just like Dockerfile",
        hint: "An overlay records a deletion as a character device 0/0 in the upper folder: is it still there in the \
               layer, and is the layer above the one that has the file?",
        informational: false,
    },
    CheckSpec {
        id: "3f/failure-fails-build",
        title: "a failing command fails the build",
        requirement: "extend your tool to support RUN instruction just like Dockerfile",
        hint: "What becomes of the command's exit status?",
        informational: false,
    },
    CheckSpec {
        id: "3f/unmounted",
        title: "unmounted after the build",
        requirement: "Clean up and record metadata",
        hint: "`findmnt -t overlay` after a build, and after one that failed.",
        informational: false,
    },
    CheckSpec {
        id: "3f/layer-cached",
        title: "not run again",
        requirement: "Clean up and record metadata",
        hint: "Build the same Conductorfile twice.",
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
    let inside = runs_in_image(story, &plan);
    // Where no container shows it, the layers still do.
    let outside = inside.status == Status::Fail;
    let needs = |question: Question, judge: &dyn Fn(Question) -> Finding| {
        if outside { question.skip("see 3f/runs-in-image") } else { judge(question) }
    };
    let files = plan.ran_files();
    let own = needs(Question::new("3f/own-layer", "a layer for each RUN"), &|question| {
        own_layer(story, question, "ran", &files)
    });
    let untouched =
        base_untouched(story, Question::new("3f/base-untouched", "the base as it was before"), "ran");
    let sees = Question::new("3f/sees-earlier-layers", "a RUN reads what the instructions before it wrote");
    let sees = needs(sees, &|question| earlier(story, question, &plan));
    let gone = Question::new("3f/deletions", format!("no {} in the image", DELETED.join(" and ")));
    let gone = needs(gone, &|question| deletions(story, question));
    let unmounted = unmounted(
        story,
        Question::new("3f/unmounted", "no overlay is mounted after a build"),
        &["ran", "failing"],
    );
    vec![inside, own, untouched, sees, gone, failure(story), unmounted, cached(story)]
}

fn runs_in_image(story: Story, plan: &Plan) -> Finding {
    let [first, _] = plan.ran_files();
    let question = Question::new("3f/runs-in-image", format!("{first} in the image, and not on the machine"));
    if let Some(why) = story.why_unbuilt() {
        return question.skip(format!("no image with nothing but FROM: {why}"));
    }
    if let Some(why) = why_not_made(story, "ran") {
        return question.fail(why);
    }
    let on_machine = story.at::<Contents>("found", "machine-after");
    if let Some(seen) = on_machine.filter(|seen| seen.value.found.contains_key(&first)) {
        return question
            .proof(seen.place)
            .fail(format!("the command ran on the machine: it wrote {first} there"));
    }
    match story.at::<Contents>("found", "ran") {
        None => story.missing(question, format!("no container of the image: {}", story.why_absent("ran"))),
        Some(seen) => {
            let text = seen.value.found.get(&first).map(|found| found.text.trim().to_owned());
            let question = question.proof(seen.place);
            match text {
                Some(text) if text == plan.text => question.pass(format!("{first} is in the image")),
                Some(text) => question.fail(format!("{first} is in the image, with the text {text:?}")),
                None => question.fail(format!("there is no {first} in the image")),
            }
        }
    }
}

fn earlier(story: Story, question: Question, plan: &Plan) -> Finding {
    let [_, second] = plan.ran_files();
    let Some(seen) = story.at::<Contents>("found", "ran") else {
        return story.missing(question, "no container of the image");
    };
    let text = seen.value.found.get(&second).map(|found| found.text.as_str()).unwrap_or_default();
    let question = question.proof(seen.place);
    if text.lines().any(|line| line == plan.text) {
        in_order(story, question, plan)
    } else if text.lines().any(|line| line == plan.second_text) {
        question.fail("the second RUN did not find what the first one wrote")
    } else {
        question.fail("what the second RUN wrote is not in the image")
    }
}

/// A RUN finds what a COPY before it has copied, where COPY works; and the layer of a RUN is not taken for that of the
/// same RUN after other instructions.
fn in_order(story: Story, question: Question, plan: &Plan) -> Finding {
    let Some(mixed) = story.at::<Layered>("layered", "mixed") else { return question.pass("it does") };
    let question = question.proof(mixed.place);
    let ([copied, _], [_, second]) = (plan.copied_files(), plan.ran_files());
    let mixed = mixed.value;
    if !mixed.at(&copied).is_empty() && mixed.at(&plan.saw_copied()).is_empty() {
        return question
            .fail(format!("it does; but a RUN after COPY did not find {copied}, which is in the image"));
    }
    let has = |text: &str| mixed.at(&second).iter().any(|found| found.text.lines().any(|line| line == text));
    if has(&plan.text) && !has(&plan.changed_text) {
        return question.fail(
            "it does; but the same RUN after other instructions was taken from the cache, with what it read at first",
        );
    }
    question.pass("it does")
}

fn deletions(story: Story, question: Question) -> Finding {
    let Some(seen) = story.at::<Contents>("found", "ran") else {
        return story.missing(question, "no container of the image");
    };
    let question = question.proof(seen.place);
    let there: Vec<&str> = DELETED.into_iter().filter(|path| seen.value.found.contains_key(*path)).collect();
    if there.is_empty() {
        question.pass("both are gone")
    } else {
        question.fail(format!("RUN removed it, and it is there: {}", there.join(", ")))
    }
}

fn failure(story: Story) -> Finding {
    let question = Question::new("3f/failure-fails-build", "a status other than 0");
    if let Some(why) = story.why_failed("build").or_else(|| story.why_failed("ran")) {
        return question.skip(format!("no build succeeds: {why}"));
    }
    let Some(first) = story.at::<Command>("command", "failing") else {
        return story.missing(question, "no failing build was tried");
    };
    let failed = |command: &Command| command.stopped.is_none() && !command.succeeded();
    let question = question.proof(first.place);
    if !failed(&first.value) {
        return question.fail(first.value.ending());
    }
    match story.at::<Command>("command", "failing-again") {
        Some(again) if !failed(&again.value) => question
            .proof(again.place)
            .fail(format!("it failed, and then, built once more: {}", again.value.ending())),
        _ => question.pass(first.value.ending()),
    }
}

fn cached(story: Story) -> Finding {
    let question = Question::new("3f/layer-cached", "a second build of the same file uses the same layers");
    let (before, after) =
        (story.at::<Layers>("layers", "ran-again-before"), story.at::<Layers>("layers", "ran-again"));
    let (Some(before), Some(after)) = (before, after) else {
        return story.missing(question, "no second build");
    };
    let (before, now) = (&before.value.dirs, &after.value.dirs);
    let same = are_same(before, now);
    question.proof(after.place).answer(same, if same { "it does" } else { "it makes them anew" })
}
