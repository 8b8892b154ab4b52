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

/// Where a shell command begins a here-document: `<<` and a word, as in `cat <<EOF`. Shifts as in
/// `$((a<<b))` and here-strings (`<<<`) do not count.
pub(super) fn here_document(command: &str) -> Option<usize> {
    command.match_indices("<<").map(|(at, _)| at).find(|at| {
        let (before, behind) = (&command[..*at], &command[at + 2..]);
        let word = behind.strip_prefix('-').unwrap_or(behind).trim_start_matches([' ', '\'', '"', '\\']);
        let is_word = word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let in_arithmetic = before.rfind("((").is_some_and(|open| !before[open..].contains("))"));
        is_word && !before.ends_with('<') && !in_arithmetic
    })
}
