//! Arguments of `harness class`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use harness::class::take::Take;
use harness::report::detail::Detail;

use super::Drive;

/// Arguments of `class`.
#[derive(Debug, Args)]
pub struct Class {
    /// What to do
    #[command(subcommand)]
    pub command: ClassCommand,
}

/// The commands of `class`.
#[derive(Debug, Subcommand)]
pub enum ClassCommand {
    /// List the submissions: name, format, lateness, and why one cannot be graded
    List(List),
    /// Grade each submission in a process of its own; go on where an earlier run ended
    Grade(Grade),
    /// Turn the reports into class.csv, class.html, Moodle's worksheet and
    /// feedback for each student
    Collect(Collect),
    /// Say whose marks differ between two folders of results, and why
    Diff(Diff),
    /// Write each student's own lines to a folder, for a program that detects similar submissions
    Similarity(Similarity),
}

/// Where the submissions are.
#[derive(Debug, Args)]
pub struct Input {
    /// A folder or zip of submissions, Moodle's or Gradescope's export, or a CSV file
    /// of id and path or url
    #[arg(value_name = "IN")]
    pub input: PathBuf,
}

/// Moodle's worksheet.
#[derive(Debug, Args)]
pub struct Sheet {
    /// Moodle's offline grading worksheet, with the times of submission
    #[arg(long, value_name = "FILE")]
    pub worksheet: Option<PathBuf>,
    /// The header of a column, on sites in other languages than English: identifier, name, grade,
    /// maximum, can-change, submitted, feedback, graded
    #[arg(long, value_name = "NAME=HEADER", requires = "worksheet")]
    pub column: Vec<String>,
}

/// Arguments of `class list`.
#[derive(Debug, Args)]
pub struct List {
    /// Where they are
    #[command(flatten)]
    pub class: Input,
    /// The rubric whose [late] table has the deadline
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// The worksheet
    #[command(flatten)]
    pub sheet: Sheet,
}

/// Arguments of `class grade`.
#[derive(Debug, Args)]
pub struct Grade {
    /// Where they are
    #[command(flatten)]
    pub class: Input,
    /// The folder for reports and outcomes; several processes may write it at once
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Only the K-th of N parts of the class, such as 2/8
    #[arg(long, value_name = "K/N")]
    pub take: Option<Take>,
    /// Submissions at a time, one machine for each [default: one for every two processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
    /// What is driven, and in which machine
    #[command(flatten)]
    pub drive: Drive,
    /// No progress, only the result
    #[arg(short, long)]
    pub quiet: bool,
}

/// Arguments of `class collect`.
#[derive(Debug, Args)]
pub struct Collect {
    /// The folder that `class grade` filled
    #[arg(value_name = "DIR")]
    pub results: PathBuf,
    /// Where the files go [default: collected, in DIR]
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// Mark all evidence again with this rubric, and apply the penalties of its [late] table
    #[arg(long, value_name = "FILE")]
    pub rubric: Option<PathBuf>,
    /// Changes of points after appeals: a CSV file with id, check, delta, reason, who and when
    #[arg(long, value_name = "FILE")]
    pub adjust: Option<PathBuf>,
    /// The worksheet
    #[command(flatten)]
    pub sheet: Sheet,
    /// Scale grades to the worksheet's maximum
    #[arg(long, requires = "worksheet")]
    pub scale: bool,
    /// How much students see
    #[arg(long, value_name = "HOW", default_value_t, value_enum)]
    pub detail: Detail,
    /// Replace ids by codes that are made with the key in this file, and omit names
    #[arg(long, value_name = "KEYFILE")]
    pub anonymous: Option<PathBuf>,
    /// A page about similar submissions, for class.html to link to
    #[arg(long, value_name = "FILE")]
    pub similarity: Option<PathBuf>,
}

/// Arguments of `class diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// A folder that `class grade` or `class collect` filled
    pub old: PathBuf,
    /// The folder to compare it with
    pub new: PathBuf,
}

/// Arguments of `class similarity`.
#[derive(Debug, Args)]
pub struct Similarity {
    /// Where they are
    #[command(flatten)]
    pub class: Input,
    /// The folder for the results, with a folder for each submission; results of an
    /// earlier run are replaced
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Directory with the starter files, whose lines are left out
    #[arg(long, value_name = "DIR")]
    pub starter: Option<PathBuf>,
    /// Name the folders by codes that are made with the key in this file
    #[arg(long, value_name = "KEYFILE")]
    pub anonymous: Option<PathBuf>,
}
