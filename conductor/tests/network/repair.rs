//! `addnetwork` restores a network of which other programs deleted a part.

use super::*;

fn answers_to_all(network: &Network, name: &str, ports: &[u16]) {
    for port in ports {
        assert_eq!(network.heard_by_other(HOST, *port), format!("hello from {name}\n"), "port {port}");
    }
    assert_eq!(network.heard_in(name, OTHER, 4001), "hello from beyond\n");
}

#[test]
fn a_repair_restores_what_was_asked_for_and_adds_what_is_asked_for_now() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("before", &[], 7);
    network.add("g", &["-i", "--default-ifc", "wan0", "-e", "80-3000"], 80);
    network.place.conductor(["stop", "before"]).assert().success();
    let _server = Server::on_other(&network, 4001);
    answers_to_all(&network, "g", &[3000]);
    for harm in ["nft flush ruleset", "ip link del g-outside"] {
        network.host(harm);
        let repair = network.place.conductor(["addnetwork", "g"]).assert().success();
        repair.stdout(contains("192.168.2.2"));
        answers_to_all(&network, "g", &[3000]);
    }
    network.host("nft flush ruleset");
    network.place.conductor(["addnetwork", "g", "-e", "80-3001", "-e", "80-3000"]).assert().success();
    answers_to_all(&network, "g", &[3000, 3001]);
    network.host("nft flush ruleset");
    network.place.conductor(["addnetwork", "g"]).assert().success();
    answers_to_all(&network, "g", &[3000, 3001]);
}

#[test]
fn a_repair_that_is_refused_can_be_said_again() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("g", &["-i", "-e", "80-3000"], 80);
    let _server = Server::on_other(&network, 4001);
    network.host("nft flush ruleset");
    let mut listener = network.place.command("/bin/sh");
    let mut listener = listener.args(["-c", "exec busybox nc -l -p 3000"]).spawn().unwrap();
    wait_for(|| network.host("cat /proc/net/tcp /proc/net/tcp6").contains(":0BB8 "));
    let repair = || network.place.conductor(["addnetwork", "g"]).assert();
    repair().code(1).stderr(contains("a program of the host listens on port 3000"));
    listener.kill().unwrap();
    listener.wait().unwrap();
    let twice = network.place.conductor(["addnetwork", "g", "-e", "81-3000"]).assert().code(1);
    twice.stderr(contains("port 3000 of the host cannot lead to two ports"));
    repair().success();
    answers_to_all(&network, "g", &[3000]);
}

#[test]
fn an_interface_that_went_away_is_replaced_in_a_repair_by_the_default_one() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("ip link add wan1 type veth peer name wan2; ip link set wan1 up");
    network.add("g", &["-i", "--default-ifc", "wan1"], 7);
    network.host("nft flush ruleset; ip link del wan1");
    network.place.conductor(["addnetwork", "g"]).assert().success();
    let _server = Server::on_other(&network, 4001);
    answers_to_all(&network, "g", &[]);
}
