//! The steps after the first run: `exec` beside the services, and a second run while other
//! containers have the first subnets.

use std::fs;
use std::io;
use std::path::Path;

use super::Containers;
use super::container::{Container, containers, roles};
use super::contents::{Trees, images};
use super::drive::MatrixScenario;
use super::plan::MatrixPlan;
use super::wait::Script;
use crate::guest::observe::processes;
use crate::task::task3::shared::state;
use crate::task::transcript;

/// What course staff install in the container of the external-service, and ask
/// there, so many times.
const INSTALL: [&str; 4] = ["apt", "install", "-y", "curl"];
pub const CURLED: usize = 2;
/// Requests in the second run.
const AGAIN: usize = 3;

impl MatrixScenario<'_, '_> {
    /// Runs the script beside other containers; says whether both services have one.
    pub(super) fn run_again(&mut self, step: &str, from: &str) -> io::Result<(Script, bool)> {
        self.occupy()?;
        let script = self.orchestrate(step)?;
        let containers = containers(self.session.machine, &[]);
        let both_run = matches!(roles(&containers), (Some(_), Some(_)));
        self.record("containers", &Containers { step: step.to_owned(), containers })?;
        for _ in 0..AGAIN {
            self.ask(step, from)?;
        }
        Ok((script, both_run))
    }

    /// Installs a program in the container of the external-service by `exec`, and asks for the page
    /// with it there, as course staff do.
    pub(super) fn exec_beside(&mut self, page: &Container) -> io::Result<()> {
        let limit = self.session.tool.limit(15.0, 3.0);
        let listed = self.session.call("ps-beside", &["ps"], limit)?;
        let Some(name) = self.names(&listed.screen).into_iter().find(|name| self.is_called(page, name))
        else {
            return Ok(());
        };
        let install = [&["exec", &name, "--"][..], &INSTALL].concat();
        self.session.call("install-beside", &install, self.session.tool.limit(60.0, 40.0))?;
        for turn in 0..CURLED {
            let step = format!("curl-beside-{turn}");
            self.session.call(&step, &["exec", &name, "curl", "http://localhost:8080"], limit)?;
        }
        Ok(())
    }

    /// Whether a container's root is mounted in the folder of that name.
    fn is_called(&self, container: &Container, name: &str) -> bool {
        let Some(folder) = state::find(&self.site.submission, name) else { return false };
        let below = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut roots = below.filter_map(|path| processes::directory(&path));
        roots.any(|root| root.is(&container.root))
    }

    /// Ends a script that is still there, as a person does, and stops all containers.
    pub(super) fn stop_all(&mut self, script: Script) -> io::Result<()> {
        script.end(&mut self.session.terminals, self.session.tool.limit(10.0, 2.0))?;
        let limit = self.session.tool.limit(15.0, 3.0);
        let listed = self.session.call("ps", &["ps"], limit)?;
        for name in self.names(&listed.screen) {
            self.session.call("stop", &["stop", &name], limit)?;
        }
        Ok(())
    }

    /// Makes a clean start as the assignment's questions and answers have it: `rmi`, and
    /// `rm -rf .cache/layer`.
    pub(super) fn remove_images(&mut self) -> io::Result<()> {
        let limit = self.session.tool.limit(15.0, 3.0);
        for image in images(&self.site.submission, &[], &mut Trees::default()) {
            let name = Path::new(&image.dir).file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.session.call("rmi", &["rmi", &name], limit)?;
        }
        for layers in [".cache/layers", ".cache/layer"].map(|name| self.session.tool.dir.join(name)) {
            match fs::remove_dir_all(&layers) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // What is mounted or guarded there is the tool's own affair.
                Err(error) => self.record("not-removed", &error.to_string())?,
            }
        }
        Ok(())
    }

    /// The containers that `ps` lists: first words of lines for which there is a folder.
    fn names(&self, screen: &str) -> Vec<String> {
        let first = |line: String| line.split_whitespace().next().map(str::to_owned);
        let is_there = |name: &String| state::find(&self.site.submission, name).is_some();
        transcript::lines(screen).into_iter().filter_map(first).filter(is_there).collect()
    }

    /// Starts containers of our own that take the first subnets.
    fn occupy(&mut self) -> io::Result<()> {
        let MatrixPlan { image, others, sleeps, .. } = self.plan;
        let file = format!("{image}.conductorfile");
        self.session.write("build-other", &file, "FROM debian:bookworm\n")?;
        let limit = self.session.tool.limit(240.0, 30.0);
        self.session.call("build-other", &["build", image, &file], limit)?;
        for (name, sleep) in others.iter().zip(sleeps) {
            if self.session.start("other", &["run", image, name], &["sleep", sleep])?.is_some() {
                let limit = self.session.tool.limit(20.0, 3.0);
                self.session.call("addnetwork-other", &["addnetwork", name], limit)?;
            }
        }
        Ok(())
    }
}
