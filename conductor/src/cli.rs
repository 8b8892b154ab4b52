//! What can be asked of `conductor`: the one definition that help, completions and man page come from.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::names::{ContainerName, ImageName};
use crate::port_mapping::PortMapping;
use crate::settings::Overrides;

/// Containers: images built from Conductorfiles, processes in namespaces, networks.
#[derive(Debug, Parser)]
#[command(name = "conductor", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Options may stand before or after names; `--` before a command is optional.\n\
                        Settings come from flags, the environment, setup.sh, defaults, in this order.")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// Print results only, without the line that says who speaks
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Where state lies and which network is used
    #[command(flatten)]
    pub settings: Overrides,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a Conductorfile (FROM, COPY, RUN)
    Build(Build),
    /// List images
    Images(Listing),
    /// Delete an image
    Rmi(Rmi),
    /// Delete all base systems and layers in the cache
    Rmcache(Rmcache),
    /// Start a container from an image and run a command in it, /bin/bash by default
    Run(Run),
    /// List containers
    Ps(Listing),
    /// Stop a container and delete all state of it
    Stop(Stop),
    /// Run a command in a running container, /bin/bash by default
    Exec(Exec),
    /// Give a container a network: with the host, the Internet (-i), ports of the host (-e)
    ///
    /// A firewall that starts later, or starts again, cuts containers off; this command, for whichever container, opens it
    /// for all of them. It also makes a network anew that is no longer whole.
    Addnetwork(Addnetwork),
    /// Let two containers reach each other
    Peer(Peer),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the man page, in roff
    Man,
}

/// Arguments of `build`.
#[derive(Debug, Args)]
pub struct Build {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: ImageName,
    /// File with the instructions
    #[arg(default_value = "Conductorfile")]
    pub conductorfile: PathBuf,
    /// Folder that COPY copies from [default: the Conductorfile's]
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    /// Package mirror for the base system, in place of the settings file's
    #[arg(long, value_name = "URL", env = "CONDUCTOR_MIRROR", value_parser = NonEmptyStringValueParser::new())]
    pub mirror: Option<String>,
}

/// Arguments of the listing commands.
#[derive(Debug, Args)]
pub struct Listing {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rmi`.
#[derive(Debug, Args)]
pub struct Rmi {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: ImageName,
}

/// Arguments of `rmcache`.
#[derive(Debug, Args)]
pub struct Rmcache {
    /// Delete it though images need it; they must be built again
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Name of the image
    #[arg(value_name = "IMAGE")]
    pub image: ImageName,
    /// Name of the new container
    #[arg(value_name = "CONTAINER")]
    pub container: ContainerName,
    /// Make the command the child of a small process 1 that waits for orphans
    ///
    /// Processes whose parents have ended become children of process 1, and stay zombies where that does not wait for
    /// them. Without this option the command itself is process 1: a shell waits for every child, and for sleep, tail,
    /// cat and pause the kernel does; many a server does not. With it, signals reach the command, which has pid 2, and
    /// the container ends with it and with its status.
    #[arg(long)]
    pub init: bool,
    /// Command and arguments of the container's first process
    #[arg(trailing_var_arg = true, value_name = "COMMAND", default_value = "/bin/bash")]
    pub command: Vec<OsString>,
}

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    pub container: ContainerName,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    pub container: ContainerName,
    /// Command and arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND", default_value = "/bin/bash")]
    pub command: Vec<OsString>,
}

/// Arguments of `addnetwork`.
#[derive(Debug, Args)]
pub struct Addnetwork {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    pub container: ContainerName,
    /// Let the container reach the Internet through the default interface (NAT)
    #[arg(short, long)]
    pub internet: bool,
    /// Make TCP port INNER of the container reachable as port OUTER of the host; may be repeated
    #[arg(short, long, value_name = "INNER-OUTER")]
    pub expose: Vec<PortMapping>,
}

/// Arguments of `peer`.
#[derive(Debug, Args)]
pub struct Peer {
    /// One container
    #[arg(value_name = "CONTAINER1")]
    pub first: ContainerName,
    /// The other
    #[arg(value_name = "CONTAINER2")]
    pub second: ContainerName,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    pub shell: Shell,
}

impl Cli {
    /// Parses the arguments of this process, or ends it with a message.
    pub fn from_command_line() -> Self {
        let matches = without_empty_variables(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// An environment variable that is empty counts as unset, as a setting in setup.sh does.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let set = |arg: clap::Arg| match arg.get_env().and_then(env::var_os) {
        Some(value) if value.is_empty() => arg.env(None::<&str>),
        _ => arg,
    };
    command.mut_args(set).mut_subcommands(without_empty_variables)
}

impl Command {
    /// Names of the settings it needs; whatever else the settings file says is none of its concern.
    pub fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Build(Build { mirror: None, .. }) => {
                &["IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "BASE_SUITES", "BASE_MIRRORS"]
            }
            // Containers are what `COPY` leaves out.
            Self::Build(_) => &["IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "BASE_SUITES"],
            Self::Images(_) => &["IMAGEDIR"],
            Self::Rmi(_) | Self::Run(_) => &["IMAGEDIR", "CONTAINERDIR"],
            Self::Rmcache(_) => &["IMAGEDIR", "CONTAINERDIR", "CACHEDIR"],
            Self::Ps(_) | Self::Stop(_) | Self::Exec(_) | Self::Peer(_) => &["CONTAINERDIR"],
            Self::Addnetwork(Addnetwork { internet, .. }) => {
                let all =
                    &["CONTAINERDIR", "IP4_SUBNET", "IP4_FULL_PREFIX_SIZE", "IP4_PREFIX_SIZE", "DEFAULT_IFC"];
                if *internet { all } else { &all[..4] }
            }
            Self::Completions(_) | Self::Man => &[],
        }
    }

    /// Exit status when the command itself fails: 125 for `run` and `exec`, whose other statuses are those of the
    /// command in the container (as with `docker run`), otherwise 1.
    pub fn failure_status(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Exec(_) => 125,
            _ => 1,
        }
    }

    /// Whether standard output is a document for another program.
    pub fn is_machine_readable(&self) -> bool {
        match self {
            Self::Images(listing) | Self::Ps(listing) => listing.json,
            Self::Completions(_) | Self::Man => true,
            _ => false,
        }
    }
}
