//! The names, sleeps and tokens of one run of the scenario `3-run`.

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guest::world::WorldPlan;
use crate::task::task3::shared::tokens;

/// The names and words of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunPlan {
    pub world: WorldPlan,
    pub image: String,
    pub second_image: String,
    /// Built without the name of a Conductorfile.
    #[serde(default)]
    pub third_image: String,
    /// Runs a command.
    pub worker: String,
    /// Runs the default shell.
    pub shell: String,
    /// Runs a shell that is named, where the default one does not come.
    #[serde(default)]
    pub named_shell: String,
    /// Runs a command on the second image.
    #[serde(default)]
    pub other: String,
    /// Are entered by `exec`, one after the other as they end.
    #[serde(default)]
    pub entered: Vec<String>,
    /// Is entered as the assignment's sample session shows it.
    #[serde(default)]
    pub session: String,
    /// For how long the commands sleep: by this they are told apart.
    #[serde(alias = "naps")]
    pub sleeps: Vec<String>,
    /// The second argument of the commands whose words are judged. sleep(1) adds it to the first,
    /// and two words that a tool joins by a blank are the same two words to a shell.
    #[serde(default)]
    pub second_argument: Option<String>,
    /// Run beside the containers that are entered, and are started after them.
    #[serde(default)]
    pub neighbours: Vec<Neighbour>,
    pub word: String,
    /// What others write on the machine's own disk is no work of the submission's.
    #[serde(default)]
    pub shared_disk: bool,
}

/// A container beside those that are entered, which only one step enters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Neighbour {
    pub name: String,
    pub sleep: String,
}

impl RunPlan {
    /// A command whose words are judged, by the number of its sleep.
    pub fn command(&self, sleep: usize) -> Vec<&str> {
        ["sleep", &self.sleeps[sleep]].into_iter().chain(self.second_argument.as_deref()).collect()
    }
}

/// How many containers `exec` may use up.
const ENTERED: usize = 4;

pub fn plan(random: &mut StdRng) -> Value {
    json!(RunPlan {
        world: WorldPlan::draw(random),
        image: tokens::name(random, '-'),
        second_image: tokens::name(random, '_'),
        third_image: tokens::name(random, '-'),
        worker: tokens::name(random, '-'),
        shell: tokens::name(random, '-'),
        named_shell: tokens::name(random, '-'),
        other: tokens::name(random, '-'),
        entered: (0..ENTERED).map(|_| tokens::name(random, '-')).collect(),
        sleeps: (0..ENTERED + 6).map(|_| tokens::sleep_seconds(random)).collect(),
        word: tokens::token(random),
        shared_disk: false,
        session: tokens::name(random, '-'),
        second_argument: Some(random.random_range(2..=9).to_string()),
        neighbours: (0..ENTERED)
            .map(|_| Neighbour { name: tokens::name(random, '-'), sleep: tokens::sleep_seconds(random) })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use rand::SeedableRng;

    use super::*;

    /// Tools look for a container's name or path in lists such as that of ps(1).
    #[test]
    fn no_name_of_a_container_is_part_of_another() {
        for seed in 0..50 {
            let plan = RunPlan::deserialize(plan(&mut StdRng::seed_from_u64(seed))).unwrap();
            let neighbours: Vec<String> = plan.neighbours.into_iter().map(|one| one.name).collect();
            assert_eq!(neighbours.len(), plan.entered.len());
            let names = [plan.entered, neighbours].concat();
            for (index, name) in names.iter().enumerate() {
                assert!(names[..index].iter().all(|other| !other.contains(name) && !name.contains(other)));
            }
        }
    }
}
