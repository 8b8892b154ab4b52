//! The folder of the container benchmarks: a tmpfs with a small base system, files to copy, and the
//! tools. On a tmpfs nothing waits for a disk, and nothing needs to be deleted between two
//! measurements.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::measure::{Trouble, command, finish};

/// The folder on which the tmpfs is mounted.
const ROOT: &str = "/tmp/bench-place";
/// The interface that stands for the way to the Internet.
pub const INTERFACE: &str = "bench0";

/// The prepared folder.
pub struct Place {
    root: PathBuf,
    conductor: String,
    floor: String,
    bash_tool: PathBuf,
}

impl Place {
    /// Prepares the folder. The caller must be the only process in its mount, network and PID
    /// namespaces.
    pub fn new() -> Result<Self, Trouble> {
        let this = std::env::current_exe()?;
        let beside = |name: &str| this.with_file_name(name).to_string_lossy().into_owned();
        let bash_tool = fs::canonicalize("fixtures/submissions/reference-bash/task3")?;
        let place =
            Self { root: ROOT.into(), conductor: beside("conductor"), floor: beside("floor"), bash_tool };
        fs::create_dir_all(ROOT)?;
        finish(&mut command("mount", &["-t", "tmpfs", "-o", "mode=755", "tmpfs", ROOT]))?;
        make_base(&place.base())?;
        make_context(&place.context())?;
        for line in [
            "ip link set lo up",
            "ip link add bench0 type veth peer name bench1",
            "ip addr add 10.99.0.2/24 dev bench0",
            "ip link set bench0 up",
            "ip link set bench1 up",
            "ip route add default via 10.99.0.1",
        ] {
            let mut words = line.split(' ');
            finish(&mut command(words.next().unwrap_or_default(), &words.collect::<Vec<_>>()))?;
        }
        Ok(place)
    }

    /// A path in the tmpfs.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The base system: busybox with all its names.
    pub fn base(&self) -> PathBuf {
        self.path("base")
    }

    /// A folder with a Conductorfile, an equal Dockerfile, and 1000 files (10 MB together) to copy.
    pub fn context(&self) -> PathBuf {
        self.path("context")
    }

    /// The floor program.
    pub fn floor(&self, arguments: &[&str]) -> Command {
        command(&self.floor, arguments)
    }

    /// A new state folder for `conductor` or the bash tool, with the base system in its cache.
    pub fn state(&self, name: &str) -> Result<State, Trouble> {
        let folder = self.path(name);
        fs::create_dir_all(folder.join(".cache/base"))?;
        for tool in ["conductor.sh", "setup.sh"] {
            fs::copy(self.bash_tool.join(tool), folder.join(tool))?;
        }
        let setup = folder.join("setup.sh");
        let text = fs::read_to_string(&setup)?;
        fs::write(&setup, text.replace("DEFAULT_IFC=\"eth0\"", &format!("DEFAULT_IFC=\"{INTERFACE}\"")))?;
        for part in [".images", ".containers", ".cache/layers"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let base = folder.join(".cache/base/debian-bookworm");
        finish(&mut command("cp", &["-a", text_of(&self.base()), text_of(&base)]))?;
        Ok(State { folder, conductor: self.conductor.clone() })
    }
}

/// The state folder of one tool.
pub struct State {
    folder: PathBuf,
    conductor: String,
}

impl State {
    /// `conductor` with this state folder.
    pub fn conductor(&self, arguments: &[&str]) -> Command {
        self.with_folders(command(&self.conductor, arguments))
    }

    fn with_folders(&self, mut command: Command) -> Command {
        command.env("IMAGEDIR", self.folder.join(".images")).env("DEFAULT_IFC", INTERFACE);
        command
            .env("CONTAINERDIR", self.folder.join(".containers"))
            .env("CACHEDIR", self.folder.join(".cache"));
        command
    }

    /// The bash tool with this state folder.
    pub fn bash(&self, arguments: &[&str]) -> Command {
        command(text_of(&self.folder.join("conductor.sh")), arguments)
    }

    /// Creates the image `img` with only the base system. Both tools store images in the same form.
    pub fn build_base(&self) -> Result<(), Trouble> {
        self.build("img", "")
    }

    /// Builds an image with `conductor`: the base system, then `steps`.
    pub fn build(&self, image: &str, steps: &str) -> Result<(), Trouble> {
        let file = self.folder.join("Conductorfile");
        fs::write(&file, format!("FROM debian:bookworm\n{steps}"))?;
        finish(&mut self.conductor(&["build", image, text_of(&file)]))
    }

    /// The host PID of the first process in one of `conductor`'s containers.
    pub fn first_pid(&self, container: &str) -> Result<String, Trouble> {
        let path = self.folder.join(".containers").join(container).join("process.json");
        let json: serde_json::Value = serde_json::from_slice(&fs::read(path)?)?;
        Ok(json["pid"].to_string())
    }
}

/// Starts a container that sleeps, with `run` of one of the tools. It is ready when `check`
/// succeeds.
pub fn start(mut run: Command, check: impl Fn() -> Command) -> Result<Child, Trouble> {
    let child = run.stderr(Stdio::null()).spawn()?;
    wait_for(|| finish(&mut check()))?;
    Ok(child)
}

/// Tries until it succeeds, for at most 20 s.
pub fn wait_for(attempt: impl Fn() -> Result<(), Trouble>) -> Result<(), Trouble> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(_) if began.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// A path as text. All our paths are text.
pub fn text_of(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn make_base(root: &Path) -> Result<(), Trouble> {
    for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "usr"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let busybox = root.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).map_err(|error| format!("/bin/busybox (busybox-static): {error}"))?;
    let list = Command::new(&busybox).arg("--list").output()?;
    for name in String::from_utf8(list.stdout)?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    fs::write(root.join("bin/bash"), "#!/bin/sh\nexec sh \"$@\"\n")?;
    fs::set_permissions(root.join("bin/bash"), fs::Permissions::from_mode(0o755))?;
    symlink("../bin", root.join("usr/bin"))?;
    Ok(fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?)
}

fn make_context(folder: &Path) -> Result<(), Trouble> {
    // Bytes that do not repeat, from a linear congruential generator.
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for at in 0..1000 {
        let parent = folder.join(format!("data/{}", at / 50));
        fs::create_dir_all(&parent)?;
        fs::write(parent.join(at.to_string()), (0..10_000).map(|_| next()).collect::<Vec<_>>())?;
    }
    let steps = "COPY data /data\nRUN echo done > /done\n";
    fs::write(folder.join("Conductorfile"), format!("FROM debian:bookworm\n{steps}"))?;
    fs::write(folder.join("Dockerfile"), format!("FROM localhost/base\n{steps}"))?;
    Ok(())
}
