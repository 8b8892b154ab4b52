//! Podman's containers of the curves. They have a network namespace of their own, so that
//! conductor's networks are not slower because of podman's rules. `nsenter` enters it, which takes
//! a millisecond of each of podman's times.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::images::Podman;
use crate::measure::{Contender, Trouble, command, finish};
use crate::place::{Place, wait_for};

/// Running containers, each with a network and an image name.
pub struct Pods<'a> {
    place: &'a Place,
    podman: Podman,
    namespace: Child,
    containers: usize,
    /// How long the start of all containers took.
    started: Duration,
    ready: Result<(), String>,
}

impl<'a> Pods<'a> {
    /// Creates the network namespace.
    pub fn new(place: &'a Place) -> Result<Self, Trouble> {
        let namespace = command("unshare", &["--net", "sleep", "infinity"]).stderr(Stdio::null()).spawn()?;
        let enter = ["-t", &namespace.id().to_string(), "-n", "ip", "link", "set"];
        // `unshare` makes the namespace a moment after its start.
        wait_for(|| {
            let ours = std::fs::read_link("/proc/self/ns/net")?;
            let theirs = std::fs::read_link(format!("/proc/{}/ns/net", namespace.id()))?;
            if ours == theirs { Err("no network namespace".into()) } else { Ok(()) }
        })?;
        finish(command("nsenter", &enter).args(["lo", "up"]))?;
        let podman = Podman::inside(place, namespace.id());
        Ok(Self { place, podman, namespace, containers: 0, started: Duration::ZERO, ready: Ok(()) })
    }

    /// Starts containers until there are `number`. If that fails, the contenders say why.
    pub fn grow(&mut self, number: usize) {
        self.ready = self.podman.ready().and_then(|()| self.start_all(number)).map_err(|why| why.to_string());
    }

    fn start_all(&mut self, number: usize) -> Result<(), Trouble> {
        let began = Instant::now();
        while self.containers < number {
            let name = format!("p{}", self.containers);
            finish(&mut self.podman.podman(&["network", "create", &name]))?;
            finish(&mut self.sleeper(&name, &name))?;
            finish(&mut self.podman.podman(&["tag", "localhost/base", &name]))?;
            self.containers += 1;
        }
        self.started += began.elapsed();
        Ok(())
    }

    /// How long the start of one container took.
    pub fn each(&self) -> Option<Duration> {
        self.started.checked_div(self.containers as u32)
    }

    fn sleeper(&self, name: &str, network: &str) -> Command {
        let words = ["run", "-d", "--cgroups=disabled", "--network", network, "--name", name];
        let mut run = self.podman.podman(&words);
        run.args(["localhost/base", "/bin/sleep", "9999"]);
        run
    }

    /// Runs a command of podman.
    pub fn simple<'b>(&'b self, arguments: &'b [&str]) -> Contender<'b> {
        self.contender(move |_| self.place.time(|| finish(&mut self.podman.podman(arguments))))
    }

    /// Runs a container and removes it.
    pub fn run(&self) -> Contender<'_> {
        self.contender(|_| self.place.time(|| finish(&mut self.podman.run("localhost/base"))))
    }

    /// Creates a network and connects a container to it.
    pub fn connect(&self, beside: usize) -> Contender<'_> {
        self.contender(move |round| {
            let name = format!("n{beside}-{round}");
            finish(&mut self.sleeper(&name, "p0"))?;
            let took = self.place.time(|| {
                finish(&mut self.podman.podman(&["network", "create", &name]))?;
                finish(&mut self.podman.podman(&["network", "connect", &name, &name]))
            });
            finish(&mut self.podman.podman(&["rm", "--force", "--time=0", &name]))?;
            finish(&mut self.podman.podman(&["network", "rm", &name]))?;
            took
        })
    }

    /// Connects a container to the network of another one, so that they reach each other.
    pub fn peer(&self, beside: usize) -> Contender<'_> {
        self.contender(move |round| {
            let name = format!("m{beside}-{round}");
            finish(&mut self.sleeper(&name, "p0"))?;
            let took =
                self.place.time(|| finish(&mut self.podman.podman(&["network", "connect", "p1", &name])));
            finish(&mut self.podman.podman(&["rm", "--force", "--time=0", &name]))?;
            took
        })
    }

    fn contender<'b>(
        &'b self,
        mut turn: impl FnMut(usize) -> Result<Duration, Trouble> + 'b,
    ) -> Contender<'b> {
        self.place.contender("podman", move |round| {
            self.ready.clone()?;
            turn(round)
        })
    }
}

impl Drop for Pods<'_> {
    fn drop(&mut self) {
        // What is left ends with the namespaces of the measurement.
        let _ = finish(&mut self.podman.podman(&["rm", "--all", "--force", "--time=0"]));
        let _ = self.namespace.kill();
        let _ = self.namespace.wait();
    }
}
