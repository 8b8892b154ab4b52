//! Building an image: the Conductorfile's instructions, each from the cache or made into a layer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use rustix::fs::Mode;

use crate::base;
use crate::cache_key::CacheKey;
use crate::conductorfile::{self, Conductorfile, Step};
use crate::copy;
use crate::images;
use crate::launch::{self, Command, Streams};
use crate::layer::{self, Draft, Layer};
use crate::merged::{self, Entry};
use crate::names::ImageName;
use crate::namespaces;
use crate::overlay;
use crate::sandbox::Sandbox;
use crate::settings::Settings;
use crate::source_tree::{self, Source};
use crate::stat_index::StatIndex;
use crate::store::{self, Lock, Share, Store, at};

/// Folder of the stat indexes in the cache.
const INDEX_FOLDER: &str = "index";

/// Variables of the host that a `RUN` gets, so that packages can be fetched where a proxy is needed.
const PROXY_VARIABLES: [&str; 6] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

/// What to build.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the image.
    pub image: &'a ImageName,
    /// The Conductorfile.
    pub conductorfile: &'a Path,
    /// Where `COPY` copies from; the Conductorfile's folder if not given.
    pub context: Option<&'a Path>,
    /// Package mirror for the base system, in place of the settings'.
    pub mirror: Option<&'a str>,
}

