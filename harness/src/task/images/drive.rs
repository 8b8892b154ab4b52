//! Builds an image in each way, and looks at its layers, at a container of it, and at the base.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::sources::Sources;
use super::tree::State;
use super::{Base, Contents, Found, Layered, Layers, Moved};
use crate::guest::processes::Directory;
use crate::guest::recorder::Recorder;
use crate::guest::world::WorldPlan;
use crate::task::Site;
use crate::task::conductor;
use crate::task::conductor::desk::Desk;
use crate::task::conductor::launch::Stage;
use crate::task::conductor::overlay::Overlays;
use crate::task::conductor::sight::Machine;
use crate::task::conductor::state::{self, Image};
use crate::task::conductor::tool::Tool;
use crate::task::conductor::words;

/// How much of a file's text is kept.
const TEXT_CAP: usize = 200;
/// How many changed paths are kept.
const CHANGED_CAP: usize = 20;

/// The names and words of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub world: WorldPlan,
    /// Image names: nothing but FROM, COPY, RUN, a RUN that fails.
    pub plain: String,
    pub copied: String,
    pub ran: String,
    pub failing: String,
    /// The same COPY again: of the same, of a changed mode, of a changed text.
    #[serde(default)]
    pub copied_again: [String; 3],
    /// A RUN after a COPY, and one that is the same as in `ran` after other instructions.
    #[serde(default)]
    pub mixed: String,
    /// Container names for `copied` and `ran`.
    pub containers: [String; 2],
    pub naps: [String; 2],
    /// Names of files and folders.
    pub file: String,
    pub folder: String,
    pub other: String,
    /// What files hold.
    pub text: String,
    pub second_text: String,
    /// What comes in the place of `text`.
    #[serde(default)]
    pub changed_text: String,
}

impl Plan {
    /// Where the copied file is, in the form with the name and in the form with the folder.
    pub fn copied_files(&self) -> [String; 2] {
        [format!("/opt/{}", self.other), format!("/srv/{}", self.file)]
    }

    /// Where the file is that was copied to `/bin`, which is a link to `/usr/bin` in the base: one that is written into a
    /// bare layer hides all of it.
    pub fn copied_program(&self) -> String {
        format!("/usr/bin/{}", self.other)
    }

    /// Where the copied folder is.
    pub fn copied_folder(&self) -> String {
        format!("/opt/{}", self.folder)
    }

    /// What the folder holds, below it: path, mode and text.
    pub fn folder_content(&self) -> [(String, u32, Option<&str>); 5] {
        [
            (".hidden".to_owned(), 0o644, Some(self.second_text.as_str())),
            ("run.sh".to_owned(), 0o755, Some(self.text.as_str())),
            ("secret".to_owned(), 0o640, Some(self.second_text.as_str())),
            ("deep".to_owned(), 0o750, None),
            ("deep/er".to_owned(), 0o644, Some(self.text.as_str())),
        ]
    }

    /// Files in the copied folder: one whose mode changes, and then one whose text does.
    pub fn changed_files(&self) -> [String; 2] {
        ["secret", "run.sh"].map(|name| format!("{}/{name}", self.copied_folder()))
    }

    /// What a RUN writes that finds what a COPY before it has copied.
    pub fn saw_copied(&self) -> String {
        format!("/var/tmp/{}", self.folder)
    }

    /// What the first and the second RUN write.
    pub fn ran_files(&self) -> [String; 2] {
        [format!("/var/tmp/{}", self.file), format!("/var/tmp/{}", self.other)]
    }
}

/// The mode that a copied file gets later.
pub const CHANGED_MODE: u32 = 0o600;
/// A file and a folder of the base that RUN deletes.
pub const DELETED: [&str; 2] = ["/etc/issue.net", "/usr/share/common-licenses"];

pub fn plan(random: &mut StdRng) -> Value {
    json!(Plan {
        world: WorldPlan::draw(random),
        plain: words::name(random, '-'),
        copied: words::name(random, '_'),
        ran: words::name(random, '-'),
        failing: words::name(random, '_'),
        copied_again: std::array::from_fn(|_| words::name(random, '-')),
        mixed: words::name(random, '-'),
        containers: [words::name(random, '-'), words::name(random, '_')],
        naps: std::array::from_fn(|_| words::nap(random)),
        file: format!("{}.{}", words::word(random), random.random_range(10..99)),
        folder: words::word(random),
        other: words::word(random),
        text: words::word(random),
        second_text: words::word(random),
        changed_text: words::word(random),
    })
}

