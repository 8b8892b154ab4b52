//! A container on an overlay of an image's layers. Its root directory has the name that the
//! submission's own commands use, and its first process's PID is in a file.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, chroot, fork};

use super::commands::{Folders, WAITING};

/// Mounts the container's root, and becomes the process that waits for its first one: tools find
/// it by its arguments.
pub(super) fn container(arguments: &[String]) -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    let [image, name, command @ ..] = arguments else {
        return Err(io::Error::other("name an image and a container"));
    };
    let command = command.strip_prefix(&["--".to_owned()]).unwrap_or(command);
    let folders = Folders::read()?;
    let container = std::path::absolute(folders.containers.join(name))?;
    if container.exists() {
        return Err(io::Error::other(format!("container {name} exists")));
    }
    let names = ["merged", "merge"].into_iter().find(|word| folders.own_tool_has(word));
    let root = container.join(names.unwrap_or("rootfs"));
    for folder in [&container.join("upper"), &container.join("work"), &root] {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let options = format!(
        "lowerdir={},upperdir={c}/upper,workdir={c}/work",
        lower(&folders, image)?,
        c = container.display()
    );
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    let shell = ["/bin/bash".to_owned()];
    let words = if command.is_empty() { &shell[..] } else { command };
    let own = std::env::current_exe()?;
    Err(Command::new(own).arg0(WAITING).arg(&container).arg(&root).args(words).exec())
}

/// The layers' folders in the order that overlayfs wants. The base system comes last; it may be the
/// file's first or last line.
fn lower(folders: &Folders, image: &str) -> io::Result<String> {
    let image = folders.images.join(image);
    let Ok(text) = fs::read_to_string(image.join("layers")) else {
        return Ok(image.join("rootfs").display().to_string());
    };
    let words = text.split([':', ',', '\n', ' ']).filter(|word| !word.is_empty());
    let mut layers = words.map(|word| folder_of(folders, &image, word)).collect::<io::Result<Vec<_>>>()?;
    if layers.first().is_some_and(|first| first.join("etc/debian_version").exists()) {
        layers.reverse();
    }
    let texts: Vec<String> = layers.iter().map(|layer| layer.display().to_string()).collect();
    Ok(texts.join(":"))
}

/// The folder of a layer, whatever its path in the file is relative to.
fn folder_of(folders: &Folders, image: &Path, layer: &str) -> io::Result<PathBuf> {
    let cache = &folders.cache;
    let places = [PathBuf::new(), image.to_owned(), cache.clone(), cache.join("base"), cache.join("layers")];
    let place = places.iter().map(|place| place.join(layer)).find(|place| place.is_dir());
    let place = place.ok_or_else(|| io::Error::other(format!("there is no layer {layer}")))?;
    let inner = place.join("diff");
    let is_bare = !inner.is_dir() || place.join("usr").is_dir();
    fs::canonicalize(if is_bare { place } else { inner })
}

/// Makes the first process of a container and waits for it.
pub(super) fn first_process(arguments: &[String]) -> io::Result<ExitCode> {
    let [container, root, words @ ..] = arguments else {
        return Err(io::Error::other("not a command by itself"));
    };
    let namespaces = CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWIPC;
    unshare(namespaces)?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let error = become_first(Path::new(container), Path::new(root), words);
            Err(error.map_or_else(|error| error, |never| match never {}))
        }
        ForkResult::Parent { child } => {
            for ignored in [Signal::SIGINT, Signal::SIGTERM] {
                // SAFETY: no handler of ours.
                unsafe { signal(ignored, SigHandler::SigIgn) }?;
            }
            Ok(match waitpid(child, None)? {
                WaitStatus::Exited(_, code) => ExitCode::from(code as u8),
                WaitStatus::Signaled(_, by, _) => ExitCode::from(128 + by as i32 as u8),
                _ => ExitCode::FAILURE,
            })
        }
    }
}

fn become_first(container: &Path, root: &Path, words: &[String]) -> io::Result<Infallible> {
    const NONE: Option<&str> = None;
    set_pdeathsig(Signal::SIGKILL)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    // The PID as the machine sees it is in the machine's /proc, which is still there.
    let own = fs::read_link("/proc/self")?;
    fs::write(container.join("pid"), format!("{}\n", own.display()))?;
    mount(Some("proc"), &root.join("proc"), Some("proc"), MsFlags::empty(), NONE)?;
    mount(Some("sysfs"), &root.join("sys"), Some("sysfs"), MsFlags::empty(), NONE)?;
    mount(Some("/dev"), &root.join("dev"), NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)?;
    chroot(root)?;
    std::env::set_current_dir("/")?;
    umask(Mode::from_bits_truncate(0o022));
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let (program, arguments) = words.split_first().ok_or_else(|| io::Error::other("which command?"))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs([
        ("PATH", path),
        ("HOME", "/root"),
        ("TERM", terminal.as_str()),
    ]);
    Err(command.exec())
}
