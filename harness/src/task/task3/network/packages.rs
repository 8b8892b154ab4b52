//! Subtasks 3c and 3f: does a container with Internet have all that real programs need? `apt` asks a name server over UDP,
//! fetches by HTTP as a user who is not root, and unpacks.
//!
//! Then an image is built as course staff do: a file copied, `apt` in a RUN, another file copied and rewritten.
//!
//! A scenario of its own, beside the others: `apt` takes longer than all of them on a slow machine. It is started in
//! the container by a copy of the machine's own nsenter(1), not by the submission's `exec`.

use std::io;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evidence::Bundle;
use crate::guest::observe::firewall::Firewall;
use crate::guest::observe::handles;
use crate::guest::recorder::Recorder;
use crate::guest::run::programs::Programs;
use crate::guest::run::terminal::Program;
use crate::guest::world::{Moment, Passed, WorldPlan};
use crate::task::finding::{self, Question};
use crate::task::task3::shared::command::Command;
use crate::task::task3::shared::launch::ToolSession;
use crate::task::task3::shared::terminals::Terminals;
use crate::task::task3::shared::timeline::{Timeline, quote};
use crate::task::task3::shared::tokens;
use crate::task::task3::shared::tool::Tool;
use crate::task::task3::shared::view::{ContainerView, Machine};
use crate::task::{self, Budget, CheckSpec, Scenario, Site};
use crate::verdict::{Finding, Status};

pub const CHECK: CheckSpec = CheckSpec {
    id: "3c/packages",
    title: "apt in a container with -i",
    requirement: "If the option -i or --internet is specified the script should allow for the applications running \
                  inside the container to access the Internet.",
    hint: "`apt update` in a container with -i: which name server does the container's /etc/resolv.conf name, and do \
           UDP packets get there and back?",
    informational: false,
};

/// What RUN needs of the network, for 3f.
pub const IMAGE_CHECK: CheckSpec = CheckSpec {
    id: "3f/packages",
    title: "apt in a RUN",
    requirement: "extend your tool to support RUN instruction just like Dockerfile",
    hint: "`RUN apt update && apt install -y htop`, with a COPY before it and one after it: what is in a container of the \
           image?",
    informational: true,
};

/// Installs a package in a container, and one in an image.
pub static SCENARIO: Scenario =
    Scenario { id: "3-packages", budget: Budget { fixed: 420, scaled: 120 }, plan, drive };

/// A small package without dependencies but the C library, and the program it brings.
pub const PACKAGE: &str = "hello";
const PROGRAM: &str = "usr/bin/hello";
/// What course staff install in an image.
const IN_IMAGE: &str = "htop";
const IMAGE_PROGRAM: &str = "usr/bin/htop";
/// Translations are most of what it unpacks; without the error mode, a list that cannot be had is a warning.
const UPDATE: &str = "apt-get -q -o Acquire::Languages=none -o APT::Update::Error-Mode=any update";
/// What asks for every namespace, root and working directory of a process (nsenter(1)).
const INSIDE: [&str; 7] = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];

/// The names of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PackagesPlan {
    world: WorldPlan,
    image: String,
    name: String,
    #[serde(alias = "nap")]
    sleep: String,
    /// What is built with `apt`, and a container of it.
    #[serde(default)]
    built: String,
    #[serde(default)]
    built_name: String,
    #[serde(default, alias = "built_nap")]
    built_sleep: String,
    /// Files that are copied to `/`, and the text that a RUN gives the second one.
    #[serde(default)]
    files: [String; 2],
    #[serde(default)]
    text: String,
}

/// Whether the package's program is in the container; the record `installed`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Installed {
    before: bool,
    after: bool,
}

/// What a container of the image shows that was built with `apt`; the record `built-with-apt`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct BuiltWithApt {
    installed: bool,
    /// The texts of the copied files.
    first: Option<String>,
    second: Option<String>,
}

fn plan(random: &mut StdRng) -> Value {
    json!(PackagesPlan {
        world: WorldPlan::draw(random),
        image: tokens::name(random, '-'),
        name: tokens::name(random, '-'),
        sleep: tokens::sleep_seconds(random),
        built: tokens::name(random, '_'),
        built_name: tokens::name(random, '_'),
        built_sleep: tokens::sleep_seconds(random),
        files: std::array::from_fn(|_| tokens::token(random)),
        text: tokens::token(random),
    })
}

