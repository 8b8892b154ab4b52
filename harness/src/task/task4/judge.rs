//! Judges what the orchestrator made and who can reach it.

use super::checks::ROWS;
use super::container::{Container, roles};
use super::contents::Contents;
use super::plan::MatrixPlan;
use super::servers::not_the_page;
use super::wait::{self, Settled, Why};
use super::{Containers, Images, Landed, Online, PAGE_PORT, Shown};
use crate::evidence::Bundle;
use crate::task::check::{self, Verdicts};
use crate::task::finding::Question;
use crate::task::session;
use crate::task::task3::shared::timeline::{Seen, Timeline, quote};
use crate::task::task3::shared::view::Machine;
use crate::task::transcript;
use crate::verdict::Finding;

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "4-matrix", &ROWS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let context = MatrixContext::of(timeline);
    check::judge(&ROWS, |judge, question, verdicts| judge(&context, question, verdicts))
}

/// What was seen, for the checks.
pub struct MatrixContext<'a> {
    pub timeline: Timeline<'a>,
    pub machine: Machine,
    /// The first run of the script.
    pub settled: Option<Seen<Settled>>,
    pub seen: Option<Seen<Containers>>,
    /// The containers of the counter-service and of the external-service.
    pub counter: Option<Container>,
    pub page: Option<Container>,
}

impl<'a> MatrixContext<'a> {
    fn of(timeline: Timeline<'a>) -> Self {
        let seen = timeline.at::<Containers>("containers", "first");
        let containers = seen.as_ref().map(|seen| seen.value.containers.as_slice()).unwrap_or_default();
        let (counter, page) = roles(containers);
        let (counter, page) = (counter.cloned(), page.cloned());
        let machine = timeline.first("machine").unwrap_or_default();
        Self { machine, settled: timeline.at("settled", "first"), seen, counter, page, timeline }
    }

    /// Fails; where the check that it needs did not pass, it is not judged.
    pub fn lost(
        &self,
        question: Question,
        verdicts: &Verdicts,
        needed: &'static str,
        actual: impl Into<String>,
    ) -> Finding {
        if verdicts.passed(needed) {
            question.fail(actual)
        } else {
            self.timeline.unmet(question, needed, "")
        }
    }

    /// The question with the containers as its proof.
    pub fn proof_of_containers(&self, question: Question) -> Question {
        match &self.seen {
            Some(seen) => question.proof(&seen.place),
            None => question,
        }
    }

    /// What became of the script, as the end of a sentence.
    pub fn script(&self) -> String {
        self.settled.as_ref().map_or_else(String::new, |seen| told(&seen.value))
    }
}

/// How a run of the script went, in words.
pub fn told(settled: &Settled) -> String {
    let how = match (settled.status, settled.why) {
        (Some(status), _) => format!("the script ended with status {status}"),
        (None, Why::Late) => format!("the script was still running after {:.0} s", settled.seconds),
        (None, _) => "the script stayed in the foreground".to_owned(),
    };
    let screen = transcript::without_escapes(&settled.screen);
    let lines: Vec<&str> = screen.split('\n').map(wait::without_prompt).collect();
    format!("; {how}{}", quote(&lines.join("\n")))
}

pub fn images_built(context: &MatrixContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects("one image holds the compiled counter-service, another one the external-service and its Python packages",
    );
    let Some(images) = context.timeline.at::<Images>("images", "first") else {
        return context.timeline.missing(question, "not reached: an earlier step failed");
    };
    let mut question = question.proof(&images.place);
    let mut holders: Vec<(String, Contents)> =
        images.value.images.iter().map(|image| (image.dir.clone(), image.contents)).collect();
    if let Some(seen) = &context.seen {
        question = question.proof(&seen.place);
        let name = |container: &Container| format!("process {}", container.pid);
        let running = &seen.value.containers;
        // A container shows its image too, wherever the tool keeps it: by the folders that it is
        // mounted from.
        holders.extend(running.iter().filter_map(|one| Some((name(one), one.image?))));
        // A container's own files count only where no image has the service: `exec` can have put
        // them there.
        let services: [fn(Contents) -> bool; 2] = [Contents::has_counter, |contents| contents.page];
        let sought = services.map(|begun| !holders.iter().any(|(_, contents)| begun(*contents)));
        for (begun, _) in services.iter().zip(sought).filter(|(_, sought)| *sought) {
            let own = running.iter().filter(|one| one.image.is_none() && begun(one.contents));
            holders.extend(own.map(|one| (name(one), one.contents)));
        }
    }
    let complete = |lacks: fn(Contents) -> Vec<&'static str>| {
        holders.iter().filter(move |(_, contents)| lacks(*contents).is_empty())
    };
    let apart = complete(Contents::lacks_of_counter)
        .any(|(counter, _)| complete(Contents::lacks_of_page).any(|(page, _)| page != counter));
    if apart {
        return question.pass("both images are complete");
    }
    let best = |lacks: fn(Contents) -> Vec<&'static str>, begun: fn(Contents) -> bool| {
        let begun = holders.iter().filter(|(_, contents)| begun(*contents));
        begun.map(|(_, contents)| lacks(*contents)).min_by_key(Vec::len)
    };
    let faults = [
        ("counter-service", best(Contents::lacks_of_counter, Contents::has_counter)),
        ("external-service", best(Contents::lacks_of_page, |contents| contents.page)),
    ];
    let faults: Vec<String> = faults
        .into_iter()
        .filter_map(|(service, lacks)| match lacks {
            None => Some(format!("no image holds the folder {service}")),
            Some(lacks) if lacks.is_empty() => None,
            Some(lacks) => Some(format!("the image of the {service} lacks {}", lacks.join(", "))),
        })
        .collect();
    let faults =
        if faults.is_empty() { "both services are in one image".to_owned() } else { faults.join("; ") };
    question.fail(format!("{faults}{}", context.script()))
}

