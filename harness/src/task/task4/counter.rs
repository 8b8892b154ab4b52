//! Judges the counter-service and the count on the page.

use super::again::CURLED;
use super::container::roles;
use super::judge::{MatrixContext, told};
use super::requests::{COUNT_PATH, IN_A_ROW};
use super::scripts::{Scripts, forward_everything};
use super::servers::{not_the_counter, not_the_page};
use super::wait::Settled;
use super::{Containers, Count, Port, Shown};
use crate::evidence::network::Rules;
use crate::task::check::Verdicts;
use crate::task::finding::Question;
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::timeline::{Seen, quote};
use crate::verdict::Finding;

pub fn counter_reachable(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question =
        question.expects("the machine reaches the counter-service at the address of its container");
    let counts = context.timeline.all::<Count>("count");
    let mut from_machine =
        counts.iter().filter(|count| count.value.step == "before" && count.value.from == "machine");
    let Some(counter) = &context.counter else {
        return context.lost(
            question,
            verdicts,
            "4/containers-running",
            "no container holds the counter-service",
        );
    };
    if !counter.contents.counter_program {
        return context.timeline.unmet(question, "4/images-built", "the program was not made");
    }
    let Some(count) = from_machine.next() else {
        let what = if counter.listening.is_empty() {
            "no program in its container listens on a port"
        } else {
            "its container has no address"
        };
        return context.lost(
            question,
            verdicts,
            "4/containers-running",
            format!("{what}{}", context.script()),
        );
    };
    let question = question.proof(&count.place);
    let Count { address, port, answer, error, .. } = &count.value;
    match (answer, error) {
        (Some(count), _) => match not_the_counter(counter) {
            Some(fault) => context.proof_of_containers(question).fail(fault),
            None => question.pass(format!("http://{address}:{port}{COUNT_PATH} answers {count}")),
        },
        (None, error) => {
            let why = error.as_deref().unwrap_or("no answer");
            let listens = if counter.listening.is_empty() {
                "; no program in its container listens on a port"
            } else {
                ""
            };
            context.lost(
                question,
                verdicts,
                "4/containers-running",
                format!("http://{address}:{port}{COUNT_PATH}: {why}{listens}"),
            )
        }
    }
}

pub fn counts(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question =
        question.expects("the counter-service counts each visit once, and the page shows its count");
    let pages = context.timeline.all::<Shown>("page");
    let mut pages: Vec<&Seen<Shown>> =
        pages.iter().filter(|page| !page.value.step.starts_with("again")).collect();
    // The page of another program says nothing of the external-service.
    if context.page.as_ref().is_some_and(|page| not_the_page(page).is_some()) {
        return context.timeline.unmet(question, "4/reachable-from-lan", "");
    }
    // Where other machines are not let in, the machine itself may see the page.
    if !verdicts.passed("4/reachable-from-lan") {
        pages.retain(|page| page.value.from == "machine");
        if pages.first().and_then(|page| page.value.number()).is_none() {
            return context.timeline.unmet(question, "4/reachable-from-lan", "");
        }
    }
    let all = context.timeline.all::<Count>("count");
    let counter_says = |step: &str| {
        all.iter().find(|count| count.value.step == step && count.value.from == "itself")?.value.answer
    };
    let question = pages.iter().take(2).fold(question, |question, page| question.proof(&page.place));
    let (Some(before), Some(after)) = (counter_says("before"), counter_says("after")) else {
        return context.lost(
            question,
            verdicts,
            "4/counter-reachable-from-host",
            "the counter-service does not answer with its count",
        );
    };
    // The host's own look is ours to bring about: where it got through it must be
    // counted like the others.
    let counted = pages.iter().filter(|page| page.value.from != "host" || page.value.status.is_some());
    let mut numbers = Vec::new();
    for page in counted {
        let Shown { from, url, .. } = &page.value;
        let Some(number) = page.value.number() else {
            let actual = format!("{url} from {}: {}{}", whence(from), page.value.told(), addresses(context));
            return context.lost(
                question.proof(&page.place),
                verdicts,
                "4/counter-reachable-from-host",
                actual,
            );
        };
        numbers.push(number);
    }
    if numbers.len() < IN_A_ROW {
        return context.lost(
            question,
            verdicts,
            "4/counter-reachable-from-host",
            "the page was not reached often enough",
        );
    }
    let is_in_order = numbers[..IN_A_ROW].windows(2).all(|two| two[1] == two[0] + 1);
    numbers.sort_unstable();
    let visits = numbers.len() as u64;
    // The count that is answered may be the one before the visit or the one after it.
    let first = numbers.first().copied().unwrap_or_default();
    let is_each_once =
        [before, before + 1].contains(&first) && numbers.iter().copied().eq(first..first + visits);
    if is_in_order && is_each_once && after == before + visits {
        if let Some(fault) = no_peers(context) {
            return question.proof(&fault.place).fail(fault.value);
        }
        return question.pass(format!("{visits} visits, counted from {before} to {after}"));
    }
    let last = numbers.last().copied().unwrap_or_default();
    context.lost(
        question,
        verdicts, "4/counter-reachable-from-host",
        format!(
            "{visits} visits showed counts from {first} to {last}, while the counter-service's own went from {before} \
             to {after}"
        ),
    )
}

/// Why the two containers reach each other, but not as peers.
fn no_peers(context: &MatrixContext) -> Option<Seen<String>> {
    let rules = context.timeline.at::<Rules>("rules", "first")?;
    let scripts: Scripts = context.timeline.first("scripts")?;
    let line = scripts.forwards_instead_of_peer().filter(|_| forward_everything(&rules.value.rules))?;
    let fault =
        format!("the page counts, but without a peer network: {line} lets all containers reach each other");
    Some(Seen { place: rules.place, value: fault })
}

