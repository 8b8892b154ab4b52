//! Runs `apt` in a container, and builds an image with `apt` in a RUN.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{BuiltWithApt, IMAGE_PROGRAM, IN_IMAGE, Installed, PACKAGE, PROGRAM, PackagesPlan};
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::handles;
use crate::guest::recorder::Recorder;
use crate::guest::run::programs::Programs;
use crate::guest::run::terminal::Program;
use crate::task::Site;
use crate::task::task3::shared;
use crate::task::task3::shared::launch::ToolSession;
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::Machine;

/// Translations are most of what it unpacks; without the error mode, a list that cannot
/// be had is a warning.
const UPDATE: &str = "apt-get -q -o Acquire::Languages=none -o APT::Update::Error-Mode=any update";
/// What asks for every namespace, root and working directory of a process (nsenter(1)).
const INSIDE: [&str; 7] = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];

/// The record kinds are `installed` and the types of [`crate::task::task3::shared`].
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = PackagesPlan::deserialize(plan)?;
    let world = shared::connect(&plan.world)?;
    // Not below /run, from which nothing may be executed.
    let own = || PathBuf::from(format!("/var/lib/{:016x}", rand::random::<u64>()));
    let firewall = Firewall::copy_into(&own())?;
    firewall.set_forward_policy("DROP")?;
    let programs = Programs::copy_into(&own(), &["/usr/bin/nsenter"])?;
    let tool = Tool::prepare(site)?;
    let machine = Machine::now();
    recorder.record("machine", &machine)?;
    let terminals = Terminals::new(recorder).giving_up(&machine.processes);
    let mut session = ToolSession { recorder, terminals, tool: &tool, machine: &machine };
    let performed = perform(&mut session, &programs, &plan);
    drop(session);
    world.record(recorder)?;
    performed
}

fn perform(session: &mut ToolSession, programs: &Programs, plan: &PackagesPlan) -> io::Result<()> {
    let PackagesPlan { image, name, sleep, .. } = plan;
    session.write("build", "Conductorfile", "FROM debian:bookworm\n")?;
    session.call("build", &["build", image, "Conductorfile"], session.tool.limit(240.0, 30.0))?;
    let Some(running) = session.start("box", &["run", image, name], &["sleep", sleep])? else {
        return Ok(());
    };
    session.call("addnetwork", &["addnetwork", name, "-i"], session.tool.limit(20.0, 3.0))?;
    let pid = running.view.main.pid;
    let is_there = || Path::new(&handles::proc(format!("{pid}/root"))).join(PROGRAM).exists();
    let before = is_there();
    let mut words = programs.call("nsenter").to_vec();
    words.push(format!("--target={pid}"));
    let install =
        format!("export DEBIAN_FRONTEND=noninteractive; {UPDATE} && apt-get -q install -y {PACKAGE}");
    words.extend(INSIDE.iter().chain(&["--", "/bin/sh", "-c", &install]).map(|word| (*word).to_owned()));
    session.terminals.run(
        "install",
        &Program::new(Path::new("/"), words),
        session.tool.limit(120.0, 40.0),
    )?;
    session.recorder.record("installed", &Installed { before, after: is_there() })?;
    build_with_apt(session, plan)
}

/// Builds an image in which RUN installs a package, between a COPY and one whose file
/// another RUN rewrites.
fn build_with_apt(session: &mut ToolSession, plan: &PackagesPlan) -> io::Result<()> {
    let PackagesPlan { built, built_name, built_sleep, files: [first, second], text, .. } = plan;
    for file in [first, second] {
        session.write("build-apt", file, &format!("{file}\n"))?;
    }
    let instructions = format!(
        "FROM debian:bookworm\nCOPY {first} /\nRUN apt update && apt install -y {IN_IMAGE}\nCOPY {second} /\nRUN echo {text} > /{second}\n"
    );
    session.write("build-apt", "Conductorfile.apt", &instructions)?;
    let limit = session.tool.limit(120.0, 60.0);
    session.call("build-apt", &["build", built, "Conductorfile.apt"], limit)?;
    let Some(running) = session.start("apt", &["run", built, built_name], &["sleep", built_sleep])? else {
        return Ok(());
    };
    let root = handles::proc(format!("{}/root", running.view.main.pid));
    let at = |path: &str| Path::new(&root).join(path);
    let text = |file: &str| std::fs::read(at(file)).ok().map(|bytes| shown(&bytes));
    let seen =
        BuiltWithApt { installed: at(IMAGE_PROGRAM).exists(), first: text(first), second: text(second) };
    session.recorder.record("built-with-apt", &seen)
}

/// The beginning of a file.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).trim_end().to_owned()
}
