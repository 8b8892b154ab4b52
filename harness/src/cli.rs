//! The command line of `harness`. Help, shell completions and the man page are generated from it.

pub mod class;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use harness::class::take::Take;
use harness::report::detail::Detail;
use vm::{Requested, Suite};

/// Grade submissions of the containers assignment. Each task runs in a throw-away virtual machine,
/// and the report gives the reason for every mark.
#[derive(Debug, Parser)]
#[command(name = "harness", version = harness::VERSION, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit status:\n  \
                        0  every check with marks passed\n  \
                        1  some marks were lost\n  \
                        2  the submission or the arguments cannot be read\n  \
                        3  the infrastructure failed: at least one check has no verdict\n\n\
                        The cache is in $HARNESS_CACHE, or else in $XDG_CACHE_HOME/harness, \
                        or else in ~/.cache/harness.")]
pub struct Cli {
    /// The command to run
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Grade a submission: run its tasks in virtual machines and write a report
    Grade(Grade),
    /// Check only the layout, the marked portions and the syntax of scripts;
    /// needs no virtual machine
    Check(Check),
    /// Mark the evidence of an earlier run again, without a virtual machine
    Judge(Judge),
    /// List every check: id, points, title, and the checks that it needs
    Checks(Checks),
    /// Explain one check: what the assignment says, what is checked and how, and
    /// typical causes of a failure
    Explain(Explain),
    /// Show a sample session of the assignment beside the session of an earlier run
    Show(Show),
    /// Run a scenario again, stop after the evidence for a check, and open a shell in that machine
    Debug(Debug),
    /// List, grade and hand back the submissions of a class
    Class(class::Class),
    /// Report whether this machine can grade, how fast, and what to fix
    Doctor,
    /// Build, boot, enter, list and remove virtual machines
    Vm(Vm),
    /// Print a shell completion script
    Completions(Completions),
    /// Print the man page in roff format
    Man,
    /// Grade the test submissions, and compare each verdict with the expected one (docs/corpus.md)
    #[command(hide = true)]
    Corpus(Corpus),
}

/// Arguments of `grade`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Grade {
    /// A directory, .tar, .tar.gz, .tgz, .tar.xz or .zip that contains <rollnumber>_assignment3
    pub submission: PathBuf,
    /// Write the report (index.html, report.json, junit.xml, summary.md, annotations.txt) and the
    /// evidence to this directory [default: reports/<id>/<n>]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace another submission's report in the --report directory
    #[arg(long, requires = "report")]
    pub force: bool,
    /// Id of the submission in the report [default: the roll number in the file's name or in the
    /// folder inside, or else the file's name]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Continue the newest unfinished run of this submission with the same options; recorded
    /// scenarios do not run again
    #[arg(long)]
    pub resume: bool,
    /// Number of virtual machines that run at once [default: one for every two processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
    /// What is driven, and in which machine
    #[command(flatten)]
    pub drive: Drive,
    /// Grade in namespaces of this machine, without virtual machines. Needs root, and asks before
    /// it begins; the report is not a mark (docs/here.md)
    #[arg(long, conflicts_with_all = ["accel", "image"])]
    pub here: bool,
    /// Do not ask before --here begins
    #[arg(long, requires = "here")]
    pub yes: bool,
    /// How much of the run the report shows
    #[arg(long, value_name = "HOW", default_value_t, value_enum)]
    pub detail: Detail,
    /// End when this process ends, which started this one
    #[arg(long, hide = true, value_name = "PID")]
    pub with_parent: Option<i32>,
    /// How much to print
    #[command(flatten)]
    pub talk: Talk,
}

/// What is driven, and in which machine: the same for one submission and for those of a class.
#[derive(Debug, Args)]
pub struct Drive {
    /// Grade only these tasks or subtasks, for example 1,2c,3 [default: all]
    #[arg(long, value_name = "LIST")]
    pub only: Option<String>,
    /// TOML file with points that replace the default ones (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Directory with the starter files: the report lists changes outside their marked portions
    #[arg(long, value_name = "DIR")]
    pub starter: Option<PathBuf>,
    /// Use only cached packages, and name the missing ones
    #[arg(long)]
    pub offline: bool,
    /// Save each virtual machine's network traffic as evidence/<scenario>/world.pcap
    #[arg(long)]
    pub pcap: bool,
    /// Seed for random names and contents: the same seed repeats a run [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// The virtual machine
    #[command(flatten)]
    pub machine: Machine,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// A directory, .tar, .tar.gz, .tgz, .tar.xz or .zip that contains <rollnumber>_assignment3
    pub submission: PathBuf,
    /// Directory with the starter files: the report lists changes outside their marked portions
    #[arg(long, value_name = "DIR")]
    pub starter: Option<PathBuf>,
    /// TOML file with points that replace the default ones (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Write the report (index.html, report.json, junit.xml, summary.md, annotations.txt) to this
    /// directory
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace another submission's report in the --report directory
    #[arg(long, requires = "report")]
    pub force: bool,
}