/// The record kinds are `installed` and the types of [`crate::task::task3::shared`].
fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let plan = PackagesPlan::deserialize(plan)?;
    let world = task::task3::shared::connect(&plan.world)?;
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

/// Builds an image in which RUN installs a package, between a COPY and one whose file another RUN rewrites.
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

/// `internet` is whether it reaches a server there at all.
pub fn packages(bundle: &Bundle, internet: &Finding) -> Finding {
    let question = Question::new(
        CHECK.id,
        format!("`apt-get update` and `apt-get install {PACKAGE}` work in a container with -i"),
    );
    let recording = match finding::recording(bundle, SCENARIO.id, &[CHECK]) {
        Ok(recording) => recording,
        Err(errors) => return errors.into_iter().next().unwrap_or_else(|| question.skip("nothing was seen")),
    };
    let timeline = Timeline::of(recording);
    let (Some(installed), Some(command)) =
        (timeline.all::<Installed>("installed").pop(), timeline.at::<Command>("command", "install"))
    else {
        let why = timeline.why_unbuilt().map(|why| format!("no image: {why}"));
        return timeline.missing(question, why.unwrap_or_else(|| timeline.why_absent("box")));
    };
    let question = question.proof(&command.place).proof(&installed.place);
    let Installed { before, after } = installed.value;
    if after && !before && command.value.succeeded() {
        return question.pass(format!("{PACKAGE} was installed"));
    }
    if let Some(path) = unfetched(timeline) {
        return question.error(format!("the grader could not get {path} from a mirror"));
    }
    if internet.status != Status::Pass {
        return timeline.missing(question, "this check needs 3c/internet");
    }
    let view = timeline.at::<ContainerView>("container", "box").map(|seen| seen.value).unwrap_or_default();
    if view.root_mode & 0o5 != 0o5 {
        return timeline.missing(question, "apt's own user may not enter the root: see 3a/root-mode-755");
    }
    if !view.dev.missing.is_empty() {
        return timeline.missing(question, "apt needs devices: see 3a/proc-sys-dev");
    }
    let Command { stopped, screen, seconds, .. } = &command.value;
    let how = match stopped {
        Some(_) => format!("they did not end within {seconds:.0} s"),
        None if command.value.succeeded() => format!("they said that all is well, without /{PROGRAM}"),
        None => "they failed".to_owned(),
    };
    question.fail(format!("{how}{}", quote(screen)))
}

/// `3f/packages`: what a container of the image shows that was built with `apt`.
pub fn packages_in_image(bundle: &Bundle) -> Finding {
    let question = Question::new(
        IMAGE_CHECK.id,
        format!(
            "RUN installs {IN_IMAGE}; both copied files are there, and a later RUN rewrote the second one"
        ),
    );
    let Some(recording) = bundle.recordings.get(SCENARIO.id) else {
        return question.skip(format!("the scenario {} was not run", SCENARIO.id));
    };
    let timeline = Timeline::of(recording);
    let Some(plan) = timeline.plan::<PackagesPlan>().filter(|plan| !plan.built.is_empty()) else {
        return question.skip("the evidence is older than this check: grade the submission again");
    };
    let Some(build) = timeline.at::<Command>("command", "build-apt") else {
        return timeline.missing(question, "the image was not built: see 3c/packages");
    };
    let question = question.proof(build.place);
    let Some(seen) = timeline.all::<BuiltWithApt>("built-with-apt").pop() else {
        if let Some(path) = unfetched(timeline) {
            return question.skip(format!("the grader could not get {path} from a mirror"));
        }
        let why = timeline.why_failed("build-apt").unwrap_or_else(|| timeline.why_absent("apt"));
        return question.fail(why);
    };
    let question = question.proof(seen.place);
    let BuiltWithApt { installed, first, second } = seen.value;
    if !installed {
        return question.fail(format!("there is no /{IMAGE_PROGRAM}"));
    }
    if first.as_ref() != Some(&plan.files[0]) {
        return question.fail(format!("the first copied file has the text {first:?}"));
    }
    question
        .answer(second.as_ref() == Some(&plan.text), format!("the rewritten file has the text {second:?}"))
}

/// The path that our own package cache had to refuse.
fn unfetched(timeline: Timeline) -> Option<String> {
    let moments = timeline.all::<Moment>("world");
    moments.into_iter().find_map(|seen| match seen.value.passed {
        Passed::Http { packages: true, status: 502..=504, path, .. } => Some(path),
        _ => None,
    })
}
