//! Evaluates the assignments in a conductor.sh and in the files that it sources, in the order in
//! which a shell would. The scripts are read as text and never executed.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::path::Path;
use std::str::Chars;

use super::text::{Folder, lines};

/// The names of the course's settings files.
const FILES: [&str; 2] = ["setup.sh", "config.sh"];

/// The value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A known text.
    Text(String),
    /// The output of a command.
    Unknown,
}

/// The variables that a conductor.sh sets.
#[derive(Debug, Default)]
pub struct Settings(BTreeMap<String, Value>);

impl Settings {
    /// The variables of the conductor.sh in the folder `tool` of the submission.
    pub fn of_tool(folder: &Folder, tool: &str) -> Self {
        let script = format!("{tool}/conductor.sh");
        let text = folder.read(&script).unwrap_or_default();
        let mut homes = vec![tool.to_owned()];
        if let Some(real) = folder.home_of(&script) {
            // If conductor.sh is a link, it finds its settings beside the link or, with readlink,
            // beside the link's target.
            let at = if text.contains("readlink") || text.contains("realpath") { 0 } else { homes.len() };
            homes.insert(at, real);
        }
        homes.push("task3".to_owned());
        let read = |name: &str| homes.iter().find_map(|home| folder.read(&format!("{home}/{name}")));
        let mut settings = Self::default();
        settings.run(&text, &read);
        // A script that is not a shell script reads its settings in unknown ways. So add the
        // variables of the settings files that the script does not set itself.
        for text in FILES.iter().filter_map(|name| read(name)) {
            for (name, value) in Self::of_text(&text).0 {
                settings.0.entry(name).or_insert(value);
            }
        }
        settings
    }

    /// The variables that a text sets, without the files that it sources.
    pub fn of_text(text: &str) -> Self {
        let mut settings = Self::default();
        settings.run(text, &|_| None);
        settings
    }

    /// The value of a variable; `None` if it is not set.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn run(&mut self, text: &str, read: &dyn Fn(&str) -> Option<String>) {
        let mut depth = 0_usize;
        for line in lines(text) {
            let commands = Words::commands(&line, &self.0);
            for command in commands {
                let Command { words, on_condition } = command;
                let first = words.first().map(|word| word.text.as_str()).unwrap_or_default();
                match first {
                    "if" | "case" | "for" | "while" | "until" | "select" => depth += 1,
                    "fi" | "esac" | "done" | "}" => depth = depth.saturating_sub(1),
                    "source" | "." => {
                        if let Some(text) = words.get(1).and_then(|word| read(file_name(&word.text)?)) {
                            self.run(&text, &|_| None);
                        }
                    }
                    _ => {}
                }
                if first == "{" || words.last().is_some_and(|word| word.text == "{") {
                    depth += 1;
                }
                let assignments = words.iter().skip_while(|word| {
                    word.text.starts_with('-')
                        || ["export", "readonly", "declare", "typeset", "then", "else", "do", ":"]
                            .contains(&word.text.as_str())
                });
                for word in assignments {
                    let Some((name, value)) = &word.assigns else { break };
                    // An assignment under a condition counts only if the variable has no value yet.
                    if depth == 0 && !on_condition && !word.only_if_unset || !self.0.contains_key(name) {
                        self.0.insert(name.clone(), value.clone());
                    }
                }
            }
        }
    }
}

/// The folder of the conductor.sh that service-orchestrator.sh calls.
pub fn called_by_orchestrator(folder: &Folder) -> &'static str {
    if !folder.has("task4/conductor.sh") && !makes_a_copy(folder) {
        return "task3";
    }
    let script = folder.read("task4/service-orchestrator.sh").unwrap_or_default();
    let calls = |what: &str| {
        lines(&script)
            .filter(|line| !["ln ", "cp "].iter().any(|word| line.trim_start().starts_with(word)))
            .any(|line| line.contains(what))
    };
    if calls("task3/conductor.sh") && !calls("./conductor.sh ") { "task3" } else { "task4" }
}

/// Whether service-orchestrator.sh copies or links conductor.sh into its own folder.
fn makes_a_copy(folder: &Folder) -> bool {
    let script = folder.read("task4/service-orchestrator.sh").unwrap_or_default();
    folder.has("task4/setup.sh")
        && lines(&script).any(|line| {
            ["ln ", "cp "].iter().any(|word| line.contains(word)) && line.contains("conductor.sh")
        })
}

