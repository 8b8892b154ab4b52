//! `run` with `stop`, and `exec`.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use crate::images::Podman;
use crate::measure::{Contender, Trouble, command, compare, finish};
use crate::place::{Place, Places, Sleepers, text_of};
use crate::report::{Bound, Report};

const ROUNDS: usize = 40;
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a container on a new overlay and removes it.
pub fn run(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    let title = "run of /bin/true on a fresh overlay, and tear-down";
    let task = compare(title, ROUNDS, LIMIT, places.contenders(runners)?);
    report.bounds.push(Bound::between(&task, "conductor", "crun", 0.7));
    report.bounds.push(Bound::between(&task, "conductor", "floor", 2.0));
    report.tasks.push(task);
    Ok(())
}

fn runners(place: &Place) -> Result<Vec<Contender<'_>>, Trouble> {
    let state = place.state("run")?;
    state.build_base()?;
    let bash_state = state.clone();
    let podman = Podman::new(place);
    Ok(vec![
        place.contender("floor", |round| {
            let dir = place.path(&format!("floor-run-{round}"));
            let mut floor = place.floor(&["run", text_of(&place.base()), text_of(&dir), "/bin/true"]);
            place.time(|| finish(&mut floor))
        }),
        place.contender("conductor", move |round| {
            let name = format!("c{round}");
            place.time(|| {
                finish(&mut state.conductor(&["-q", "run", "img", &name, "--", "/bin/true"]))?;
                finish(&mut state.conductor(&["-q", "stop", &name]))
            })
        }),
        place.contender("bubblewrap", |round| {
            with_overlay(place, &format!("bwrap-{round}"), |root, _| {
                let words = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--bind"];
                let mut bwrap = command("bwrap", &words);
                bwrap.arg(root).args(["/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]);
                finish(&mut bwrap)
            })
        }),
        place.contender("crun", |round| {
            let name = format!("crun-{round}");
            with_overlay(place, &name, |root, bundle| {
                bundle_for(root, bundle, &["/bin/true"])?;
                finish(&mut crun(place, &["run", "-b", text_of(bundle), &name]))
            })
        }),
        place.contender("runc", |round| {
            let name = format!("runc-{round}");
            with_overlay(place, &name, |root, bundle| {
                bundle_for(root, bundle, &["/bin/true"])?;
                finish(&mut runc(place, &["run", "-b", text_of(bundle), &name]))
            })
        }),
        place.contender("bash tool", move |round| {
            let name = format!("b{round}");
            place.time(|| {
                finish(&mut bash_state.bash(&["run", "img", &name, "--", "/bin/true"]))?;
                finish(&mut bash_state.bash(&["stop", &name]))
            })
        }),
        place.contender("podman", move |_| {
            podman.ready()?;
            place.time(|| finish(&mut podman.run("localhost/base")))
        }),
    ])
}

/// Runs a process in a running container.
pub fn exec(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    let sleepers = RefCell::default();
    let title = "exec of /bin/true in a running container";
    let contenders = places.contenders(|place| entrants(place, &mut sleepers.borrow_mut()))?;
    let task = compare(title, ROUNDS, LIMIT, contenders);
    report.bounds.push(Bound::between(&task, "conductor", "floor", 1.6));
    report.tasks.push(task);
    sleepers.into_inner().end()
}

fn entrants<'a>(place: &'a Place, sleepers: &mut Sleepers) -> Result<Vec<Contender<'a>>, Trouble> {
    let state = place.state("exec")?;
    state.build_base()?;
    let bash_state = place.state("exec-bash")?;
    bash_state.build_base()?;
    let run = state.conductor(&["-q", "run", "img", "c", "--", "sleep", "9999"]);
    let check = || state.conductor(&["-q", "exec", "c", "--", "/bin/true"]);
    sleepers.start(run, check, state.conductor(&["-q", "stop", "c"]))?;
    let run = bash_state.bash(&["run", "img", "b", "--", "sleep", "9999"]);
    let check = || bash_state.bash(&["exec", "b", "--", "/bin/true"]);
    sleepers.start(run, check, bash_state.bash(&["stop", "b"]))?;
    let pid = state.first_pid("c")?;
    let same_pid = pid.clone();

    let root = overlay(place, "crun-exec")?;
    let bundle = place.path("crun-exec");
    bundle_for(&root, &bundle, &["/bin/sleep", "9999"])?;
    let check = || crun(place, &["exec", "held", "/bin/true"]);
    let end = crun(place, &["delete", "--force", "held"]);
    let crun_ready = sleepers
        .start(crun(place, &["run", "-b", text_of(&bundle), "held"]), check, end)
        .map_err(|trouble| trouble.to_string());

    Ok(vec![
        place.contender("floor", move |_| {
            place.time(|| finish(&mut place.floor(&["exec", &pid, "/bin/true"])))
        }),
        place.contender("conductor", move |_| {
            place.time(|| finish(&mut state.conductor(&["-q", "exec", "c", "--", "/bin/true"])))
        }),
        place.contender("nsenter", move |_| {
            let words = ["-t", &same_pid, "-m", "-u", "-i", "-n", "-p", "-r", "/bin/true"];
            place.time(|| finish(&mut command("nsenter", &words)))
        }),
        place.contender("crun", move |_| {
            crun_ready.clone()?;
            place.time(|| finish(&mut crun(place, &["exec", "held", "/bin/true"])))
        }),
        place.contender("bash tool", move |_| {
            place.time(|| finish(&mut bash_state.bash(&["exec", "b", "--", "/bin/true"])))
        }),
    ])
}

