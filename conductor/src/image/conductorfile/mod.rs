//! Parses Conductorfiles: `FROM` a base system, then any number of `COPY` and `RUN`.
//!
//! - An instruction is one line. A backslash at the end of a line continues it on the next line,
//!   which must exist.
//! - Blank lines and lines that begin with `#` are skipped, also in the middle of a continued
//!   instruction.
//! - Keywords may be in upper or lower case.
//! - `FROM` is the first instruction and appears once.
//! - `COPY SOURCE… DESTINATION`: paths may be in single or double quotes, or have backslashes
//!   before spaces. Or all of them are a JSON array of strings, as in a Dockerfile.
//! - `RUN COMMAND` passes the rest to `/bin/sh -c`. `RUN` with a JSON array executes a program
//!   without a shell.
//!
//! Syntax that only a Dockerfile has is refused, with the text to write instead: a shell would
//! misunderstand it.

mod dockerfile;
mod statement;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use dockerfile::{here_document, json_words, remedy};
use statement::{Problem, Statement, statements, words};

/// A parsed Conductorfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conductorfile {
    /// The base system, one of those that the parser was given.
    pub from: String,
    /// The instructions after `FROM`, in order.
    pub instructions: Vec<Instruction>,
}

/// One instruction after `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The line where it begins, from 1.
    pub line: usize,
    /// Its content.
    pub step: Step,
}

/// The content of an instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `COPY`: copy files from the context into the image.
    Copy {
        /// Paths in the context, at least one.
        sources: Vec<String>,
        /// The path in the image.
        destination: String,
    },
    /// `RUN`: a shell command in the image.
    Run {
        /// The command that `/bin/sh -c` gets.
        command: String,
    },
    /// `RUN` with a JSON array: a program in the image, without a shell.
    Execute {
        /// The program and its arguments: at least one string.
        argv: Vec<String>,
    },
}

/// A mistake in a Conductorfile, and its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of the line.
    pub text: String,
    /// What is wrong, and what to write.
    pub problem: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, text, problem } = self;
        let margin = " ".repeat(line.to_string().len());
        // Tabs are kept, so that the mark stands below the mistake whatever the width of a tab.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{}:{line}:{column}: {problem}\n {line} | {text}\n {margin} | {indent}^", file.display())
    }
}

impl fmt::Display for Conductorfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "FROM {}", self.from)?;
        self.instructions.iter().try_for_each(|instruction| writeln!(f, "{}", instruction.step))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { command } => write!(f, "RUN {command}"),
            Self::Execute { argv } => write!(f, "RUN {}", serde_json::to_string(argv).unwrap_or_default()),
            Self::Copy { sources, destination } => {
                write!(f, "COPY")?;
                sources.iter().chain([destination]).try_for_each(|word| write!(f, " {}", quoted(word)))
            }
        }
    }
}

/// A path as it can be written in `COPY`.
fn quoted(word: &str) -> String {
    let has_special = word.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c));
    if !word.is_empty() && !word.starts_with('#') && !has_special {
        return word.into();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Decodes the bytes of a Conductorfile. A byte that is not UTF-8 is an error that names its line,
/// even in a comment.
pub fn decode(file: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let (before, rest) = error.as_bytes().split_at(valid);
        let before = String::from_utf8_lossy(before);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Error {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            text: format!("{}{}", &before[start..], String::from_utf8_lossy(line).trim_end()),
            problem: format!("the byte 0x{:02X} is not UTF-8: save the file in UTF-8", rest[0]),
        }
    })
}

