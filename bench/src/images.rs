//! Podman and Buildah, with their own store that has the base system as an image.

use std::process::Command;

use crate::measure::{Trouble, command, finish};
use crate::place::{Place, text_of};

/// The two programs; they share the store.
pub struct Podman {
    store: [String; 4],
    ready: Result<(), String>,
}

impl Podman {
    /// Creates the store and the image `localhost/base`.
    pub fn new(place: &Place) -> Self {
        let folder = |name: &str| text_of(&place.path(name)).to_owned();
        let store = ["--root".into(), folder("podman"), "--runroot".into(), folder("podman-run")];
        let mut this = Self { store, ready: Ok(()) };
        this.ready = this.import(place).map_err(|trouble| trouble.to_string());
        this
    }

    fn import(&self, place: &Place) -> Result<(), Trouble> {
        let archive = place.path("base.tar");
        finish(&mut command("tar", &["-C", text_of(&place.base()), "-cf", text_of(&archive), "."]))?;
        finish(&mut self.podman(&["import", text_of(&archive), "localhost/base"]))
    }

    /// Whether the image could be created.
    pub fn ready(&self) -> Result<(), Trouble> {
        Ok(self.ready.clone()?)
    }

    /// `podman` on the store.
    pub fn podman(&self, arguments: &[&str]) -> Command {
        self.program(
            "podman",
            &["--cgroup-manager=cgroupfs", "--runtime=crun", "--events-backend=none"],
            arguments,
        )
    }

    /// `buildah` on the store.
    pub fn buildah(&self, arguments: &[&str]) -> Command {
        self.program("buildah", &[], arguments)
    }

    fn program(&self, name: &str, own: &[&str], arguments: &[&str]) -> Command {
        let mut program = command(name, &["--storage-driver=overlay"]);
        program.args(&self.store).args(own).args(arguments).env("HOME", "/root");
        program
    }
}
