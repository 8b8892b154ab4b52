//! Patterns of ignore files, as regular expressions over paths.
//!
//! The rules are those of Docker's patternmatcher: `*` and `?` match no `/`, and `[a-z]`, `[^a]`
//! and `\` are those of Go's `filepath.Match`. `**` matches any number of folders. Before a plain
//! name `**` also matches the beginning of the name: `**.log` means every file that ends in `.log`.

use std::iter::Peekable;
use std::str::Chars;

/// Why a text is not a pattern.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing follows a `!`.
    #[error("a pattern must follow '!'")]
    Exception,
    /// A class has no end.
    #[error("a '[' has no ']'")]
    Unclosed,
    /// A class begins or ends with `-` or is empty.
    #[error("'[', ']' and '-' need a '\\' before them in a class")]
    Class,
    /// The first character of a range comes after the last one.
    #[error("the range {0}-{1} is in the wrong order")]
    Range(char, char),
    /// Nothing follows a backslash.
    #[error("a character must follow '\\'")]
    Backslash,
}

/// Any text, over several folders.
const ANYTHING: &str = "(?s-u:.*)";
/// Any number of folders.
const FOLDERS: &str = "(?s-u:.*/)?";
/// Any text in one name.
const IN_A_NAME: &str = "(?-u:[^/]*)";
/// One character of a name.
const ONE: &str = "[^/]";

/// A pattern as Docker cleans it: no surrounding spaces, no `/` at its ends, no `.` components, and
/// no `..` after a name. Empty if it can match no path.
pub fn clean(pattern: &str) -> String {
    let pattern = pattern.trim();
    let mut names: Vec<&str> = Vec::new();
    for name in pattern.split('/') {
        match (name, names.last()) {
            ("" | ".", _) => {}
            ("..", None) if pattern.starts_with('/') => {}
            ("..", Some(last)) if *last != ".." => drop(names.pop()),
            _ => names.push(name),
        }
    }
    names.join("/")
}

/// The regular expression for a cleaned pattern.
pub fn regex(pattern: &str) -> Result<String, Error> {
    let mut regex = String::from("^");
    let mut rest = pattern.chars().peekable();
    if let Some(name) = pattern.strip_prefix("**")
        && !name.starts_with('/')
        && !name.contains(['*', '?', '[', ']', '\\'])
    {
        regex += ANYTHING;
        rest = name.chars().peekable();
    }
    while let Some(character) = rest.next() {
        match character {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                regex += if rest.peek().is_none() { ANYTHING } else { FOLDERS };
            }
            '*' => regex += IN_A_NAME,
            '?' => regex += ONE,
            '[' => regex += &class(&mut rest)?,
            '\\' => regex += &literal(rest.next().ok_or(Error::Backslash)?),
            character => regex += &literal(character),
        }
    }
    Ok(regex + "$")
}

fn literal(character: char) -> String {
    format!("\\x{{{:x}}}", u32::from(character))
}

/// The class whose `[` was read.
fn class(rest: &mut Peekable<Chars>) -> Result<String, Error> {
    let mut class = String::from("[");
    class.extend(rest.next_if_eq(&'^'));
    loop {
        let first = member(rest)?;
        class += &literal(first);
        if rest.next_if_eq(&'-').is_some() {
            let last = member(rest)?;
            if last < first {
                return Err(Error::Range(first, last));
            }
            class += "-";
            class += &literal(last);
        }
        if rest.next_if_eq(&']').is_some() {
            return Ok(class + "]");
        }
    }
}

/// The next character of a class.
fn member(rest: &mut Peekable<Chars>) -> Result<char, Error> {
    match rest.next().ok_or(Error::Unclosed)? {
        '-' | ']' => Err(Error::Class),
        '\\' => rest.next().ok_or(Error::Backslash),
        character => Ok(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_cleaned_as_go_cleans_paths() {
        for (pattern, cleaned) in [
            (" /a//b/./c/ ", "a/b/c"),
            ("x/../q", "q"),
            ("a/b/../../q", "q"),
            ("../q", "../q"),
            ("../../q", "../../q"),
            ("a/../../q", "../q"),
            ("/../q", "q"),
            ("**/../q", "q"),
            ("..", ".."),
            ("a/..", ""),
            ("/", ""),
            (".", ""),
        ] {
            assert_eq!(clean(pattern), cleaned, "{pattern}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (pattern, error) in [
            ("a[", Error::Unclosed),
            ("[^bc", Error::Unclosed),
            ("[]a]", Error::Class),
            ("[x-]", Error::Class),
            ("[-x]", Error::Class),
            ("[a-b-c]", Error::Class),
            ("[z-a]", Error::Range('z', 'a')),
            ("a\\", Error::Backslash),
        ] {
            assert_eq!(regex(pattern), Err(error), "{pattern}");
        }
    }
}
