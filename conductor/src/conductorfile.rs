//! What a Conductorfile says: `FROM` a base system, then any number of `COPY` and `RUN`.
//!
//! - An instruction is a line; a backslash at the end of a line continues it on the next, which must be there.
//! - Blank lines and lines that begin with `#` are passed over, also in the middle of a continued instruction.
//! - Instruction words may be in capitals or not.
//! - `FROM` comes first and once.
//! - `COPY SOURCE… DESTINATION`: words may be in single or double quotes, or have backslashes before spaces.
//! - `RUN COMMAND` is everything after the word, for `/bin/sh -c`.

use std::fmt;
use std::path::{Path, PathBuf};

/// A Conductorfile that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conductorfile {
    /// The base system, one of those known when it was parsed.
    pub from: String,
    /// What follows `FROM`, in order.
    pub instructions: Vec<Instruction>,
}

/// One instruction after `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// The line where it begins, from 1.
    pub line: usize,
    /// What it asks for.
    pub step: Step,
}

/// What an instruction asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `COPY`: bring files from the context into the image.
    Copy {
        /// Paths in the context, at least one.
        sources: Vec<String>,
        /// Path in the image.
        destination: String,
    },
    /// `RUN`: a shell command in the image.
    Run {
        /// The command as `/bin/sh -c` gets it.
        command: String,
    },
}

/// What is wrong with a Conductorfile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, text, problem } = self;
        let margin = " ".repeat(line.to_string().len());
        // Tabs stay tabs, so that the mark stands below what it means whatever a tab is worth.
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
            Self::Copy { sources, destination } => {
                write!(f, "COPY")?;
                sources.iter().chain([destination]).try_for_each(|word| write!(f, " {}", quoted(word)))
            }
        }
    }
}

/// A word as it may be written in `COPY`.
fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
        return word.into();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Conductorfile {
    /// Understands `text`, the contents of `file`; `bases` are the base systems there are.
    pub fn parse<'a>(
        file: &Path,
        text: &str,
        bases: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Error> {
        // Some editors begin a file with a byte order mark, which nobody sees.
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
                let what = "the line is continued, and nothing follows";
                return Err(fail(Problem::new(statement.end(), what)));
            }
            if let Some(at) = statement.text.find('\0') {
                return Err(fail(Problem::new(at, "there is a NUL byte, which no instruction can have")));
            }
            let line = statement.position(0).0 + 1;
            let (keyword, arguments) = statement.split();
            match keyword.to_ascii_uppercase().as_str() {
                "FROM" if from.is_some() => {
                    return Err(fail(Problem::new(0, "FROM comes once, as the first instruction")));
                }
                "FROM" => from = Some(base(&statement, arguments, &bases).map_err(fail)?),
                "COPY" | "RUN" if from.is_none() => {
                    return Err(fail(Problem::new(0, "the first instruction must be FROM")));
                }
                "COPY" => {
                    let step = copy(&statement, arguments).map_err(fail)?;
                    instructions.push(Instruction { line, step });
                }
                "RUN" => match statement.text[arguments..].trim_end() {
                    "" => return Err(fail(Problem::new(statement.end(), "RUN needs a command"))),
                    command => {
                        instructions.push(Instruction { line, step: Step::Run { command: command.into() } });
                    }
                },
                _ => {
                    let what = format!("'{keyword}' is not an instruction: there are FROM, COPY and RUN");
                    return Err(fail(Problem { at: 0, what }));
                }
            }
        }
        let last = lines.len().saturating_sub(1);
        let from = from.ok_or_else(|| error((last, 0), "there is no FROM instruction".into()))?;
        Ok(Self { from, instructions })
    }
}

/// What is wrong at a byte of a statement's text.
struct Problem {
    at: usize,
    what: String,
}

impl Problem {
    fn new(at: usize, what: &str) -> Self {
        Self { at, what: what.into() }
    }
}

/// An instruction with its continuation lines joined.
struct Statement {
    text: String,
    /// Where each joined piece came from: its first byte in `text`, its line and its first character there.
    pieces: Vec<(usize, usize, usize)>,
    /// Its last line is continued.
    unfinished: bool,
}

impl Statement {
    /// Line and character (from 0) of the byte `at` in the joined text.
    fn position(&self, at: usize) -> (usize, usize) {
        let (start, line, column) =
            self.pieces.iter().rev().find(|(start, ..)| *start <= at).copied().unwrap_or_default();
        (line, column + self.text[start..at].chars().count())
    }

