//! `conductor build`.

use std::io::{self, Write};

use crate::commands::Outcome;
use crate::commands::cli::Build;
use crate::image::build::{self, Progress, Request};
use crate::settings::Settings;
use crate::state::paths::shown;
use crate::state::store::Store;

/// Builds an image and prints each instruction before it is carried out.
pub fn run(settings: &Settings, args: &Build) -> Outcome {
    let request = Request {
        image: &args.image,
        conductorfile: &args.conductorfile,
        context: args.context.as_deref(),
        mirror: args.mirror.as_deref(),
    };
    let mut stdout = io::stdout();
    let mut say = |progress: Progress| match progress {
        Progress::Instruction { number, of, text } => writeln!(stdout, "Step {number}/{of} : {text}"),
        Progress::Skipped { path } => {
            writeln!(io::stderr(), "conductor: COPY skips {}: it is a socket, pipe or device", shown(path))
        }
        Progress::Cached => writeln!(stdout, " ---> Using cache"),
    };
    let mut said = Ok(());
    let layers = build::build(settings, &Store::new(settings), &request, &mut |progress| {
        if said.is_ok() {
            said = say(progress);
        }
    })?;
    said?;
    writeln!(stdout, "{} successfully built from {} layers", args.image, layers.len())?;
    Ok(0)
}
