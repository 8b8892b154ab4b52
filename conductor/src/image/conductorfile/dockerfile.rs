//! Syntax of Dockerfiles: JSON arrays are supported; everything else is recognised and refused,
//! with the text to write instead.

/// What to write instead of an instruction that only Dockerfiles have.
pub(super) fn remedy(keyword: &str) -> Option<&'static str> {
    Some(match keyword.to_ascii_uppercase().as_str() {
        "ADD" => "COPY copies files and folders",
        "ARG" | "ENV" => "set the variable in the RUN that needs it: RUN NAME=value command",
        "CMD" | "ENTRYPOINT" => "`conductor run IMAGE NAME -- COMMAND` names the command",
        "EXPOSE" => "`conductor addnetwork NAME -e INNER-OUTER` publishes a port",
        "HEALTHCHECK" | "LABEL" | "MAINTAINER" | "STOPSIGNAL" | "VOLUME" => "leave the line out",
        "SHELL" => "name the shell in RUN: RUN [\"/bin/bash\", \"-c\", \"command\"]",
        "USER" => "change the user in the RUN that needs it: RUN su USER -c 'command'",
        "WORKDIR" => "change the folder in the RUN that needs it: RUN cd FOLDER && command",
        _ => return None,
    })
}

/// The strings of a JSON array. `None` if the text is anything else.
pub(super) fn json_words(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// Where a shell command begins a here-document: `<<` and a word, as in `cat <<EOF`. Quoted text,
/// shifts as in `$((a<<b))` and here-strings (`<<<`) do not count.
pub(super) fn here_document(command: &str) -> Option<usize> {
    let mut quote = None;
    let mut characters = command.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some(mark), _) if character == mark => quote = None,
            (None, '"' | '\'') => quote = Some(character),
            (None | Some('"'), '\\') => drop(characters.next()),
            (None, '<') if is_here_document(&command[..at], &command[at..]) => return Some(at),
            _ => {}
        }
    }
    None
}

fn is_here_document(before: &str, rest: &str) -> bool {
    let Some(behind) = rest.strip_prefix("<<") else { return false };
    let word = behind.strip_prefix('-').unwrap_or(behind).trim_start_matches([' ', '\'', '"', '\\']);
    let is_word = word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let in_arithmetic = before.rfind("((").is_some_and(|open| !before[open..].contains("))"));
    is_word && !before.ends_with('<') && !in_arithmetic
}
