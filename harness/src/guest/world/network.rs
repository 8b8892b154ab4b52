//! The two sides of the cable: the machine's default interface, and a namespace in which
//! every address is ours.
//!
//! ```text
//!   machine                                world (a network namespace without a name)
//!   lan0  10.a.b.m/24 ───────────────────  world0  10.a.b.g/24   the gateway, and every
//!                                                                public address (AnyIP)
//!         default via 10.a.b.g                     10.a.b.n/32   the other machine on the LAN
//! ```
//!
//! In the world the kernel itself delivers every address outside the LAN here
//! (`local 0.0.0.0/0 dev lo`), so it answers ping and accepts TCP for all of them. Packets of the
//! other LAN machine leave through the machine, as if the machine were its router, so that it can
//! try to reach what the machine hides. Packets that reach the world without their source address
//! translated come from nowhere on the LAN and get no answer. Nor does a ping of a private address
//! outside the LAN: no machine in the Internet has one, and a container may.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::netlink::{Netlink, Route, TABLE_LOCAL, TABLE_MAIN};
use super::plan::{PREFIX, PRIVATE, WorldPlan};
use crate::guest::observe::handles;

/// The machine's default interface as every guest has it; [`WorldPlan::interface`] is
/// its name afterwards.
pub const LAN: &str = "lan0";
/// The other end of its cable.
pub const WORLD: &str = "world0";
/// A card that leads nowhere while a submission runs.
pub const UPLINK: &str = "uplink0";
/// The table for packets that the other LAN machine sends.
const TABLE_NEIGHBOUR: u8 = 100;

/// Puts the calling thread into a fresh network namespace and returns it.
pub(super) fn enter_new_namespace() -> io::Result<fs::File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    fs::File::open(handles::proc("thread-self/ns/net"))
}

/// Moves every card but the machine's own out of the calling thread's namespace, the
/// machine's, into `world`.
pub(super) fn hand_over_cards(world: &fs::File) -> io::Result<()> {
    let netlink = Netlink::open()?;
    netlink.move_link(link(WORLD)?, world.as_fd())?;
    match link(UPLINK) {
        Ok(uplink) => netlink.move_link(uplink, world.as_fd()),
        // Namespaces of a host have none.
        Err(_) => Ok(()),
    }
}

/// Gives the machine its interface's name, its address, default route and name server.
pub(super) fn configure_machine(plan: &WorldPlan, resolv_conf: &Path) -> io::Result<()> {
    let netlink = Netlink::open()?;
    let lan = link(LAN)?;
    if plan.interface != LAN {
        // Only what is down can be renamed.
        netlink.rename(lan, &plan.interface)?;
    }
    netlink.add_address(lan, plan.machine, PREFIX)?;
    netlink.set_up(lan)?;
    netlink.add_route(&Route {
        to: Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        via: Some(plan.gateway),
        link: lan,
        local: false,
        table: TABLE_MAIN,
    })?;
    // A file of its own, even where the image has a link to some resolver's.
    let written = resolv_conf.with_extension("conf.new");
    fs::write(&written, format!("nameserver {}\n", plan.resolver))?;
    fs::rename(&written, resolv_conf)
}

/// Makes the calling thread's namespace the world; the number of its end of the cable.
pub(super) fn configure_world(plan: &WorldPlan) -> io::Result<u32> {
    for (setting, value) in [
        ("ip_forward", "0"),
        ("conf/all/rp_filter", "0"),
        ("conf/default/rp_filter", "0"),
        ("ping_group_range", "0 0"),
    ] {
        fs::write(handles::proc(format!("sys/net/ipv4/{setting}")), value)?;
    }
    let netlink = Netlink::open()?;
    let (loopback, world) = (link("lo")?, link(WORLD)?);
    let route = |to, prefix, link| Route { to, prefix, via: None, link, local: false, table: TABLE_LOCAL };
    netlink.set_up(loopback)?;
    netlink.add_address(world, plan.gateway, PREFIX)?;
    netlink.add_address(world, plan.neighbour, 32)?;
    netlink.set_up(world)?;

    // More specific than the world's own 0.0.0.0/0: on the LAN only machines that exist answer.
    netlink.add_route(&route(plan.gateway, PREFIX, world))?;
    netlink.add_route(&Route { local: true, ..route(Ipv4Addr::UNSPECIFIED, 0, loopback) })?;

    // The other LAN machine's packets are looked up first, in a table in which the
    // machine is the router.
    let neighbour =
        |to, prefix, via| Route { to, prefix, via, link: world, local: false, table: TABLE_NEIGHBOUR };
    netlink.add_route(&neighbour(plan.gateway, PREFIX, None))?;
    netlink.add_route(&neighbour(Ipv4Addr::UNSPECIFIED, 0, Some(plan.machine)))?;
    netlink.add_rule(50, Some(plan.neighbour), TABLE_NEIGHBOUR)?;
    netlink.add_rule_to(60, plan.gateway, PREFIX, TABLE_LOCAL)?;
    for (to, prefix) in PRIVATE {
        netlink.refuse_icmp_to(70, to, prefix)?;
    }
    netlink.add_rule(100, None, TABLE_LOCAL)?;
    netlink.delete_rule(0, TABLE_LOCAL)?;
    Ok(world)
}

fn link(name: &str) -> io::Result<u32> {
    if_nametoindex(name).map_err(|error| {
        io::Error::new(io::Error::from(error).kind(), format!("no interface {name}: {error}"))
    })
}
