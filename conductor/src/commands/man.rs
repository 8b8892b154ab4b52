//! `conductor man`: the man page, generated from [`crate::commands::cli`].

use std::io::{self, Write};

use clap::CommandFactory;
use clap_mangen::Man;

use crate::commands::Outcome;
use crate::commands::cli::Cli;

/// Prints one page: the program first, then the arguments of each command.
pub fn run() -> Outcome {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let man = Man::new(sub.clone());
        writeln!(page, ".SH \"{}\"", sub.get_name().to_uppercase())?;
        let about = sub.get_long_about().or(sub.get_about());
        writeln!(page, "{}", about.map(ToString::to_string).unwrap_or_default())?;
        writeln!(page, ".PP\n{}\n.PP", sub.clone().render_usage())?;
        man.render_options_section(&mut page)?;
    }
    io::stdout().write_all(&page)?;
    Ok(0)
}