/// Arguments of `checks`.
#[derive(Debug, Args)]
pub struct Checks {
    /// How to print the list
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: ListFormat,
    /// TOML file with points that replace the default ones (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ListFormat {
    /// A line for each check
    #[default]
    Text,
    /// One array of objects
    Json,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The check's id, for example 2c/cpu-quota; `harness checks` lists them
    pub check: String,
    /// TOML file with points that replace the default ones (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// Report directory of an earlier run; it contains manifest.json (docs/evidence.md)
    pub report: PathBuf,
    /// What to show, for example 3a/as-shown [default: list what can be shown]
    pub check: Option<String>,
}

/// Arguments of `judge`.
#[derive(Debug, Args)]
pub struct Judge {
    /// Report directory of an earlier run; it contains manifest.json (docs/evidence.md)
    pub evidence: PathBuf,
    /// TOML file with points that replace the default ones (docs/rubric.md)
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Write the report (index.html, report.json, junit.xml, summary.md, annotations.txt) to this
    /// directory
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Replace another submission's report in the --report directory
    #[arg(long, requires = "report")]
    pub force: bool,
    /// How much of the run the report shows
    #[arg(long, value_name = "HOW", default_value_t, value_enum)]
    pub detail: Detail,
    /// Print one line per check
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `debug`.
#[derive(Debug, Args)]
pub struct Debug {
    /// Directory of the report, such as reports/23m0001/latest
    pub report: PathBuf,
    /// Id of the check, such as 3c/peer
    pub check: String,
    /// Path of the submission [default: the path in the report]
    #[arg(long, value_name = "PATH")]
    pub submission: Option<PathBuf>,
    /// Use only cached packages
    #[arg(long)]
    pub offline: bool,
    /// The virtual machine
    #[command(flatten)]
    pub machine: Machine,
}

/// Arguments that choose the virtual machine.
#[derive(Debug, Args)]
pub struct Machine {
    /// Accelerator: kvm, tcg (slower emulation), or auto, which is kvm if it
    /// works and otherwise tcg
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub accel: Requested,
    /// Operating system in the virtual machine: debian-12 or ubuntu-22.04
    #[arg(long, value_name = "SUITE", default_value_t)]
    pub image: Suite,
}

/// Arguments that choose how much to print.
#[derive(Debug, Args)]
pub struct Talk {
    /// Print the result only, without progress
    #[arg(short, long)]
    pub quiet: bool,
    /// Print one line per check
    #[arg(short, long)]
    pub verbose: bool,
}

/// Arguments of `vm`.
#[derive(Debug, Args)]
pub struct Vm {
    /// The command to run
    #[command(subcommand)]
    pub command: VmCommand,
}

/// The commands of `vm`.
#[derive(Debug, Subcommand)]
pub enum VmCommand {
    /// Build the image and the template from which machines start, so that the first grade is quick
    Build(Machine),
    /// Start a machine, run a command in it, and print how long that took
    Boot(Boot),
    /// Open a shell in a fresh machine; Ctrl-] ends it
    Shell(Shelled),
    /// List images, templates and downloads in the cache
    List,
    /// Remove an image, a template or a download from the cache
    Rm(Rm),
}

/// Arguments of `vm boot`.
#[derive(Debug, Args)]
pub struct Boot {
    /// The virtual machine
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
    /// The virtual machine
    #[command(flatten)]
    pub machine: Machine,
    /// Submission to copy into the machine, to /run/vm/payload/submission
    #[arg(long, value_name = "PATH")]
    pub submission: Option<PathBuf>,
}

/// Arguments of `vm rm`.
#[derive(Debug, Args)]
pub struct Rm {
    /// Id of the entry, as `vm list` prints it
    #[arg(required_unless_present = "all")]
    pub id: Option<String>,
    /// Remove everything that is not in use
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell that will load the script
    pub shell: Shell,
}

/// Arguments of `corpus`.
#[derive(Debug, Args)]
pub struct Corpus {
    /// Folder with the test submissions: reference, variants, mutants, hostile
    #[arg(default_value = "fixtures/submissions")]
    pub folder: PathBuf,
    /// Grade only cases with this name prefix, for example mutants/task2 [repeatable]
    #[arg(long = "case", value_name = "NAME")]
    pub cases: Vec<String>,
    /// Grade only the K-th of N parts of these cases
    #[arg(long, value_name = "K/N", default_value = "1/1", hide_default_value = true)]
    pub take: Take,
    /// After each case, grade this case too: a good submission after each hostile one [repeatable]
    #[arg(long, value_name = "NAME")]
    pub then: Vec<String>,
    /// Repeat each case N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub repeat: u8,
    /// Number of cases that run at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: u8,
    /// Keep each case's report and evidence below this directory
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// The virtual machine
    #[command(flatten)]
    pub machine: Machine,
}
