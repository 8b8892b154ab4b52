//! Errors of gcc and of the linker.

use std::path::Path;

use super::message::Message;

/// How many lines gcc shows for one error: the message, the source line and the marker below it.
const LINES: usize = 3;

/// What a line says of an error, such as `namespace_prog.c:79:5: error: expected ‘;’`.
pub fn error(line: &str) -> Option<Message> {
    let (place, text) = line.split_once(" error: ")?;
    let place = place.trim_end().trim_end_matches("fatal").trim_end().trim_end_matches(':');
    let mut parts = place.rsplitn(3, ':');
    let (column, number, file) = (parts.next()?, parts.next()?, parts.next()?);
    column.parse::<u32>().ok()?;
    let is_source = Path::new(file).extension().is_some_and(|extension| extension == "c" || extension == "h");
    let line = is_source.then(|| number.parse().ok()).flatten()?;
    Some(Message {
        file: file.to_owned(),
        line: Some(line),
        text: text.to_owned(),
        is_shell: false,
        is_windows: false,
        lines: LINES,
    })
}

#[cfg(test)]
mod tests {
    use super::error;

    #[test]
    fn an_error_of_gcc_names_its_file_and_line() {
        let message = error("namespace_prog.c:79:5: error: expected ‘,’ or ‘;’ before ‘prctl’").unwrap();
        assert_eq!((message.file.as_str(), message.line), ("namespace_prog.c", Some(79)));
        assert_eq!(message.text, "expected ‘,’ or ‘;’ before ‘prctl’");
        let message = error("a.c:1:10: fatal error: no.h: No such file or directory").unwrap();
        assert_eq!((message.line, message.text.as_str()), (Some(1), "no.h: No such file or directory"));
    }

    #[test]
    fn a_warning_and_a_line_of_a_program_are_no_errors() {
        assert!(error("a.c:3:1: warning: unused variable").is_none());
        assert!(error("12:30:01 error: refused").is_none());
    }
}
