//! The names and addresses of one run of task 4.

use std::net::SocketAddrV4;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guest::world::WorldPlan;
use crate::task::task3::shared::tokens;

/// The names of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MatrixPlan {
    pub world: WorldPlan,
    /// An image, and containers of it, that take the first subnets before the second run.
    pub image: String,
    pub others: [String; 2],
    #[serde(alias = "naps")]
    pub sleeps: [String; 2],
    /// A server in the Internet.
    pub public: SocketAddrV4,
    /// Whether the host looks at the page too, through a tunnel.
    pub from_host: bool,
}

pub fn plan(random: &mut StdRng) -> Value {
    let world = WorldPlan::draw(random);
    let public = SocketAddrV4::new(world.address_of("public.example"), 20000 + random.random_range(0..2000));
    json!(MatrixPlan {
        world,
        public,
        image: tokens::name(random, '-'),
        others: std::array::from_fn(|_| tokens::name(random, '-')),
        sleeps: std::array::from_fn(|_| tokens::sleep_seconds(random)),
        from_host: true,
    })
}
