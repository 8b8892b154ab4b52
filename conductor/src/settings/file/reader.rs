//! Splits a script into commands and finds the assignments among them.

use std::collections::BTreeMap;
use std::mem;
use std::path::Path;

use super::word::{self, OPERATORS};
use super::{Assignment, Assignments, Unreadable, Value};

/// The state of the parser: the assignments so far and the rest of the script.
pub struct Reader<'a> {
    pub(super) rest: &'a str,
    pub(super) line: usize,
    pub(super) folder: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// The keyword that ends each open compound command: `fi`, `}`.
    open: Vec<&'static str>,
    /// The here-documents whose text begins on the next line.
    here_documents: Vec<HereDocument>,
    /// How many expansions are open.
    pub(super) depth: usize,
    read: Assignments,
}

struct HereDocument {
    terminator: String,
    /// Whether tabs may precede the terminator.
    indented: bool,
}

/// The kind of word that may come next in a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A keyword, an assignment or the name of a command.
    Start,
    /// An assignment or a name, after `export`.
    Declaration,
    /// A name that the command assigns itself, after `read`.
    Names,
    /// Any argument of the command.
    Arguments,
}

/// The length of the shell variable name at the start of `text`.
pub fn name_len(text: &str) -> usize {
    let len = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    if text.starts_with(|c: char| c.is_ascii_digit()) { 0 } else { len }
}