impl Conductorfile {
    /// Parses `text`, the content of `file`. `bases` are the known base systems.
    pub fn parse<'a>(
        file: &Path,
        text: &str,
        bases: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        // Some editors begin a file with an invisible byte order mark.
        let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
        let error = |(line, column): (usize, usize), problem: String| Error {
            file: file.to_owned(),
            line: line + 1,
            column: column + 1,
            text: lines.get(line).copied().unwrap_or_default().into(),
            problem,
        };
        let bases: Vec<&str> = bases.into_iter().collect();
        let mut from = None;
        let mut instructions = Vec::new();
        for statement in statements(&lines) {
            let fail = |problem: Problem| error(statement.position(problem.at), problem.what);
            if statement.unfinished {
                let what = "the line ends in a backslash, but no line follows";
                return Err(fail(Problem::new(statement.end(), what)));
            }
            if let Some(at) = statement.text.find('\0') {
                return Err(fail(Problem::new(at, "an instruction cannot contain a NUL byte")));
            }
            let line = statement.position(0).0 + 1;
            let (keyword, arguments) = statement.split();
            match keyword.to_ascii_uppercase().as_str() {
                "FROM" if from.is_some() => {
                    return Err(fail(Problem::new(
                        0,
                        "FROM must appear only once, as the first instruction",
                    )));
                }
                "FROM" => from = Some(base(&statement, arguments, &bases).map_err(fail)?),
                "COPY" | "RUN" if from.is_none() => {
                    return Err(fail(Problem::new(0, "the first instruction must be FROM")));
                }
                "COPY" => {
                    let step = copy(&statement, arguments).map_err(fail)?;
                    instructions.push(Instruction { line, step });
                }
                "RUN" => {
                    let step = run(&statement, arguments).map_err(fail)?;
                    instructions.push(Instruction { line, step });
                }
                _ => {
                    let remedy = remedy(keyword).map(|remedy| format!("; {remedy}")).unwrap_or_default();
                    let what = format!("'{keyword}' is not an instruction: use FROM, COPY or RUN{remedy}");
                    return Err(fail(Problem { at: 0, what }));
                }
            }
        }
        let last = lines.len().saturating_sub(1);
        let from = from.ok_or_else(|| error((last, 0), "there is no FROM instruction".into()))?;
        Ok(Self { from, instructions })
    }
}

fn base(statement: &Statement, arguments: usize, bases: &[&str]) -> Result<String, Problem> {
    let argument = statement.text[arguments..].trim_end();
    if bases.contains(&argument) {
        return Ok(argument.into());
    }
    let known = bases.join(", ");
    let stage = argument.split_whitespace().nth(1).filter(|word| word.eq_ignore_ascii_case("as"));
    let what = match argument {
        "" => format!("FROM needs a base system: {known}"),
        _ if stage.is_some() => {
            "stages are not supported, so FROM takes no AS: build in a RUN, and delete there what is not needed".into()
        }
        _ => format!("there is no base system '{argument}': use one of {known}"),
    };
    Err(Problem { at: arguments.min(statement.end()), what })
}

fn run(statement: &Statement, arguments: usize) -> Result<Step, Problem> {
    let command = statement.text[arguments..].trim_end();
    if command.is_empty() {
        return Err(Problem::new(statement.end(), "RUN needs a command"));
    }
    if let Some(argv) = json_words(command) {
        return match argv.first() {
            Some(program) if !program.is_empty() => Ok(Step::Execute { argv }),
            _ => Err(Problem::new(arguments, "RUN needs a command")),
        };
    }
    if command.starts_with("[\"") || command.starts_with("['") {
        let what =
            "this is not a JSON array of strings: write RUN [\"program\", \"argument\"], or a shell command";
        return Err(Problem::new(arguments, what));
    }
    if command.starts_with("--") {
        let option = command.split_whitespace().next().unwrap_or_default();
        return Err(Problem { at: arguments, what: format!("RUN has no option '{option}': leave it out") });
    }
    if let Some(at) = here_document(command) {
        let what = "here-documents are not supported: COPY a file with the text, or use printf";
        return Err(Problem::new(arguments + at, what));
    }
    Ok(Step::Run { command: command.into() })
}

fn copy(statement: &Statement, arguments: usize) -> Result<Step, Problem> {
    let mut words = match json_words(statement.text[arguments..].trim_end()) {
        Some(words) => words.into_iter().map(|word| (arguments, word)).collect(),
        None => words(statement, arguments)?,
    };
    if let Some((at, flag)) = words.iter().find(|(_, word)| word.starts_with("--")) {
        let name = flag.split('=').next().unwrap_or_default();
        let remedy = match name {
            "--chmod" => ": change modes in a RUN: RUN chmod MODE PATH",
            "--chown" => ": change owners in a RUN: RUN chown USER PATH",
            "--from" => ": stages are not supported, so build the files in a RUN",
            _ => ": leave it out",
        };
        return Err(Problem { at: *at, what: format!("COPY has no option '{name}'{remedy}") });
    }
    if let Some((at, _)) = words.iter().find(|(at, _)| statement.text[*at..].starts_with('#')) {
        let what = "a comment needs its own line; if # begins the name of a file, quote the name";
        return Err(Problem::new(*at, what));
    }
    if let Some((at, _)) = words.iter().find(|(_, word)| word.is_empty()) {
        return Err(Problem::new(*at, "a path must not be empty"));
    }
    match words.pop() {
        Some((_, destination)) if !words.is_empty() => {
            Ok(Step::Copy { sources: words.into_iter().map(|(_, word)| word).collect(), destination })
        }
        _ => Err(Problem::new(statement.end(), "COPY needs a source and a destination")),
    }
}
