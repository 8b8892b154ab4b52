//! The commands that show by hand what a check looks at, with the names of a run.
//!
//! A row's `see` may contain `{container}`, `{image}` and `{pid}`. They stand for the container of
//! the submission's last command before the evidence, for its image, and for a command that finds
//! its process.

use crate::evidence::{Bundle, Recording, place};
use crate::task::{self, CheckSpec};
use crate::terminals;

/// Most commands of the submission that are repeated before the commands that look.
const REPEATED: usize = 6;

/// The longest command, in bytes.
const LONGEST: usize = 240;

/// What to type: the submission's commands that lead there, then those of the check's row.
pub fn commands(spec: &CheckSpec, evidence: &[String], bundle: &Bundle) -> Vec<String> {
    let before = Commands::before(evidence, bundle);
    let look: Vec<String> = spec.see.iter().map(|command| before.filled(command)).collect();
    let repeated = if spec.see.is_empty() { vec![] } else { before.repeated() };
    let lines: Vec<String> = repeated.into_iter().chain(look).collect();
    // A command that is cut short could not be run.
    if lines.iter().all(|line| line.len() <= LONGEST) { lines } else { vec![] }
}

/// What to type in the machine itself: only the commands of the check's row.
pub fn look(check: &str, evidence: &[String], bundle: &Bundle) -> Vec<String> {
    let before = Commands::before(evidence, bundle);
    let rows = task::subtasks().into_iter().flat_map(|subtask| subtask.checks);
    let see = rows.filter(|row| row.id == check).flat_map(|row| row.see);
    see.map(|command| before.filled(command)).collect()
}

/// A command of a row without a run: its placeholders become `CONTAINER`, `IMAGE` and `PID`.
pub fn plain(command: &str) -> String {
    Commands::default().filled(command)
}

/// The submission's commands in one scenario, up to a record.
#[derive(Default)]
struct Commands<'a> {
    all: Vec<Vec<&'a str>>,
}

impl<'a> Commands<'a> {
    /// The commands before the last record that is evidence.
    fn before(evidence: &[String], bundle: &'a Bundle) -> Self {
        let last = evidence.iter().filter_map(|text| place::parse(text)).next_back();
        last.and_then(|(name, line)| Some(Self::until(bundle.recordings.get(name)?, line)))
            .unwrap_or_default()
    }

    fn until(recording: &'a Recording, line: usize) -> Self {
        let before = terminals::sessions(recording).into_iter().filter(|session| session.record < line);
        let own = before.map(|session| session.argv);
        Self { all: own.filter(|argv| argv.first().is_some_and(|first| first.starts_with("./"))).collect() }
    }

    /// The `run` command of the container that the last command names, or else the last `run`; none
    /// if the last command builds an image.
    fn run(&self) -> Option<&[&'a str]> {
        let runs = || self.all.iter().filter(|argv| argv.get(1) == Some(&"run") && argv.len() > 3);
        let last = self.all.last().filter(|_| self.last_build().is_none())?;
        runs().rfind(|argv| last.contains(&argv[3])).or_else(|| runs().next_back()).map(Vec::as_slice)
    }

    /// The last command, if it builds an image.
    fn last_build(&self) -> Option<&[&'a str]> {
        self.all.last().filter(|argv| argv.get(1) == Some(&"build") && argv.len() > 2).map(Vec::as_slice)
    }

    fn filled(&self, command: &str) -> String {
        let run = self.run();
        let image = self.last_build().or(run).map(|argv| argv[2]);
        let container = run.map(|argv| argv[3]);
        let words = run.map(|argv| argv[4..].join(" "));
        // Evidence may be forged: what a shell or pgrep would read otherwise is left to the reader.
        let is_text = |name: &&str| !name.is_empty() && !name.chars().any(char::is_control);
        let is_pattern =
            |words: &&String| !words.is_empty() && words.chars().all(|c| is_plain(c) || c == ' ');
        let values = [
            ("{container}", container.filter(is_text).map_or("CONTAINER".to_owned(), quoted)),
            ("{image}", image.filter(is_text).map_or("IMAGE".to_owned(), quoted)),
            (
                "{pid}",
                words
                    .as_ref()
                    .filter(is_pattern)
                    .map_or("PID".to_owned(), |words| format!("$(pgrep -nxf -- {})", quoted(words))),
            ),
        ];
        let mut filled = String::new();
        let mut rest = command;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            let known = values.iter().find(|(name, _)| rest[at..].starts_with(name));
            let (name, value) = known.map_or(("{", "{"), |(name, value)| (*name, value.as_str()));
            filled.push_str(value);
            rest = &rest[at + name.len()..];
        }
        filled + rest
    }

    /// The last commands about this container, its image and the containers named beside it. None
    /// where a person cannot repeat them: the grader wrote the image's Conductorfile.
    fn repeated(&self) -> Vec<String> {
        if let Some(build) = self.last_build() {
            return if is_given(build) { vec![typed(build)] } else { vec![] };
        }
        let (Some(run), Some(last)) = (self.run(), self.all.last()) else { return vec![] };
        let is_build_of_it =
            |argv: &&Vec<&str>| argv.get(1) == Some(&"build") && argv.get(2) == Some(&run[2]);
        if self.all.iter().filter(is_build_of_it).any(|argv| !is_given(argv)) {
            return vec![];
        }
        // `exec web sleep 5` names one container; its other words are no names.
        let is_name = |word: &&&str| {
            self.all.iter().any(|argv| argv.get(1) == Some(&"run") && argv.get(3) == Some(*word))
        };
        let names: Vec<&str> = last.iter().skip(2).filter(is_name).chain(&run[2..4]).copied().collect();
        let concerns = |argv: &&Vec<&str>| argv.iter().skip(2).take(2).any(|word| names.contains(word));
        // An image has many containers: a run counts by its own name.
        let is_own = |argv: &&Vec<&str>| {
            argv.get(1) != Some(&"run") || argv.get(3).is_some_and(|name| names.contains(name))
        };
        let own: Vec<_> = self.all.iter().filter(concerns).filter(is_own).collect();
        own[own.len().saturating_sub(REPEATED)..].iter().map(|argv| typed(argv)).collect()
    }
}

