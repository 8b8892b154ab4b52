//! Podman and Buildah, with their own store that has the base system as an image.

use std::path::Path;
use std::process::Command;

use crate::measure::{Trouble, command, finish};
use crate::place::{Place, text_of};

/// The two programs; they share the store.
pub struct Podman {
    store: [String; 4],
    /// The configurations of networks.
    networks: String,
    /// A process in the network namespace that it enters.
    inside: Option<String>,
    ready: Result<(), String>,
}

impl Podman {
    /// Creates the store and the image `localhost/base`.
    pub fn new(place: &Place) -> Self {
        Self::create(place, None)
    }

    /// The same in the network namespace of a process.
    pub fn inside(place: &Place, process: u32) -> Self {
        Self::create(place, Some(process.to_string()))
    }

    fn create(place: &Place, inside: Option<String>) -> Self {
        let folder = |name: &str| text_of(&place.path(name)).to_owned();
        let store = ["--root".into(), folder("podman"), "--runroot".into(), folder("podman-run")];
        let mut this = Self { store, networks: folder("podman-networks"), inside, ready: Ok(()) };
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
        let own = ["--cgroup-manager=cgroupfs", "--runtime=crun", "--events-backend=none"];
        let mut podman = self.program("podman", &own, &["--network-config-dir", &self.networks]);
        podman.args(arguments);
        podman
    }

    /// A container of `image` that ends at once, with as little as `conductor run` sets up.
    pub fn run(&self, image: &str) -> Command {
        self.podman(&["run", "--rm", "--cgroups=disabled", "--network", "none", image, "/bin/true"])
    }

    /// A build by `buildah` with the cheapest isolation, and the host's network, like `conductor
    /// build`.
    pub fn build(&self, options: &[&str], tag: &str, context: &Path) -> Command {
        let own = ["build", "--pull-never", "--isolation=chroot", "--network=host", "--layers", "-t", tag];
        let mut build = self.program("buildah", &own, options);
        build.arg(context);
        build
    }

    fn program(&self, name: &str, own: &[&str], arguments: &[&str]) -> Command {
        let mut program = match &self.inside {
            Some(process) => command("nsenter", &["-t", process, "-n", name]),
            None => command(name, &[]),
        };
        program.arg("--storage-driver=overlay").args(&self.store).args(own).args(arguments);
        program.env("HOME", "/root");
        program
    }
}
