//! `addnetwork` again for a complete network: another way to the Internet, more ports.

use super::*;

/// Adds a second way to the other machine, through `wan1`, and makes it the default route.
fn move_default_route(network: &Network) {
    let pid = network.other.id();
    network.host(&format!(
        "set -e; ip link add wan1 mtu 1400 type veth peer name wan1 netns {pid}; ip addr add 10.8.0.2/24 dev wan1; \
         ip link set wan1 up; ip route del default"
    ));
    network.beyond("ip addr add 10.8.0.1/24 dev wan1; ip link set wan1 up");
    network.host("ip route add default via 10.8.0.1");
}

#[test]
fn the_way_to_the_internet_is_exchanged_when_the_default_route_moved() {
    let Some(network) = Network::new("DROP") else { return };
    network.add("eg", &["-i", "-e", "80-3000"], 80);
    let _server = Server::on_other(&network, 4001);
    move_default_route(&network);
    assert_eq!(network.heard_in("eg", "10.8.0.1", 4001), "");
    let again = || network.place.conductor(["addnetwork", "eg", "-i"]).assert();
    again()
        .success()
        .stdout(contains("Network 'eg' now leads to the Internet through wan1, no longer wan0\n"));
    assert_eq!(network.heard_in("eg", "10.8.0.1", 4001), "hello from beyond\n");
    assert_eq!(network.heard_by_other("10.8.0.2", 3000), "hello from eg\n");
    assert_eq!(network.place.exec("eg", ["cat", "/sys/class/net/eg-inside/mtu"]), "1400\n");
    let rules = network.host("nft list table inet conductor");
    assert!(!rules.contains("wan0"), "the former way is closed: {rules}");
    again().code(1).stderr(contains("already has a network, with address 192.168.1.2"));
}

#[test]
fn a_way_to_the_internet_and_ports_are_added_later() {
    let Some(network) = Network::new("DROP") else { return };
    network.add("eg", &[], 80);
    let _server = Server::on_other(&network, 4001);
    let add = |options: &[&str]| {
        let args = ["-q", "addnetwork", "eg"].into_iter().chain(options.iter().copied());
        network.place.conductor(args).assert()
    };
    add(&["-e", "80-3000"]).success().stdout("Port 3000 of the host now leads to port 80 of 'eg'\n");
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    assert_eq!(network.heard_in("eg", OTHER, 4001), "");
    add(&["-i", "-e", "80-3000", "-e", "80-3001"]).success().stdout(
        "Network 'eg' now leads to the Internet through wan0\nPort 3001 of the host now leads to port 80 of 'eg'\n",
    );
    assert_eq!(network.heard_in("eg", OTHER, 4001), "hello from beyond\n");
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    assert_eq!(network.heard_by_other(HOST, 3001), "hello from eg\n");
    add(&["-e", "81-3001"]).code(1).stderr(contains("port 3001 of the host cannot lead to two ports"));
    network.place.conductor(["stop", "eg"]).assert().success();
    assert!(!network.state().contains("conductor"), "{}", network.state());
}

#[test]
fn a_port_that_is_given_twice_counts_once() {
    let Some(network) = Network::new("DROP") else { return };
    network.add("eg", &["-e", "80-3000", "-e", "80-3000"], 80);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
}

#[test]
fn a_container_gets_the_mtu_of_its_way_to_the_internet() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("ip link set wan0 mtu 1380");
    network.add("eg", &["-i"], 7);
    assert_eq!(network.place.exec("eg", ["cat", "/sys/class/net/eg-inside/mtu"]), "1380\n");
    assert!(network.host("ip link show eg-outside").contains("mtu 1380"));
}

#[test]
fn a_published_port_is_open_to_neighbours_with_internet_and_to_no_others() {
    let Some(network) = Network::new("DROP") else { return };
    network.add("server", &["-e", "80-3000"], 80);
    network.add("online", &["-i"], 7);
    network.add("offline", &[], 7);
    assert_eq!(network.heard_in("online", HOST, 3000), "hello from server\n");
    assert_eq!(network.heard_in("online", "192.168.1.2", 80), "");
    assert_eq!(network.heard_in("offline", "192.168.3.1", 3000), "");
}
