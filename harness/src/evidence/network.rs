//! A network namespace at one moment, and what a client in it was answered.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// It is one end of a pair.
    pub veth: bool,
    /// The other end's number, in the other end's namespace.
    pub peer: Option<u32>,
    /// Administratively up.
    pub up: bool,
    /// IPv4 addresses.
    pub addresses: Vec<Address>,
}

/// An address with its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
}

impl Address {
    /// Whether another address is in this one's network.
    pub fn reaches(self, other: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        u32::from(self.ip) & mask == u32::from(other) & mask
    }
}

/// A network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// All interfaces.
    pub links: Vec<Link>,
    /// The gateways of default routes.
    pub default_routes: Vec<Ipv4Addr>,
}

impl Network {
    /// The first address of a link that is not the loopback.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let links = self.links.iter().filter(|link| link.name != "lo");
        links.flat_map(|link| &link.addresses).map(|address| address.ip).next()
    }
}

/// The answer to a client that sent a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The line that came back.
    pub line: Option<String>,
    /// The reason if there was no answer.
    pub error: Option<String>,
}

/// Interfaces, addresses and routes; the record `networks`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Networks {
    /// The moment, by the name of a step.
    pub step: String,
    /// The machine's own network namespace.
    pub machine: Network,
    /// By the containers' roles: `first`, `online`, `plain`, `web`, `store`, `quiet`.
    pub containers: BTreeMap<String, Network>,
}

/// The machine's firewall rules; the record `rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The moment, by the name of a step.
    pub step: String,
    /// One rule for each entry, without those that existed at the start.
    pub rules: Vec<String>,
}

impl Rules {
    /// The most rules to keep.
    const CAP: usize = 200;

    /// The record of the rules that were added up to a step.
    pub fn since<'a>(step: &str, rules: impl Iterator<Item = &'a String>) -> Self {
        Self { step: step.to_owned(), rules: rules.take(Self::CAP).cloned().collect() }
    }
}

/// One attempt to get through; the record `reach`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reach {
    /// `first`, `first-open`, `online` and `web`, when only one container had a network;
    /// `connected`, `peer`, `open` and `after-stop`, with all of them.
    pub step: String,
    /// `machine`, `lan`, or a container's role.
    pub from: String,
    /// `machine`, `internet`, `itself`, `exposed`, `other-port`, or a container's role.
    pub to: String,
    /// The address that was tried.
    pub address: String,
    /// `tcp`, `udp`, `dns` (a query to a name server, over UDP) or `ping`.
    pub by: String,
    /// The word with which the right server answers.
    pub word: String,
    /// What came back.
    pub answer: Answer,
    /// Whether a ping arrived in the container that was meant. Without this field, an answer
    /// counts as the container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<bool>,
}

impl Reach {
    /// Whether the attempt got through to the right server.
    pub fn reached(&self) -> bool {
        let Some(line) = &self.answer.line else { return false };
        if self.by == "ping" {
            return self.arrived != Some(false);
        }
        self.by == "dns" || line.split(' ').next() == Some(self.word.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_that_another_machine_answered_did_not_reach_the_container() {
        let reached = |arrived: &str| {
            let text = format!(
                r#"{{"step": "connected", "from": "web", "to": "store", "address": "10.66.0.7", "by": "ping",
                    "word": "", "answer": {{"line": "echo reply", "error": null}}{arrived}}}"#
            );
            serde_json::from_str::<Reach>(&text).unwrap().reached()
        };
        assert!(!reached(r#", "arrived": false"#));
        assert!(reached(r#", "arrived": true"#));
        assert!(reached(""), "older evidence does not say where the ping arrived");
    }
}
