//! What is checked in 3c.

use super::judge::{NetworkContext, as_shown, expose, internet, no_internet, not_exposed};
use super::link::{addresses, both_ways, loopback, seen_on_outside, veth_pair};
use super::packages::packages;
use super::peers::{isolated, peer};
use super::two::two_containers;
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

const DEFAULT: &str = "It should be noted that only communication between eg-outside and eg-inside is possible. That \
                       implies that an application running inside a container eg will not be able to access the \
                       Internet (end points beyond-outside.)";
const VETH: &str = "you need to add a veth link connecting the container's network namespace to the root (host) \
                    namespace. Moreover the interfaces should be enabled for its proper usage.";

/// How a check of this subtask is judged.
pub type Judge = fn(&NetworkContext, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 14] = [
    Row {
        check: CheckSpec {
            id: "3c/veth-pair",
            title: "a pair of interfaces, both up",
            requirement: VETH,
            hint: "`ip -d link` on the machine and in the container: which interfaces are each other's peers (name@ifN), \
               and is each of them UP?",
            see: &["ip -d link; nsenter -t {pid} -n ip -d link"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader reads the interfaces of the machine and of the container from the kernel. They must be the two ends of one veth pair, both up.",
            causes: &["the link is created in one namespace and never moved", "one end is never set up"],
            man: &["veth(4)", "ip-link(8)"],
        },
        judge: veth_pair,
    },
    Row {
        check: CheckSpec {
            id: "3c/addresses",
            title: "addresses of one network at both ends",
            requirement: "eg-inside: inet 192.168.1.2/24, eg-outside: inet 192.168.1.1/24",
            hint: "Compare `ip addr` at both ends: are both addresses in one network?",
            see: &["ip address; nsenter -t {pid} -n ip address"],
            informational: false,
            needs: &["3c/veth-pair"],
            considers: &[],
            how: "The grader compares the addresses of both ends: two different addresses of one network, or between which packets pass both ways.",
            causes: &["one end has no address", "both ends have the same address"],
            man: &["ip-address(8)"],
        },
        judge: addresses,
    },
    Row {
        check: CheckSpec {
            id: "3c/two-containers",
            title: "a second container",
            requirement: "This function will add a network interface to a container and setup its configurations so that \
                      the container can communicate using the network.",
            hint: "Run two containers and call addnetwork for both: `ip addr` and `ip route` on the machine.",
            see: &["ip address; ip route"],
            informational: false,
            needs: &["3c/veth-pair"],
            considers: &["3c/internet", "3c/expose"],
            how: "Four containers get networks at once. No two may share an address, and what worked for one alone must still work.",
            causes: &[
                "all containers get the same address",
                "a route of the second container replaces the first one's",
            ],
            man: &["ip-route(8)"],
        },
        judge: two_containers,
    },
    Row {
        check: CheckSpec {
            id: "3c/loopback-up",
            title: "the container's loopback",
            requirement: "1: lo: <LOOPBACK,UP,LOWER_UP> inet 127.0.0.1/8 scope host lo",
            hint: "In a new network namespace lo is down.",
            see: &["nsenter -t {pid} -n ip address show lo"],
            informational: false,
            needs: &["3c/veth-pair"],
            considers: &[],
            how: "lo must be up in the container, and a client there must reach a server there at 127.0.0.1.",
            causes: &["nothing sets lo up in the new namespace"],
            man: &["ip-link(8)"],
        },
        judge: loopback,
    },
    Row {
        check: CheckSpec {
            id: "3c/ping-both-ways",
            title: "between the container and the machine",
            requirement: "Network path between container and host",
            hint: "Ping the machine's end from the container and the container's end from the machine.",
            see: &[
                "nsenter -t {pid} -n ip route; ip route",
                "ping -c 1 ADDRESS # of the other end, on the machine and in the container",
            ],
            informational: false,
            needs: &["3c/addresses"],
            considers: &[],
            how: "The grader sends a random token over TCP, and a ping, from the machine to the container and back.",
            causes: &["one end is down", "no route leads to the other end"],
            man: &["ping(8)", "ip-route(8)"],
        },
        judge: both_ways,
    },
    Row {
        check: CheckSpec {
            id: "3c/no-internet-by-default",
            title: "no Internet without -i",
            requirement: DEFAULT,
            hint: "Which routes does a container have without -i? Which source addresses does the machine translate (NAT)?",
            see: &["nsenter -t {pid} -n ip route; iptables-save"],
            informational: false,
            needs: &[],
            considers: &["3c/two-containers"],
            how: "A container without -i tries to reach an Internet server over TCP, and a name server there over UDP, first with the machine's FORWARD policy DROP, then with ACCEPT.",
            causes: &["every container gets a default route and address translation"],
            man: &["ip-route(8)", "iptables(8)"],
        },
        judge: no_internet,
    },
    Row {
        check: CheckSpec {
            id: "3c/internet",
            title: "Internet with -i",
            requirement: "If the option -i or --internet is specified the script should allow for the applications \
                      running inside the container to access the Internet.",
            hint: "Four things are necessary: a default route in the container, forwarding on the machine, a rule that accepts the packets in both directions, and address translation. Which one is missing?",
            see: &["nsenter -t {pid} -n ip route; sysctl net.ipv4.ip_forward; iptables-save"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "A container with -i exchanges a random token with a server in the Internet over TCP.",
            causes: &[
                "the default route is missing",
                "addresses are not translated",
                "packets are forwarded in one direction only",
            ],
            man: &["ip-route(8)", "iptables(8)", "sysctl(8)"],
        },
        judge: internet,
    },
    Row {
        check: CheckSpec {
            id: "3c/packages",
            title: "apt in a container with -i",
            requirement: "If the option -i or --internet is specified the script should allow for the applications running \
                  inside the container to access the Internet.",
            hint: "`apt update` in a container with -i: which name server does the container's /etc/resolv.conf name, and do \
           UDP packets get there and back?",
            see: &[
                "./conductor.sh exec {container} cat /etc/resolv.conf",
                "./conductor.sh exec {container} apt update",
            ],
            informational: false,
            needs: &["3c/internet", "3a/root-mode-755", "3a/proc-sys-dev"],
            considers: &[],
            how: "The grader starts `apt-get update` and `apt-get install` in a container with -i, from outside.",
            causes: &["the container has no name server that it can reach", "UDP is not forwarded"],
            man: &["resolv.conf(5)", "apt-get(8)"],
        },
        judge: packages,
    },
    Row {
        check: CheckSpec {
            id: "3c/expose",
            title: "the exposed port",
            requirement: "You can use the --expose or -e option to make a port available to services outside of the \
                      container. This creates a rule in the host, mapping a container port to a port on the host to \
                      the outside world.",
            hint: "Connections of other machines and the machine's own pass through different chains of the nat table.",
            see: &["iptables-save -t nat; nsenter -t {pid} -n ss -tln"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "Another machine, and the machine by its own address, exchange a random token with a server behind the exposed port. A refused connection is tried again for two seconds.",
            causes: &[
                "inner and outer port are swapped",
                "only one of the two chains of the nat table has the rule",
            ],
            man: &["iptables(8)", "iptables-extensions(8)"],
        },
        judge: expose,
    },
    Row {
        check: CheckSpec {
            id: "3c/not-exposed-otherwise",
            title: "no other port is open",
            requirement: "exposing services deployed inside containers is still not possible (Basically, if you deploy a \
                      server or anything inside the container it will not be accessible outside the host)",
            hint: "To which ports and protocols does the rule that maps the port apply?",
            see: &["iptables-save -t nat"],
            informational: false,
            needs: &[],
            considers: &["3c/two-containers"],
            how: "Another machine and the machine itself try another TCP port of the machine's addresses.",
            causes: &["the rule has no port"],
            man: &["iptables-extensions(8)"],
        },
        judge: not_exposed,
    },
    Row {
        check: CheckSpec {
            id: "3c/isolated-by-default",
            title: "containers are apart",
            requirement: "By default our conductor isolates the container so that no inter-container communication is \
                      possible.",
            hint: "Which of your rules accept packets from one container's interface to another's?",
            see: &["iptables-save; ip route"],
            informational: false,
            needs: &["3c/two-containers"],
            considers: &[],
            how: "Before any peer call, every container tries every other one over TCP, over UDP and by ping. An answer to a ping counts if the other container got the ping.",
            causes: &[
                "a rule accepts all packets between containers",
                "the rules are about TCP only",
                "all containers share one bridge that filters nothing",
            ],
            man: &["iptables(8)"],
        },
        judge: isolated,
    },
    Row {
        check: CheckSpec {
            id: "3c/peer",
            title: "peers reach each other, no other container reaches them",
            requirement: "peer: This function allows two containers to communicate with each other.",
            hint: "Packets must pass in both directions, but only between these two containers.",
            see: &["iptables-save; ip route"],
            informational: false,
            needs: &["3c/two-containers"],
            considers: &["3c/isolated-by-default"],
            how: "After peer, both containers must reach each other over TCP and by ping. Where containers are apart by default, a third one must reach neither, over UDP included.",
            causes: &[
                "the rule opens one direction",
                "the rule is about TCP only",
                "no route leads to the other container",
                "the rule opens the way for all containers",
            ],
            man: &["iptables(8)", "ip-route(8)"],
        },
        judge: peer,
    },
    Row {
        check: CheckSpec {
            id: "3c/seen-on-outside",
            title: "pings are seen on NAME-outside",
            requirement: "5: eg-outside@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000",
            hint: "`tcpdump -i eg-outside icmp` on the machine, while the container pings it.",
            see: &[
                "nsenter -t {pid} -n ping -c 3 ADDRESS & timeout 5 tcpdump -ni {container}-outside icmp # ADDRESS: the machine's end",
            ],
            informational: true,
            needs: &[],
            considers: &[],
            how: "The grader listens on NAME-outside while the container pings the machine.",
            causes: &["the machine's end has another name"],
            man: &["tcpdump(1)"],
        },
        judge: seen_on_outside,
    },
    Row {
        check: CheckSpec {
            id: "3c/as-shown",
            title: "as the sample session",
            requirement: "If everything is done properly the output of the container and the host should be as follows",
            hint: "`harness show REPORT 3c/as-shown` and the report's page show both sides. Look at the lines that are marked as different.",
            see: &[],
            informational: true,
            needs: &[
                "3c/veth-pair",
                "3c/addresses",
                "3c/loopback-up",
                "3c/ping-both-ways",
                "3c/two-containers",
            ],
            considers: &[],
            how: "The grader types `ip a` in the container before and after addnetwork, and on the machine after addnetwork. Then the grader types `ping` in the container. Each interface must have the shown name, be up, have an address, and answer.",
            causes: &["an interface has another name than shown", "the container has an extra interface"],
            man: &["ip-address(8)", "ping(8)"],
        },
        judge: as_shown,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 14] = specs(&ROWS);
