//! `addnetwork` and `peer`, judged by TCP connections: between containers, from the host, and from another machine, which
//! is a third network namespace.

#![allow(clippy::unwrap_used)]

#[path = "network/ownership.rs"]
mod ownership;
#[path = "network/repair.rs"]
mod repair;
#[path = "network/routing.rs"]
mod routing;
mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use predicates::prelude::*;
use predicates::str::contains;
use support::{Playground, wait_for};

/// The host's address on the network it shares with the other machine.
const HOST: &str = "10.9.0.2";
/// The other machine's.
const OTHER: &str = "10.9.0.1";

/// A playground whose host has an interface `wan0` and, behind it, another machine.
struct Network {
    place: Playground,
    other: Child,
}

impl Network {
    /// With a FORWARD policy, `DROP` or `ACCEPT`, as iptables sets it.
    fn new(policy: &str) -> Option<Self> {
        let place = Playground::new()?;
        place.build("").success();
        let mut other = Command::new("unshare");
        other.args(["-n", "sleep", "infinity"]).stdin(Stdio::null());
        let network = Self { place, other: other.spawn().unwrap() };
        let pid = network.other.id();
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
        wait_for(|| namespace(pid) != namespace(std::process::id()));
        network.host(&format!(
            "set -e; ip link set lo up; ip link add wan0 type veth peer name wan0 netns {pid}; \
             ip addr add {HOST}/24 dev wan0; ip link set wan0 up; ip route add default via {OTHER}; \
             echo 0 > /proc/sys/net/ipv4/ip_forward; iptables -P FORWARD {policy}"
        ));
        network.beyond(&format!(
            "set -e; ip link set lo up; ip addr add {OTHER}/24 dev wan0; ip link set wan0 up; \
             ip route add 192.168.0.0/16 via {HOST}"
        ));
        // The kernel notices a moment later that the other end is up, and says so in what `state` compares.
        wait_for(|| {
            let link = network.host("ip -o link show wan0; ip route");
            link.contains("state UP") && !link.contains("linkdown")
        });
        Some(network)
    }

    /// A shell on the host; its output.
    fn host(&self, script: &str) -> String {
        output(self.place.command("/bin/sh").args(["-c", script]))
    }

    /// A shell on the other machine.
    fn beyond(&self, script: &str) -> String {
        output(&mut self.on_other(script))
    }

    fn on_other(&self, script: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.other.id())).args(["sh", "-c", script]);
        command
    }

    /// Starts a container in which a server says `hello from NAME` on a port, and asks for its network.
    fn add(&self, name: &str, options: &[&str], port: u16) {
        let serve = format!("while :; do echo hello from {name} | nc -l -p {port} > /dev/null; done");
        self.place.keep_running(name, &["sh", "-c", &serve]);
        self.place
            .conductor(["addnetwork", name].into_iter().chain(options.iter().copied()))
            .assert()
            .success();
    }

    /// What a container hears from an address.
    fn heard_in(&self, name: &str, address: &str, port: u16) -> String {
        self.place.exec(name, ["sh", "-c", &hear("nc", address, port)])
    }

    fn heard_by_host(&self, address: &str, port: u16) -> String {
        self.host(&hear("busybox nc", address, port))
    }

    fn heard_by_other(&self, address: &str, port: u16) -> String {
        self.beyond(&hear("busybox nc", address, port))
    }

    /// Everything of the host that a network may touch.
    fn state(&self) -> String {
        let all = "nft list ruleset; iptables-save; cat /proc/sys/net/ipv4/ip_forward; ip -o link; ip route";
        // iptables-save says when.
        self.host(all).lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.other.kill();
        let _ = self.other.wait();
    }
}

/// Connects and prints what is said. A server that is not there yet, or closes without a word because it saw the end of
/// our words before it found its own, is asked again; silence is an answer.
fn hear(nc: &str, address: &str, port: u16) -> String {
    format!(
        "for i in $(seq 200); do heard=$(timeout 2 {nc} {address} {port} < /dev/null 2>&1); status=$?; \
         case $status:$heard in *:hello*) echo \"$heard\"; exit;; *refused*|*reset*|0:) sleep 0.05;; *) exit;; \
         esac; done"
    )
}

fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

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
        // Not even if the container finds the way out itself, and the host forwards.
        network.host("echo 1 > /proc/sys/net/ipv4/ip_forward");
        network.place.exec("eg", ["ip", "route", "add", "default", "via", "192.168.1.1"]);
        let _server = Server::on_other(&network, 4001);
        assert_eq!(network.heard_in("eg", OTHER, 4001), "");
        assert_eq!(network.heard_by_other("192.168.1.2", 7), "");
    }
}

/// A server on the other machine that says `hello from beyond`.
struct Server(Child);

