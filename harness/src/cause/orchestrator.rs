//! The first error messages on the terminal of task 4's script. It calls the conductor many times,
//! so the last lines seldom show what went wrong first.
//!
//! The messages are recognised by their words. Nothing tells the status of each call, because the
//! script alone sees it.

use serde::Deserialize;

use super::{WINDOWS, cut, shell};
use crate::evidence::{Recording, place};
use crate::submission::Layout;
use crate::task::task4::{self, SCRIPT, Settled, Why, without_prompt};
use crate::task::transcript;
use crate::terminals::{self, Session};
use crate::verdict::Cause;

/// Words of error messages.
const WORDS: [&str; 20] = [
    "abort",
    "aborted",
    "cannot",
    "can't",
    "couldn't",
    "denied",
    "error",
    "expired",
    "failed",
    "failure",
    "fatal",
    "invalid",
    "refused",
    "traceback",
    "unable",
    "unbound",
    "unknown",
    "unrecognized",
    "unreachable",
    "usage",
];
/// The same in several words.
const PHRASES: [&str; 8] = [
    "already exists",
    "could not",
    "no route",
    "no space",
    "no such",
    "not exist",
    "not found",
    "unexpected end",
];
/// Lines that apt, dpkg and Flask write in containers where all is well.
const HARMLESS: [&str; 7] =
    ["/dev/pts", "debconf:", "dpkg-preconfigure:", "invoke-rc.d:", "locale:", "perl:", "warning"];
/// So many messages are quoted, and so much of each.
const MOST: usize = 6;
const LONGEST: usize = 200;
/// Most of the terminal that is read.
const TEXT_CAP: usize = 1 << 20;

/// The cause, without checks: nothing where the page counted in the first run, or the terminal
/// shows no error message.
pub fn first_errors(recording: &Recording, layout: Option<&Layout>) -> Option<Cause> {
    let (index, settled) = recording.records.iter().enumerate().find_map(|(index, record)| {
        let settled = (record.kind == "settled").then(|| Settled::deserialize(&record.data).ok());
        Some((index, settled??))
    })?;
    if recording.scenario != task4::SCENARIO.id || settled.why == Why::Counts {
        return None;
    }
    let sessions = terminals::sessions(recording);
    let messages = messages(&shown(sessions.first()?, index));
    let first = messages.first()?;
    let how = match settled.status {
        Some(status) => format!("ended with status {status}"),
        None => "stayed in the foreground".to_owned(),
    };
    let complaint = shell::complaint(first);
    let (file, line) = complaint.map_or((None, None), |message| (Some(message.file), message.line));
    let of_windows = layout
        .into_iter()
        .flat_map(|layout| &layout.files)
        .find(|file| file.crlf && ["task4/csfile", "task4/esfile"].contains(&file.path.as_str()));
    let hint = match of_windows {
        Some(file) => format!("{} has line ends of Windows (CRLF). {WINDOWS}", file.path),
        None => {
            "Run the steps of the script by hand, in its folder, up to the one that shows the first message: \
                 later ones often follow from it."
                .to_owned()
        }
    };
    Some(Cause {
        what: format!("`{SCRIPT}` {how}. The first error message on its terminal was \"{first}\"."),
        quote: cut(&messages.join("\n")),
        hint,
        evidence: vec![place::of(recording, index)],
        file,
        line,
        ..Cause::default()
    })
}

/// What a terminal showed before a record.
fn shown(session: &Session, before: usize) -> String {
    let mut text = String::new();
    for piece in session.pieces.iter().take_while(|piece| piece.record < before) {
        if text.len() > TEXT_CAP {
            break;
        }
        text.push_str(piece.text);
    }
    transcript::without_escapes(&text)
}

/// The error messages in a text, each kind once.
fn messages(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let letters = |line: &str| line.chars().filter(|char| char.is_alphabetic()).collect::<String>();
    for line in text.split('\n') {
        // A progress bar writes over its own line.
        let line = without_prompt(line.trim_end().rsplit('\r').next().unwrap_or_default()).trim();
        let line: String = line.chars().take(LONGEST).collect();
        if is_error(&line) && found.iter().all(|other| letters(other) != letters(&line)) {
            found.push(line);
            if found.len() == MOST {
                break;
            }
        }
    }
    found
}

fn is_error(line: &str) -> bool {
    let line = line.to_lowercase();
    if line.starts_with("w: ") || HARMLESS.iter().any(|harmless| line.contains(harmless)) {
        return false;
    }
    // `liberror-perl` is the name of a package.
    let ends = |char: char| !char.is_alphanumeric() && !"-_'/".contains(char);
    line.starts_with("e: ")
        || PHRASES.iter().any(|phrase| line.contains(phrase))
        || line.split(ends).any(|word| WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::messages;

    #[test]
    fn the_first_error_comes_before_those_that_follow_from_it() {
        let screen = "[status 0]# ./service-orchestrator.sh\r\nCS695 Conductor\r\ncsfile not found\r\n\
                      CS695 Conductor\r\nImage cs-image not found\r\n\
                      [status 0]# Container es-cont not found\r\n";
        assert_eq!(
            messages(screen),
            ["csfile not found", "Image cs-image not found", "Container es-cont not found"]
        );
    }

    #[test]
    fn a_line_that_was_written_over_and_its_repetitions_are_one_message() {
        let screen = "0%\rReading... Done\r\nDo you want to continue? [Y/n] Abort.\r\n\
                      [10:01] ERROR in app: refused\r\n[10:02] ERROR in app: refused\r\n";
        assert_eq!(
            messages(screen),
            ["Do you want to continue? [Y/n] Abort.", "[10:01] ERROR in app: refused"]
        );
    }

    #[test]
    fn a_build_that_works_shows_none() {
        let screen = "I: Base system installed successfully.\r\n\
                      E: Can not write log (Is /dev/pts mounted?) - posix_openpt (19: No such device)\r\n\
                      debconf: unable to initialize frontend: Dialog\r\n\
                      invoke-rc.d: could not determine current runlevel\r\n\
                      W: Download is performed unsandboxed as file couldn't be accessed\r\n\
                      \x20 liberror-perl libgpg-error-l10n python3-exceptiongroup\r\n\
                      Setting up libgpg-error0:amd64 (1.46-1) ...\r\n\
                      WARNING: This is a development server. Do not use it in a production deployment.\r\n\
                      g++ -O2 -Wall -o counter-service main.cpp\r\n\
                      listening on port 8080, 1 thread\r\n";
        assert_eq!(messages(screen), Vec::<String>::new());
    }
}
