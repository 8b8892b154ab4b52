//! The scenario `3-packages`, for 3c and 3f: `apt` in a container with -i. apt asks a name server
//! over UDP, fetches over HTTP as a user other than root, and unpacks packages.
//!
//! Then the scenario builds an image as course staff do: COPY a file, RUN apt, COPY another file,
//! and RUN a command that rewrites it.
//!
//! The scenario is separate because `apt` takes longer than all others on a slow machine. A copy of
//! the machine's own nsenter(1) starts apt in the container, not the submission's `exec`.

mod drive;
mod judge;

pub use judge::{packages, packages_in_image};

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guest::world::WorldPlan;
use crate::task::task3::shared::tokens;
use crate::task::{Budget, Scenario};

/// Installs a package in a container, and one in an image.
pub static SCENARIO: Scenario = Scenario {
    id: "3-packages",
    budget: Budget { fixed: 420, scaled: 120 },
    plan,
    drive: drive::drive,
    visit: None,
};

/// A small package without dependencies but the C library, and the program that it brings.
pub const PACKAGE: &str = "hello";
const PROGRAM: &str = "usr/bin/hello";
/// What course staff install in an image.
const IN_IMAGE: &str = "htop";
const IMAGE_PROGRAM: &str = "usr/bin/htop";

/// The names of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PackagesPlan {
    pub world: WorldPlan,
    pub image: String,
    pub name: String,
    #[serde(alias = "nap")]
    pub sleep: String,
    /// What is built with `apt`, and a container of it.
    #[serde(default)]
    pub built: String,
    #[serde(default)]
    pub built_name: String,
    #[serde(default, alias = "built_nap")]
    pub built_sleep: String,
    /// Files that are copied to `/`, and the text that a RUN gives the second one.
    #[serde(default)]
    pub files: [String; 2],
    #[serde(default)]
    pub text: String,
}

/// Whether the package's program is in the container; the record `installed`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Installed {
    pub before: bool,
    pub after: bool,
}

/// What a container of the image shows that was built with `apt`; the record `built-with-apt`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuiltWithApt {
    pub installed: bool,
    /// The texts of the copied files.
    pub first: Option<String>,
    pub second: Option<String>,
}

fn plan(random: &mut StdRng) -> Value {
    json!(PackagesPlan {
        world: WorldPlan::draw(random),
        image: tokens::name(random, '-'),
        name: tokens::name(random, '-'),
        sleep: tokens::sleep_seconds(random),
        built: tokens::name(random, '_'),
        built_name: tokens::name(random, '-'),
        built_sleep: tokens::sleep_seconds(random),
        files: std::array::from_fn(|_| tokens::token(random)),
        text: tokens::token(random),
    })
}