impl Server {
    fn on_other(network: &Network, port: u16) -> Self {
        let serve = format!("while :; do echo hello from beyond | busybox nc -l -p {port} > /dev/null; done");
        let mut command = network.on_other(&serve);
        Self(command.stdin(Stdio::null()).process_group(0).spawn().unwrap())
    }
}

/// A container in a folder of containers other than the playground's, where a server says `hello from elsewhere` on
/// port 80.
struct Elsewhere<'a> {
    network: &'a Network,
    name: &'static str,
    run: Child,
}

impl<'a> Elsewhere<'a> {
    fn run(network: &'a Network, name: &'static str) -> Self {
        let serve = "while :; do echo hello from elsewhere | nc -l -p 80 > /dev/null; done";
        let mut run = network.place.command(env!("CARGO_BIN_EXE_conductor"));
        run.args(["run", "--containerdir", "elsewhere", "img", name, "--", "sh", "-c", serve]);
        let run = run.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        wait_for(|| network.place.path().join("elsewhere").join(name).join("process.json").exists());
        Self { network, name, run }
    }

    fn conductor(&self, args: &[&'static str]) -> assert_cmd::assert::Assert {
        let args = args.iter().copied().chain(["--containerdir", "elsewhere"]);
        self.network.place.conductor(args).assert()
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let _ = self.network.place.conductor(["stop", self.name, "--containerdir", "elsewhere"]).ok();
        let _ = self.run.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The shell, and the nc of the moment.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
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
        // A container comes to its own port by the host's addresses, those that it has a route to.
        assert_eq!(network.heard_in("both", HOST, 3000), "hello from both\n");
        assert_eq!(network.heard_in("only-e", "192.168.2.1", 3001), "hello from only-e\n");
        // -e gives no way out, and no other way in.
        assert_eq!(network.heard_in("only-e", OTHER, 4001), "");
        assert_eq!(network.heard_by_other("192.168.1.2", 8080), "");
        assert!(!network.place.exec("only-e", ["ip", "route"]).contains("default"));
        let refused = network.beyond(&format!("busybox nc -w 2 {HOST} 8080 < /dev/null"));
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
        // Where a has no route it makes one: isolation does not hang on that.
        network.place.exec("a", ["ip", "route", "add", "192.168.0.0/16", "via", "192.168.1.1"]);
        for (from, to) in pairs {
            assert!(!hears(from, to), "{} hears {} before", names[from], names[to]);
        }
        // Nor by way of a port of the host.
        assert_eq!(network.heard_in("c", HOST, 3000), "");
        assert_eq!(network.heard_in("c", "192.168.3.1", 3000), "");

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
fn the_host_is_as_before_when_the_last_container_goes() {
    let Some(network) = Network::new("DROP") else { return };
    // Rules of others, in every place where ours could get mixed up with them.
    network.host(
        "iptables -A FORWARD -i docker0 -j ACCEPT; iptables -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE; \
         iptables -A INPUT -p tcp --dport 22 -m comment --comment 'conductor of trains' -j ACCEPT; \
         nft add table inet filter; nft add chain inet filter forward \
         '{ type filter hook forward priority 10; policy drop; }'; nft add rule inet filter forward tcp dport 22 \
         accept comment \\\"conductor\\\"",
    );
    let before = network.state();
    network.add("one", &["-i", "-e", "80-3000"], 80);
    network.add("two", &["-e", "80-3001"], 80);
    network.place.conductor(["peer", "one", "two"]).assert().success();
    // Through both chains that drop.
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from one\n");
    let iptables = network.host("iptables -S FORWARD");
    assert!(
        iptables
            .contains("-A FORWARD -i one-outside -m comment --comment \"conductor one-outside\" -j ACCEPT")
    );
    assert!(iptables.ends_with("-A FORWARD -i docker0 -j ACCEPT\n"), "{iptables}");

    network.place.conductor(["stop", "one"]).assert().success();
    assert_eq!(network.heard_by_other(HOST, 3001), "hello from two\n");
    assert!(!network.state().contains("one-outside"), "{}", network.state());
    network.place.conductor(["stop", "two"]).assert().success();
    assert_eq!(network.state(), before);
}

#[test]
fn a_firewall_that_comes_later_is_opened_by_the_next_command_that_touches_a_network() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("one", &["-i", "-e", "80-3000"], 80);
    network.add("two", &[], 7);
    let heard = || network.heard_by_other(HOST, 3000);
    assert_eq!(heard(), "hello from one\n");
    // Docker, or a table of nft's.
    let firewall = "iptables -P FORWARD DROP; iptables -A FORWARD -i docker0 -j ACCEPT; nft add table inet later; \
                    nft add chain inet later forward '{ type filter hook forward priority 10; policy drop; }'; \
                    nft add rule inet later forward tcp dport 22 accept comment \\\"theirs\\\"";
    network.host(firewall);
    let theirs = || network.host("iptables -S FORWARD; nft list table inet later");
    let with = |part: &'static str| move |line: &&str| line.contains(part);
    assert_eq!(heard(), "");
    network.place.keep_running("three", &["sleep", "infinity"]);
    network.place.conductor(["addnetwork", "three"]).assert().success();
    assert_eq!(heard(), "hello from one\n");
    let rules = theirs();
    assert_eq!(rules.lines().filter(with("one-outside")).count(), 4, "{rules}");

    // It begins anew: what it has not made is gone. Half of it is as good as nothing.
    network.host("iptables -F FORWARD; iptables -A FORWARD -i docker0 -j ACCEPT");
    assert_eq!(heard(), "");
    network.place.conductor(["peer", "two", "three"]).assert().success();
    assert_eq!(heard(), "hello from one\n");
    network.host("iptables -D FORWARD 5; iptables -D FORWARD 5");
    // Also by one that is refused because there is nothing else to do.
    network
        .place
        .conductor(["addnetwork", "one", "-i"])
        .assert()
        .code(1)
        .stderr(contains("has a network already"));
    assert_eq!(heard(), "hello from one\n");
    let rules = theirs();
    for link in ["one-outside", "two-outside", "three-outside"] {
        assert_eq!(rules.lines().filter(with(link)).count(), 4, "{link}: {rules}");
    }
    for name in ["one", "two", "three"] {
        network.place.conductor(["stop", name]).assert().success();
    }
    let rules = theirs();
    assert!(rules.starts_with("-P FORWARD DROP\n-A FORWARD -i docker0 -j ACCEPT\n"), "{rules}");
    assert!(
        rules.contains("tcp dport 22 accept comment \"theirs\"") && !rules.contains("outside"),
        "{rules}"
    );
}

#[test]
fn a_network_whose_rules_or_link_were_deleted_is_made_anew() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("eg", &["-i"], 7);
    network.add("other", &[], 7);
    let _server = Server::on_other(&network, 4001);
    for harm in ["nft flush ruleset", "ip link del eg-outside"] {
        network.host(harm);
        let refused = network.place.conductor(["peer", "eg", "other"]).assert().code(1);
        refused.stderr(contains("container 'eg' has no network: `addnetwork eg` makes one"));
        network
            .place
            .conductor(["addnetwork", "eg", "-i"])
            .assert()
            .success()
            .stdout(contains("192.168.1.2"));
        assert_eq!(network.heard_in("eg", OTHER, 4001), "hello from beyond\n");
    }
}

#[test]
fn what_the_host_forwarded_before_it_forwards_after() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("echo 1 > /proc/sys/net/ipv4/ip_forward");
    network.add("eg", &["-i"], 7);
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
}

