//! Networks and ports that are taken, and options that cannot be satisfied.

use super::*;

#[test]
fn networks_that_the_host_has_are_not_given_to_containers() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host("ip addr add 192.168.1.77/25 dev wan0; ip route add 192.168.2.128/26 via 10.9.0.1");
    network.add("eg", &[], 7);
    assert!(network.host("ip -4 addr show eg-outside").contains("192.168.3.1/24"));
    // A container that has exited gets no network.
    network.place.conductor(["-q", "run", "img", "short", "true"]).assert().success();
    network.place.conductor(["addnetwork", "short"]).assert().code(1).stderr(contains("'short' has exited"));
    network.place.conductor(["addnetwork", "eg"]).assert().code(1).stderr(contains(
        "container 'eg' already has a network, with address 192.168.3.2, and these options change nothing",
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
            "port 3000 of the host already leads to container 'one': `stop one` frees it",
        ),
        (&["-e", "80-3001"], "a program of the host listens on port 3001"),
        (&["-e", "80-3005", "-e", "81-3005"], "port 3005 of the host cannot lead to two ports"),
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
        "the interface eg-outside exists already and belongs to a container of another CONTAINERDIR",
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
    peer("one", "two").stderr(contains("container 'two' has no network: `addnetwork two` creates one"));
    peer("one", "one").stderr(contains("always reaches itself"));
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
    assert_eq!(left, taken, "an interface of another program was deleted");
}
