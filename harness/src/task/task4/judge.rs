//! What the orchestrator made, and who could reach it.

use super::container::{Container, roles};
use super::contents::Contents;
use super::counter::{address_discovered, counter_hidden, counter_reachable, counts, exec_beside};
use super::plan::MatrixPlan;
use super::wait::{Settled, Why};
use super::{Containers, Images, Landed, Online, PAGE_PORT, Shown};
use crate::evidence::Bundle;
use crate::task::CheckSpec;
use crate::task::finding::Question;
use crate::task::task3::shared::timeline::{Seen, Timeline, quote};
use crate::task::task3::shared::view::Machine;
use crate::verdict::{Finding, Status};

const HIDDEN: &str = "Only the external-service is accessible from the outside world (other hosts on the network), \
                      whereas the counter-service should only be accessible from the host.";

pub const CHECKS: [CheckSpec; 9] = [
    CheckSpec {
        id: "4/images-built",
        title: "both images",
        requirement: "Build the images for the containers using the appropriate Conductorfiles. [cs-image: apt \
                      install -y build-essential, make; es-image: apt install -y python3 python3-flask \
                      python3-requests]",
        hint: "Build each image by hand with your Conductorfile and look into a container of it: is everything there?",
        informational: false,
    },
    CheckSpec {
        id: "4/containers-running",
        title: "both containers run",
        requirement: "Run two containers, say cs-cont and es-cont which should run in the background.",
        hint: "Which process is the first of each container, when does it end, and does your script wait for it?",
        informational: false,
    },
    CheckSpec {
        id: "4/internet",
        title: "both containers have Internet",
        requirement: "4.a. es-cont is connected to the internet and es-cont has its port 8080 forwarded to port 3000 \
                      of the host 4.b: cs-cont is connected to the internet and does not have any port exposed",
        hint: "With which options does your script call addnetwork for each of the two?",
        informational: false,
    },
    CheckSpec {
        id: "4/reachable-from-lan",
        title: "the page from another machine",
        requirement: "On any system which can ping the host system open/curl the url: http://<host-ip>:3000 to verify \
                      output of the service",
        hint: "Is app.py running, on which address does it listen, and to which port of which container does port \
               3000 of the machine lead?",
        informational: false,
    },
    CheckSpec {
        id: "4/counts",
        title: "the page counts",
        requirement: "Within the host system open/curl the url: http://<host-ip>:3000 to verify output of the service.",
        hint: "app.py asks the counter-service at the URL that it is given for each visit: can es-cont reach it there?",
        informational: false,
    },
    CheckSpec {
        id: "4/counter-hidden-from-lan",
        title: "the counter is hidden from other machines",
        requirement: HIDDEN,
        hint: "Which ports of the machine lead to cs-cont?",
        informational: false,
    },
    CheckSpec {
        id: "4/counter-reachable-from-host",
        title: "the counter from the machine",
        requirement: HIDDEN,
        hint: "From the machine, curl the address of cs-cont at port 8080; then look for the program in cs-cont's ps.",
        informational: false,
    },
    CheckSpec {
        id: "4/address-discovered",
        title: "the counter's address is looked up",
        requirement: "Get IP address of cs-cont. You should use script to get the IP address – can use ip interface \
                      configuration within the host to get IP address of cs-cont or can exec any command within \
                      cs-cont to get it's IP address",
        hint: "Run your script while other containers have a network already: does everything still fit together?",
        informational: false,
    },
    CheckSpec {
        id: "4/exec-beside-services",
        title: "exec while the services run",
        requirement: "This function executes the given program along with its arguments within the specified running \
                      container.",
        hint: "How does exec find the container's process, and what does exec find while another exec runs?",
        informational: true,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let timeline = match Timeline::open(bundle, "4-matrix", &CHECKS) {
        Ok(timeline) => timeline,
        Err(errors) => return errors,
    };
    let context = MatrixContext::of(timeline);
    let images = images_built(&context);
    let running = containers_running(&context, &images);
    let internet = internet(&context, &running);
    let reachable = reachable(&context, &running);
    let counter = counter_reachable(&context, &running);
    let counts = counts(&context, &reachable, &counter);
    let hidden = counter_hidden(&context, &counter);
    let discovered = address_discovered(&context, &counts);
    vec![images, running, internet, reachable, counts, hidden, counter, discovered, exec_beside(&context)]
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

    /// Fails, or says that it could not come to that where what it needs is not there.
    pub fn lost(&self, question: Question, needs: &[&Finding], actual: impl Into<String>) -> Finding {
        match needs.iter().find(|needed| needed.status != Status::Pass) {
            Some(needed) => self.timeline.missing(question, format!("this check needs {}", needed.check)),
            None => question.fail(actual),
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
        (None, Why::Late) => format!("after {:.0} s the script had not come to an end", settled.seconds),
        (None, _) => "the script stayed in the foreground".to_owned(),
    };
    format!("; {how}{}", quote(&settled.screen))
}

fn images_built(context: &MatrixContext) -> Finding {
    let question = Question::new(
        "4/images-built",
        "an image with the counter-service, made, and one with the external-service and what it is written with",
    );
    let Some(images) = context.timeline.at::<Images>("images", "first") else {
        return context.timeline.missing(question, "it did not come to that");
    };
    let mut question = question.proof(&images.place);
    // A container shows its image too, wherever the tool keeps it: by the folders that it is mounted from.
    let mut holders: Vec<(String, Contents)> =
        images.value.images.iter().map(|image| (image.dir.clone(), image.contents)).collect();
    if let Some(seen) = &context.seen {
        question = question.proof(&seen.place);
        let running = seen.value.containers.iter();
        holders.extend(running.map(|container| {
            (format!("process {}", container.pid), container.image.unwrap_or(container.contents))
        }));
    }
    let complete = |lacks: fn(Contents) -> Vec<&'static str>| {
        holders.iter().filter(move |(_, contents)| lacks(*contents).is_empty())
    };
    let apart = complete(Contents::lacks_of_counter)
        .any(|(counter, _)| complete(Contents::lacks_of_page).any(|(page, _)| page != counter));
    if apart {
        return question.pass("both are there, and complete");
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

fn containers_running(context: &MatrixContext, images: &Finding) -> Finding {
    let question = Question::new(
        "4/containers-running",
        "a container with the counter-service and one with the external-service, for as long as they are needed",
    );
    let Some(seen) = &context.seen else {
        return context.timeline.missing(question, "it did not come to that");
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
        None => Some("is in no container that runs"),
        Some(container) if !container.is_apart(&context.machine) => {
            Some("runs in the machine's own PID or network namespace")
        }
        Some(container) if !goes_on(container) => Some("was in a container that ended meanwhile"),
        Some(_) => None,
    };
    let faults: Vec<String> = [("counter-service", &context.counter), ("external-service", &context.page)]
        .into_iter()
        .filter_map(|(service, container)| Some(format!("the {service} {}", fault(container)?)))
        .collect();
    if faults.is_empty() {
        return question.pass("both run");
    }
    context.lost(question, &[images], format!("{}{}", faults.join("; "), context.script()))
}

fn internet(context: &MatrixContext, running: &Finding) -> Finding {
    let question = Question::new("4/internet", "from both containers a server in the Internet is reached");
    let Some(MatrixPlan { world, .. }) = context.timeline.plan::<MatrixPlan>() else {
        return question.error("the evidence is older than this check: it takes a new grade");
    };
    let tried = context.timeline.all::<Online>("online");
    let is_reached = |online: &Online| {
        online.answer.line.as_deref() == Some(format!("{} {}", world.echo_word, online.said).as_str())
    };
    let cut_off: Vec<&Seen<Online>> = tried.iter().filter(|seen| !is_reached(&seen.value)).collect();
    let question = tried.iter().fold(question, |question, seen| question.proof(&seen.place));
    if cut_off.is_empty() && tried.len() == 2 {
        return question.pass("both reach it");
    }
    let actual: Vec<String> = cut_off
        .iter()
        .map(|seen| {
            let Online { service, to, answer, .. } = &seen.value;
            let why = answer.error.as_deref().unwrap_or("somebody else answers");
            format!("the container of the {service} does not reach {to}: {why}")
        })
        .collect();
    if actual.is_empty() {
        return context.timeline.missing(question, "there are not two containers: see 4/containers-running");
    }
    context.lost(question, &[running], actual.join("; "))
}

fn reachable(context: &MatrixContext, running: &Finding) -> Finding {
    let question = Question::new(
        "4/reachable-from-lan",
        format!("port {PAGE_PORT} of the machine leads from another machine to the external-service"),
    );
    let pages = context.timeline.all::<Shown>("page");
    let first = pages.iter().find(|page| page.value.from == "lan" && page.value.step == "in-a-row");
    let (Some(landed), Some(first)) = (context.timeline.at::<Landed>("landed", "first"), first) else {
        return context.timeline.missing(question, "it did not come to that");
    };
    let question = question.proof(&landed.place).proof(&first.place);
    let ends_in = |container: &Option<Container>| {
        container.as_ref().is_some_and(|own| landed.value.roots.iter().any(|root| root.is(&own.root)))
    };
    if ends_in(&context.page) && first.value.status.is_some() {
        return question.pass(format!("it answers {}", first.value.told()));
    }
    if ends_in(&context.counter) {
        return question.fail(format!(
            "it leads to the container of the counter-service, which answers {}",
            first.value.told()
        ));
    }
    let lacks = context.page.as_ref().map(|page| page.contents.lacks_of_page()).unwrap_or_default();
    if !lacks.is_empty() {
        return context
            .timeline
            .missing(question, format!("it needs {} in its image: see 4/images-built", lacks.join(", ")));
    }
    let what = if landed.value.error.is_none() && !ends_in(&context.page) {
        format!("something else than a container of the external-service answers {}", first.value.told())
    } else {
        format!("GET {}: {}", first.value.url, first.value.told())
    };
    let listens = context.page.as_ref().map_or("", |page| {
        if page.listening.is_empty() { "; nothing listens on its container's network" } else { "" }
    });
    context.lost(question, &[running], format!("{what}{listens}{}", context.script()))
}