#[test]
fn the_old_iptables_is_opened_where_the_host_uses_it() {
    let Some(network) = Network::new("ACCEPT") else { return };
    let set = network
        .host("iptables-legacy -P FORWARD DROP && iptables-legacy -A FORWARD -i docker0 -j ACCEPT; echo $?");
    if !set.ends_with("0\n") {
        eprintln!("skipped: this kernel has no x_tables: {set}");
        return;
    }
    let before = network.host("iptables-legacy -S");
    network.add("eg", &["-i", "-e", "80-3000"], 80);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    // And again where it closed since.
    network.host("iptables-legacy -F FORWARD; iptables-legacy -A FORWARD -i docker0 -j ACCEPT");
    network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    assert_eq!(network.host("iptables-legacy -S").matches("eg-outside\"").count(), 2);
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host("iptables-legacy -S"), before);
}

#[test]
fn networks_that_the_host_has_are_not_given_to_containers() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("ip addr add 192.168.1.77/25 dev wan0; ip route add 192.168.2.128/26 via 10.9.0.1");
    network.add("eg", &[], 7);
    assert!(network.host("ip -4 addr show eg-outside").contains("192.168.3.1/24"));
    // The network of a container that has exited is its own until stop.
    network.place.conductor(["-q", "run", "img", "short", "true"]).assert().success();
    network.place.conductor(["addnetwork", "short"]).assert().code(1).stderr(contains("'short' has exited"));
    network
        .place
        .conductor(["addnetwork", "eg"])
        .assert()
        .code(1)
        .stderr(contains(
            "container 'eg' has a network already, with address 192.168.3.2: to change that, `stop eg` and run it again",
        ));
    network.add("next", &[], 7);
    assert!(network.host("ip -4 addr show next-outside").contains("192.168.4.1/24"));
}

