//! Makes a base tree in a guest with the real debootstrap, and sends it to the host.
//!
//! The host asks for it where it cannot run debootstrap itself (see `packages/base/maker.rs`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::world::{World, WorldPlan};
use crate::packages::base::MAKE;

/// What the host asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The world in which debootstrap runs.
    pub world: WorldPlan,
    /// The environment of `make-tree.sh`.
    pub settings: BTreeMap<String, String>,
}

/// Makes the tree and sends it to the host. The script's messages go to standard output.
///
/// # Errors
/// If there is no world, a program is missing, the script fails, or the host
/// does not take the tree.
pub fn make(job: &Job) -> io::Result<()> {
    let world = World::start(&job.world).map_err(io::Error::other)?;
    let work = tempfile::tempdir_in("/root")?;
    let mut script = Command::new("sh")
        .args(["-c", &format!("exec 3>&2\n{MAKE}")])
        .env_clear()
        .envs(&job.settings)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("WORK", work.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(io::stdout().as_fd().try_clone_to_owned()?)
        .spawn()?;
    let output = script.stdout.take().ok_or_else(|| io::Error::other("the script has no output"))?;
    let sent = world.give_to_host(output);
    let status = script.wait()?;
    if status.success() { sent } else { Err(io::Error::other(status.to_string())) }
}
