//! Builds an image: takes the layer of each instruction from the cache, or creates it.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::image::base;
use crate::image::cache_key::CacheKey;
use crate::image::catalog;
use crate::image::conductorfile::{self, Conductorfile, Instruction, Step};
use crate::image::copy;
use crate::image::ignore::{self, Ignore};
use crate::image::layer::{self, Draft, Layer, Metadata};
use crate::image::merged::Seen;
use crate::image::run_instruction;
use crate::image::source_tree::{self, Exclude, Source};
use crate::image::stat_index::StatIndex;
use crate::sandbox::overlay;
use crate::settings::Settings;
use crate::state::limits::OpenFiles;
use crate::state::lock::{Lock, Share};
use crate::state::names::ImageName;
use crate::state::store::{self, Inode, Store};
use crate::state::{self, half_made};

/// The folder of the stat indexes in the cache.
pub(crate) const INDEX_FOLDER: &str = "index";

/// What to build.
#[derive(Debug)]
pub struct Request<'a> {
    /// Name of the image.
    pub image: &'a ImageName,
    /// The Conductorfile.
    pub conductorfile: &'a Path,
    /// The folder that `COPY` copies from. Without it, the Conductorfile's folder.
    pub context: Option<&'a Path>,
    /// The package mirror for the base system. Without it, the one in the settings.
    pub mirror: Option<&'a str>,
}

/// The progress of a build.
#[derive(Debug)]
pub enum Progress<'a> {
    /// An instruction begins; `number` counts from 1 to `of`.
    Instruction {
        /// Its number.
        number: usize,
        /// The number of instructions.
        of: usize,
        /// Its text.
        text: &'a str,
    },
    /// A `COPY` skips a socket, pipe or device.
    Skipped {
        /// Its path in the context.
        path: &'a Path,
    },
    /// The layer of the instruction was in the cache.
    Cached,
}