/// Whether a `build` names the Conductorfile that the course hands out. Others are the grader's.
fn is_given(build: &[&str]) -> bool {
    build.get(3).is_none_or(|file| *file == "Conductorfile")
}

/// A command as a person types it. A command that goes on goes to the background, so that the next
/// command can be typed.
fn typed(argv: &[&str]) -> String {
    let command = argv.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    let words = match argv.get(1) {
        Some(&"run") => argv.get(4..),
        Some(&"exec") => argv.get(3..),
        _ => return command,
    };
    match words.unwrap_or_default() {
        [] => format!("{command} # in a second terminal"),
        [first, ..] if first.ends_with("bash") => format!("{command} # in a second terminal"),
        words if words.contains(&"sleep") => format!("{command} & sleep 5"),
        _ => command,
    }
}

/// Whether a letter means only itself to a shell and in a pattern of pgrep(1), dots aside.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "-_./:=@%,".contains(letter)
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Commands<'static> {
        let all = [
            "./conductor.sh build img Conductorfile",
            "./conductor.sh run img web sleep 123",
            "./conductor.sh run other db sleep 9",
            "./conductor.sh run img neighbour sleep 5",
            "./conductor.sh addnetwork web -i",
        ];
        Commands { all: all.iter().map(|line| line.split(' ').collect()).collect() }
    }

    #[test]
    fn names_are_those_of_the_container_of_the_last_command() {
        let look = commands().filled("nsenter -t {pid} -n true # {container} {image}");
        assert_eq!(look, "nsenter -t $(pgrep -nxf -- 'sleep 123') -n true # web img");
    }

    #[test]
    fn what_leads_there_leaves_other_containers_out() {
        let lines = [
            "./conductor.sh build img Conductorfile",
            "./conductor.sh run img web sleep 123 & sleep 5",
            "./conductor.sh addnetwork web -i",
        ];
        assert_eq!(commands().repeated(), lines);
    }

    #[test]
    fn a_build_of_a_file_that_the_grader_wrote_is_not_repeated() {
        let mut commands = commands();
        commands.all.push("./conductor.sh build third Conductorfile.run-echo".split(' ').collect());
        assert!(commands.repeated().is_empty());
        assert_eq!(commands.filled("{image} {container}"), "third CONTAINER");
        commands.all.push("./conductor.sh run third it sleep 7".split(' ').collect());
        assert!(commands.repeated().is_empty());
    }

    #[test]
    fn no_name_of_forged_evidence_becomes_a_command() {
        let run = |name, word| Commands { all: vec![vec!["./conductor.sh", "run", "img", name, word]] };
        assert_eq!(run("x;id", "ls").filled("exec {container}"), "exec 'x;id'");
        assert_eq!(run("{pid}", "ls").filled("{container} {image} {}"), "'{pid}' img {}");
        assert_eq!(run("a\nb", "ls").filled("{container}"), "CONTAINER");
        assert_eq!(run("web", "( [a x*").filled("{pid}"), "PID");
        assert_eq!(run("", "").filled("{container} {pid}"), "CONTAINER PID");
    }

    #[test]
    fn a_shell_needs_a_second_terminal() {
        let lines = ["./c run img web", "./c exec web /bin/bash", "./c exec web ps"];
        let lines = lines.map(|line| typed(&line.split(' ').collect::<Vec<_>>()));
        assert_eq!(
            lines,
            [
                "./c run img web # in a second terminal",
                "./c exec web /bin/bash # in a second terminal",
                "./c exec web ps"
            ]
        );
    }

    #[test]
    fn without_a_run_the_placeholders_are_plain_words() {
        assert_eq!(plain("ls -l /proc/{pid}/ns"), "ls -l /proc/PID/ns");
        assert!(Commands::default().repeated().is_empty());
    }
}