/// What is being done, for who watches.
#[derive(Debug)]
pub enum Progress<'a> {
    /// An instruction begins; `number` counts from 1 to `of`.
    Instruction {
        /// Which one.
        number: usize,
        /// How many there are.
        of: usize,
        /// Its text.
        text: &'a str,
    },
    /// Its layer was in the cache.
    Cached,
}

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Conductorfile or its folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The Conductorfile makes no sense.
    #[error(transparent)]
    Conductorfile(#[from] conductorfile::Error),
    /// No base system.
    #[error("FROM {reference}")]
    Base {
        /// Which one.
        reference: String,
        /// Why not.
        source: base::Error,
    },
    /// An instruction failed.
    #[error("{instruction}")]
    Step {
        /// Its text.
        instruction: String,
        /// Why.
        source: StepError,
    },
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why an instruction failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A source of `COPY`.
    #[error(transparent)]
    Source(#[from] source_tree::Error),
    /// The copying of `COPY`.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// The command of `RUN` said so.
    #[error("the command failed ({0})")]
    Command(ExitStatus),
    /// The command of `RUN` did not start.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// A state folder could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Builds an image and returns its layers, base system first.
pub fn build(
    settings: &Settings,
    store: &Store,
    request: &Request<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Layer>, Error> {
    let Request { image, conductorfile: path, .. } = request;
    let read = |source| Error::Read { path: path.to_path_buf(), source };
    let text = fs::read(path).map_err(read)?;
    let file = Conductorfile::parse(
        path,
        &String::from_utf8_lossy(&text),
        settings.suites.keys().map(String::as_str),
    )?;
    let path = fs::canonicalize(path).map_err(read)?;
    let context = request.context.or(path.parent()).unwrap_or(Path::new("/"));
    let context =
        fs::canonicalize(context).map_err(|source| Error::Read { path: context.to_owned(), source })?;

    store::make_folder(&store.cache)?;
    let _in_use = Lock::wait(&store.cache, Share::Shared)?;
    for folder in [base::FOLDER, layer::FOLDER] {
        store::sweep(&store.cache.join(folder))?;
    }
    let of = file.steps.len() + 1;
    progress(Progress::Instruction { number: 1, of, text: &format!("FROM {}", file.from) });
    let base = base::ensure(settings, store, &file.from, request.mirror)
        .map_err(|source| Error::Base { reference: file.from.clone(), source })?;
    if base.cached {
        progress(Progress::Cached);
    }
    let mut index = StatIndex::load(&store.cache.join(INDEX_FOLDER), &path, &context);
    let mut layers = vec![base];
    for (number, step) in (2..).zip(&file.steps) {
        let text = step.to_string();
        progress(Progress::Instruction { number, of, text: &text });
        let layer = make(store, step, &layers, &context, &mut index)
            .map_err(|source| Error::Step { instruction: text, source })?;
        if layer.cached {
            progress(Progress::Cached);
        }
        layers.push(layer);
    }
    index.save()?;
    images::record(store, image, &layers)?;
    Ok(layers)
}

/// The layer of one instruction on top of `layers`.
fn make(
    store: &Store,
    step: &Step,
    layers: &[Layer],
    context: &Path,
    index: &mut StatIndex,
) -> Result<Layer, StepError> {
    let Some(parent) = layers.last().map(|layer| &layer.key) else { unreachable!("FROM is always there") };
    let mut sources = Vec::new();
    let key = match step {
        Step::Run { command } => CacheKey::of_run(parent, command),
        Step::Copy { sources: paths, .. } => {
            for path in paths {
                let mut source = Source::find(context, path)?;
                index.fill(&mut source)?;
                sources.push(source);
            }
            CacheKey::of_copy(parent, step, &sources)
        }
    };
    if let Some(layer) = layer::find(store, &key) {
        return Ok(layer);
    }
    let lowers: Vec<PathBuf> = layers.iter().rev().map(|layer| layer.tree.clone()).collect();
    let mut draft = Draft::begin(store, key, &lowers)?;
    match step {
        Step::Run { command } => run(command, &mut draft, &lowers)?,
        Step::Copy { destination, .. } => copy::copy(&sources, destination, &draft.diff(), &lowers)?,
    }
    Ok(draft.commit(store, step.to_string(), parent)?)
}

/// `RUN`: the command in a temporary overlay of the layers so far, which only its own mount namespace has.
fn run(command: &str, draft: &mut Draft, lowers: &[PathBuf]) -> Result<(), StepError> {
    let (work, root) = (draft.scratch("work")?, draft.scratch("merged")?);
    let diff = draft.diff();
    let mount = || {
        // Without syncing: a draft that a crash interrupts is thrown away.
        let flags = overlay::Flags { volatile: true };
        overlay::mount(lowers, &diff, &work, &root, flags)
            .map(overlay::Mount::leave)
            .map_err(overlay::Error::into_failure)
    };
    let resolver = Resolver::prepare(draft, lowers)?;
    let mut env = launch::environment(Streams::NoInput);
    env.push(("DEBIAN_FRONTEND".into(), "noninteractive".into()));
    env.extend(PROXY_VARIABLES.iter().filter_map(|name| Some(((*name).into(), std::env::var_os(name)?))));
    let command = Command {
        argv: vec!["/bin/sh".into(), "-c".into(), command.into()],
        env,
        cwd: "/".into(),
        streams: Streams::NoInput,
        never_waits: false,
    };
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let status = Sandbox {
        namespaces: namespaces::BUILD,
        root: &root,
        mount_root: Some(&mount),
        files: &resolver.files,
        hostname: None,
        command: &command,
        dies_with_us: true,
    }
    .run();
    rustix::process::umask(umask);
    let status = status?;
    if !status.success() {
        return Err(StepError::Command(status));
    }
    Ok(resolver.leave_no_trace(&diff)?)
}

/// Name resolution for a `RUN`: a copy of the host's resolv.conf, bound over the image's.
struct Resolver {
    files: Vec<(PathBuf, PathBuf)>,
    /// The image has no such file, so one to bind over is made in the layer.
    makes_file: bool,
}

/// Where programs look for name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Resolver {
    fn prepare(draft: &mut Draft, lowers: &[PathBuf]) -> Result<Self, StepError> {
        let entry =
            |path| merged::resolve(lowers, Path::new(path)).map_or(Entry::Missing, |place| place.entry);
        let copy = draft.scratch("etc")?.join("resolv.conf");
        let copied = fs::copy(RESOLV_CONF, &copy);
        if !matches!(entry("/etc"), Entry::Directory(_)) || copied.is_err() {
            return Ok(Self { files: Vec::new(), makes_file: false });
        }
        let makes_file = entry(RESOLV_CONF) == Entry::Missing;
        Ok(Self { files: vec![(copy, RESOLV_CONF.into())], makes_file })
    }

    /// Takes the file that was made to bind over out of the layer. The command cannot have changed it.
    fn leave_no_trace(&self, diff: &Path) -> Result<(), store::Error> {
        let path = diff.join(RESOLV_CONF.trim_start_matches('/'));
        if self.makes_file { at(fs::remove_file(&path), "remove", &path) } else { Ok(()) }
    }
}
