//! The names, ports and tokens of one run of 3c.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guest::world::WorldPlan;
use crate::task::task3::shared::tokens;

/// The containers' roles, in the order in which they are made; the first two are alone and end
/// before the next one.
pub const ALONE: [&str; 2] = ["first", "online"];
pub const ROLES: [&str; 4] = ["web", "plain", "store", "quiet"];

/// The pairs for which `peer` is called.
pub const PEERS: [[&str; 2]; 2] = [["web", "store"], ["plain", "quiet"]];

/// Whether `peer` is called for these two.
pub fn are_peers(one: &str, other: &str) -> bool {
    PEERS.iter().any(|pair| one != other && pair.contains(&one) && pair.contains(&other))
}

/// The names, ports and words of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NetworkPlan {
    pub world: WorldPlan,
    pub image: String,
    /// Container names by role: those that are alone, without options and with
    /// `-i`, and the others.
    pub first: String,
    pub online: String,
    pub plain: String,
    pub quiet: String,
    pub web: String,
    pub store: String,
    /// Is connected as the assignment's sample session shows it.
    #[serde(default)]
    pub session: String,
    #[serde(alias = "naps")]
    pub sleeps: [String; 7],
    /// The word with which a place's server answers, by role, and `machine`.
    pub words: BTreeMap<String, String>,
    /// The port that `web` exposes, and the machine's port for it. Only what asks about
    /// `-e` uses these: a rule that names one of them the wrong way round must not be in
    /// the way of anything else.
    pub inner: u16,
    pub outer: u16,
    /// The port on which servers in the containers listen.
    pub other: u16,
    /// The port on which the machine's own server listens.
    pub home: u16,
    /// A server's port in the Internet, and its address.
    pub public: SocketAddrV4,
}

impl NetworkPlan {
    /// The container of a role.
    pub fn name(&self, role: &str) -> &str {
        match role {
            "first" => &self.first,
            "online" => &self.online,
            "plain" => &self.plain,
            "quiet" => &self.quiet,
            "web" => &self.web,
            _ => &self.store,
        }
    }
}

/// Different ports, all over the range from which the kernel takes none by itself
/// (`ip_local_port_range` in ip(7)): rules for a part of it must not pass for rules for all.
fn ports(random: &mut StdRng) -> [u16; 5] {
    let mut ports = [0; 5];
    for place in 0..ports.len() {
        while ports[place] == 0 || ports[..place].contains(&ports[place]) {
            ports[place] = random.random_range(1024..32768);
        }
    }
    ports
}

/// Draws them.
pub fn plan(random: &mut StdRng) -> Value {
    let world = WorldPlan::draw(random);
    let [inner, outer, other, public, home] = ports(random);
    let address = world.address_of("public.example");
    let places = ALONE.iter().chain(&ROLES).chain(&["machine"]);
    let words = places.map(|place| ((*place).to_owned(), tokens::token(random))).collect();
    json!(NetworkPlan {
        world,
        image: tokens::name(random, '_'),
        first: tokens::name(random, '-'),
        online: tokens::name(random, '-'),
        plain: tokens::name(random, '-'),
        quiet: tokens::name(random, '-'),
        web: tokens::name(random, '-'),
        store: tokens::name(random, '-'),
        sleeps: std::array::from_fn(|_| tokens::sleep_seconds(random)),
        words,
        inner,
        outer,
        other,
        home,
        public: SocketAddrV4::new(address, public),
        session: tokens::name(random, '-'),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn ports_are_different_and_from_the_whole_range() {
        let mut random = StdRng::seed_from_u64(1);
        let draws: Vec<[u16; 5]> = (0..1000).map(|_| ports(&mut random)).collect();
        assert!(draws.iter().all(|ports| BTreeSet::from(*ports).len() == 5));
        for place in 0..5 {
            let own = draws.iter().map(|ports| ports[place]);
            assert!(own.clone().min() < Some(2000) && own.max() > Some(32000));
        }
    }
}