/// The address that app.py was given and the one that it needs, as the end of a sentence.
fn addresses(context: &MatrixContext) -> String {
    let (Some(page), Some(counter)) = (&context.page, &context.counter) else { return String::new() };
    let given = page.commands.iter().find_map(|command| {
        let mut words = command.split_whitespace();
        words.find(|word| word.ends_with("app.py"))?;
        words.next()
    });
    let (Some(given), Some(address)) = (given, counter.address) else { return String::new() };
    format!("; app.py was given {given}, and the container of the counter-service has the address {address}")
}

fn whence(from: &str) -> &str {
    match from {
        "lan" => "another machine",
        "machine" => "the machine itself",
        other => other,
    }
}

pub fn counter_hidden(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question =
        question.expects("another machine cannot reach the counter-service through any port of the machine");
    let ports = context.timeline.all::<Port>("port");
    if let Some(open) = ports.iter().find(|port| port.value.page.is_bare_number()) {
        return question.proof(&open.place).fail(format!(
            "port {} of the machine leads to the counter-service: it answers {}",
            open.value.port,
            open.value.page.told()
        ));
    }
    let question = ports.iter().take(2).fold(question, |question, port| question.proof(&port.place));
    let counts = context.timeline.all::<Count>("count");
    let runs = counts.iter().any(|count| count.value.from == "itself" && count.value.answer.is_some());
    if ports.is_empty() || !verdicts.passed("4/counter-reachable-from-host") && !runs {
        return context.timeline.unmet(
            question,
            "4/counter-reachable-from-host",
            "no counter-service answers that could be hidden",
        );
    }
    question.pass(format!("none of {} ports leads to the counter-service", ports.len()))
}

pub fn address_discovered(context: &MatrixContext, question: Question, verdicts: &Verdicts) -> Finding {
    let question =
        question.expects("when the script runs again beside other containers, the page counts as before");
    if !verdicts.passed("4/counts") {
        return context.timeline.unmet(question, "4/counts", "");
    }
    // After a clean start, where the script did not go on with what was there.
    let at = |step: &str| Some((context.timeline.at::<Settled>("settled", step)?, step.to_owned()));
    let Some((settled, step)) = at("again-clean").or_else(|| at("again")) else {
        return context.timeline.missing(question, "not reached: an earlier step failed");
    };
    let pages = context.timeline.all::<Shown>("page");
    let pages: Vec<&Seen<Shown>> = pages.iter().filter(|page| page.value.step == step).collect();
    let question = pages
        .iter()
        .take(2)
        .fold(question.proof(&settled.place), |question, page| question.proof(&page.place));
    let numbers: Vec<u64> = pages.iter().filter_map(|page| page.value.number()).collect();
    let rises = numbers.len() >= 2 && numbers.windows(2).all(|two| two[1] == two[0] + 1);
    if rises && numbers.len() == pages.len() {
        let addresses = [context.timeline.at::<Containers>("containers", &step), context.seen.clone()];
        let addresses: Vec<String> = addresses
            .iter()
            .flatten()
            .filter_map(|seen| Some(roles(&seen.value.containers).0?.address?.to_string()))
            .collect();
        return match addresses.as_slice() {
            [again, first] if again == first => same_address(context, question, first),
            [again, first] => question
                .pass(format!("the counter-service was at {first} first, and at {again} in the second run")),
            _ => question.pass("the page counts"),
        };
    }
    let last = pages.last().map_or_else(|| settled.value.page.told(), |page| page.value.told());
    question.fail(format!("the page answers {last}{}", told(&settled.value)))
}

/// The second run proves nothing where the counter-service has its first address again, as after a
/// script that stops all containers. Then the script must not name the address.
fn same_address(context: &MatrixContext, question: Question, address: &str) -> Finding {
    let scripts: Scripts = context.timeline.first("scripts").unwrap_or_default();
    match scripts.hard_codes(address) {
        Some(line) => question.fail(format!(
            "the counter-service was at {address} in both runs, because the script freed the first subnet; \
             {line} contains this address"
        )),
        None => question.pass(format!("the counter-service was at {address} in both runs")),
    }
}

/// What `exec` shows is text of the submission's: no mark rests on it.
pub fn exec_beside(context: &MatrixContext, question: Question, _: &Verdicts) -> Finding {
    let question = question.expects(
        "while the service runs, `exec` installs curl in its container, and curl gets the page there",
    );
    let Some(install) = context.timeline.at::<Command>("command", "install-beside") else {
        return context
            .timeline
            .missing(question, "the page does not count, or the container's name is not known");
    };
    let question = question.proof(&install.place);
    if !install.value.succeeded() {
        return question.fail(format!("{}{}", install.value.ending(), quote(&install.value.screen)));
    }
    let mut numbers = Vec::new();
    for turn in 0..CURLED {
        let Some(curl) = context.timeline.at::<Command>("command", &format!("curl-beside-{turn}")) else {
            return context.timeline.missing(question, "curl was not tried");
        };
        let lines = crate::task::transcript::lines(&curl.value.screen);
        let body = lines.last().cloned().unwrap_or_default();
        let page = Shown { status: Some(200), body, ..Shown::default() };
        match page.number() {
            Some(number) => numbers.push(number),
            None => {
                return question.proof(curl.place).fail(format!(
                    "{}{}",
                    curl.value.ending(),
                    quote(&curl.value.screen)
                ));
            }
        }
    }
    let rises = numbers.windows(2).all(|two| two[1] == two[0] + 1);
    question.answer(rises, format!("the page showed {numbers:?}"))
}
