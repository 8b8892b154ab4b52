//! Expands a word of a script: quotes, `~` and `$…`.

use std::mem;

use super::reader::{Reader, name_len};
use super::{Assignment, Unreadable, Value};

/// The characters that end a word, in addition to blanks.
pub const OPERATORS: [char; 7] = [';', '&', '|', '(', ')', '<', '>'];

/// The deepest nesting of expansions that is parsed. Real scripts stay far below.
const DEEPEST: usize = 50;

impl<'a> Reader<'a> {
    /// Reads one word.
    pub fn word(&mut self) -> Value<String> {
        self.text(|c| c.is_whitespace() || OPERATORS.contains(&c))
    }

    /// Reads up to an unquoted character for which `ends` is true.
    fn text(&mut self, ends: impl Fn(char) -> bool) -> Value<String> {
        let mut text = String::new();
        let mut failure = None;
        let mut quoted = false;
        if self.rest.starts_with('~') {
            match self.home() {
                Ok(home) => text = home,
                Err(error) => failure = Some(error),
            }
        }
        while let Some(c) = self.rest.chars().next() {
            if !quoted && ends(c) {
                break;
            }
            match c {
                '\'' if !quoted => {
                    self.bump();
                    text += self.take(self.rest.find('\'').unwrap_or(self.rest.len()));
                    self.bump();
                }
                '"' => {
                    self.bump();
                    quoted = !quoted;
                }
                '\\' => {
                    self.bump();
                    if quoted && !self.rest.starts_with(['$', '`', '"', '\\', '\n']) {
                        text.push('\\');
                    }
                    text.extend(self.bump().filter(|c| *c != '\n'));
                }
                '$' | '`' => match self.expansion(quoted) {
                    Ok(value) => text += &value,
                    Err(error) => failure = failure.or(Some(error)),
                },
                _ => text.extend(self.bump()),
            }
        }
        failure.map_or(Ok(text), Err)
    }

    /// Reads a leading `~`, which means `$HOME` unless a user name follows.
    fn home(&mut self) -> Value<String> {
        let len = self.rest.find(|c: char| c == '/' || c.is_whitespace() || OPERATORS.contains(&c));
        let (line, prefix) = (self.line, &self.rest[..len.unwrap_or(self.rest.len())]);
        self.bump();
        let home = if prefix == "~" { self.variable("HOME")? } else { None };
        home.filter(|home| !home.is_empty()).ok_or_else(|| Unreadable::value(line, prefix))
    }

    /// Reads an expansion that starts with `$` or a backtick.
    fn expansion(&mut self, quoted: bool) -> Value<String> {
        let (line, before) = (self.line, self.rest);
        if self.depth < DEEPEST && before.starts_with("$(") && !before.starts_with("$((") {
            self.take(2);
            self.substitution();
        } else {
            self.take(expansion_len(before, quoted));
        }
        let text = self.since(before);
        let unreadable = || Unreadable::value(line, text);
        let plain: String = text.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
        let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        match plain.as_str() {
            // `$"…"` marks a string for translation; we treat it as a plain string.
            "$" if !quoted && self.rest.starts_with('"') => Ok(String::new()),
            "$" => Ok("$".into()),
            "$(dirname $0)"
            | "$(dirname ${0})"
            | "$(dirname ${BASH_SOURCE[0]})"
            | "$(dirname $BASH_SOURCE)"
            | "$(dirname ${BASH_SOURCE})"
            | "$(cd $(dirname $0) && pwd)"
            | "${0%/*}"
            | "$(cd $(dirname ${BASH_SOURCE[0]}) && pwd)"
            | "$(dirname $(realpath $0))"
            | "$(dirname $(readlink -f $0))" => self.folder.to_str().map(String::from).ok_or_else(unreadable),
            _ => {
                let braced = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
                let parameter = braced.or(text.strip_prefix('$')).unwrap_or_default();
                self.parameter(parameter, line)?.ok_or_else(unreadable)
            }
        }
    }

    /// The value of the text between the braces of `${…}`. `None` if it needs a shell.
    fn parameter(&mut self, parameter: &'a str, line: usize) -> Value<Option<String>> {
        let (name, modifier) = parameter.split_at(name_len(parameter));
        if name.is_empty() {
            return Ok(None);
        }
        if modifier.starts_with('=') || modifier.starts_with(":=") {
            let why = Unreadable::value(line, &format!("${{{parameter}}}"));
            self.assign(name, Assignment::unknown(&why));
        }
        let value = self.variable(name)?;
        match modifier.strip_prefix(":-") {
            _ if modifier.is_empty() => Ok(Some(value.unwrap_or_default())),
            None => Ok(None),
            Some(default) => match value.filter(|value| !value.is_empty()) {
                Some(value) => Ok(Some(value)),
                None if self.depth < DEEPEST => self.default(default, line).map(Some),
                None => Ok(None),
            },
        }
    }

    /// The value of the text after `:-`, which has already been read.
    fn default(&mut self, text: &'a str, line: usize) -> Value<String> {
        let after = (mem::replace(&mut self.rest, text), mem::replace(&mut self.line, line));
        self.depth += 1;
        let value = self.text(|_| false);
        self.depth -= 1;
        (self.rest, self.line) = after;
        value
    }
}

/// The length in bytes of the expansion at the start of `text`, including its closing bracket.
fn expansion_len(text: &str, quoted: bool) -> usize {
    match text.as_bytes() {
        [b'`', ..] => closed_len(text, 1, '`'),
        [_, b'\'', ..] if !quoted => closed_len(text, 2, '\''),
        [_, b'(', ..] => bracketed_len(text, b'(', b')'),
        [_, b'{', ..] => bracketed_len(text, b'{', b'}'),
        [_, b'0'..=b'9' | b'@' | b'*' | b'#' | b'?' | b'$' | b'!' | b'-', ..] => 2,
        _ => 1 + name_len(&text[1..]),
    }
}

/// The length of `text` up to the first `close` at or after `from` that has no backslash before it.
fn closed_len(text: &str, from: usize, close: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(from) {
        if c == close && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// The length of `text` up to the bracket that closes its first one.
pub fn bracketed_len(text: &str, open: u8, close: u8) -> usize {
    let mut depth = 0;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if !escaped {
            depth += i32::from(byte == open) - i32::from(byte == close);
            if byte == close && depth == 0 {
                return at + 1;
            }
        }
        escaped = byte == b'\\' && !escaped;
    }
    text.len()
}