/// The names of the settings files that a script sources; if it sources none, those that it
/// mentions.
pub fn files_read(text: &str) -> Vec<&'static str> {
    let sources = |line: &str| {
        let words: Vec<&str> = line.split([' ', '\t', ';', '&', '|']).collect();
        words.contains(&"source") || words.contains(&".")
    };
    let found: Vec<&str> = FILES
        .into_iter()
        .filter(|name| lines(text).any(|line| sources(&line) && line.contains(name)))
        .collect();
    if !found.is_empty() {
        return found;
    }
    FILES.into_iter().filter(|name| lines(text).any(|line| line.contains(name))).collect()
}

fn file_name(path: &str) -> Option<&'static str> {
    let name = Path::new(path).file_name()?.to_str()?;
    FILES.into_iter().find(|file| *file == name)
}

/// One simple command: the words up to a separator.
#[derive(Default)]
struct Command {
    words: Vec<Word>,
    /// Whether the command follows `&&` or `||`.
    on_condition: bool,
}

/// One word of a command.
struct Word {
    text: String,
    /// The variable that the word sets, and its value.
    assigns: Option<(String, Value)>,
    /// Whether the word sets the variable only if it is unset, as `${NAME:=word}` does.
    only_if_unset: bool,
}

/// Splits a line into commands and words as a shell does.
struct Words<'a> {
    rest: Peekable<Chars<'a>>,
    known: &'a BTreeMap<String, Value>,
    /// Whether the current word depends on the output of a command.
    unknown: bool,
    set_if_unset: Option<(String, Value)>,
}

impl<'a> Words<'a> {
    fn commands(line: &'a str, known: &'a BTreeMap<String, Value>) -> Vec<Command> {
        let mut words = Self { rest: line.chars().peekable(), known, unknown: false, set_if_unset: None };
        let mut commands = vec![Command::default()];
        while let Some(&next) = words.rest.peek() {
            match next {
                ' ' | '\t' => drop(words.rest.next()),
                '#' => break,
                ';' | '&' | '|' | '(' | ')' => {
                    words.rest.next();
                    let on_condition = "&|".contains(next) && words.rest.next_if_eq(&next).is_some();
                    commands.push(Command { words: Vec::new(), on_condition });
                }
                _ => {
                    let word = words.word();
                    if let Some(command) = commands.last_mut() {
                        command.words.push(word);
                    }
                }
            }
        }
        commands.retain(|command| !command.words.is_empty());
        commands
    }

    fn word(&mut self) -> Word {
        (self.unknown, self.set_if_unset) = (false, None);
        let text = self.text_until(" \t;&|()");
        if let Some(assigns) = self.set_if_unset.take() {
            return Word { text, assigns: Some(assigns), only_if_unset: true };
        }
        let is_name = |name: &&str| {
            name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
                && name.starts_with(|char: char| !char.is_ascii_digit())
        };
        let assigns = text.split_once('=').filter(|(name, _)| is_name(name)).map(|(name, value)| {
            let value = if self.unknown { Value::Unknown } else { Value::Text(value.to_owned()) };
            (name.to_owned(), value)
        });
        Word { text, assigns, only_if_unset: false }
    }

    /// The text up to one of the characters `ends`, with quotes removed and variables expanded.
    fn text_until(&mut self, ends: &str) -> String {
        let mut text = String::new();
        while let Some(&next) = self.rest.peek() {
            if ends.contains(next) {
                break;
            }
            self.rest.next();
            match next {
                '\'' => text.extend(self.rest.by_ref().take_while(|char| *char != '\'')),
                '"' => {
                    text += &self.text_until("\"");
                    self.rest.next();
                }
                '\\' => text.extend(self.rest.next()),
                '`' => {
                    self.unknown = true;
                    self.rest.by_ref().find(|char| *char == '`');
                }
                '$' => text += &self.variable(),
                plain => text.push(plain),
            }
        }
        text
    }

    /// Expands the variable or command after a `$`.
    fn variable(&mut self) -> String {
        match self.rest.peek() {
            Some('(') => {
                self.rest.next();
                self.command();
                String::new()
            }
            Some('{') => {
                self.rest.next();
                let name = self.name();
                let operator: String =
                    std::iter::from_fn(|| self.rest.next_if(|char| ":-=+?#%/^,@[!".contains(*char)))
                        .collect();
                let unknown_before = self.unknown;
                let word = self.text_until("}");
                self.rest.next();
                let known = self.known.get(&name).cloned();
                match operator.as_str() {
                    "" => self.known_text(known),
                    ":-" | "-" | ":=" | "=" => {
                        let is_set = known.is_some_and(|value| value != Value::Text(String::new()));
                        if is_set {
                            self.unknown = unknown_before;
                            return self.known_text(self.known.get(&name).cloned());
                        }
                        if operator.ends_with('=') {
                            let value = if self.unknown { Value::Unknown } else { Value::Text(word.clone()) };
                            self.set_if_unset = Some((name, value));
                        }
                        word
                    }
                    _ => {
                        self.unknown = true;
                        String::new()
                    }
                }
            }
            Some(char) if char.is_ascii_alphabetic() || *char == '_' => {
                let name = self.name();
                let known = self.known.get(&name).cloned();
                self.known_text(known)
            }
            Some(_) => {
                self.rest.next();
                self.unknown = true;
                String::new()
            }
            None => "$".to_owned(),
        }
    }

