//! A playground for `conductor`: a temporary folder with a small base system in its cache, and
//! mount, network, UTS and IPC namespaces that all commands share. The namespaces end with the
//! playground; those of the machine do not change.

// Each test program uses only a part of this module. A panic here is a failed test.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};
use tempfile::TempDir;

/// The namespaces of a playground.
const NAMESPACES: [(&str, CloneFlags); 4] = [
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("ipc", CloneFlags::CLONE_NEWIPC),
];

/// A temporary folder with namespaces, see the module.
pub struct Playground {
    folder: TempDir,
    holder: Child,
    background: Mutex<Vec<Child>>,
}

impl Playground {
    /// Creates a playground with a base system for `FROM debian:bookworm` in the cache. Prints a
    /// message and returns `None` if the tests cannot create namespaces or there is no busybox for
    /// a base system.
    pub fn new() -> Option<Self> {
        let place = Self::without_base()?;
        make_base(&place.path().join(".cache/base/debian-bookworm"));
        Some(place)
    }

    /// Creates a playground with an empty cache.
    pub fn without_base() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        if busybox().is_none() {
            eprintln!("skipped: needs a static busybox (apt install busybox-static)");
            return None;
        }
        let mut holder = Command::new("sleep");
        holder.arg("infinity").stdin(Stdio::null());
        let all = NAMESPACES.iter().fold(CloneFlags::empty(), |flags, (_, flag)| flags | *flag);
        let separate = move || {
            unshare(all)?;
            mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
            Ok(())
        };
        // SAFETY: only system calls between fork and exec.
        unsafe { holder.pre_exec(separate) };
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            holder: holder.spawn().unwrap(),
            background: Mutex::default(),
        })
    }

    /// The folder, which also holds the state.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The process that holds the namespaces. Its /proc shows the "host" of the playground.
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Writes a file and creates the folders above it.
    pub fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes an executable file.
    pub fn write_program(&self, path: &str, text: &str) -> PathBuf {
        let path = self.write(path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Any program, started in the folder and the namespaces.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        let open = |(name, flag)| (fs::File::open(format!("/proc/{}/ns/{name}", self.pid())).unwrap(), flag);
        let namespaces = NAMESPACES.map(open);
        let folder = self.path().to_owned();
        let join = move || {
            for (file, flag) in &namespaces {
                setns(file, *flag)?;
            }
            // Joining a mount namespace changes the current folder to its root.
            std::env::set_current_dir(&folder)
        };
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(join) };
        for variable in
            ["IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "DEFAULT_IFC", "IP4_SUBNET", "CONDUCTOR_MIRROR"]
        {
            command.env_remove(variable);
        }
        command
    }

    /// `conductor` with arguments, for `assert_cmd`.
    pub fn conductor<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> assert_cmd::Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_conductor"));
        command.args(args);
        assert_cmd::Command::from_std(command)
    }

    /// The system calls of some names that a command makes, as strace shows them. The command must
    /// succeed.
    pub fn trace(&self, calls: &str, args: &[&str]) -> Vec<String> {
        let log = self.path().join("trace");
        let mut strace = self.command("strace");
        strace.args(["-f", "-y", "-qq", "-o"]).arg(&log).arg(format!("--trace={calls}"));
        strace.arg(env!("CARGO_BIN_EXE_conductor")).args(args).stdin(Stdio::null());
        assert_cmd::Command::from_std(strace).assert().success();
        fs::read_to_string(&log).unwrap().lines().map(String::from).collect()
    }

    /// Writes a Conductorfile that begins with `FROM debian:bookworm` and builds it, as the image
    /// `img`.
    pub fn build(&self, steps: &str) -> assert_cmd::assert::Assert {
        self.write("Conductorfile", &format!("FROM debian:bookworm\n{steps}"));
        self.conductor(["build", "img"]).assert()
    }

    /// The directories of an image's layers, base system first.
    pub fn layers(&self, image: &str) -> Vec<PathBuf> {
        let text = fs::read_to_string(self.path().join(".images").join(image).join("layers")).unwrap();
        text.trim_end().split(':').rev().map(PathBuf::from).collect()
    }

    /// The mounts below the playground's folder.
    pub fn mounts(&self) -> Vec<String> {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid())).unwrap();
        text.lines().filter(|line| line.contains(&*self.path().to_string_lossy())).map(String::from).collect()
    }

    /// Like [`Playground::start`], for a test that does not need the process.
    pub fn keep_running(&self, name: &str, command: &[&str]) {
        let run = self.start(name, command);
        self.background.lock().unwrap().push(run);
    }

    /// Starts a container in the background, from the image `img`, and waits until its command
    /// runs.
    pub fn start(&self, name: &str, command: &[&str]) -> Child {
        let mut run = self.command(env!("CARGO_BIN_EXE_conductor"));
        run.args(["-q", "run", "img", name, "--"]).args(command).stdin(Stdio::null()).stdout(Stdio::null());
        let child = run.spawn().unwrap();
        wait_for(|| self.conductor(["exec", name, "true"]).ok().is_ok());
        child
    }

    /// The output of a command in a container.
    pub fn exec<'a>(&self, name: &'a str, command: impl IntoIterator<Item = &'a str>) -> String {
        let args = ["-q", "exec", name, "--"].into_iter().chain(command);
        String::from_utf8(self.conductor(args).output().unwrap().stdout).unwrap()
    }

    /// The names in the folder of containers.
    pub fn containers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(".containers")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The host PID of a container's first process.
    pub fn first_pid(&self, name: &str) -> i32 {
        let path = self.path().join(".containers").join(name).join("process.json");
        let json: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        i32::try_from(json["pid"].as_i64().unwrap()).unwrap()
    }

    /// The paths of all half-made directories.
    pub fn half_made(&self) -> Vec<PathBuf> {
        let folders = [".images", ".containers", ".cache", ".cache/base", ".cache/layers"];
        let entries =
            folders.iter().filter_map(|folder| fs::read_dir(self.path().join(folder)).ok()).flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('.')).collect()
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // A failed test may leave running containers.
        for name in self.containers().iter().filter(|name| !name.starts_with('.')) {
            let _ = self.conductor(["stop", name]).ok();
        }
        for run in self.background.get_mut().unwrap() {
            let _ = run.wait();
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Waits until something holds, for at most a minute.
pub fn wait_for(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "still not so after a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.exists())
}

/// Creates a base system: busybox with all its names, `/bin/bash` for default shells, and the usual
/// directories.
pub fn make_base(root: &Path) {
    for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "usr/lib", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    let busybox = busybox().unwrap();
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    let list = Command::new(&busybox).arg("--list").output().unwrap();
    for program in String::from_utf8(list.stdout).unwrap().lines().filter(|program| *program != "busybox") {
        symlink("busybox", root.join("bin").join(program)).unwrap();
    }
    let bash = root.join("bin/bash");
    fs::write(&bash, "#!/bin/sh\nexec sh \"$@\"\n").unwrap();
    fs::set_permissions(&bash, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/motd"), "hello\n").unwrap();
}
