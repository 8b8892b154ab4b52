//! What can be asked of `harness`: the one definition that help, completions and man page come from.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use vm::{Requested, Suite};

/// Grades submissions of the containers assignment: every task runs in a throw-away virtual machine, and every
/// mark comes with a reason.
#[derive(Debug, Parser)]
#[command(name = "harness", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit status: 0 every check passed, 1 marks lost, 2 the submission or the arguments \
                        cannot be read, 3 no verdict on at least one check.\n\
                        State lies under $HARNESS_CACHE, else $XDG_CACHE_HOME/harness, else ~/.cache/harness.")]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a submission's tasks in virtual machines and mark them
    Grade(Grade),
    /// Look at layout and marked portions only; no virtual machine, under a second
    Check(Check),
    /// Mark the evidence of an earlier run again, without a virtual machine
    Judge(Judge),
    /// Say whether this machine can grade, how fast, and what to fix
    Doctor,
    /// Build, boot, enter, list and remove virtual machines
    Vm(Vm),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the man page, in roff
    Man,
    /// Grade submissions whose verdict is known (docs/corpus.md)
    #[command(hide = true)]
    Corpus(Corpus),
}

/// Arguments of `grade`.
#[derive(Debug, Args)]
pub struct Grade {
    /// A directory, .tar, .tar.gz, .tgz, .tar.xz or .zip with <rollnumber>_assignment3 in it
    pub submission: PathBuf,
    /// Only these subtasks, such as 1,2c,3 [default: all]
    #[arg(long, value_name = "LIST")]
    pub only: Option<String>,
    /// Where report.json, junit.xml, summary.md and the evidence go [default: reports/<id>/<n>]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace the report of another submission in that directory
    #[arg(long, requires = "report")]
    pub force: bool,
    /// Id of the submission [default: the roll number in its name, else in the folder inside, else its name]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Points in place of the default ones, a TOML file (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// The files as students were handed them: changes outside the marked portions are listed
    #[arg(long, value_name = "DIR")]
    pub starter: Option<PathBuf>,
    /// Machines at a time [default: one for every two processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
    /// Take packages from the cache only, and name what is missing there
    #[arg(long)]
    pub offline: bool,
    /// Keep what passed between the machine and its network, as evidence/<scenario>/world.pcap
    #[arg(long)]
    pub pcap: bool,
    /// Draw names, seeds and contents from this number, to repeat a run [default: at random]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Which machine
    #[command(flatten)]
    pub machine: Machine,
    /// How much to print
    #[command(flatten)]
    pub talk: Talk,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A directory, .tar, .tar.gz, .tgz, .tar.xz or .zip with <rollnumber>_assignment3 in it
    pub submission: PathBuf,
    /// The files as students were handed them: changes outside the marked portions are listed
    #[arg(long, value_name = "DIR")]
    pub starter: Option<PathBuf>,
    /// Points in place of the default ones, a TOML file (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Write report.json, junit.xml and summary.md there
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace the report of another submission in that directory
    #[arg(long, requires = "report")]
    pub force: bool,
}

/// Arguments of `judge`.
#[derive(Debug, Args)]
pub struct Judge {
    /// The report directory of an earlier run: the one with manifest.json (docs/evidence.md)
    pub evidence: PathBuf,
    /// Points in place of the default ones, a TOML file (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Write report.json, junit.xml and summary.md there
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace the report of another submission in that directory
    #[arg(long, requires = "report")]
    pub force: bool,
    /// A line for each check
    #[arg(short, long)]
    pub verbose: bool,
}

/// Which virtual machine.
#[derive(Debug, Args)]
pub struct Machine {
    /// What runs the machine's instructions: auto, kvm or tcg
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    pub accel: Requested,
    /// The machine's system: debian-12 or ubuntu-22.04
    #[arg(long, value_name = "SUITE", default_value_t)]
    pub image: Suite,
}

/// How much to print.
#[derive(Debug, Args)]
pub struct Talk {
    /// No progress, only the result
    #[arg(short, long)]
    pub quiet: bool,
    /// A line for each check
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `vm`.
#[derive(Debug, Args)]
pub struct Vm {
    /// What to do
    #[command(subcommand)]
    pub command: VmCommand,
}

/// The commands of `vm`.
#[derive(Debug, Subcommand)]
pub enum VmCommand {
    /// Make the image and the template from which machines start, so that the first grade is quick
    Build(Machine),
    /// Start a machine, run a command in it (`uname -a` by default), and say how long that took
    Boot(Boot),
    /// Open a shell in a fresh machine; Ctrl-] ends it
    Shell(Shelled),
    /// List images, templates and downloads in the cache
    List,
    /// Remove one of them, or all that is not in use
    Rm(Rm),
}

/// Arguments of `vm boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// Which machine
    #[command(flatten)]
    pub machine: Machine,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    #[arg(default_values = ["uname", "-a"])]
    pub command: Vec<String>,
}

/// Arguments of `vm shell`.
#[derive(Debug, Args)]
pub struct Shelled {
    /// Which machine
    #[command(flatten)]
    pub machine: Machine,
    /// A submission to take along, to /run/vm/payload/submission
    #[arg(long, value_name = "PATH")]
    pub submission: Option<PathBuf>,
}

/// Arguments of `vm rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// The name that `vm list` shows
    #[arg(required_unless_present = "all")]
    pub id: Option<String>,
    /// Everything that is not in use
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// Which shell
    pub shell: Shell,
}

/// Arguments of `corpus`.
#[derive(Debug, Args)]
pub struct Corpus {
    /// The folder with references, variants, mutants and hostile ones
    #[arg(default_value = "fixtures/submissions")]
    pub folder: PathBuf,
    /// Only cases whose name begins so, such as mutants/task2; may be repeated
    #[arg(long = "case", value_name = "NAME")]
    pub cases: Vec<String>,
    /// Each case so many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub repeat: u8,
    /// Cases at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: u8,
    /// Keep each case's report and evidence below this directory
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Which machine
    #[command(flatten)]
    pub machine: Machine,
}