    /// The byte just after the last that is no space.
    fn end(&self) -> usize {
        self.text.trim_end().len()
    }

    /// The instruction word, and the byte where its arguments begin.
    fn split(&self) -> (&str, usize) {
        let len = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        let rest = &self.text[len..];
        (&self.text[..len], len + rest.len() - rest.trim_start().len())
    }
}

/// Joins continued lines and leaves out comments and blank lines.
fn statements(lines: &[&str]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut open: Option<Statement> = None;
    for (number, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let statement =
            open.get_or_insert(Statement { text: String::new(), pieces: Vec::new(), unfinished: true });
        // The first piece begins with its first word; later ones keep their indentation, it may be quoted.
        let piece = if statement.pieces.is_empty() { trimmed } else { line };
        let skipped = line[..line.len() - piece.len()].chars().count();
        statement.pieces.push((statement.text.len(), number, skipped));
        let continued = piece.trim_end().strip_suffix('\\');
        statement.text.push_str(continued.unwrap_or(piece));
        statement.unfinished = continued.is_some();
        if !statement.unfinished {
            statements.extend(open.take());
        }
    }
    statements.extend(open);
    statements
}

fn base(statement: &Statement, arguments: usize, bases: &[&str]) -> Result<String, Problem> {
    let argument = statement.text[arguments..].trim_end();
    if bases.contains(&argument) {
        return Ok(argument.into());
    }
    let known = bases.join(", ");
    let what = match argument {
        "" => format!("FROM needs a base system: {known}"),
        _ => format!("there is no base system '{argument}': there are {known}"),
    };
    Err(Problem { at: arguments.min(statement.end()), what })
}