impl<'a> Reader<'a> {
    /// See [`Assignments::parse`].
    pub fn new(text: &'a str, folder: &'a Path, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            rest: text,
            line: 1,
            folder,
            environment,
            open: Vec::new(),
            here_documents: Vec::new(),
            depth: 0,
            read: Assignments::default(),
        }
    }

    /// Parses the whole script.
    pub fn read_all(mut self) -> Assignments {
        self.commands();
        self.read
    }

    /// The current value of `name`, from the file or the environment.
    pub(super) fn variable(&self, name: &str) -> Value<Option<String>> {
        match self.read.0.get(name) {
            Some(assigned) => assigned.text.clone().map(Some),
            None => Ok((self.environment)(name)),
        }
    }

    /// Parses the commands of a substitution, from its opening to its closing bracket.
    pub(super) fn substitution(&mut self) {
        let open = mem::take(&mut self.open);
        self.depth += 1;
        self.commands();
        self.depth -= 1;
        self.open = open;
        self.bump();
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        self.line += usize::from(c == '\n');
        Some(c)
    }

    pub(super) fn skip_while(&mut self, matches: impl Fn(char) -> bool) {
        while self.rest.starts_with(&matches) {
            self.bump();
        }
    }

    pub(super) fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// The text that was read since the rest was `before`.
    pub(super) fn since(&self, before: &'a str) -> &'a str {
        &before[..before.len() - self.rest.len()]
    }

    /// Skips blanks between two words.
    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|c| c.is_whitespace() && c != '\n');
            if !self.rest.starts_with("\\\n") {
                return;
            }
            self.take(2);
        }
    }

    /// Skips blanks and newlines between two commands, or between an operator and a command.
    fn skip_lines(&mut self) {
        loop {
            self.skip_blanks();
            match self.rest.chars().next() {
                Some('#') => self.skip_while(|c| c != '\n'),
                Some('\n') => self.newline(),
                _ => return,
            }
        }
    }

    /// Reads the end of a line and skips the here-documents that follow it.
    fn newline(&mut self) {
        self.bump();
        for document in mem::take(&mut self.here_documents) {
            while !self.rest.is_empty() {
                let line = self.take(self.rest.find('\n').map_or(self.rest.len(), |end| end + 1)).trim_end();
                let line = if document.indented { line.trim_start_matches('\t') } else { line };
                if line == document.terminator {
                    break;
                }
            }
        }
    }

    /// Whether the closing bracket of the current substitution comes next.
    fn at_end_of_substitution(&self) -> bool {
        self.depth > 0 && self.open.is_empty() && self.rest.starts_with(')')
    }

    /// Parses all commands of the file or of a substitution.
    fn commands(&mut self) {
        let mut chained = false;
        while !self.rest.is_empty() && !self.at_end_of_substitution() {
            chained = self.command(chained);
        }
    }

    /// Parses one command and its end. `chained` means that an operator before it decides whether
    /// it is executed. The result means the same for the next command.
    fn command(&mut self, chained: bool) -> bool {
        self.skip_lines();
        let mut place = Place::Start;
        let mut assigned = Vec::new();
        loop {
            self.skip_blanks();
            if self.at_end_of_substitution() {
                break;
            }
            match self.rest.chars().next() {
                None | Some('\n' | ';' | '&' | '|') => break,
                Some('#') => self.skip_while(|c| c != '\n'),
                Some('<' | '>') => self.redirection(),
                Some('(') if self.rest.starts_with("((") => {
                    self.take(word::bracketed_len(self.rest, b'(', b')'));
                    place = Place::Arguments;
                }
                Some('(') => {
                    self.bump();
                    place = self.open(")", Place::Start);
                }
                // The bracket of a subshell, of a pattern of `case`, or after a function's name.
                Some(')') => {
                    self.bump();
                    self.close(")");
                    place = Place::Start;
                }
                Some(_) => {
                    let (line, before) = (self.line, self.rest);
                    let Some((name, assignment)) = self.assignment(place) else {
                        place = self.other_word(place);
                        continue;
                    };
                    let why = Unreadable::execution(line, self.since(before));
                    let certain = self.open.is_empty() && !chained;
                    self.assign(name, if certain { assignment } else { Assignment::unknown(&why) });
                    assigned.push((name, why));
                }
            }
        }
        let operator = self.operator();
        // The assignment is for the command's own environment, or in another process.
        if place == Place::Arguments || matches!(operator, "|" | "|&" | "&") {
            for (name, why) in assigned {
                self.assign(name, Assignment::unknown(&why));
            }
        }
        matches!(operator, "&&" | "||" | "|" | "|&")
    }

    /// Reads the end of a command.
    fn operator(&mut self) -> &'a str {
        match self.rest.as_bytes() {
            [b'\n', ..] => {
                self.newline();
                "\n"
            }
            [b'&' | b'|', b'&' | b'|', ..] => self.take(2),
            [b';' | b'&' | b'|', ..] => self.take(1),
            _ => "",
        }
    }

    /// Reads a redirection and remembers its here-document.
    fn redirection(&mut self) {
        let is_document = self.rest.starts_with("<<") && !self.rest.starts_with("<<<");
        self.skip_while(|c| matches!(c, '<' | '>' | '&' | '|'));
        let indented = is_document && self.rest.starts_with('-');
        if indented {
            self.bump();
        }
        self.skip_blanks();
        let target = self.word();
        if let (true, Ok(terminator)) = (is_document, target) {
            self.here_documents.push(HereDocument { terminator, indented });
        }
    }

    /// Reads a word that is no assignment, and returns the kind of word that may follow.
    fn other_word(&mut self, place: Place) -> Place {
        let (line, before) = (self.line, self.rest);
        // The value of this word is not needed.
        let _ = self.word();
        let word = self.since(before);
        let is_descriptor = self.rest.starts_with(['<', '>']) && word.bytes().all(|b| b.is_ascii_digit());
        match (place, word) {
            _ if is_descriptor => place,
            (Place::Start, "if") => self.open("fi", Place::Start),
            (Place::Start, "do") => self.open("done", Place::Start),
            (Place::Start, "{") => self.open("}", Place::Start),
            (Place::Start, "case") => self.open("esac", Place::Arguments),
            (Place::Start, "then" | "else" | "elif" | "while" | "until" | "!" | "time") => Place::Start,
            (Place::Start, "fi" | "done" | "}" | "esac") => {
                self.close(word);
                Place::Arguments
            }
            (Place::Start, "function") => {
                self.skip_blanks();
                let _ = self.word();
                Place::Start
            }
            (Place::Start, "export" | "readonly" | "declare" | "typeset") => Place::Declaration,
            (Place::Start, "read" | "unset") => Place::Names,
            (Place::Declaration | Place::Names, _) => {
                let bare = word.trim_start_matches(['"', '\'']);
                let (name, after) = bare.split_at(name_len(bare));
                if place == Place::Names || after.starts_with('=') {
                    self.assign(name, Assignment::unknown(&Unreadable::value(line, word)));
                }
                place
            }
            _ => Place::Arguments,
        }
    }

    /// Begins a compound command. Returns `place`, the kind of word that comes next.
    fn open(&mut self, end: &'static str, place: Place) -> Place {
        self.open.push(end);
        place
    }

    /// Ends a compound command, unless `end` is a plain word here.
    fn close(&mut self, end: &str) {
        if self.open.last() == Some(&end) {
            self.open.pop();
        }
    }

    /// Reads an assignment, if one is allowed here and comes next.
    fn assignment(&mut self, place: Place) -> Option<(&'a str, Assignment)> {
        let (line, before) = (self.line, self.rest);
        let (name, after) = before.split_at(name_len(before));
        if name.is_empty() || !matches!(place, Place::Start | Place::Declaration) {
            return None;
        }
        if after.starts_with("=(") {
            self.take(name.len() + 2);
            let table = self.table();
            let text = Err(Unreadable::value(line, self.since(before)));
            return Some((name, Assignment { text, table }));
        }
        if after.starts_with('=') {
            self.take(name.len() + 1);
            let text = self.word();
            let table = match text.as_deref() {
                Ok("") => Ok(BTreeMap::new()),
                _ => Err(Unreadable::value(line, self.since(before))),
            };
            return Some((name, Assignment { text, table }));
        }
        // An entry of a table, or an addition to an existing value.
        if after.starts_with('[') || after.starts_with("+=") {
            let _ = self.word();
            if self.rest.starts_with('(') {
                self.bump();
                let _ = self.table();
            }
            return Some((name, Assignment::unknown(&Unreadable::value(line, self.since(before)))));
        }
        None
    }

    /// Reads the entries of a table and its closing bracket.
    fn table(&mut self) -> Value<BTreeMap<String, String>> {
        let mut entries = BTreeMap::new();
        let mut failure = None;
        loop {
            self.skip_while(char::is_whitespace);
            // In a list without keys, the index is the key.
            let mut key = entries.len().to_string();
            match self.rest.chars().next() {
                None => break,
                Some(')') => {
                    self.bump();
                    break;
                }
                Some('#') => {
                    self.skip_while(|c| c != '\n');
                    continue;
                }
                Some(c) if OPERATORS.contains(&c) => {
                    failure.get_or_insert(Unreadable::value(self.line, self.take(1)));
                    continue;
                }
                Some('[') => {
                    self.bump();
                    key = self.take(self.rest.find(']').unwrap_or(self.rest.len())).into();
                    self.skip_while(|c| c == ']');
                    self.skip_while(|c| c == '=');
                }
                Some(_) => {}
            }
            match self.word() {
                Ok(value) => drop(entries.insert(key.trim_matches(['"', '\'']).into(), value)),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        failure.map_or(Ok(entries), Err)
    }

    /// Records an assignment, unless another process makes it.
    pub(super) fn assign(&mut self, name: &str, assignment: Assignment) {
        if self.depth == 0 {
            self.read.0.insert(name.into(), assignment);
        }
    }
}