/// The record kinds are the types of the parent module and of [`crate::task::conductor`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = Plan::deserialize(plan)?;
    let world = conductor::connect(&plan.world)?;
    let tool = Tool::prepare(site)?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let stage = Stage {
        recorder,
        desk: Desk::new(recorder).giving_up(&machine.processes),
        tool: &tool,
        machine: &machine,
    };
    let sources = Sources::new(&tool.dir, &plan);
    let played = Scene { stage, submission: &site.submission, plan: &plan, base: None, sources }.play();
    world.record(recorder)?;
    played
}

struct Scene<'a, 'r> {
    stage: Stage<'a, 'r>,
    submission: &'a Path,
    plan: &'a Plan,
    /// The base's folder and its state when nothing but FROM was built on it.
    base: Option<(PathBuf, State)>,
    /// What COPY takes.
    sources: Sources,
}

impl Scene<'_, '_> {
    fn play(&mut self) -> io::Result<()> {
        let plan = self.plan;
        self.build("build", &plan.plain, "FROM debian:bookworm\n")?;
        let bare = Image::read("build", self.submission, &plan.plain);
        let is_base = |dir: &&Directory| state::is_root_tree(Path::new(&dir.path));
        self.base =
            bare.named.iter().rfind(is_base).or(bare.named.last()).map(|dir| PathBuf::from(&dir.path)).map(
                |dir| {
                    let state = State::of(&dir);
                    (dir, state)
                },
            );
        self.record("image", &bare)?;

        let Plan { file, folder, other, copied, ran, failing, text, second_text, changed_text, .. } = plan;
        let [first, second] = plan.ran_files();
        let [deleted_file, deleted_folder] = DELETED;
        let copy = format!(
            "FROM debian:bookworm\nCOPY {file} /opt/{other}\nCOPY {file} /srv/\nCOPY {file} /bin/{other}\nCOPY \
             {folder} /opt/{folder}\n"
        );
        let [as_name, in_folder] = plan.copied_files();
        let top = plan.copied_folder();
        let inside = plan.folder_content().map(|(path, ..)| format!("{top}/{path}"));
        let paths =
            [as_name, in_folder, plan.copied_program(), top].into_iter().chain(inside).collect::<Vec<_>>();
        self.make("copied", copied, &copy, &paths, &plan.containers[0], &plan.naps[0])?;

        // A RUN that does not see what the one before it wrote must not end the build: that is another check's.
        let reads = format!("RUN cat {first} > {second} 2> /dev/null; echo {second_text} >> {second}\n");
        let run = format!(
            "FROM debian:bookworm\nRUN echo {text} > {first}\n{reads}RUN rm -f {deleted_file} && rm -rf \
             {deleted_folder}\n"
        );
        let paths = [&first, &second, deleted_file, deleted_folder].map(str::to_owned);
        self.look_at("machine", Path::new("/"), &paths)?;
        self.make("ran", ran, &run, &paths, &plan.containers[1], &plan.naps[1])?;
        self.look_at("machine-after", Path::new("/"), &paths)?;

        self.change(&copy)?;
        let [copied, saw] = [&plan.copied_files()[0], &plan.saw_copied()].map(Clone::clone);
        let mixed = format!(
            "FROM debian:bookworm\nCOPY {file} {copied}\nRUN if test -f {copied}; then touch {saw}; fi\nRUN echo \
             {changed_text} > {first}\n{reads}"
        );
        self.build("mixed", &plan.mixed, &mixed)?;
        self.record("layered", &self.layered("mixed", &plan.mixed, &[copied, saw, second.clone()]))?;

        let again = self.layers("ran-again-before", ran, &paths);
        self.build("ran-again", ran, &run)?;
        self.record("layers", &again)?;
        let again = self.layers("ran-again", ran, &paths);
        self.record("layers", &again)?;
        let failure = format!("FROM debian:bookworm\nRUN test {text} = {second_text}\nRUN true\n");
        self.build("failing", failing, &failure)?;
        self.overlays("failing")?;
        // What a failed RUN made must not be taken from the cache.
        self.build("failing-again", failing, &failure)
    }

    /// Builds the same COPY again: as it is, with another mode of a file, and with another text.
    fn change(&mut self, conductorfile: &str) -> io::Result<()> {
        let plan = self.plan;
        let [again, by_mode, by_text] = &plan.copied_again;
        let [secret, program] = plan.changed_files();
        self.build("copied-again", again, conductorfile)?;
        self.record("layers", &self.layers("copied-again", again, &[]))?;
        self.sources.change_mode("secret", CHANGED_MODE);
        self.build("mode-changed", by_mode, conductorfile)?;
        self.record("layered", &self.layered("mode-changed", by_mode, &[secret]))?;
        self.sources.change_text("run.sh", &plan.changed_text);
        self.build("text-changed", by_text, conductorfile)?;
        self.record("layered", &self.layered("text-changed", by_text, &[program]))
    }

