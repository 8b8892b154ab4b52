//! Compiles `namespace_prog.c` and runs it under a tracer.

use std::io;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::left::Others;
use super::{Born, Called, Compiled, Ended, Exiting, Machine, NamespacePlan};
use crate::evidence::program::End;
use crate::guest::observe::hostname;
use crate::guest::observe::processes;
use crate::guest::observe::speed::Pace;
use crate::guest::observe::trace::{Tracer, What};
use crate::guest::recorder::Recorder;
use crate::guest::run::session::{self, Limits, Observation};
use crate::guest::run::terminal::Program;
use crate::task::Site;

/// What an output needs to get through a terminal.
const SETTLE: Duration = Duration::from_millis(15);

/// The machine's name in this run.
pub fn plan(random: &mut StdRng) -> Value {
    json!(NamespacePlan { hostname: format!("host-{:08x}", random.random::<u32>()) })
}

/// The record kinds are the types of the parent module.
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let dir = site.submission.join("task1");
    nix::unistd::sethostname(NamespacePlan::deserialize(plan)?.hostname)?;
    let hostname = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    recorder.record("machine", &Machine { hostname, namespaces: processes::own().namespaces })?;
    let slowdown = Pace::first().slowdown(site.slowdown);
    if compile(&dir, slowdown, recorder)? {
        let limits =
            Limits { time: Duration::from_secs_f64(10.0 + slowdown), output: 256 << 10, processes: 200 };
        let program = Program::new(&dir, ["./namespace_prog"]);
        let before = Others::now();
        let mut outcome =
            session::run(&program, Tracer::new(true), &[], limits, recorder, &mut |session, view| {
                observe(session, &view)
            })?;
        if outcome.stopped.is_none() && outcome.left.is_empty() {
            outcome.left = before.untraced(&dir.join("namespace_prog"));
        }
        recorder.record("outcome", &outcome)?;
    }
    Ok(())
}

fn compile(dir: &Path, slowdown: f64, recorder: &Recorder) -> io::Result<bool> {
    let limits =
        Limits { time: Duration::from_secs_f64(5.0 + 2.0 * slowdown), output: 64 << 10, processes: 100 };
    let gcc = Program::new(dir, ["/usr/bin/gcc", "-o", "namespace_prog", "namespace_prog.c"]);
    let _ = std::fs::remove_file(dir.join("namespace_prog"));
    let outcome = session::run(&gcc, Tracer::new(false), &[], limits, recorder, &mut |_, _| Ok(()))?;
    let ok = outcome.end == Some(End::Status(0)) && dir.join("namespace_prog").exists();
    recorder.record("compiled", &Compiled { ok, outcome })?;
    Ok(ok)
}

fn observe(session: &mut session::SessionHandle, view: &Observation) -> io::Result<()> {
    let Observation::Event(event) = view else { return Ok(()) };
    if matches!(&event.what, What::Called(call) if call.name == "setns") {
        // What its caller printed before belongs to the namespaces before.
        session.hear(SETTLE)?;
    }
    let recorder = session.recorder;
    if let What::Ended(end) = event.what {
        return recorder.record("ended", &Ended { pid: event.pid, end });
    }
    let Some(process) = processes::read(event.pid) else { return Ok(()) };
    let hostname = hostname::of(event.pid);
    match &event.what {
        What::Born { creator } => recorder.record("born", &Born { creator: *creator, process, hostname }),
        What::Called(call) => recorder.record("called", &Called { call: call.clone(), process, hostname }),
        What::Exiting => recorder.record("exiting", &Exiting { process, hostname }),
        What::Executed | What::Ended(_) => Ok(()),
    }
}