pub fn containers_running(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question
        .expects("one container with the counter-service and one with the external-service keep running");
    let Some(seen) = &context.seen else {
        return context.timeline.missing(question, "not reached: an earlier step failed");
    };
    let mut question = question.proof(&seen.place);
    let later = context.timeline.at::<Containers>("containers", "first-end");
    if let Some(later) = &later {
        question = question.proof(&later.place);
    }
    let goes_on = |container: &Container| {
        later.as_ref().is_some_and(|later| {
            later.value.containers.iter().any(|now| now.root.is(&container.root) && now.pid == container.pid)
        })
    };
    let fault = |container: &Option<Container>| match container {
        None => Some("is in no running container"),
        Some(container) if !container.is_apart(&context.machine) => {
            Some("runs in the machine's own PID or network namespace")
        }
        Some(container) if !goes_on(container) => Some("was in a container that ended too early"),
        Some(_) => None,
    };
    let faults: Vec<String> = [("counter-service", &context.counter), ("external-service", &context.page)]
        .into_iter()
        .filter_map(|(service, container)| Some(format!("the {service} {}", fault(container)?)))
        .collect();
    if faults.is_empty() {
        return question.pass("both containers run");
    }
    context.lost(question, verdicts, "4/images-built", format!("{}{}", faults.join("; "), context.script()))
}

/// The sample session, which decides no marks.
pub fn as_shown(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    session::judge(context.timeline.recording(), question, verdicts)
}

pub fn internet(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects("both containers reach a server in the Internet");
    let Some(MatrixPlan { world, .. }) = context.timeline.plan::<MatrixPlan>() else {
        return question.error("the evidence is older than this check: grade the submission again");
    };
    let tried = context.timeline.all::<Online>("online");
    let is_reached = |online: &Online| {
        online.answer.line.as_deref() == Some(format!("{} {}", world.echo_word, online.said).as_str())
    };
    let cut_off: Vec<&Seen<Online>> = tried.iter().filter(|seen| !is_reached(&seen.value)).collect();
    let question = tried.iter().fold(question, |question, seen| question.proof(&seen.place));
    if cut_off.is_empty() && tried.len() == 2 {
        return question.pass("both containers reach the server");
    }
    let actual: Vec<String> = cut_off
        .iter()
        .map(|seen| {
            let Online { service, to, answer, .. } = &seen.value;
            let why = answer.error.as_deref().unwrap_or("another server answered");
            format!("the container of the {service} does not reach {to}: {why}")
        })
        .collect();
    if actual.is_empty() {
        return context.timeline.unmet(question, "4/containers-running", "there are not two containers");
    }
    context.lost(question, verdicts, "4/containers-running", actual.join("; "))
}

pub fn reachable(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question = question.expects(format!(
        "another machine reaches the external-service through port {PAGE_PORT} of the machine"
    ));
    let pages = context.timeline.all::<Shown>("page");
    let first = pages.iter().find(|page| page.value.from == "lan" && page.value.step == "in-a-row");
    let (Some(landed), Some(first)) = (context.timeline.at::<Landed>("landed", "first"), first) else {
        return context.timeline.missing(question, "not reached: an earlier step failed");
    };
    let question = question.proof(&landed.place).proof(&first.place);
    let ends_in = |container: &Option<Container>| {
        container.as_ref().is_some_and(|own| landed.value.roots.iter().any(|root| root.is(&own.root)))
    };
    let other = context.page.as_ref().and_then(not_the_page);
    if ends_in(&context.page) && first.value.status.is_some() && other.is_none() {
        return question.pass(format!("the page answers {}", first.value.told()));
    }
    if ends_in(&context.counter) {
        return question.fail(format!(
            "the port leads to the container of the counter-service, which answers {}",
            first.value.told()
        ));
    }
    let lacks = context.page.as_ref().map(|page| page.contents.lacks_of_page()).unwrap_or_default();
    if !lacks.is_empty() {
        return context.timeline.unmet(
            question,
            "4/images-built",
            &format!("its image lacks {}", lacks.join(", ")),
        );
    }
    if let Some(other) = other {
        return context.proof_of_containers(question).fail(other);
    }
    let what = if landed.value.error.is_none() && !ends_in(&context.page) {
        format!(
            "another program answers {}; the container of the external-service does not",
            first.value.told()
        )
    } else {
        format!("GET {}: {}", first.value.url, first.value.told())
    };
    let listens = context.page.as_ref().map_or("", |page| {
        if page.listening.is_empty() { "; no program in its container listens on a port" } else { "" }
    });
    context.lost(question, verdicts, "4/containers-running", format!("{what}{listens}{}", context.script()))
}
