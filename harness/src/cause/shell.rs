//! Messages of a shell after which it does not read its script any further.

use std::path::Path;

use super::message::Message;

/// What a shell says when it stops reading.
const FATAL: [&str; 5] =
    ["syntax error", "Syntax error", "unexpected EOF", "unexpected end of file", "$'\\r': command not found"];

/// How many lines bash shows for one fault: the message, and the line of the script.
const LINES: usize = 2;

/// What a line says of a script that cannot be read: `./conductor.sh: line 12: syntax error
/// near unexpected token`.
pub fn fatal(line: &str) -> Option<Message> {
    if let Some(message) = interpreter(line) {
        return Some(message);
    }
    let (place, number, text) = numbered(line)?;
    let is_windows = text.contains("\\r'") || text.contains('\r');
    if !is_windows && !FATAL.iter().any(|known| text.starts_with(known)) {
        return None;
    }
    Some(Message {
        file: place.to_owned(),
        line: Some(number),
        text: text.to_owned(),
        is_shell: true,
        is_windows,
        lines: LINES,
    })
}

/// What a shell says of a line of its script, whether or not it goes on.
pub fn complaint(line: &str) -> Option<Message> {
    let (place, number, text) = numbered(line)?;
    let file = Path::new(place).extension().is_some();
    file.then(|| Message {
        file: place.to_owned(),
        line: Some(number),
        text: text.to_owned(),
        is_shell: true,
        is_windows: false,
        lines: 1,
    })
}

/// A line of bash (`FILE: line N: TEXT`) or of dash (`FILE: N: TEXT`).
fn numbered(line: &str) -> Option<(&str, u32, &str)> {
    let (place, rest) = line.split_once(": ")?;
    let rest = rest.strip_prefix("line ").unwrap_or(rest);
    let (number, text) = rest.split_once(": ")?;
    let place = place.trim_start_matches("bash: ");
    (!place.contains(' ') || place.starts_with("./")).then_some((place, number.parse().ok()?, text))
}

/// The kernel found no program of the name in the script's first line.
fn interpreter(line: &str) -> Option<Message> {
    let at =
        line.find(": bad interpreter").or_else(|| line.find(": cannot execute: required file not found"))?;
    let before = &line[..at];
    let file =
        before.split(": ").find(|part| part.starts_with("./") || Path::new(part).extension().is_some())?;
    Some(Message {
        file: file.to_owned(),
        line: Some(1),
        text: "the interpreter that its first line names is not there".to_owned(),
        is_shell: true,
        is_windows: before.contains("^M"),
        lines: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::{complaint, fatal};

    #[test]
    fn a_syntax_error_names_its_script_and_line() {
        let message = fatal("./conductor.sh: line 212: syntax error near unexpected token `fi'").unwrap();
        assert_eq!((message.file.as_str(), message.line), ("./conductor.sh", Some(212)));
        assert_eq!(message.text, "syntax error near unexpected token `fi'");
        assert!(!message.is_windows);
        let message = fatal("./simple_container.sh: 7: Syntax error: \"(\" unexpected").unwrap();
        assert_eq!(message.line, Some(7));
    }

    #[test]
    fn line_ends_of_windows_are_known() {
        assert!(fatal("./setup.sh: line 3: $'\\r': command not found").unwrap().is_windows);
        let text = "bash: ./conductor.sh: /bin/bash^M: bad interpreter: No such file or directory";
        let message = fatal(text).unwrap();
        assert_eq!((message.file.as_str(), message.is_windows), ("./conductor.sh", true));
    }

    #[test]
    fn a_complaint_names_its_script_and_line() {
        let message = complaint("./conductor.sh: line 405: IP_SUBNET: unbound variable").unwrap();
        assert_eq!((message.file.as_str(), message.line), ("./conductor.sh", Some(405)));
        assert_eq!(message.text, "IP_SUBNET: unbound variable");
        assert!(complaint("iptables v1.8.9: 12: no chain").is_none());
    }

    #[test]
    fn a_command_that_is_not_there_does_not_end_a_script() {
        assert!(fatal("./conductor.sh: line 9: unshre: command not found").is_none());
        assert!(fatal("E: line 9 of nothing").is_none());
    }
}
