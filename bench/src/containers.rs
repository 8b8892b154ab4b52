//! `run` with `stop`, and `exec`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};

use crate::images::Podman;
use crate::measure::{Contender, Trouble, command, compare, finish, time};
use crate::place::{Place, start, text_of, wait_for};
use crate::report::{Bound, Report};

const ROUNDS: usize = 40;
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a container on a new overlay and removes it.
pub fn run(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let state = place.state("run")?;
    state.build_base()?;
    let podman = Podman::new(place);
    let task = compare(
        "run of /bin/true on a fresh overlay, and tear-down",
        ROUNDS,
        LIMIT,
        vec![
            Contender::new("floor", |round| {
                let dir = place.path(&format!("floor-run-{round}"));
                let mut floor = place.floor(&["run", text_of(&place.base()), text_of(&dir), "/bin/true"]);
                time(|| finish(&mut floor))
            }),
            Contender::new("conductor", |round| {
                let name = format!("c{round}");
                time(|| {
                    finish(&mut state.conductor(&["-q", "run", "img", &name, "--", "/bin/true"]))?;
                    finish(&mut state.conductor(&["-q", "stop", &name]))
                })
            }),
            Contender::new("bubblewrap", |round| {
                with_overlay(place, &format!("bwrap-{round}"), |root, _| {
                    let words =
                        ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--bind"];
                    let mut bwrap = command("bwrap", &words);
                    bwrap.arg(root).args(["/", "--proc", "/proc", "--dev", "/dev", "/bin/true"]);
                    finish(&mut bwrap)
                })
            }),
            Contender::new("crun", |round| {
                let name = format!("crun-{round}");
                with_overlay(place, &name, |root, bundle| {
                    bundle_for(root, bundle, &["/bin/true"])?;
                    finish(&mut crun(place, &["run", "-b", text_of(bundle), &name]))
                })
            }),
            Contender::new("runc", |round| {
                let name = format!("runc-{round}");
                with_overlay(place, &name, |root, bundle| {
                    bundle_for(root, bundle, &["/bin/true"])?;
                    finish(&mut runc(place, &["run", "-b", text_of(bundle), &name]))
                })
            }),
            Contender::new("bash tool", |round| {
                let name = format!("b{round}");
                time(|| {
                    finish(&mut state.bash(&["run", "img", &name, "--", "/bin/true"]))?;
                    finish(&mut state.bash(&["stop", &name]))
                })
            }),
            Contender::new("podman", |_| {
                podman.ready()?;
                let words = ["--network", "none", "localhost/base", "/bin/true"];
                time(|| finish(podman.podman(&["run", "--rm", "--cgroups=disabled"]).args(words)))
            }),
        ],
    );
    report.bounds.push(Bound::between(&task, "conductor", "crun", 0.7));
    report.bounds.push(Bound::between(&task, "conductor", "floor", 2.0));
    report.tasks.push(task);
    Ok(())
}

/// Runs a process in a running container.
pub fn exec(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let state = place.state("exec")?;
    state.build_base()?;
    let bash_state = place.state("exec-bash")?;
    bash_state.build_base()?;
    let mut sleeping = start(state.conductor(&["-q", "run", "img", "c", "--", "sleep", "9999"]), || {
        state.conductor(&["-q", "exec", "c", "--", "/bin/true"])
    })?;
    let bash_run = bash_state.bash(&["run", "img", "b", "--", "sleep", "9999"]);
    let mut bash_sleeping = start(bash_run, || bash_state.bash(&["exec", "b", "--", "/bin/true"]))?;
    let pid = state.first_pid("c")?;

    let root = overlay(place, "crun-exec")?;
    let bundle = place.path("crun-exec");
    bundle_for(&root, &bundle, &["/bin/sleep", "9999"])?;
    let held =
        crun(place, &["run", "-b", text_of(&bundle), "held"]).stderr(std::process::Stdio::null()).spawn();
    let crun_ready = wait_for(|| finish(&mut crun(place, &["exec", "held", "/bin/true"])));

    let task = compare(
        "exec of /bin/true in a running container",
        ROUNDS,
        LIMIT,
        vec![
            Contender::new("floor", |_| time(|| finish(&mut place.floor(&["exec", &pid, "/bin/true"])))),
            Contender::new("conductor", |_| {
                time(|| finish(&mut state.conductor(&["-q", "exec", "c", "--", "/bin/true"])))
            }),
            Contender::new("nsenter", |_| {
                let words = ["-t", &pid, "-m", "-u", "-i", "-n", "-p", "-r", "/bin/true"];
                time(|| finish(&mut command("nsenter", &words)))
            }),
            Contender::new("crun", |_| {
                crun_ready.as_ref().map_err(ToString::to_string)?;
                time(|| finish(&mut crun(place, &["exec", "held", "/bin/true"])))
            }),
            Contender::new("bash tool", |_| {
                time(|| finish(&mut bash_state.bash(&["exec", "b", "--", "/bin/true"])))
            }),
        ],
    );
    report.bounds.push(Bound::between(&task, "conductor", "floor", 1.6));
    report.tasks.push(task);

    finish(&mut state.conductor(&["-q", "stop", "c"]))?;
    finish(&mut bash_state.bash(&["stop", "b"]))?;
    let _ = finish(&mut crun(place, &["delete", "--force", "held"]));
    if let Ok(mut held) = held {
        held.wait()?;
    }
    sleeping.wait()?;
    bash_sleeping.wait()?;
    Ok(())
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
    time(|| {
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