#[test]
fn a_full_range_is_an_error_that_says_what_to_do() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("ip route add 192.168.0.0/16 via 10.9.0.1");
    network.place.keep_running("eg", &["sleep", "infinity"]);
    let before = network.state();
    let refused = network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    refused.stderr(contains("no network is free in 192.168.0.0/16: set IP4_SUBNET"));
    assert_eq!(network.state(), before);
    network.place.conductor(["addnetwork", "eg"]).env("IP4_SUBNET", "172.30").assert().success();
    assert!(network.place.exec("eg", ["ip", "-4", "addr"]).contains("172.30.1.2/24"));
}

#[test]
fn a_port_that_is_taken_is_refused_and_nothing_is_made() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("one", &["-e", "80-3000"], 80);
    network.place.keep_running("two", &["sleep", "infinity"]);
    let mut listener = network.place.command("/bin/sh");
    let mut listener = listener.args(["-c", "exec busybox nc -l -p 3001"]).spawn().unwrap();
    wait_for(|| network.host("cat /proc/net/tcp /proc/net/tcp6").contains(":0BB9 "));
    let before = network.state();
    for (ports, message) in [
        (
            ["-e", "80-3000"].as_slice(),
            "port 3000 of the host leads to container 'one' already: `stop one` frees it",
        ),
        (&["-e", "80-3001"], "port 3001 of the host is in use by a program"),
        (&["-e", "80-3005", "-e", "81-3005"], "port 3005 of the host is to lead to two ports"),
        (&["-e", "0-3005"], "ports from 1 to 65535"),
    ] {
        let args = ["addnetwork", "two"].into_iter().chain(ports.iter().copied());
        network.place.conductor(args).assert().failure().stderr(contains(message));
        assert_eq!(network.state(), before);
    }
    listener.kill().unwrap();
    listener.wait().unwrap();
    network.place.conductor(["addnetwork", "two", "-e", "80-3001"]).assert().success();
}

#[test]
fn an_interface_that_is_not_there_is_named_in_the_error() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.place.keep_running("eg", &["sleep", "infinity"]);
    let before = network.state();
    let add = |interface: &str| {
        network.place.conductor(["addnetwork", "eg", "-i", "--default-ifc", interface]).assert()
    };
    add("nosuch0").code(1).stderr(contains("there is no interface nosuch0: set DEFAULT_IFC"));
    network.host("ip route del default");
    let none = network.place.conductor(["addnetwork", "eg", "-i"]).env("DEFAULT_IFC", "").assert().code(1);
    none.stderr(contains("set DEFAULT_IFC").and(contains("the host has no route to the Internet")));
    network.host(&format!("ip route add default via {OTHER}"));
    assert_eq!(network.state(), before);
    add("wan0").success();
}

#[test]
fn an_interface_of_somebody_else_is_not_touched() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("eg", &[], 7);
    let elsewhere = Elsewhere::run(&network, "eg");
    let before = network.state();
    let taken = elsewhere.conductor(&["addnetwork", "eg"]).code(1);
    taken.stderr(contains(
        "the host has an interface eg-outside already, of a container of another CONTAINERDIR",
    ));
    drop(elsewhere);
    assert_eq!(network.state(), before);
    assert_eq!(network.heard_by_host("192.168.1.2", 7), "hello from eg\n");
}

#[test]
fn peers_need_networks_and_must_be_two() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("one", &[], 7);
    network.place.keep_running("two", &["sleep", "infinity"]);
    let peer = |one, two| network.place.conductor(["peer", one, two]).assert().code(1);
    peer("one", "two").stderr(contains("container 'two' has no network: `addnetwork two` makes one"));
    peer("one", "one").stderr(contains("reaches itself already"));
}

#[test]
fn long_names_get_interfaces_of_their_own() {
    let Some(network) = Network::new("ACCEPT") else { return };
    for name in ["counter-service-1", "counter-service-2"] {
        network.add(name, &[], 7);
    }
    assert_eq!(network.heard_by_host("192.168.1.2", 7), "hello from counter-service-1\n");
    assert_eq!(network.heard_by_host("192.168.2.2", 7), "hello from counter-service-2\n");
    for name in ["counter-service-1", "counter-service-2"] {
        network.place.conductor(["stop", name]).assert().success();
    }
    assert!(!network.host("ip -o link").contains("outside"));
}

#[test]
fn a_long_name_whose_interface_is_taken_gets_another_one() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("counter-service-1", &[], 7);
    let taken = network.host("ip -o link show type veth | grep -o ' cou....-outside'");
    network.place.conductor(["stop", "counter-service-1"]).assert().success();
    network.host(&format!("ip link add {} type veth peer name other", taken.trim()));
    network.add("counter-service-1", &[], 7);
    assert_eq!(network.heard_by_host("192.168.1.2", 7), "hello from counter-service-1\n");
    network.place.conductor(["stop", "counter-service-1"]).assert().success();
    let left = network.host("ip -o link show type veth | grep -o ' cou....-outside'");
    assert_eq!(left, taken, "an interface of somebody else was taken away");
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