/// Why an image was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Conductorfile or its folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The ignore file of the context cannot be used.
    #[error(transparent)]
    Ignore(#[from] ignore::Error),
    /// The Conductorfile has a mistake.
    #[error(transparent)]
    Conductorfile(#[from] conductorfile::Error),
    /// More instructions than an image can have layers.
    #[error(
        "{file} has {layers} layers, and an image has at most {}: join RUN commands with '&&', and give one COPY \
         several sources",
        overlay::LAYERS_MAX
    )]
    TooMany {
        /// The Conductorfile.
        file: PathBuf,
        /// The number of its layers.
        layers: usize,
    },
    /// There is no base system.
    #[error("{instruction}")]
    Base {
        /// The text of `FROM`.
        instruction: String,
        /// The reason.
        source: base::Error,
    },
    /// An instruction failed.
    #[error("{file}:{line}: {instruction}")]
    Step {
        /// The Conductorfile.
        file: PathBuf,
        /// The line where the instruction begins.
        line: usize,
        /// Its text.
        instruction: String,
        /// The reason.
        source: Box<StepError>,
    },
    /// The image cannot be recorded.
    #[error(transparent)]
    Image(#[from] catalog::Error),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// Why an instruction failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The Conductorfile comes from a pipe, and no context was given.
    #[error("COPY needs a folder to copy from: the Conductorfile is not a file in one, so add --context DIR")]
    NoContext,
    /// A source of `COPY` cannot be used.
    #[error(transparent)]
    Source(#[from] source_tree::Error),
    /// A `COPY` failed.
    #[error(transparent)]
    Copy(#[from] copy::Error),
    /// A `RUN` failed.
    #[error(transparent)]
    Run(#[from] run_instruction::Error),
    /// A state folder cannot be used.
    #[error(transparent)]
    Store(#[from] state::Error),
}

/// A Conductorfile's text, and the folder that it is in.
struct Text {
    text: String,
    /// The folder of the file as the user named it: a link to a Conductorfile elsewhere has the
    /// context of the link. A pipe has no folder.
    folder: Option<PathBuf>,
}

/// The Conductorfile that a name means: in a folder, the file `Conductorfile`.
fn file_named(named: &Path) -> Cow<'_, Path> {
    if named.is_dir() { named.join("Conductorfile").into() } else { named.into() }
}

/// Reads the Conductorfile. The name `-` means standard input.
fn read_conductorfile(named: &Path) -> Result<Text, Error> {
    let fail = |source| Error::Read { path: named.to_path_buf(), source };
    let mut bytes = Vec::new();
    let mut folder = None;
    if named == "-" {
        io::stdin().lock().read_to_end(&mut bytes).map_err(fail)?;
    } else {
        let mut file = File::open(named).map_err(fail)?;
        if file.metadata().map_err(fail)?.is_file() {
            let parent = named.parent().filter(|parent| !parent.as_os_str().is_empty());
            folder = Some(parent.unwrap_or(Path::new(".")).to_owned());
        }
        file.read_to_end(&mut bytes).map_err(fail)?;
    }
    Ok(Text { text: conductorfile::decode(named, bytes)?, folder })
}

/// The folder that `COPY` copies from.
struct Context {
    folder: PathBuf,
    ignore: Ignore,
}

impl Context {
    fn open(folder: &Path, conductorfile: Option<&Path>) -> Result<Self, Error> {
        let fail = |source| Error::Read { path: folder.to_owned(), source };
        let folder = fs::canonicalize(folder).map_err(fail)?;
        Ok(Self { ignore: Ignore::load(&folder, conductorfile)?, folder })
    }
}

/// Builds an image and returns its layers, base system first.
pub fn build(
    settings: &Settings,
    store: &Store,
    request: &Request<'_>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Layer>, Error> {
    let image = request.image;
    let named = file_named(request.conductorfile);
    let Text { text, folder } = read_conductorfile(&named)?;
    let named = if *named == *"-" { Path::new("<stdin>") } else { &*named };
    let file = Conductorfile::parse(named, &text, settings.suites.keys().map(String::as_str))?;
    let layers = file.instructions.len() + 1;
    if layers > overlay::LAYERS_MAX {
        return Err(Error::TooMany { file: named.to_owned(), layers });
    }
    let file_on_disk = folder.as_ref().map(|_| named);
    let context = request.context.or(folder.as_deref());
    let context = context.map(|context| Context::open(context, file_on_disk)).transpose()?;

    // Found out before the work, which can take minutes. `record` looks again.
    catalog::is_there(store, image)?;
    store::make_folder(&store.cache)?;
    let _in_use = Lock::wait(&store.cache, Share::Shared)?;
    for folder in ["", base::FOLDER, layer::FOLDER] {
        half_made::sweep(&store.cache.join(folder));
    }
    let mut builder = Builder {
        settings,
        store,
        named,
        state: store.identities()?,
        index: StatIndex::load(
            &store.cache.join(INDEX_FOLDER),
            &std::path::absolute(named).unwrap_or_else(|_| named.to_owned()),
            context.as_ref().map_or(Path::new(""), |context| &context.folder),
        ),
        context,
        mirror: request.mirror,
        top: base::key(settings, &file.from),
        layers: Vec::new(),
        seen: Seen::default(),
        progress,
    };
    let built = builder.all(&file);
    // The digests are saved even if a later instruction failed.
    let saved = builder.index.save();
    built?;
    saved?;
    catalog::record(store, image, &builder.layers)?;
    Ok(builder.layers)
}

/// The state of a build.
struct Builder<'a> {
    settings: &'a Settings,
    store: &'a Store,
    /// The Conductorfile as the user named it.
    named: &'a Path,
    context: Option<Context>,
    /// The state folders. `COPY` skips them.
    state: Vec<Inode>,
    mirror: Option<&'a str>,
    index: StatIndex,
    /// The key of the top layer.
    top: CacheKey,
    /// The layers so far, base system first.
    layers: Vec<Layer>,
    /// What the steps so far have found in these layers.
    seen: Seen,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Builder<'_> {
    fn all(&mut self, file: &Conductorfile) -> Result<(), Error> {
        let of = file.instructions.len() + 1;
        let instruction = format!("FROM {}", file.from);
        (self.progress)(Progress::Instruction { number: 1, of, text: &instruction });
        let base = base::ensure(self.settings, self.store, &file.from, self.mirror);
        self.push(base.map_err(|source| Error::Base { instruction, source })?);
        for (number, Instruction { line, step }) in (2..).zip(&file.instructions) {
            let instruction = step.to_string();
            (self.progress)(Progress::Instruction { number, of, text: &instruction });
            let layer = self.layer(step, &instruction);
            self.push(layer.map_err(|source| Error::Step {
                file: self.named.to_owned(),
                line: *line,
                instruction,
                source: source.into(),
            })?);
        }
        Ok(())
    }

    fn push(&mut self, layer: Layer) {
        if layer.cached {
            (self.progress)(Progress::Cached);
        }
        self.top = layer.key.clone();
        self.layers.push(layer);
    }

    /// The layer of `step` on top of those so far. Its text is `instruction`.
    fn layer(&mut self, step: &Step, instruction: &str) -> Result<Layer, StepError> {
        let mut sources = Vec::new();
        let open_files = OpenFiles::raise();
        let key = match step {
            Step::Run { command } => CacheKey::of_run(&self.top, command),
            Step::Execute { argv } => CacheKey::of_execute(&self.top, argv),
            Step::Copy { sources: paths, .. } => {
                let context = self.context.as_ref().ok_or(StepError::NoContext)?;
                let exclude = Exclude { folders: &self.state, ignore: &context.ignore };
                for path in paths {
                    let mut source = Source::find(&context.folder, path, &exclude)?;
                    for path in &source.skipped {
                        (self.progress)(Progress::Skipped { path });
                    }
                    self.index.fill(&mut source)?;
                    sources.push(source);
                }
                CacheKey::of_copy(&self.top, step, &sources)
            }
        };
        drop(open_files);
        if let Some(layer) = layer::find(self.store, &key)? {
            return Ok(layer);
        }
        let lowers: Vec<PathBuf> = self.layers.iter().rev().map(|layer| layer.tree.clone()).collect();
        let mut draft = Draft::begin(self.store, key, &lowers)?;
        let size = match step {
            Step::Run { command } => {
                run_instruction::run(&run_instruction::in_a_shell(command), &mut draft, &lowers, &self.seen)?;
                layer::size(&draft.diff())?
            }
            Step::Execute { argv } => {
                run_instruction::run(argv, &mut draft, &lowers, &self.seen)?;
                layer::size(&draft.diff())?
            }
            Step::Copy { destination, .. } => {
                let _open_files = OpenFiles::raise();
                copy::copy(&sources, destination, &draft.diff(), &lowers, &self.seen)?;
                sources.iter().map(|source| source.node.size()).sum()
            }
        };
        Ok(draft.commit(self.store, &Metadata::new(instruction.into(), Some(&self.top), size))?)
    }
}
