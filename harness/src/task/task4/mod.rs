//! Task 4: two services that a script sets up with the submission's conductor.
//!
//! The script runs twice on one machine. After the first run, the images, the containers and the
//! services are examined. Then the containers are stopped, other containers take the first subnets,
//! and the script runs again: a hard-coded address now leads nowhere. Containers are recognised by
//! the files in them, never by their names.

mod again;
mod checks;
mod container;
mod contents;
mod counter;
mod drive;
mod judge;
mod plan;
mod requests;
mod scripts;
mod servers;
mod wait;

pub use requests::AS_SHOWN;
pub use wait::{SCRIPT, Settled, Why, without_prompt};

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::container::Container;
use self::contents::Image;
use super::{Budget, Scenario, Subtask, Visit};
use crate::evidence::network::Answer;
use crate::evidence::process::Directory;

/// Task 4.
pub static SUBTASK: Subtask = Subtask {
    id: "4",
    title: "creating the matrix",
    checks: &checks::CHECKS,
    scenarios: &["4-matrix"],
    judge: judge::judge,
};

/// Runs the orchestrator, asks its service from everywhere, and runs it again
/// beside other containers.
pub static SCENARIO: Scenario = Scenario {
    id: "4-matrix",
    budget: Budget { fixed: 480, scaled: 75 },
    plan: plan::plan,
    drive: drive::drive,
    visit: Some(Visit {
        after: requests::HOST_MAY_LOOK,
        port: PAGE_PORT,
        page: |to, page| json!(requests::shown("host", "host", to, "/", page)),
    }),
};

/// Passes only where every command of the conductor that task 4 needs has worked.
pub const COUNTS: &str = "4/counts";

/// The subtasks of task 3 about the commands that a check of task 4 rests on.
pub fn rests_on(check: &str) -> &'static [&'static str] {
    match check {
        // RUN installs packages, and COPY brings the services.
        "4/images-built" => &["3c", "3d", "3e", "3f"],
        "4/containers-running" => &["3a", "3d", "3e", "3f"],
        // The containers are stopped, and the script runs again.
        "4/address-discovered" => &["3a", "3b", "3c", "3d"],
        "4/exec-beside-services" => &["3b"],
        _ => &["3b", "3c"],
    }
}

/// The port of the machine that leads to the external-service, and the counter-service's own.
pub const PAGE_PORT: u16 = 3000;
const COUNTER_PORT: u16 = 8080;
/// The two services, as records name them.
pub const COUNTER: &str = "counter-service";
/// The service whose page others see.
pub const EXTERNAL: &str = "external-service";

/// What the images hold that were made; the record `images`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Images {
    step: String,
    images: Vec<Image>,
}

/// Which containers there are; the record `containers`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Containers {
    step: String,
    containers: Vec<Container>,
}

/// In which containers a connection from the LAN to the machine's port ends; the record `landed`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Landed {
    step: String,
    /// Why there was no connection.
    error: Option<String>,
    /// The roots of the containers in which it was seen.
    roots: Vec<Directory>,
}

/// Whether a container reaches a server in the Internet; the record `online`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Online {
    /// What the scenario calls this moment.
    pub step: String,
    /// Whose container it is: `counter-service` or `external-service`.
    pub service: String,
    /// The server.
    pub to: SocketAddrV4,
    /// What was said, which the server repeats after its own word.
    pub said: String,
    /// What came back.
    pub answer: Answer,
}

/// A web page that was asked for; the record `page`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What the scenario calls this moment.
    pub step: String,
    /// `lan`, `machine` or `host`.
    pub from: String,
    /// The address.
    pub url: String,
    /// The answer's status.
    pub status: Option<u16>,
    /// The page.
    pub body: String,
    /// Why there was no answer.
    pub error: Option<String>,
}

impl Shown {
    /// The one number on a page that was found; `None` where it has none, or several.
    pub fn number(&self) -> Option<u64> {
        // Not one that is part of a word, such as CS695.
        let words = self.body.split(|char: char| !char.is_alphanumeric());
        let mut numbers =
            words.filter(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()));
        let number = numbers.next()?.parse().ok()?;
        (self.status == Some(200) && numbers.next().is_none()).then_some(number)
    }

    /// Whether it is what the counter-service itself answers: a number and nothing else.
    fn is_bare_number(&self) -> bool {
        self.number().is_some() && self.body.trim().bytes().all(|byte| byte.is_ascii_digit())
    }

    /// What came back, in words.
    fn told(&self) -> String {
        match (&self.status, &self.error) {
            (Some(status), _) => format!("{status}: {:?}", self.body.trim()),
            (None, Some(error)) => error.clone(),
            (None, None) => "no answer".to_owned(),
        }
    }
}

/// What the counter-service says of its count, without adding to it; the record `count`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    /// What the scenario calls this moment.
    pub step: String,
    /// `machine`, or `itself` from inside its container.
    pub from: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// The counter-service's port.
    pub port: u16,
    /// Its count.
    pub answer: Option<u64>,
    /// What came instead.
    pub error: Option<String>,
}

/// What a port of the machine answers to the LAN when asked for the count; the record `port`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Port {
    /// The port.
    pub port: u16,
    /// Its answer.
    pub page: Shown,
}

#[cfg(test)]
mod tests {
    use super::Shown;

    fn page(status: u16, body: &str) -> Shown {
        Shown { status: Some(status), body: body.to_owned(), ..Shown::default() }
    }

    #[test]
    fn the_one_number_on_a_page_is_its_count() {
        assert_eq!(page(200, "This page has been visited 17 times.\n").number(), Some(17));
        let greeting = "Hello CS695 Explorers! You have sent request to this container 17 times.";
        assert_eq!(page(200, greeting).number(), Some(17));
        assert_eq!(page(200, "3 of 4").number(), None);
        assert_eq!(page(502, "17").number(), None);
        assert_eq!(page(200, "none").number(), None);
    }

    #[test]
    fn a_bare_number_is_the_counters_own_answer() {
        assert!(page(200, "17\n").is_bare_number());
        assert!(!page(200, "visited 17 times").is_bare_number());
    }
}
