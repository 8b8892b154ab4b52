//! `stop` where part of a network cannot be undone.

use super::*;

/// A network with a container `eg`, and the state of the host before the container. `None` if this
/// kernel has no `x_tables`.
fn with_legacy_filter() -> Option<(Network, String)> {
    let network = Network::new("DROP")?;
    let set = network.host("iptables-legacy -A FORWARD -i docker0 -j ACCEPT; echo $?");
    if !set.ends_with("0\n") {
        eprintln!("skipped: this kernel has no x_tables: {set}");
        return None;
    }
    let before = state(&network);
    network.place.keep_running("eg", &["sleep", "infinity"]);
    Some((network, before))
}

fn state(network: &Network) -> String {
    network.state() + &network.host("iptables-legacy -S")
}

/// Stops `eg`, of which part of the network remains.
fn stop_in_part(network: &Network, reason: &str) {
    let stop = network.place.conductor(["stop", "eg"]).timeout(std::time::Duration::from_secs(50)).assert();
    stop.code(1).stderr(contains("container 'eg' is removed, but part of its network").and(contains(reason)));
    assert_eq!(network.place.containers(), Vec::<String>::new());
}

/// Gives another container a network and takes it away again.
fn come_and_go(network: &Network) {
    network.add("heir", &["-i", "-e", "80-3000"], 80);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from heir\n");
    network.place.conductor(["stop", "heir"]).assert().success();
}

#[test]
fn a_host_whose_settings_cannot_be_written_keeps_no_container() {
    let Some(network) = Network::new("DROP") else { return };
    let before = network.state();
    network.add("eg", &["-i", "-e", "80-3000"], 80);
    network.host("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys");
    stop_in_part(&network, "cannot switch off the forwarding of packets");
    network.place.keep_running("heir", &["sleep", "infinity"]);
    let refused = network.place.conductor(["addnetwork", "heir"]).assert().code(1);
    refused.stderr(contains("cannot switch off the forwarding of packets"));
    network.place.conductor(["stop", "heir"]).assert().success();
    network.host("umount /proc/sys");
    come_and_go(&network);
    assert_eq!(network.state(), before);
}

#[test]
fn a_lock_of_iptables_that_another_program_holds_keeps_no_container() {
    let Some((network, before)) = with_legacy_filter() else { return };
    network.place.conductor(["addnetwork", "eg", "-i", "-e", "80-3000"]).assert().success();
    // The machine's own lock is not ours to hold.
    network.host("mount -t tmpfs tmpfs /run");
    let mut holder = network.place.command("flock");
    let mut holder = holder.args(["/run/xtables.lock", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    wait_for(|| network.host("flock -n /run/xtables.lock true || echo held").contains("held"));
    stop_in_part(&network, "another program may hold /run/xtables.lock");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    come_and_go(&network);
    assert_eq!(state(&network), before);
}

#[test]
fn without_the_program_of_the_old_iptables_addnetwork_names_the_remedy_and_stop_succeeds() {
    let Some((network, _)) = with_legacy_filter() else { return };
    let before = network.state();
    let real = network.place.path().join("sbin");
    fs::create_dir(&real).unwrap();
    let real = real.display();
    network.host(&format!(
        "mount --bind /usr/sbin {real} && mount -t tmpfs tmpfs /usr/sbin && ln -s {real}/* /usr/sbin && \
         rm /usr/sbin/iptables-legacy*"
    ));
    let refused = network.place.conductor(["addnetwork", "eg", "-i"]).assert().code(1);
    refused.stderr(contains("cannot start iptables-legacy").and(contains("install iptables")));
    network.place.conductor(["stop", "eg"]).assert().success();
    network.host(&format!("umount /usr/sbin; umount {real}"));
    assert_eq!(network.state(), before);
}
