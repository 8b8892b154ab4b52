//! `harness show`: a sample session of the assignment beside the session of an earlier run.

use harness::bundle;
use harness::report::sessions;
use harness::say;
use harness::task::session::{self, Session, told};

use super::{Failure, Status};
use crate::cli::Show;

/// Shows one session, or lists all sessions of the run.
pub fn run(arguments: &Show) -> Result<Status, Failure> {
    let bundle = bundle::read(&arguments.report).map_err(Failure::unreadable)?;
    let sessions = session::all(&bundle);
    let Some(check) = &arguments.check else {
        list(&sessions);
        super::printed()?;
        return Ok(Status::Good);
    };
    let Some(session) = sessions.iter().find(|session| session.check == *check) else {
        let there: Vec<&str> = sessions.iter().map(|session| session.check.as_str()).collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        return Err(Failure::unreadable(format!(
            "{} has no sample session {check:?}; it has {there}",
            arguments.report.display()
        )));
    };
    say::styled(&sessions::render(session, super::width()));
    super::printed()?;
    Ok(Status::Good)
}

fn list(sessions: &[Session]) {
    if sessions.is_empty() {
        say!("this run recorded no sample session");
    }
    for session in sessions {
        say!("{:<14}  {}", session.check, told(session));
    }
}
