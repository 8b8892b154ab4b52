//! The network of task 4: two containers that a script connected, and who reached whom.

use super::model::{Container, Picture, Way, rules_at};
use crate::evidence::Recording;
use crate::evidence::network::Networks;
use crate::task::task4::{COUNTER, Count, EXTERNAL, Online, PAGE_PORT, Port, Shown};

/// The first run of the script; nothing where its network was not recorded.
pub fn picture(recording: &Recording) -> Option<Picture> {
    let (_, networks) = recording.all::<Networks>("networks").next()?;
    let rules = rules_at(recording, &networks.step);
    let containers = networks.containers.iter().map(|(service, inside)| Container {
        exposed: service == EXTERNAL,
        options: if service == EXTERNAL { format!("-i -e 8080-{PAGE_PORT}") } else { "-i".to_owned() },
        ..Container::found(service, inside, &networks.machine, rules.as_ref())
    });
    let containers: Vec<Container> = containers.collect();
    if containers.is_empty() {
        return None;
    }
    let title = "The two containers of the script's first run, which are peers";
    Some(Picture { title, containers, ways: ways(recording), ..Picture::around(recording) })
}

fn ways(recording: &Recording) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut add = |from: &str, to: &str, address: String, asked: bool, found: bool| {
        ways.push(Way { from: from.to_owned(), to: to.to_owned(), address, asked, found });
    };
    for (_, online) in recording.all::<Online>("online") {
        let through = online.answer.line.as_deref().is_some_and(|line| line.ends_with(&online.said));
        add(&online.service, "internet", online.to.to_string(), true, through);
    }
    let pages: Vec<Shown> = recording.all::<Shown>("page").map(|(_, page)| page).collect();
    let first = |from: &str| pages.iter().find(|page| page.step == "in-a-row" && page.from == from);
    for from in ["lan", "machine"] {
        if let Some(page) = first(from) {
            add(from, "exposed", page.url.clone(), true, page.status.is_some());
        }
    }
    if let Some(page) = first("lan").or_else(|| first("machine")) {
        // The page has a count only where its container reaches the counter-service.
        add(EXTERNAL, COUNTER, "over the page".to_owned(), true, page.number().is_some());
    }
    let mut counts = recording.all::<Count>("count").map(|(_, count)| count);
    if let Some(count) = counts.find(|count| count.from == "machine") {
        let address = format!("{}:{}", count.address, count.port);
        add("machine", COUNTER, address, true, count.answer.is_some());
    }
    let hidden = recording.all::<Port>("port").map(|(_, port)| port).filter(|port| port.port != PAGE_PORT);
    if let Some(open) = hidden.filter(|port| port.page.number().is_some()).last() {
        add("lan", "other-port", open.page.url, false, true);
    }
    ways
}
