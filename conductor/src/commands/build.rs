//! `conductor build`.

use std::io::{self, Write};

use crate::build::{self, Progress, Request};
use crate::cli::Build;
use crate::commands::Outcome;
use crate::settings::Settings;
use crate::store::Store;

/// Builds an image, saying which instruction is at work.
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