    fn build(&mut self, step: &str, image: &str, conductorfile: &str) -> io::Result<()> {
        let name = format!("Conductorfile.{step}");
        self.stage.unless_obstructed(step, self.sources.lay_out())?;
        self.stage.write(step, &name, conductorfile)?;
        let limit = self.stage.tool.limit(240.0, 30.0);
        self.stage.call(step, &["build", image, &name], limit)?;
        match self.sources.gone() {
            gone if gone.is_empty() => Ok(()),
            gone => self.record("moved", &Moved { step: step.to_owned(), gone }),
        }
    }

    /// Builds an image and looks at its layers, at what a container of it has, and at the base.
    fn make(
        &mut self,
        step: &str,
        image: &str,
        conductorfile: &str,
        paths: &[String],
        container: &str,
        nap: &str,
    ) -> io::Result<()> {
        self.build(step, image, conductorfile)?;
        self.overlays(step)?;
        self.record("layers", &self.layers(step, image, paths))?;
        if let Some((dir, before)) = &self.base {
            let mut changed = before.difference(&State::of(dir));
            changed.truncate(CHANGED_CAP);
            self.record("base", &Base { step: step.to_owned(), changed })?;
        }
        if let Some(running) = self.stage.start(step, &["run", image, container], &["sleep", nap])? {
            self.look_at(step, Path::new(&format!("/proc/{}/root", running.sight.main.pid)), paths)?;
        }
        let limit = self.stage.tool.limit(15.0, 3.0);
        self.stage.call("stop", &["stop", container], limit).map(drop)
    }

    fn layers(&self, step: &str, image: &str, paths: &[String]) -> Layers {
        let dirs = Image::read(step, self.submission, image).named;
        let having = |path: &String| {
            let has = |dir: &str| look_in_layer(Path::new(dir), path).is_some();
            dirs.iter().enumerate().filter(|(_, dir)| has(&dir.path)).map(|(number, _)| number).collect()
        };
        let having = paths.iter().map(|path| (path.clone(), having(path))).collect();
        Layers { step: step.to_owned(), dirs, having }
    }

    /// What the layers of an image have at `paths`, each by itself.
    fn layered(&self, step: &str, image: &str, paths: &[String]) -> Layered {
        let dirs = Image::read(step, self.submission, image).named;
        let all = |path: &String| {
            let found = dirs.iter().filter_map(|dir| look_in_layer(Path::new(&dir.path), path));
            (path.clone(), found.collect())
        };
        Layered { step: step.to_owned(), found: paths.iter().map(all).collect() }
    }

    fn look_at(&self, step: &str, root: &Path, paths: &[String]) -> io::Result<()> {
        let found: BTreeMap<String, Found> =
            paths.iter().filter_map(|path| Some((path.clone(), look(root, path)?))).collect();
        self.record("found", &Contents { step: step.to_owned(), found })
    }

    fn overlays(&self, step: &str) -> io::Result<()> {
        self.record("overlays", &Overlays::now(step, self.stage.machine, self.submission))
    }

    fn record(&self, kind: &str, data: &impl Serialize) -> io::Result<()> {
        self.stage.recorder.record(kind, data)
    }
}

/// What a layer has at a path: in its folder, or in one of that one's, such as `diff`.
fn look_in_layer(layer: &Path, path: &str) -> Option<Found> {
    let below = || fs::read_dir(layer).into_iter().flatten().flatten().map(|entry| entry.path());
    look(layer, path)
        .or_else(|| if state::is_root_tree(layer) { None } else { below().find_map(|dir| look(&dir, path)) })
}

fn look(root: &Path, path: &str) -> Option<Found> {
    let path = root.join(path.trim_start_matches('/'));
    let meta = fs::symlink_metadata(&path).ok()?;
    let kind = if meta.is_file() {
        "file"
    } else if meta.is_dir() {
        "folder"
    } else {
        "other"
    };
    let mut text = if meta.is_file() && meta.size() < 1 << 20 {
        fs::read_to_string(&path).unwrap_or_default()
    } else {
        String::new()
    };
    text.truncate((0..=TEXT_CAP.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
    Some(Found { kind: kind.to_owned(), mode: meta.mode() & 0o7777, text })
}
