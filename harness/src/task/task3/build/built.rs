//! What became of one build: whether there is an image, and what a container of it shows.

use super::plan::BuildPlan;
use super::{Contents, Found, Layers, Moved};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::verdict::Finding;

/// The recording, and this run's names and words.
pub struct Built<'a> {
    pub timeline: Timeline<'a>,
    pub plan: BuildPlan,
}

impl<'a> Built<'a> {
    /// One error for every check where there is nothing to judge by.
    pub fn open(bundle: &'a Bundle, checks: &'static [CheckSpec]) -> Result<Self, Vec<Finding>> {
        let timeline = Timeline::open(bundle, "3-build", checks)?;
        match timeline.plan::<BuildPlan>() {
            Some(plan) => Ok(Self { timeline, plan }),
            None => Err(checks
                .iter()
                .map(|spec| {
                    Question::new(spec.id, "an image")
                        .error("the evidence is older than this check: grade the submission again")
                })
                .collect()),
        }
    }

    /// Whether there is an image: `build` said so, or what it was to make is there, whatever it said.
    pub fn is_made(&self, step: &str) -> bool {
        let paths = self.plan.paths(step);
        let in_container = self.timeline.at::<Contents>("found", step);
        // What RUN deletes is there when nothing is made.
        let shows = step != "run-deletes"
            && in_container.is_some_and(|seen| paths.iter().any(|path| seen.value.found.contains_key(path)));
        let in_layers = self.timeline.at::<Layers>("layers", step);
        let holds = step == "copy-two"
            && in_layers.is_some_and(|seen| paths.iter().all(|path| !seen.value.at(path).is_empty()));
        shows || holds || self.succeeded(step)
    }

    /// Whether `build` said that all is well.
    pub fn succeeded(&self, step: &str) -> bool {
        self.timeline.at::<Command>("command", step).is_some_and(|seen| seen.value.succeeded())
    }

    /// Those of `steps` of which there is an image.
    pub fn made<'s>(&self, steps: &[&'s str]) -> Vec<&'s str> {
        steps.iter().filter(|step| self.is_made(step)).copied().collect()
    }

    /// Why no image came of any of `steps`: the first one's reason.
    pub fn why_none(&self, steps: &[&str]) -> Option<String> {
        if let Some(why) = self.timeline.why_unbuilt() {
            return Some(format!("no image with FROM alone: {why}"));
        }
        if !self.made(steps).is_empty() {
            return None;
        }
        let first = steps.first()?;
        Some(self.timeline.why_failed(first).unwrap_or_else(|| self.timeline.why_absent(first)))
    }

    /// Whether any container ran.
    pub fn any_ran(&self) -> bool {
        self.timeline.all::<Contents>("found").iter().any(|seen| !seen.value.step.starts_with("machine"))
    }

    /// What a container of a step's image shows, or why there is none.
    pub fn shown(&self, step: &str) -> Result<Seen<Contents>, String> {
        if let Some(seen) = self.timeline.at::<Contents>("found", step) {
            return Ok(seen);
        }
        match self.timeline.why_failed(step) {
            Some(why) if !self.is_made(step) => Err(why),
            _ => Err(format!("no container of the image: {}", self.timeline.why_absent(step))),
        }
    }

    /// That what COPY takes is gone from where it was.
    pub fn moved(&self, step: &str) -> Option<String> {
        let moved = self.timeline.at::<Moved>("moved", step)?.value;
        Some(format!(
            "the copy is complete, but {} is gone from its old place: COPY moved it",
            moved.gone.join(", ")
        ))
    }

    /// The answer of a check of which `steps` are tried: it is skipped where nothing at all could be seen, and because
    /// of what else.
    pub fn unseen(&self, steps: &[&str], first: &str) -> Option<String> {
        if let Some(why) = self.timeline.why_unbuilt() {
            return Some(format!("no image with FROM alone: {why}"));
        }
        if self.why_none(steps).is_some() {
            return Some(format!("there is no image to check: see {first}"));
        }
        (!self.any_ran()).then(|| {
            let step = steps.first().copied().unwrap_or_default();
            format!("no container of an image: {}", self.timeline.why_absent(step))
        })
    }
}

/// What is wrong with a file that should hold `text`; `None` where all is well.
pub fn fault(path: &str, found: Option<&Found>, text: &str) -> Option<String> {
    match found {
        None => Some(format!("there is no {path}")),
        Some(found) if found.kind != "file" => Some(format!("{path} is a {}", found.kind)),
        Some(found) if found.text.trim_end() != text => Some(format!("{path} has the text {:?}", found.text)),
        Some(_) => None,
    }
}
