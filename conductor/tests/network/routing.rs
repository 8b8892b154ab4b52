//! The interface that leads to the Internet is the one that the kernel chooses, whatever the
//! routing tables contain.

use super::Network;

/// Changes the network of a host by `script` and connects a container. Returns the interface of its
/// way out.
fn way_out(script: &str) -> Option<String> {
    let network = Network::new("ACCEPT")?;
    network.host(&format!(
        "ip link add vpn0 type veth peer name vpn1; ip link set vpn1 up; ip addr add 10.99.0.1/24 dev vpn0; ip link set vpn0 up; {script}"
    ));
    network.add("eg", &["-i"], 7);
    assert!(network.host("ip -4 addr show eg-outside").contains("192.168.1.1/24"));
    let rules = network.host("nft list table inet conductor");
    let ways = ["vpn0", "wan0"].into_iter().find(|interface| rules.contains(&format!("\"{interface}\"")));
    Some(ways.unwrap_or("none").to_owned())
}

#[test]
fn a_vpn_that_takes_all_traffic_is_the_way_out_and_leaves_room_for_containers() {
    let Some(way) = way_out("ip route add 0.0.0.0/1 dev vpn0; ip route add 128.0.0.0/1 dev vpn0") else {
        return;
    };
    assert_eq!(way, "vpn0");
}

#[test]
fn a_rule_that_prefers_another_table_is_heeded() {
    let Some(way) = way_out("ip route add default dev vpn0 table 100; ip rule add from all lookup 100")
    else {
        return;
    };
    assert_eq!(way, "vpn0");
}

#[test]
fn a_default_route_over_several_ways_is_a_default_route() {
    let script = "ip route replace default nexthop via 10.9.0.1 dev wan0 nexthop via 10.99.0.2 dev vpn0";
    let Some(way) = way_out(script) else { return };
    assert_ne!(way, "none");
}
