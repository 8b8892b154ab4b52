//! Judges whether the commands that the course hands out still work.

use super::Cache;
use super::judge::OverlayContext;
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::state::Image;
use crate::task::transcript;
use crate::verdict::Finding;

/// What `-h` must list.
const COMMANDS: [&str; 10] =
    ["build", "images", "rmi", "rmcache", "run", "ps", "stop", "exec", "addnetwork", "peer"];

/// `3d/given-commands`.
pub fn given_commands(context: &OverlayContext, question: Question, _: &Verdicts) -> Finding {
    let timeline = context.timeline;
    let question = question
        .expects("-h and images list, build without a file name takes Conductorfile, rmi and rmcache remove");
    let (Some(help), Some(plan)) = (timeline.at::<Command>("command", "help"), timeline.plan::<RunPlan>())
    else {
        return timeline.missing(question, "not tried");
    };
    if let Some(why) = timeline.why_unbuilt() {
        return question.skip(format!("no image: {why}"));
    }
    let mut question = question.proof(help.place);
    let missing: Vec<&str> = COMMANDS.into_iter().filter(|name| !lists(&help.value, name)).collect();
    let mut faults = Vec::new();
    if !missing.is_empty() {
        faults.push(format!("-h does not list {}", missing.join(", ")));
    }
    if let Some(images) = timeline.at::<Command>("command", "images") {
        let unlisted =
            [&plan.image, &plan.second_image].into_iter().filter(|name| !lists(&images.value, name));
        faults.extend(unlisted.map(|name| format!("images does not list {name}")));
        question = question.proof(images.place);
    }
    let image = |step| timeline.at::<Image>("image", step);
    let built = image("build-default").is_some_and(|seen| seen.value.dir.is_some());
    if !built {
        faults.push("build without a file name made no image of Conductorfile".to_owned());
    }
    if built && image("rmi").is_some_and(|seen| seen.value.dir.is_some()) {
        faults.push("rmi did not remove the image".to_owned());
    }
    if image("rmi-others").is_some_and(|seen| seen.value.dir.is_none()) {
        faults.push("rmi removed another image too".to_owned());
    }
    if let Some(cache) = timeline.at::<Cache>("cache", "rmcache") {
        question = question.proof(cache.place);
        if !cache.value.left.is_empty() {
            faults.push(format!("rmcache left {}", cache.value.left.join(", ")));
        }
    } else if faults.is_empty() {
        return timeline.missing(
            question,
            "rmi and rmcache were not tried: something is mounted in the submission's folder",
        );
    }
    if faults.is_empty() {
        question.pass("all of these commands work")
    } else {
        question.fail(faults.join("; "))
    }
}

/// Whether a name is a word of what a command showed.
fn lists(command: &Command, name: &str) -> bool {
    let is_name = |char: char| char.is_alphanumeric() || "-_".contains(char);
    let lines = transcript::lines(&command.screen);
    lines.iter().any(|line| line.split(|char| !is_name(char)).any(|word| word == name))
}
