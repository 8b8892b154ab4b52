//! The command line of `conductor`. Help, shell completions and the man page are generated from it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use super::habits;
use crate::net::port_mapping::PortMapping;
use crate::settings::Overrides;
use crate::state::names::{ContainerName, ImageName};

/// The name of the program.
const PROGRAM: &str = "conductor";

/// The last lines of both kinds of help.
const AFTER_HELP: &str = "Options may stand before or after names. `--` before a command is optional.\n\
    A setting comes from its flag, else the environment, else setup.sh, else its default.";

/// The last lines of `--help`: what a user of similar tools may miss.
const AFTER_LONG_HELP: &str = "\
Options may stand before or after names. `--` before a command is optional.
A setting comes from its flag, else the environment, else setup.sh, else its default.

What conductor does not have, and what to use instead:
  Registries: images are built here, never pulled or pushed.
    Use `podman pull`, or `skopeo copy` between machines.
  Resource limits: containers get no cgroup of their own.
    Use `systemd-run --scope -p CPUQuota=50% conductor run …`.
  User namespaces: root in a container is root on the host.
    For code that you do not trust, use `podman run --userns=auto`.
  Volumes: files get into a container by COPY, or by /proc/PID/root.
    `ps --json` shows the PID.";

/// Build images from Conductorfiles, run containers from them, and connect containers to networks.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP, after_long_help = AFTER_LONG_HELP)]
pub struct Cli {
    /// The command
    #[command(subcommand)]
    pub command: Command,
    /// The options of all commands
    #[command(flatten)]
    pub general: General,
}

/// The options of all commands.
#[derive(Debug, Args)]
pub struct General {
    /// Print results only, without the line that names the program
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Where state is stored, and which network containers use
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
    /// Stop a container and delete its state
    Stop(Stop),
    /// Run a command in a running container, /bin/bash by default
    Exec(Exec),
    /// Connect a container to the host, to the Internet (-i), and publish its ports (-e)
    ///
    /// If a firewall was started or restarted after a container got its network, run addnetwork for
    /// any container: the firewall then admits all of them again. If part of a container's network
    /// was deleted, addnetwork restores it.
    ///
    /// A container with a network gets the ports of -e in addition. -i connects it to the Internet,
    /// or exchanges the interface after the default route has moved.
    Addnetwork(Addnetwork),
    /// Allow two containers to reach each other
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
    /// The file with the instructions, a folder with a Conductorfile, or `-` for standard input
    #[arg(default_value = "Conductorfile")]
    pub conductorfile: PathBuf,
    /// The folder that COPY copies from [default: the folder of the Conductorfile]
    ///
    /// Files that match a pattern in .conductorignore or .dockerignore of this folder are skipped.
    #[arg(long, value_name = "DIR")]
    pub context: Option<PathBuf>,
    /// Package mirror for the base system [default: the mirror in the settings file]
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
    /// Delete the cache even if images need it; these images must be built again
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
    /// Run the command as the child of a small process 1 that reaps zombies
    ///
    /// A process whose parent has ended becomes a child of process 1, and stays a zombie until
    /// process 1 waits for it. Without this option the command itself is process 1. Shells wait for
    /// all children, and for sleep, tail, cat and pause the kernel does it; many servers never
    /// wait. With this option the command has PID 2 and receives all signals; the container ends
    /// when the command ends, with the same exit status.
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
    /// Connect the container to the Internet through the default interface, with NAT
    #[arg(short, long)]
    pub internet: bool,
    /// Publish TCP port INNER of the container as port OUTER of the host; may be repeated
    #[arg(short, long, value_name = "INNER-OUTER")]
    pub expose: Vec<PortMapping>,
}

/// Arguments of `peer`.
#[derive(Debug, Args)]
pub struct Peer {
    /// The first container
    #[arg(value_name = "CONTAINER1")]
    pub first: ContainerName,
    /// The second container
    #[arg(value_name = "CONTAINER2")]
    pub second: ContainerName,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Cli {
    /// Parses the arguments of this process. On an error it prints a message and ends the process.
    pub fn from_command_line() -> Self {
        Self::of_one_command().unwrap_or_else(|| {
            let matches = without_empty_variables(Self::command()).try_get_matches();
            let parsed = matches.and_then(|matches| Self::from_arg_matches(&matches));
            parsed.unwrap_or_else(|error| habits::advise(error, called().as_deref()).exit())
        })
    }

    /// Parses the arguments with nothing defined but the called command: defining all of them takes
    /// longer than most commands run. `None` if that fails. Then the definition of all commands has
    /// the message or the help.
    fn of_one_command() -> Option<Self> {
        let called = called()?;
        let define = match called.as_str() {
            "build" => Build::augment_args,
            "images" | "ps" => Listing::augment_args,
            "rmi" => Rmi::augment_args,
            "rmcache" => Rmcache::augment_args,
            "run" => Run::augment_args,
            "stop" => Stop::augment_args,
            "exec" => Exec::augment_args,
            "addnetwork" => Addnetwork::augment_args,
            "peer" => Peer::augment_args,
            _ => return None,
        };
        let command = define(clap::Command::new(called));
        let all = General::augment_args(clap::Command::new(PROGRAM)).subcommand(command);
        let matches = without_empty_variables(all).try_get_matches().ok()?;
        Self::from_arg_matches(&matches).ok()
    }
}

/// The command's name, if at most --quiet stands before it.
fn called() -> Option<String> {
    let called = env::args_os().skip(1).find(|word| word != "-q" && word != "--quiet")?;
    called.into_string().ok()
}

/// Treats an empty environment variable as unset, like an empty setting in setup.sh.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let set = |arg: clap::Arg| match arg.get_env().and_then(env::var_os) {
        Some(value) if value.is_empty() => arg.env(None::<&str>),
        _ => arg,
    };
    command.mut_args(set).mut_subcommands(without_empty_variables)
}

impl Command {
    /// The names of the settings that the command needs. Errors in other settings do not stop it.
    pub fn settings(&self) -> &'static [&'static str] {
        match self {
            Self::Build(Build { mirror: None, .. }) => {
                &["IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "BASE_SUITES", "BASE_MIRRORS"]
            }
            // `COPY` skips the folder of containers.
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

    /// The exit status when conductor itself fails. It is 125 for `run` and `exec`, as with `docker
    /// run`: their other statuses come from the command in the container. For all other commands it
    /// is 1.
    pub fn failure_status(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Exec(_) => 125,
            _ => 1,
        }
    }

    /// Whether another program reads standard output.
    pub fn is_machine_readable(&self) -> bool {
        match self {
            Self::Images(listing) | Self::Ps(listing) => listing.json,
            Self::Completions(_) | Self::Man => true,
            _ => false,
        }
    }
}
