//! Calls the commands that the course hands out: `build` without a file name, `images`, `rmi`,
//! `rmcache` and `-h`. No marks depend on them.

use std::io;
use std::path::Path;

use super::Cache;
use crate::guest::observe::mounts;
use crate::task::task3::run::drive::RunScenario;
use crate::task::task3::run::plan::RunPlan;
use crate::task::task3::shared::state::{self, Image};

impl RunScenario<'_, '_, '_> {
    /// Tries them, those that delete something last. These are left out while something is mounted
    /// in the submission's folder: a tool that deletes its cache would delete through that mount.
    pub fn try_given_commands(&mut self) -> io::Result<()> {
        let RunPlan { image, second_image, third_image, .. } = self.plan;
        let quick = self.session.tool.limit(10.0, 3.0);
        self.session.call("help", &["-h"], quick)?;
        let limit = self.session.tool.limit(240.0, 30.0);
        self.session.call("build-default", &["build", third_image], limit)?;
        self.record("image", &Image::read("build-default", self.submission, third_image))?;
        let own = mounts::of(nix::unistd::gettid().as_raw());
        if own.iter().any(|mount| Path::new(&mount.mount_point).starts_with(self.submission)) {
            return Ok(());
        }
        self.session.call("rmi", &["rmi", third_image], quick)?;
        self.record("image", &Image::read("rmi", self.submission, third_image))?;
        self.record("image", &Image::read("rmi-others", self.submission, image))?;
        // A tree that lies beside the images is no cache.
        let dir = Image::read("rmi-others", self.submission, image).dir;
        let images = dir.as_deref().and_then(|dir| Path::new(dir).parent());
        // A tool may refuse to delete a cache that an image needs.
        for image in [image, second_image] {
            self.session.call("rmi-rest", &["rmi", image], quick)?;
        }
        self.session.call("rmcache", &["rmcache"], self.session.tool.limit(30.0, 5.0))?;
        let named = self.base.iter().flatten().map(|dir| dir.path.clone());
        let is_cache = |path: &String| {
            let path = Path::new(path);
            state::is_root_tree(path) && images.is_none_or(|images| !path.starts_with(images))
        };
        let left = named.filter(is_cache).collect();
        self.record("cache", &Cache { step: "rmcache".to_owned(), left })
    }
}