fn copy(statement: &Statement, arguments: usize) -> Result<Step, Problem> {
    let mut words = words(statement, arguments)?;
    if let Some((at, flag)) = words.iter().find(|(_, word)| word.starts_with("--")) {
        return Err(Problem { at: *at, what: format!("COPY has no option '{flag}'") });
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

/// Splits the arguments into words, each with the byte where it begins.
fn words(statement: &Statement, arguments: usize) -> Result<Vec<(usize, String)>, Problem> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut in_word = false;
    let mut quote: Option<(usize, char)> = None;
    let mut characters = statement.text.char_indices().skip_while(|(at, _)| *at < arguments);
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            in_word = false;
            continue;
        }
        if !in_word {
            words.push((at, String::new()));
            in_word = true;
        }
        let Some((_, word)) = words.last_mut() else { continue };
        match (quote, character) {
            (Some((_, mark)), _) if character == mark => quote = None,
            (None, '"' | '\'') => quote = Some((at, character)),
            (None | Some((_, '"')), '\\') => match characters.next() {
                Some((_, escaped)) => word.push(escaped),
                None => word.push('\\'),
            },
            _ => word.push(character),
        }
    }
    match quote {
        Some((at, mark)) => Err(Problem { at, what: format!("this {mark} is never closed") }),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASES: [&str; 3] = ["debian:bookworm", "ubuntu:jammy", "ubuntu:focal"];

    fn parse(text: &str) -> Result<Conductorfile, Error> {
        Conductorfile::parse(Path::new("dir/Conductorfile"), text, BASES)
    }

    fn steps(file: Conductorfile) -> Vec<Step> {
        file.instructions.into_iter().map(|instruction| instruction.step).collect()
    }

    fn run(command: &str) -> Step {
        Step::Run { command: command.into() }
    }

    fn copy(words: &[&str]) -> Step {
        let (destination, sources) = words.split_last().unwrap();
        Step::Copy {
            sources: sources.iter().map(ToString::to_string).collect(),
            destination: (*destination).into(),
        }
    }

    #[test]
    fn the_assignments_own_example_is_understood() {
        let parsed = parse(
            "# counter service\nFROM debian:bookworm\n\nCOPY counter-service /cs\nRUN apt update && \\\n    apt install -y build-essential && \\\n    # in between\n\n    make -C /cs\n",
        );
        let parsed = parsed.unwrap();
        assert_eq!(parsed.from, "debian:bookworm");
        assert_eq!(
            parsed.instructions.iter().map(|instruction| instruction.line).collect::<Vec<_>>(),
            [4, 5]
        );
        assert_eq!(
            steps(parsed),
            [
                copy(&["counter-service", "/cs"]),
                run("apt update &&     apt install -y build-essential &&     make -C /cs")
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_windows_line_ends_lower_case_and_a_missing_last_newline_do_no_harm() {
        let parsed = parse("\u{feff}from ubuntu:jammy \r\n  copy a b\r\nrun echo \\\r\n hi").unwrap();
        assert_eq!(parsed.from, "ubuntu:jammy");
        assert_eq!(steps(parsed), [copy(&["a", "b"]), run("echo  hi")]);
    }

    #[test]
    fn copy_words_may_be_quoted() {
        let parsed = parse("FROM ubuntu:focal\nCOPY 'a b' \"c \\\" d\" e\\ f /dir/\n").unwrap();
        assert_eq!(steps(parsed), [copy(&["a b", "c \" d", "e f", "/dir/"])]);
    }

    #[test]
    fn an_error_names_file_line_and_column_and_shows_the_line() {
        let error = parse("FROM debian:bookworm\n\tCOPY a\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "dir/Conductorfile:2:8: COPY needs a source and a destination\n 2 | \tCOPY a\n   | \t      ^"
        );
    }

    #[test]
    fn an_error_in_a_continued_line_is_shown_where_it_is() {
        let error = parse("FROM debian:bookworm\nCOPY a \\\n# comment\n   'b /c\n").unwrap_err();
        assert_eq!((error.line, error.column, error.text.as_str()), (4, 4, "   'b /c"));
    }

    #[test]
    fn every_mistake_has_its_message() {
        for (text, line, column, problem) in [
            ("", 1, 1, "there is no FROM"),
            ("# only\n\n", 2, 1, "there is no FROM"),
            ("RUN x\n", 1, 1, "first instruction must be FROM"),
            ("FROM\n", 1, 5, "FROM needs a base system: debian:bookworm"),
            ("FROM alpine\n", 1, 6, "no base system 'alpine'"),
            ("FROM debian:bookworm AS x\n", 1, 6, "no base system 'debian:bookworm AS x'"),
            ("FROM ubuntu:jammy\nFROM ubuntu:jammy\n", 2, 1, "FROM comes once"),
            ("FROM ubuntu:jammy\nRUN  \n", 2, 4, "RUN needs a command"),
            ("FROM ubuntu:jammy\nRUN x \\\n# c\n\n", 2, 6, "nothing follows"),
            ("FROM ubuntu:jammy\nRUN x \\\n  \\\\", 3, 4, "nothing follows"),
            ("FROM ubuntu:jammy\nWORKDIR /x\n", 2, 1, "'WORKDIR' is not an instruction"),
            ("FROM ubuntu:jammy\nCOPY --from=x a b\n", 2, 6, "COPY has no option '--from=x'"),
            ("FROM ubuntu:jammy\nRUN a\0b\n", 2, 6, "NUL byte"),
            ("FROM ubuntu:jammy\nCOPY a ''\n", 2, 8, "must not be empty"),
            ("FROM ubuntu:jammy\nCOPY a \"b\n", 2, 8, "this \" is never closed"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
            assert!(error.problem.contains(problem), "{text:?}: {error}");
        }
    }

    fn word() -> impl Strategy<Value = String> {
        "[^\\p{C}\u{85}\u{2028}\u{2029}]{1,12}".prop_filter("not an option", |word| !word.starts_with("--"))
    }

    fn step() -> impl Strategy<Value = Step> {
        let command = "[!-\\[\\]-~]([ -~é]{0,30}[!-\\[\\]-~])?";
        prop_oneof![
            command.prop_map(|command| Step::Run { command }),
            (prop::collection::vec(word(), 1..4), word())
                .prop_map(|(sources, destination)| Step::Copy { sources, destination }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(
            from in prop::sample::select(BASES.to_vec()),
            steps in prop::collection::vec(step(), 0..6),
        ) {
            let instructions =
                (2..).zip(steps).map(|(line, step)| Instruction { line, step }).collect();
            let file = Conductorfile { from: from.into(), instructions };
            prop_assert_eq!(parse(&file.to_string()), Ok(file));
        }

        #[test]
        fn no_text_makes_it_panic_and_every_error_points_into_the_text(
            text in "((FROM debian:bookworm|COPY|RUN|from|#|\\\\|\"|'|é|\t|[ -~])[ \r\n]?){0,30}",
        ) {
            if let Err(error) = parse(&text) {
                let line = text.lines().nth(error.line - 1).unwrap_or_default();
                prop_assert_eq!(line, &error.text);
                prop_assert!(error.column <= line.chars().count() + 1);
                let _ = error.to_string();
            }
        }
    }
}
