//! Firewalls of other programs, and the state of the host after the last container.

use std::io::Write;

use super::*;

#[test]
fn the_host_is_as_before_when_the_last_container_goes() {
    let Some(network) = Network::new("DROP") else { return };
    // Rules of other programs, in every place where ours could be confused with them.
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
    // Like Docker, or a table of nft.
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

    // A restarted firewall deletes all rules that it did not create. One of our two rules is not
    // enough.
    network.host("iptables -F FORWARD; iptables -A FORWARD -i docker0 -j ACCEPT");
    assert_eq!(heard(), "");
    network.place.conductor(["peer", "two", "three"]).assert().success();
    assert_eq!(heard(), "hello from one\n");
    network.host("iptables -D FORWARD 5; iptables -D FORWARD 5");
    // A command that is refused because nothing changes restores the rules too.
    network
        .place
        .conductor(["addnetwork", "one", "-i"])
        .assert()
        .code(1)
        .stderr(contains("already has a network"));
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
        refused.stderr(contains("container 'eg' has no network: `addnetwork eg` creates one"));
        network
            .place
            .conductor(["addnetwork", "eg", "-i"])
            .assert()
            .success()
            .stdout(contains("192.168.1.2"));
        assert_eq!(network.heard_in("eg", OTHER, 4001), "hello from beyond\n");
    }
}

/// Prints the forwarding of all interfaces.
const FORWARDING: &str = "grep . /proc/sys/net/ipv4/conf/*/forwarding";

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
    // And again after the firewall has closed.
    network.host("iptables-legacy -F FORWARD; iptables-legacy -A FORWARD -i docker0 -j ACCEPT");
    network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    assert_eq!(network.heard_by_other(HOST, 3000), "hello from eg\n");
    network.place.conductor(["addnetwork", "eg"]).assert().code(1);
    assert_eq!(network.host("iptables-legacy -S").matches("eg-outside\"").count(), 2);
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host("iptables-legacy -S"), before);
}

#[test]
fn forwarding_that_another_program_has_asked_for_stays_on() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.add("eg", &["-i"], 7);
    network.host("echo 1 > /proc/sys/net/ipv4/ip_forward");
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
}

#[test]
fn forwarding_is_switched_off_after_the_last_container_even_if_the_rules_were_flushed() {
    let Some(network) = Network::new("ACCEPT") else { return };
    let before = network.host(FORWARDING);
    network.add("eg", &["-i"], 7);
    assert_ne!(network.host(FORWARDING), before);
    network.host("nft flush ruleset");
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host(FORWARDING), before);
}

#[test]
fn settings_that_the_kernel_resets_with_ip_forward_stay() {
    let Some(network) = Network::new("ACCEPT") else { return };
    network.host(
        "cd /proc/sys/net/ipv4/conf; ip link add lan type veth peer name lan1; ip link add gone type veth peer name gone1; \
         echo 1 > lan/forwarding; echo 1 > all/accept_redirects",
    );
    let state = "cd /proc/sys/net/ipv4/conf; grep . lan/* lo/* default/* all/*";
    let before = network.host(state);
    assert!(before.contains("lan/forwarding:1"), "{before}");
    network.add("eg", &["-i"], 7);
    // An interface that comes while containers run forwards, too.
    network.host("ip link add later type veth peer name later1; ip link delete gone");
    assert_eq!(network.host("cat /proc/sys/net/ipv4/conf/later/forwarding"), "2\n");
    network.place.conductor(["stop", "eg"]).assert().success();
    assert_eq!(network.host(state), before);
    assert_eq!(network.host("cat /proc/sys/net/ipv4/conf/later/forwarding"), "0\n");
}

#[test]
fn a_firewall_that_only_its_owner_may_change_is_named_and_keeps_no_container_from_its_network() {
    let Some(network) = Network::new("ACCEPT") else { return };
    let mut owner = network.place.command("nft");
    let mut owner = owner.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let rules = "add table inet firewalld { flags owner; chain filter_FORWARD { \
                 type filter hook forward priority 10; policy accept; iifname \"trusted*\" accept; \
                 ct state established accept; drop; }; }\n";
    owner.stdin.as_mut().unwrap().write_all(rules.as_bytes()).unwrap();
    wait_for(|| network.host("nft list ruleset").contains("established"));
    let named = "conductor: only its owner can change the firewall 'firewalld filter_FORWARD'. If it blocks packets, allow";
    for name in ["eg", "trusted"] {
        network.place.keep_running(name, &["sleep", "infinity"]);
        // The host and its container need no forwarding.
        network.place.conductor(["addnetwork", name]).assert().success().stderr(contains("owner").not());
        network.place.conductor(["addnetwork", name, "-i"]).assert().success().stderr(contains(named));
    }
    network.place.conductor(["peer", "eg", "trusted"]).assert().success().stderr(contains(named).count(2));
    let _server = Server::on_other(&network, 4001);
    assert_eq!(network.heard_in("eg", OTHER, 4001), "");
    assert_eq!(network.heard_in("trusted", OTHER, 4001), "hello from beyond\n");
    for name in ["eg", "trusted"] {
        network.place.conductor(["stop", name]).assert().success();
    }
    drop(owner.stdin.take());
    owner.wait().unwrap();
}
