//! What `addnetwork` does not do for each other network.

use super::*;

#[test]
fn addnetwork_looks_up_no_link_of_another_container() {
    let Some(network) = Network::new("ACCEPT") else { return };
    for name in ["one", "two"] {
        network.add(name, &["-i"], 7);
    }
    network.place.keep_running("new", &["sleep", "infinity"]);
    let calls = network.place.trace("ioctl", &["addnetwork", "new", "-i", "-e", "80-3000"]);
    let lookups: Vec<_> = calls.iter().filter(|call| call.contains("SIOCGIFINDEX")).collect();
    assert_eq!(lookups, Vec::<&String>::new());
}

#[test]
fn addnetwork_looks_up_the_links_of_ended_containers() {
    let Some(network) = Network::new("ACCEPT") else { return };
    for name in ["stays", "ends", "gets-its-address"] {
        network.place.keep_running(name, &["sleep", "infinity"]);
    }
    for name in ["stays", "ends"] {
        network.place.conductor(["addnetwork", name]).assert().success();
    }
    network.host("ip link del ends-outside");
    let calls = network.place.trace("ioctl", &["addnetwork", "gets-its-address"]);
    let lookups: Vec<_> = calls.iter().filter(|call| call.contains("SIOCGIFINDEX")).collect();
    assert!(matches!(lookups[..], [call] if call.contains("\"ends-outside\"")), "{lookups:?}");
    let addresses = network.place.exec("gets-its-address", ["ip", "-o", "-4", "addr"]);
    assert!(addresses.contains("192.168.2.2/24"), "{addresses}");
}

#[test]
fn a_link_name_is_free_again_even_if_the_host_has_the_gateways_address_elsewhere() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.place.keep_running("eg", &["sleep", "infinity"]);
    network.place.conductor(["addnetwork", "eg"]).assert().success();
    // As after the end of a container of another CONTAINERDIR.
    network
        .host("ip link del eg-outside; ip addr add 192.168.1.1/32 dev wan0; rm .containers/eg/network.json");
    network.place.conductor(["addnetwork", "eg"]).assert().success().stdout(contains("192.168.2.2"));
}
