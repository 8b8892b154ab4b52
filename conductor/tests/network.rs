//! `addnetwork` and `peer`, tested by TCP connections between containers, from the host, and from
//! another machine, which is a third network namespace.

#![allow(clippy::unwrap_used)]

#[path = "network/changes.rs"]
mod changes;
#[path = "network/firewall.rs"]
mod firewall;
#[path = "network/growth.rs"]
mod growth;
#[path = "network/ownership.rs"]
mod ownership;
#[path = "network/refusals.rs"]
mod refusals;
#[path = "network/repair.rs"]
mod repair;
#[path = "network/routing.rs"]
mod routing;
mod support;
#[path = "network/undo.rs"]
mod undo;
#[path = "network/world.rs"]
mod world;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;
use support::{Playground, wait_for};
use world::{Elsewhere, HOST, Network, OTHER, Server};

#[test]
fn a_plain_network_connects_the_container_and_the_host_only() {
    for policy in ["ACCEPT", "DROP"] {
        let Some(network) = Network::new(policy) else { return };
        network.place.keep_running("eg", &["sh", "-c", "while :; do echo hello | nc -l -p 7; done"]);
        network.place.conductor(["addnetwork", "eg"]).assert().success().stdout(
            "CS695 Conductor that manages containers\nSetting up network 'eg' with peer ip 192.168.1.2. Waiting \
             for interface configuration to settle...\n",
        );
        let addresses = network.place.exec("eg", ["ip", "-o", "-4", "addr"]);
        assert!(addresses.contains("lo    inet 127.0.0.1/8"), "{addresses}");
        assert!(addresses.contains("eg-inside    inet 192.168.1.2/24"), "{addresses}");
        assert!(network.host("ip -o -4 addr").contains("eg-outside    inet 192.168.1.1/24"));
        let up = network.place.exec("eg", ["ip", "-o", "link"]);
        assert_eq!(up.matches(",UP").count(), 2, "{up}");
        assert_eq!(network.heard_by_host("192.168.1.2", 7), "hello\n");
        assert!(network.place.exec("eg", ["ping", "-c", "1", "192.168.1.1"]).contains(" 0% packet loss"));

        assert!(!network.place.exec("eg", ["ip", "route"]).contains("default"));
        // Not even if the container adds a default route itself and the host forwards packets.
        network.host("echo 1 > /proc/sys/net/ipv4/ip_forward");
        network.place.exec("eg", ["ip", "route", "add", "default", "via", "192.168.1.1"]);
        let _server = Server::on_other(&network, 4001);
        assert_eq!(network.heard_in("eg", OTHER, 4001), "");
        assert_eq!(network.heard_by_other("192.168.1.2", 7), "");
    }
}

#[test]
fn internet_and_exposed_ports_work_whatever_the_forward_policy() {
    for policy in ["DROP", "ACCEPT"] {
        let Some(network) = Network::new(policy) else { return };
        network.add("both", &["-i", "-e", "8080-3000"], 8080);
        network.add("only-e", &["-e", "81-3001", "--expose", "82-3002"], 81);
        let _server = Server::on_other(&network, 4001);
        assert_eq!(network.heard_in("both", OTHER, 4001), "hello from beyond\n");
        assert_eq!(network.heard_by_other(HOST, 3000), "hello from both\n");
        assert_eq!(network.heard_by_host(HOST, 3000), "hello from both\n");
        assert_eq!(network.heard_by_other(HOST, 3001), "hello from only-e\n");
        assert_eq!(network.heard_by_host(HOST, 3001), "hello from only-e\n");
        // A container reaches its own port by the addresses of the host that it has a route to.
        assert_eq!(network.heard_in("both", HOST, 3000), "hello from both\n");
        assert_eq!(network.heard_in("only-e", "192.168.2.1", 3001), "hello from only-e\n");
        // -e opens no way out, and no other way in.
        assert_eq!(network.heard_in("only-e", OTHER, 4001), "");
        assert_eq!(network.heard_by_other("192.168.1.2", 8080), "");
        assert!(!network.place.exec("only-e", ["ip", "route"]).contains("default"));
        let refused = network.beyond(&format!("busybox nc -w 2 {HOST} 8080 < /dev/null 2>&1"));
        assert!(refused.contains("refused"), "{refused}");
    }
}

#[test]
fn a_service_sees_who_calls_where_the_container_can_answer() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.place.keep_running("eg", &["sleep", "infinity"]);
    network.place.conductor(["addnetwork", "eg", "-i", "-e", "80-80"]).assert().success();
    let mut server = network.place.command(env!("CARGO_BIN_EXE_conductor"));
    let mut server = server.args(["-q", "exec", "eg", "--", "nc", "-l", "-p", "80"]);
    server = server.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut server = server.spawn().unwrap();
    wait_for(|| network.place.exec("eg", ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).contains(":0050 "));
    let mut client = network.on_other(&format!("exec busybox nc {HOST} 80"));
    let mut client = client.stdin(Stdio::piped()).spawn().unwrap();
    // 10.9.0.1 as /proc/net/tcp writes it.
    wait_for(|| network.place.exec("eg", ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).contains("0100090A:"));
    client.kill().unwrap();
    client.wait().unwrap();
    drop(server.stdin.take());
    server.wait().unwrap();
}

