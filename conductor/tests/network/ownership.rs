//! Who owns an interface and its rules, when names are used again in other folders and after
//! reboots.

use super::*;

/// Ends a container's processes and deletes its folder, without `stop`.
fn abandon(network: &Network, name: &str) {
    let pid = Pid::from_raw(network.place.first_pid(name));
    nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
    wait_for(|| !network.host("ip -o link").contains(&format!("{name}-outside")));
    fs::remove_dir_all(network.place.path().join(".containers").join(name)).unwrap();
}

#[test]
fn rules_of_a_container_that_went_without_stop_block_neither_its_name_nor_its_port() {
    let Some(network) = Network::new("DROP") else { return };
    let before = network.state();
    network.add("other", &["-e", "80-3001"], 80);
    network.add("eg", &["-i", "-e", "80-3000"], 80);
    network.place.conductor(["peer", "eg", "other"]).assert().success();
    abandon(&network, "eg");
    network.add("eg", &["-e", "80-3000"], 80);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    assert_eq!(network.heard_in("eg", "192.168.1.2", 80), "", "what its namesake might");

    abandon(&network, "eg");
    network.add("heir", &["-e", "80-3000"], 80);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from heir\n");
    assert!(!network.state().contains("eg-outside"), "{}", network.state());

    abandon(&network, "heir");
    network.place.conductor(["stop", "other"]).assert().success();
    assert_eq!(network.state(), before);
}

#[test]
fn the_port_of_a_container_that_has_exited_is_free_and_its_stop_leaves_the_heir_alone() {
    let Some(network) = Network::new("DROP") else { return };
    let before = network.state();
    network.add("eg", &["-e", "80-3000"], 80);
    nix::sys::signal::kill(Pid::from_raw(network.place.first_pid("eg")), Signal::SIGKILL).unwrap();
    wait_for(|| !network.host("ip -o link").contains("eg-outside"));
    network.add("heir", &["-e", "80-3000"], 80);
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from heir\n");
    network.place.conductor(["stop", "heir"]).assert().success();
    assert_eq!(network.state(), before);
}

#[test]
fn stop_leaves_the_network_of_a_namesake_in_another_folder() {
    let Some(network) = Network::new("DROP") else { return };
    let mut run = network.place.start("eg", &["sleep", "infinity"]);
    network.place.conductor(["addnetwork", "eg"]).assert().success();
    // As after a reboot.
    nix::sys::signal::kill(Pid::from_raw(network.place.first_pid("eg")), Signal::SIGKILL).unwrap();
    run.wait().unwrap();
    wait_for(|| !network.host("ip -o link").contains("eg-outside"));
    network.host("nft delete table inet conductor; iptables -F FORWARD");

    let elsewhere = Elsewhere::run(&network, "eg");
    elsewhere.conductor(&["addnetwork", "eg", "-e", "80-3000"]).success();
    let state = network.state();
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.state(), state);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from elsewhere\n");
}

#[test]
fn an_interface_that_somebody_put_in_the_place_of_ours_stays() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("eg", &[], 7);
    network.host("ip link del eg-outside; ip link add eg-outside type veth peer name stranger");
    let taken = network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    taken.stderr(contains("the interface eg-outside exists already and belongs to no container"));
    network.place.conductor(["stop", "eg"]).assert().success();
    assert!(network.host("ip -o link").contains("eg-outside"));
}

#[test]
fn a_network_that_an_earlier_version_made_is_known_and_goes_with_stop() {
    let Some(network) = Network::new("DROP") else { return };
    let before = network.state();
    network.add("eg", &["-e", "80-3000"], 80);
    let path = network.place.path().join(".containers/eg/network.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("mac");
    fs::write(&path, record.to_string()).unwrap();
    network.place.conductor(["addnetwork", "eg"]).assert().code(1).stderr(contains("already has a network"));
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.state(), before);
}

#[test]
fn a_port_that_leads_to_a_container_of_another_folder_is_said_to() {
    let Some(network) = Network::new("ACCEPT") else { return };
    let elsewhere = Elsewhere::run(&network, "eg");
    elsewhere.conductor(&["addnetwork", "eg", "-e", "80-3000"]).success();
    network.place.keep_running("here", &["sleep", "infinity"]);
    let refused = network.place.conductor(["addnetwork", "here", "-e", "80-3000"]).assert().code(1);
    refused.stderr(contains(
        "port 3000 of the host already leads to 192.168.1.2, a container of another CONTAINERDIR",
    ));
}
