//! The guest half: runs inside the machine, drives one scenario and writes its records to standard
//! output. The harness starts it:
//!
//! - `drive SCENARIO` reads its job from standard input.
//! - `make-tree` makes a base tree with debootstrap. It reads its job from standard input, too.
//! - `in-world PROGRAM…` runs a program with a world around it and prints the traffic, for tests
//!   and for people. The world's plan comes from standard input.
//! - `machine` and `first` make a machine of namespaces (see [`harness::here`]).
//!
//! Started under the name `debootstrap` or `sleep`, it acts as that program.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use harness::evidence::limits::PACE;
use harness::guest::base_tree;
use harness::guest::fakes::debootstrap::{self, STORE};
use harness::guest::fakes::sleep;
use harness::guest::observe::exhaustion;
use harness::guest::observe::handles;
use harness::guest::observe::speed::Pace;
use harness::guest::pause::Pause;
use harness::guest::recorder::Recorder;
use harness::guest::run::obstructed;
use harness::guest::trust::trust;
use harness::guest::world::World;
use harness::here;
use harness::stage::MOUNTED_AT;
use harness::task::{self, Site};
use harness::wire::{Job, Marked, SPOILT};

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let arguments: Vec<String> = arguments.collect();
    match Path::new(&name).file_name().and_then(OsStr::to_str) {
        Some(debootstrap::NAME) => return debootstrap::main(&arguments),
        Some(sleep::NAME) => return sleep::main(&arguments),
        _ => {}
    }
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["drive", scenario] => drive(scenario),
        ["machine", plan, argv @ ..] => return ended(here::outside(plan, argv)),
        ["first", plan, argv @ ..] => return ended(here::first(plan, argv)),
        ["make-tree"] => make_tree(),
        ["in-world", program, arguments @ ..] => in_world(program, arguments),
        _ => Err(io::Error::other("usage: harness-guest drive SCENARIO | make-tree | in-world PROGRAM…")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let missing = exhaustion::missing();
            match missing {
                Some(path) => eprintln!("harness-guest: {path} was removed or mounted over ({error})"),
                None => eprintln!("harness-guest: {error}"),
            }
            let is_spoilt =
                exhaustion::is_cause_of(&error) || obstructed::is_cause_of(&error) || missing.is_some();
            ExitCode::from(if is_spoilt { SPOILT } else { 1 })
        }
    }
}

/// The exit status of a program that ran in a machine of namespaces.
fn ended(status: io::Result<i32>) -> ExitCode {
    match status {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            eprintln!("harness-guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn drive(scenario: &str) -> io::Result<()> {
    handles::take()?;
    // When memory runs out, the submission's processes go first (proc(5)); they start with 0 again.
    let _ = fs::write(handles::proc("self/oom_score_adj"), "-900");
    let scenario = task::scenarios()
        .into_iter()
        .find(|known| known.id == scenario)
        .ok_or_else(|| io::Error::other(format!("no scenario {scenario:?}")))?;
    let mut job = String::new();
    io::stdin().read_to_string(&mut job)?;
    let job: Job = serde_json::from_str(&job)?;
    let payload = Path::new(MOUNTED_AT);
    // The machine may have more to do than on the day when it was calibrated.
    let slowdown = Pace::begin(job.slowdown);
    let site = Site { submission: writable_copy(payload)?, course: payload.join("course"), slowdown };
    let pause = job.pause.map(|plan| Pause::new(plan, task_folder(&site.submission, scenario.id)));
    let recorder = Recorder::new(Marked::new(io::stdout(), job.token)).pausing(pause);
    // From here on the submission's files are at work, and its programs from the first record
    // `start`: the host tells by these two whose fault an end is.
    recorder.record("begin", &site.submission)?;
    recorder.record(PACE, &slowdown)?;
    let driven = (scenario.drive)(&site, &job.plan, &recorder);
    recorder.end()?;
    driven
}

/// The folder of the scenario's task, or the submission's own if that is gone.
fn task_folder(submission: &Path, scenario: &str) -> PathBuf {
    let folder = submission.join(format!("task{}", scenario.get(..1).unwrap_or_default()));
    if folder.is_dir() { folder } else { submission.to_owned() }
}

fn make_tree() -> io::Result<()> {
    handles::take()?;
    base_tree::make(&serde_json::from_reader(io::stdin())?)
}

/// Runs a program in the machine while there is a world, and the machine's port 3000 is shown to
/// the host; then prints one line of JSON for each thing that passed.
fn in_world(program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut plan = String::new();
    io::stdin().read_to_string(&mut plan)?;
    handles::take()?;
    let started = Instant::now();
    let world = World::start(&serde_json::from_str(&plan)?).map_err(io::Error::other)?;
    world.show_to_host(SocketAddrV4::new(world.plan().machine, 3000));
    eprintln!("the world took {:.3} s", started.elapsed().as_secs_f64());
    trust(Path::new("/"), &world.certificate())?;
    debootstrap::install(Path::new(STORE), world.certificate())?;
    let status = Command::new(program).args(arguments).current_dir("/root").stdin(Stdio::null()).status()?;
    for moment in world.passed() {
        println!("{}", serde_json::to_string(&moment)?);
    }
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{program}: {status}"))) }
}

/// Copies the submission to a folder whose name nothing can know beforehand.
fn writable_copy(payload: &Path) -> io::Result<PathBuf> {
    let home = PathBuf::from(format!("/home/cs695/{:08x}", rand::random::<u32>()));
    fs::create_dir_all(&home)?;
    let copy = home.join("assignment3");
    copy_as_own(&payload.join("submission"), &copy)?;
    Ok(copy)
}

/// Copies a folder with its modes, times and links. The files become those of who copies,
/// whoever made the disk.
fn copy_as_own(from: &Path, to: &Path) -> io::Result<()> {
    let how = ["-dR", "--preserve=mode,timestamps,links"];
    let copied = Command::new("cp").args(how).arg("--").args([from, to]).current_dir("/").output()?;
    if copied.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&copied.stderr);
    Err(io::Error::other(format!("cannot copy the submission: {said}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn a_submission_is_roots_in_the_machine_whoever_made_its_disk() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root to give files away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("run.sh"), "exit").unwrap();
        fs::set_permissions(from.join("run.sh"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("run.sh", from.join("link")).unwrap();
        for path in [&from, &from.join("run.sh")] {
            chown(path, Some(1234), Some(1234)).unwrap();
        }
        copy_as_own(&from, &to).unwrap();
        let facts = fs::metadata(to.join("run.sh")).unwrap();
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (0, 0, 0o750));
        assert_eq!(fs::metadata(&to).unwrap().uid(), 0);
        assert!(fs::symlink_metadata(to.join("link")).unwrap().is_symlink());
    }
}
