//! What is asked of the counter-service, and of the page's count.

use super::drive::IN_A_ROW;
use super::judge::{Room, told};
use super::sight::roles;
use super::wait::Settled;
use super::{Containers, Count, Port, Shown};
use crate::task::conductor::story::Seen;
use crate::task::finding::Question;
use crate::verdict::{Finding, Status};

pub fn counter_reachable(room: &Room, running: &Finding) -> Finding {
    let question = Question::new(
        "4/counter-reachable-from-host",
        "the counter-service answers the machine at the address of its container",
    );
    let counts = room.story.all::<Count>("count");
    let mut from_machine =
        counts.iter().filter(|count| count.value.step == "before" && count.value.from == "machine");
    let Some(counter) = &room.counter else {
        return room.lost(question, &[running], "no container holds the counter-service");
    };
    if !counter.contents.counter_program {
        return room.story.missing(question, "it was not made: see 4/images-built");
    }
    let Some(count) = from_machine.next() else {
        let what = if counter.listening.is_empty() {
            "nothing listens in its container"
        } else {
            "its container has no address"
        };
        return room.lost(question, &[running], format!("{what}{}", room.script()));
    };
    let question = question.proof(&count.place);
    let Count { address, port, answer, error, .. } = &count.value;
    match (answer, error) {
        (Some(count), _) => question.pass(format!("http://{address}:{port}/count answers {count}")),
        (None, error) => {
            let why = error.as_deref().unwrap_or("no answer");
            let listens =
                if counter.listening.is_empty() { "; nothing listens in its container" } else { "" };
            room.lost(question, &[running], format!("http://{address}:{port}/count: {why}{listens}"))
        }
    }
}

pub fn counts(room: &Room, reachable: &Finding, service: &Finding) -> Finding {
    let question = Question::new(
        "4/counts",
        "each visit, from wherever, is counted once by the counter-service and shows the count",
    );
    if reachable.status != Status::Pass {
        return room.story.missing(question, "it needs 4/reachable-from-lan");
    }
    let pages = room.story.all::<Shown>("page");
    let pages: Vec<&Seen<Shown>> = pages.iter().filter(|page| page.value.step != "again").collect();
    let all = room.story.all::<Count>("count");
    let counter_says = |step: &str| {
        all.iter().find(|count| count.value.step == step && count.value.from == "itself")?.value.answer
    };
    let question = pages.iter().take(2).fold(question, |question, page| question.proof(&page.place));
    let (Some(before), Some(after)) = (counter_says("before"), counter_says("after")) else {
        return room.lost(question, &[service], "the counter-service does not say its count");
    };
    // The host's own look is ours to bring about: where it got through it must be counted like the others.
    let counted = pages.iter().filter(|page| page.value.from != "host" || page.value.status.is_some());
    let mut numbers = Vec::new();
    for page in counted {
        let Shown { from, url, .. } = &page.value;
        let Some(number) = page.value.number() else {
            let actual = format!("{url} from {}: {}", whence(from), page.value.told());
            return room.lost(question.proof(&page.place), &[service], actual);
        };
        numbers.push(number);
    }
    if numbers.len() < IN_A_ROW {
        return room.lost(question, &[service], "the page was not reached often enough");
    }
    let is_in_order = numbers[..IN_A_ROW].windows(2).all(|two| two[1] == two[0] + 1);
    numbers.sort_unstable();
    let visits = numbers.len() as u64;
    let is_each_once = numbers.iter().copied().eq(before + 1..=before + visits);
    if is_in_order && is_each_once && after == before + visits {
        return question.pass(format!("{visits} visits, counted from {before} to {after}"));
    }
    let (first, last) = (numbers.first().copied().unwrap_or(0), numbers.last().copied().unwrap_or(0));
    room.lost(
        question,
        &[service],
        format!(
            "{visits} visits showed counts from {first} to {last}, while the counter-service's own went from {before} \
             to {after}"
        ),
    )
}

fn whence(from: &str) -> &str {
    match from {
        "lan" => "another machine",
        "machine" => "the machine itself",
        other => other,
    }
}

pub fn counter_hidden(room: &Room, counter: &Finding) -> Finding {
    let question = Question::new(
        "4/counter-hidden-from-lan",
        "no port of the machine leads from another machine to the counter-service",
    );
    let ports = room.story.all::<Port>("port");
    if let Some(open) = ports.iter().find(|port| port.value.page.is_bare_number()) {
        return question.proof(&open.place).fail(format!(
            "port {} of the machine leads there: it answers {}",
            open.value.port,
            open.value.page.told()
        ));
    }
    let question = ports.iter().take(2).fold(question, |question, port| question.proof(&port.place));
    if ports.is_empty() || counter.status != Status::Pass {
        return room.story.missing(question, "there is none to be hidden: see 4/counter-reachable-from-host");
    }
    question.pass(format!("none of {} ports does", ports.len()))
}

pub fn address_discovered(room: &Room, counts: &Finding) -> Finding {
    let question = Question::new(
        "4/address-discovered",
        "run again while other containers have the first networks, the page counts as before",
    );
    if counts.status != Status::Pass {
        return room.story.missing(question, "it needs 4/counts");
    }
    let Some(settled) = room.story.at::<Settled>("settled", "again") else {
        return room.story.missing(question, "it did not come to that");
    };
    let pages = room.story.all::<Shown>("page");
    let pages: Vec<&Seen<Shown>> = pages.iter().filter(|page| page.value.step == "again").collect();
    let question = pages
        .iter()
        .take(2)
        .fold(question.proof(&settled.place), |question, page| question.proof(&page.place));
    let numbers: Vec<u64> = pages.iter().filter_map(|page| page.value.number()).collect();
    let rises = numbers.len() >= 2 && numbers.windows(2).all(|two| two[1] == two[0] + 1);
    if rises && numbers.len() == pages.len() {
        let addresses = [room.story.at::<Containers>("containers", "again"), room.seen.clone()];
        let addresses: Vec<String> = addresses
            .iter()
            .flatten()
            .filter_map(|seen| Some(roles(&seen.value.containers).0?.address?.to_string()))
            .collect();
        return question.pass(match addresses.as_slice() {
            [again, first] => format!("the counter was at {first} before and at {again} now"),
            _ => "it counts".to_owned(),
        });
    }
    let last = pages.last().map_or_else(|| settled.value.page.told(), |page| page.value.told());
    question.fail(format!("the page answers {last}{}", told(&settled.value)))
}
