//! Types the assignment's sample session of 3c: the shell of a container lists its interfaces
//! before and after `addnetwork`, and pings the machine.
//!
//! It runs last, so that it cannot disturb a check that carries marks.

use std::io;
use std::net::Ipv4Addr;

use super::marks::machine_end;
use crate::guest::observe::links;
use crate::guest::observe::probe::Place;
use crate::guest::run::terminal::Program;
use crate::task::task3::shared::launch::{Running, ToolSession};

/// How many answers a person waits for before Ctrl-C.
const ANSWERS: usize = 2;

/// Both sides of the session, in a container of this name.
///
/// # Errors
/// When the channel is gone.
pub fn connect(session: &mut ToolSession, image: &str, name: &str) -> io::Result<()> {
    let words = ["run", image, name];
    if let Some(shell) = session.start_shell("session", &words)? {
        session.keep_start("session-run", shell.terminal, &words)?;
        session.say("session-ip-before", shell.terminal, "ip a")?;
        session.call("session-addnetwork", &["addnetwork", name], session.tool.limit(20.0, 3.0))?;
        session.say("session-ip-after", shell.terminal, "ip a")?;
        if let Some(gateway) = gateway(&shell) {
            let line = format!("ping {gateway}");
            session.say_until("session-ping", shell.terminal, &line, ("bytes from", ANSWERS))?;
        }
        let on_machine = Program::new(&session.tool.dir, ["/usr/bin/env", "ip", "a"]);
        session.terminals.run("session-ip-machine", &on_machine, session.tool.limit(5.0, 1.0))?;
        session.leave("session-exit", shell.terminal, session.tool.limit(5.0, 2.0))?;
    }
    session.call("stop-session", &["stop", name], session.tool.limit(15.0, 3.0)).map(drop)
}

/// The machine's address in the container's network.
fn gateway(shell: &Running) -> Option<Ipv4Addr> {
    let inside = Place::Process(shell.view.main.pid).run(links::here).ok()?;
    let machine = links::here().ok()?;
    machine_end(&inside, &machine).map(|address| address.ip)
}
