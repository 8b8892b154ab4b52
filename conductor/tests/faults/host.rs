//! The "host" of a playground: everything that containers may change and must leave as it was.

// Each test program uses only a part of this module.
#![allow(dead_code)]

use std::fs;

use super::support::{Playground, wait_for};

/// A playground with the image `img`.
pub fn place() -> Option<Playground> {
    let place = Playground::new()?;
    place.build("").success();
    Some(place)
}

/// The host, and its state at the beginning.
pub struct Host<'a> {
    place: &'a Playground,
    before: String,
}

impl<'a> Host<'a> {
    /// Gives the host a way to the Internet and a firewall, and remembers its state.
    pub fn prepare(place: &'a Playground) -> Self {
        let script = "ip link add wan0 type veth peer name wan1; ip link set wan1 up; \
                      ip addr add 10.9.0.2/24 dev wan0; ip link set wan0 up; \
                      ip route add default via 10.9.0.1; echo 0 > /proc/sys/net/ipv4/ip_forward; \
                      iptables -P FORWARD DROP";
        assert!(place.command("/bin/sh").args(["-c", script]).status().unwrap().success());
        // The kernel marks routes a moment after their interface has got its carrier.
        wait_for(|| !state(place).contains("linkdown"));
        Self { place, before: state(place) }
    }

    /// Fails unless no container, no process and no trace on the host is left.
    pub fn check(&self, what: &str) {
        assert_eq!(self.place.containers(), Vec::<String>::new(), "{what}");
        wait_for(|| processes_of(self.place).is_empty());
        assert_eq!(state(self.place), self.before, "{what}");
    }
}

/// What `ip`, `nft` and `iptables` show of the host.
pub fn state(place: &Playground) -> String {
    let script = "nft list ruleset; iptables -S FORWARD; grep . /proc/sys/net/ipv4/conf/*/forwarding; ip -o link; ip route; \
                  grep -c . /proc/self/mountinfo";
    let output = place.command("/bin/sh").args(["-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The command lines of processes with a mount below the playground.
fn processes_of(place: &Playground) -> Vec<String> {
    let marker = place.path().to_string_lossy().into_owned();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter(|entry| {
            fs::read_to_string(entry.path().join("mountinfo")).is_ok_and(|table| table.contains(&marker))
        })
        .filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok())
        .collect()
}
