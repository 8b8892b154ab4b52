//! The commands that the course hands out and that students need not touch: `build` without a file name, `images`,
//! `rmi`, `rmcache` and `-h`. Do they still do what they say? Nothing here carries marks.

use std::io;
use std::path::Path;

use super::Cache;
use crate::guest::observe::mounts;
use crate::task::finding::Question;
use crate::task::task3::run::drive::RunScenario;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::state::{self, Image};
use crate::task::task3::shared::timeline::Timeline;
use crate::task::transcript;
use crate::verdict::Finding;

/// What `-h` must list.
const COMMANDS: [&str; 10] =
    ["build", "images", "rmi", "rmcache", "run", "ps", "stop", "exec", "addnetwork", "peer"];

impl RunScenario<'_, '_, '_> {
    /// Tries them, those that delete something last. These are left out while something is mounted in the
    /// submission's folder: a tool that deletes its cache would delete through that mount.
    pub fn try_given_commands(&mut self) -> io::Result<()> {
        let RunPlan { image, third_image, .. } = self.plan;
        let quick = self.session.tool.limit(10.0, 3.0);
        self.session.call("help", &["-h"], quick)?;
        let limit = self.session.tool.limit(240.0, 30.0);
        self.session.call("build-default", &["build", third_image], limit)?;
        self.record("image", &Image::read("build-default", self.submission, third_image))?;
        let own = mounts::of(nix::unistd::gettid().as_raw());
        if own.iter().any(|mount| Path::new(&mount.mount_point).starts_with(self.submission)) {
            return Ok(());
        }
        self.session.call("rmi", &["rmi", third_image], quick)?;
        self.record("image", &Image::read("rmi", self.submission, third_image))?;
        self.record("image", &Image::read("rmi-others", self.submission, image))?;
        self.session.call("rmcache", &["rmcache"], self.session.tool.limit(30.0, 5.0))?;
        // A tree that lies beside the images is no cache.
        let image = Image::read("rmcache", self.submission, image).dir;
        let images = image.as_deref().and_then(|dir| Path::new(dir).parent());
        let named = self.base.iter().flatten().map(|dir| dir.path.clone());
        let is_cache = |path: &String| {
            let path = Path::new(path);
            state::is_root_tree(path) && images.is_none_or(|images| !path.starts_with(images))
        };
        let left = named.filter(is_cache).collect();
        self.record("cache", &Cache { step: "rmcache".to_owned(), left })
    }
}

/// `3d/given-commands`.
pub fn judge(timeline: Timeline, plan: Option<&RunPlan>) -> Finding {
    let question = Question::new(
        "3d/given-commands",
        "-h and images list, build without a file name takes Conductorfile, rmi and rmcache remove",
    );
    let (Some(help), Some(plan)) = (timeline.at::<Command>("command", "help"), plan) else {
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