    fn known_text(&mut self, known: Option<Value>) -> String {
        match known {
            Some(Value::Text(text)) => text,
            Some(Value::Unknown) => {
                self.unknown = true;
                String::new()
            }
            None => String::new(),
        }
    }

    fn name(&mut self) -> String {
        std::iter::from_fn(|| self.rest.next_if(|char| char.is_ascii_alphanumeric() || *char == '_'))
            .collect()
    }

    /// Skips a command substitution.
    fn command(&mut self) {
        self.unknown = true;
        let mut depth = 1;
        while depth > 0 {
            match self.rest.next() {
                Some('(') => depth += 1,
                Some(')') => depth -= 1,
                Some('\'') => drop(self.rest.by_ref().find(|char| *char == '\'')),
                Some(_) => {}
                None => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Option<Value> {
        Settings::of_text(text).value("DEFAULT_IFC").cloned()
    }

    #[test]
    fn assignments_in_many_styles_are_understood() {
        for text in [
            "DEFAULT_IFC=enp1s0",
            "DEFAULT_IFC=enp1s0 \n",
            "DEFAULT_IFC=\"enp1s0\"",
            "DEFAULT_IFC='enp1s0'   # mine",
            "  export DEFAULT_IFC=enp1s0",
            "declare -r DEFAULT_IFC=\"enp1s0\"",
            "declare -x -g DEFAULT_IFC=enp1s0; IP4_SUBNET=192.168",
            "readonly DEFAULT_IFC=enp1s0",
            "typeset DEFAULT_IFC=enp1s0",
            "IP4_SUBNET=192.168 DEFAULT_IFC=enp1s0",
            "DEFAULT_IFC=enp\"1\"s'0'",
            "DEFAULT_IFC=${IFC:-enp1s0}",
            "DEFAULT_IFC=\"${DEFAULT_IFC:-enp1s0}\"",
            ": ${DEFAULT_IFC:=enp1s0}",
            ": \"${DEFAULT_IFC:=enp1s0}\"",
            "IFC=enp1s0\nDEFAULT_IFC=$IFC",
            "N=1\nDEFAULT_IFC=\"enp${N}s0\"",
            "# DEFAULT_IFC=eth0\nDEFAULT_IFC=enp1s0\n#DEFAULT_IFC=eth1",
            "DEFAULT_IFC=eth0\nDEFAULT_IFC=enp1s0",
            "DEFAULT_IFC=enp1s0\nif [ -z \"$DEFAULT_IFC\" ]; then\n    DEFAULT_IFC=eth0\nfi",
            "if [ -z \"$X\" ]; then DEFAULT_IFC=enp1s0; fi",
            "DEFAULT_IFC=enp1s0\nuse() {\n    DEFAULT_IFC=eth0\n}",
            "DEFAULT_IFC=enp1s0\n[ -d /sys/class/net/eth0 ] && DEFAULT_IFC=eth0",
            "f() { echo; }\nDEFAULT_IFC=enp1s0",
            "DEFAULT_IFC=\\\nenp1s0",
        ] {
            assert_eq!(set(text), Some(Value::Text("enp1s0".to_owned())), "{text}");
        }
    }

    #[test]
    fn values_from_commands_and_unset_variables_are_not_guessed() {
        for text in [
            "DEFAULT_IFC=$(ip route | awk '/default/ { print $5 }')",
            "DEFAULT_IFC=\"$(ip route show default |\n  awk '{ print $5 }')\"",
            "DEFAULT_IFC=`ip route | cut -d' ' -f5`",
            "IFC=$(ls /sys/class/net | head -1)\nDEFAULT_IFC=$IFC",
            "DEFAULT_IFC=${IFC:-$(ip route)}",
        ] {
            assert_eq!(set(text), Some(Value::Unknown), "{text}");
        }
        for text in ["", "#DEFAULT_IFC=eth0", "MY_DEFAULT_IFC=eth0", "echo DEFAULT_IFC=eth0"] {
            assert_eq!(set(text), None, "{text}");
        }
        for text in ["DEFAULT_IFC=", "DEFAULT_IFC=\"\"", "DEFAULT_IFC= # none", "DEFAULT_IFC= eth0"] {
            assert_eq!(set(text), Some(Value::Text(String::new())), "{text}");
        }
    }
}
