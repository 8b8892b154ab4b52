//! Judges whether `apt` works in a container and in a RUN.

use super::{BuiltWithApt, IMAGE_PROGRAM, IN_IMAGE, Installed, PACKAGE, PROGRAM, PackagesPlan, SCENARIO};
use crate::evidence::Bundle;
use crate::evidence::world::{Moment, Passed};
use crate::task::check::Verdicts;
use crate::task::finding::{self, OLDER, Question};
use crate::task::task3::network::judge::NetworkContext;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Timeline, quote};
use crate::task::task3::shared::view::ContainerView;
use crate::verdict::Finding;

/// `internet` is whether it reaches a server there at all.
pub fn packages(context: &NetworkContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question
        .expects(format!("`apt-get update` and `apt-get install {PACKAGE}` work in a container with -i"));
    let recording = match finding::find(context.bundle, SCENARIO.id) {
        Ok(recording) => recording,
        Err(why) => return question.error(why),
    };
    let timeline = Timeline::of(recording);
    let (Some(installed), Some(command)) =
        (timeline.all::<Installed>("installed").pop(), timeline.at::<Command>("command", "install"))
    else {
        let why = timeline.why_unbuilt().map(|why| format!("no image: {why}"));
        return timeline.missing(question, why.unwrap_or_else(|| timeline.why_absent("box")));
    };
    let question = question.proof(&command.place).proof(&installed.place);
    let Installed { before, after } = installed.value;
    if after && !before && command.value.succeeded() {
        return question.pass(format!("{PACKAGE} was installed"));
    }
    if let Some(path) = unfetched(timeline) {
        return question.error(format!("the grader could not get {path} from a mirror"));
    }
    if !verdicts.passed("3c/internet") {
        return timeline.unmet(question, "3c/internet", "");
    }
    let view = timeline.at::<ContainerView>("container", "box").map(|seen| seen.value).unwrap_or_default();
    if view.root_mode & 0o5 != 0o5 {
        return timeline.unmet(question, "3a/root-mode-755", "apt's own user may not enter the root");
    }
    if !view.dev.missing.is_empty() {
        return timeline.unmet(question, "3a/proc-sys-dev", "apt needs devices");
    }
    let Command { stopped, screen, seconds, .. } = &command.value;
    let how = match stopped {
        Some(_) => format!("the apt commands did not end within {seconds:.0} s"),
        None if command.value.succeeded() => {
            format!("the apt commands ended with status 0, but /{PROGRAM} is missing")
        }
        None => "the apt commands failed".to_owned(),
    };
    question.fail(format!("{how}{}", quote(screen)))
}

/// `3f/packages`: what a container of the image shows that was built with `apt`.
pub fn packages_in_image(bundle: &Bundle, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(format!(
        "RUN installs {IN_IMAGE}; both copied files are there, and a later RUN rewrote the second one"
    ));
    let Some(recording) = bundle.recordings.get(SCENARIO.id) else {
        return question.skip(format!("the scenario {} was not run", SCENARIO.id));
    };
    let timeline = Timeline::of(recording);
    let Some(plan) = timeline.plan::<PackagesPlan>().filter(|plan| !plan.built.is_empty()) else {
        return question.skip(OLDER);
    };
    let Some(build) = timeline.at::<Command>("command", "build-apt") else {
        return timeline.missing(question, "the image was not built");
    };
    let question = question.proof(build.place);
    let Some(seen) = timeline.all::<BuiltWithApt>("built-with-apt").pop() else {
        if let Some(path) = unfetched(timeline) {
            return question.skip(format!("the grader could not get {path} from a mirror"));
        }
        let why = timeline.why_failed("build-apt").unwrap_or_else(|| timeline.why_absent("apt"));
        return question.fail(why);
    };
    let question = question.proof(seen.place);
    let BuiltWithApt { installed, first, second } = seen.value;
    if !installed {
        return question.fail(format!("there is no /{IMAGE_PROGRAM}"));
    }
    if first.as_ref() != Some(&plan.files[0]) {
        return question.fail(format!("the first copied file has the text {first:?}"));
    }
    question
        .answer(second.as_ref() == Some(&plan.text), format!("the rewritten file has the text {second:?}"))
}

/// The path that our own package cache had to refuse.
fn unfetched(timeline: Timeline) -> Option<String> {
    let moments = timeline.all::<Moment>("world");
    moments.into_iter().find_map(|seen| match seen.value.passed {
        Passed::Http { packages: true, status: 502..=504, path, .. } => Some(path),
        _ => None,
    })
}