/// A new overlay over the base system, like `conductor` mounts it. Its folder can hold a bundle.
fn overlay(place: &Place, name: &str) -> Result<PathBuf, Trouble> {
    let folder = place.path(name);
    for part in ["upper", "work", "rootfs"] {
        fs::create_dir_all(folder.join(part))?;
    }
    let root = folder.join("rootfs");
    let options = format!(
        "lowerdir={},upperdir={},workdir={},volatile",
        place.base().display(),
        folder.join("upper").display(),
        folder.join("work").display()
    );
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(&*options))?;
    Ok(root)
}

/// Times a tool that has no overlay of its own, together with the overlay.
fn with_overlay(
    place: &Place,
    name: &str,
    peer: impl FnOnce(&Path, &Path) -> Result<(), Trouble>,
) -> Result<Duration, Trouble> {
    let folder = place.path(name);
    place.time(|| {
        let root = overlay(place, name)?;
        let done = peer(&root, &folder);
        umount2(&root, MntFlags::empty())?;
        for file in ["config.json", "work/work/incompat/volatile/dirty"] {
            let _ = fs::remove_file(folder.join(file));
        }
        for part in
            ["work/work/incompat/volatile", "work/work/incompat", "work/work", "work", "upper", "rootfs", ""]
        {
            // The files in the upper directory stay: the next overlay has another name.
            let _ = fs::remove_dir(folder.join(part));
        }
        done
    })
}

fn crun(place: &Place, arguments: &[&str]) -> std::process::Command {
    let root = place.path("crun-state");
    let mut crun = command("crun", &["--cgroup-manager=disabled", "--root", text_of(&root)]);
    crun.args(arguments);
    crun
}

fn runc(place: &Place, arguments: &[&str]) -> std::process::Command {
    let root = place.path("runc-state");
    let mut runc = command("runc", &["--root", text_of(&root)]);
    runc.args(arguments);
    runc
}

/// Writes a bundle's configuration with the same five namespaces, /proc, /sys and a /dev.
fn bundle_for(root: &Path, bundle: &Path, argv: &[&str]) -> Result<(), Trouble> {
    let namespaces: Vec<Value> =
        ["pid", "network", "ipc", "uts", "mount"].iter().map(|kind| json!({ "type": kind })).collect();
    let mount = |at: &str, kind: &str, options: &[&str]| json!({ "destination": at, "type": kind, "source": kind, "options": options });
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": argv,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
        },
        "root": { "path": root, "readonly": false },
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev"]),
        ],
        "linux": { "namespaces": namespaces },
    });
    Ok(fs::write(bundle.join("config.json"), config.to_string())?)
}