#[test]
fn name_servers_of_the_host_are_the_containers_with_internet() {
    let Some(network) = Network::new("ACCEPT") else { return };
    let resolv = network.place.write("resolv.conf", "nameserver 127.0.0.53\nnameserver 192.0.2.53\n");
    network.host(&format!("mount --bind {} $(readlink -f /etc/resolv.conf)", resolv.display()));
    network.add("eg", &["-i"], 7);
    network.add("not", &[], 7);
    assert_eq!(network.place.exec("eg", ["cat", "/etc/resolv.conf"]), "nameserver 192.0.2.53\n");
    assert_eq!(network.place.exec("not", ["cat", "/etc/resolv.conf"]), "");
}

#[test]
fn containers_are_isolated_until_they_are_peers() {
    for policy in ["ACCEPT", "DROP"] {
        let Some(network) = Network::new(policy) else { return };
        network.add("a", &[], 7);
        network.add("b", &["-i", "-e", "7-3000"], 7);
        network.add("c", &["-i"], 7);
        let addresses = ["192.168.1.2", "192.168.2.2", "192.168.3.2"];
        let names = ["a", "b", "c"];
        let hears = |from: usize, to: usize| {
            let heard = network.heard_in(names[from], addresses[to], 7);
            let wanted = format!("hello from {}\n", names[to]);
            if heard == wanted {
                true
            } else if heard.is_empty() {
                false
            } else {
                panic!("{heard}")
            }
        };
        let pairs = [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)];
        // a has no route, so it adds one: isolation must not depend on missing routes.
        network.place.exec("a", ["ip", "route", "add", "192.168.0.0/16", "via", "192.168.1.1"]);
        for (from, to) in pairs {
            assert!(!hears(from, to), "{} hears {} before", names[from], names[to]);
        }
        // A published port is open to everybody with a way to it: c has one, a has not.
        assert_eq!(network.heard_in("c", HOST, 3000), "hello from b\n");
        assert_eq!(network.heard_in("a", "192.168.1.1", 3000), "");

        network.place.conductor(["peer", "a", "b"]).assert().success();
        network.place.conductor(["peer", "b", "a"]).assert().success();
        for (from, to) in pairs {
            assert_eq!(hears(from, to), from + to == 1, "{} hears {}", names[from], names[to]);
        }
    }
}

#[test]
fn peers_without_internet_get_a_route_to_each_other_and_no_other() {
    let Some(network) = Network::new("DROP") else { return };
    network.add("a", &[], 7);
    network.add("b", &[], 7);
    network.place.conductor(["peer", "b", "a"]).assert().success();
    assert_eq!(network.heard_in("a", "192.168.2.2", 7), "hello from b\n");
    assert_eq!(network.heard_in("b", "192.168.1.2", 7), "hello from a\n");
    let routes = network.place.exec("a", ["ip", "route"]);
    assert!(routes.contains("192.168.2.0/24 via 192.168.1.1") && !routes.contains("default"), "{routes}");
}

#[test]
fn a_container_cannot_send_under_anothers_address() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("a", &[], 7);
    network.add("b", &["-i"], 7);
    let _server = Server::on_other(&network, 4001);
    network.host("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
    network.beyond("ip route add 198.51.100.0/24 via 10.9.0.2");
    network.place.exec("b", ["sh", "-c", "ip addr add 198.51.100.7/32 dev lo"]);
    network.place.exec("b", ["sh", "-c", &format!("nc -w 1 -s 198.51.100.7 {OTHER} 4001")]);
    let seen = network.host("nft list chain inet conductor forward");
    assert!(seen.contains("iifname . ip saddr != @sources drop"), "{seen}");
    assert_eq!(network.heard_in("b", OTHER, 4001), "hello from beyond\n");
}

#[test]
fn no_ipv6_packet_of_a_container_is_forwarded() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("eg", &["-i"], 7);
    network.host(
        "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; ip -6 addr add 2001:db8:1::1/64 dev wan0 nodad; \
         ip -6 addr add 2001:db8:2::1/64 dev eg-outside nodad",
    );
    network.beyond(
        "ip -6 addr add 2001:db8:1::2/64 dev wan0 nodad; ip -6 route add default via 2001:db8:1::1 dev wan0",
    );
    let script = "ip -6 addr add 2001:db8:2::2/64 dev eg-inside; \
                  ip -6 route add default via 2001:db8:2::1; sleep 2; \
                  ping -6 -c 2 -W 1 2001:db8:2::1; ping -6 -c 2 -W 1 2001:db8:1::2";
    let pings = network.place.exec("eg", ["sh", "-c", script]);
    assert_eq!(pings.matches(" 0% packet loss").count(), 1, "it reaches the host only: {pings}");
    assert_eq!(pings.matches(" 100% packet loss").count(), 1, "{pings}");
}

#[test]
fn the_host_believes_nothing_that_a_container_announces() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host(
        "cd /proc/sys/net; echo 2 > ipv6/conf/default/accept_ra; echo 1 > ipv6/conf/default/proxy_ndp; \
         echo 1 > ipv4/conf/default/proxy_arp",
    );
    network.add("eg", &["-i"], 7);
    let settings = network.host(
        "cd /proc/sys/net; for name in accept_ra autoconf accept_redirects proxy_ndp; do \
         cat ipv6/conf/eg-outside/$name; done; for name in accept_redirects proxy_arp; do \
         cat ipv4/conf/eg-outside/$name; done",
    );
    assert_eq!(settings, "0\n".repeat(6));
}
