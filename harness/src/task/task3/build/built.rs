//! The result of one build: whether there is an image, and what a container of it shows.

use super::plan::{BuildPlan, COPIES_OF_TWO};
use super::{Contents, Found, Layers, Moved};
use crate::evidence::Bundle;
use crate::task::check::{self, Row};
use crate::task::finding::{OLDER, Question};
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Seen, Timeline};
use crate::verdict::Finding;

/// The recording, and this run's names and words.
pub struct Built<'a> {
    pub bundle: &'a Bundle,
    pub timeline: Timeline<'a>,
    pub plan: BuildPlan,
}

impl<'a> Built<'a> {
    /// One error for every check where there is nothing to judge by.
    pub fn open<J>(bundle: &'a Bundle, rows: &'static [Row<J>]) -> Result<Self, Vec<Finding>> {
        let timeline = Timeline::open(bundle, "3-build", rows)?;
        match timeline.plan::<BuildPlan>() {
            Some(plan) => Ok(Self { bundle, timeline, plan }),
            None => Err(check::all(rows, |question| question.expects("an image").error(OLDER))),
        }
    }

    /// Whether there is an image: `build` said so, or what it was to make is
    /// there, whatever it said.
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

    /// A file of `copy-two` that is not in a container, and the record that tells. `None` if a COPY
    /// alone does not work either.
    pub fn lost_copy(&self) -> Option<(String, String)> {
        let fault_of = |copy: &str, seen: &Contents| {
            let path = self.plan.copied(copy);
            // The plan of an older harness has fewer.
            if path.is_empty() { None } else { fault(&path, seen.found.get(&path), self.plan.text_of(copy)) }
        };
        self.shown("copy-name").ok().filter(|seen| fault_of("copy-name", &seen.value).is_none())?;
        let seen = self.shown("copy-two").ok()?;
        let wrong = COPIES_OF_TWO.iter().find_map(|copy| fault_of(copy, &seen.value))?;
        Some((wrong, seen.place))
    }

    /// That what COPY takes is gone from where it was.
    pub fn moved(&self, step: &str) -> Option<String> {
        let moved = self.timeline.at::<Moved>("moved", step)?.value;
        Some(format!("the copy is complete, but COPY moved {} instead of copying it", moved.gone.join(", ")))
    }

    /// The finding of a check of which nothing at all could be seen, and because of what.
    pub fn unseen(&self, question: &Question, steps: &[&str], first: &'static str) -> Option<Finding> {
        let question = question.clone();
        if let Some(why) = self.timeline.why_unbuilt() {
            return Some(self.timeline.missing(question, format!("no image with FROM alone: {why}")));
        }
        if self.why_none(steps).is_some() {
            return Some(self.timeline.unmet(question, first, ""));
        }
        (!self.any_ran()).then(|| {
            let step = steps.first().copied().unwrap_or_default();
            let why = self.timeline.why_absent(step);
            self.timeline.missing(question, format!("no container of an image: {why}"))
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
