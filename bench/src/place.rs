//! The folders of the container benchmarks, each with a small base system, files to copy, and the
//! tools. One is on a tmpfs, where nothing waits for a disk, the other on an ext4 disk. Both are so
//! large that nothing needs to be deleted between two measurements.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::disk;
use crate::host::{self, INTERFACE};
use crate::measure::{Contender, Trouble, command, finish, time};

/// The folder on which the tmpfs is mounted.
const ROOT: &str = "/tmp/bench-place";

/// The two prepared folders.
pub struct Places {
    memory: Place,
    disk: Result<Place, String>,
}

impl Places {
    /// Prepares the namespaces and both folders. The disk is a file in `folder`.
    pub fn new(folder: &Path) -> Result<Self, Trouble> {
        host::prepare(Path::new(ROOT))?;
        let [memory, on_disk] = ["tmpfs", "ext4"].map(|name| Path::new(ROOT).join(name));
        let disk = match disk::mount(folder, &on_disk) {
            Ok(()) => Ok(Place::new(on_disk, ", ext4")?),
            Err(trouble) => Err(trouble.to_string()),
        };
        Ok(Self { memory: Place::new(memory, "")?, disk })
    }

    /// The places that exist.
    pub fn each(&self) -> impl Iterator<Item = &Place> {
        [&self.memory].into_iter().chain(&self.disk)
    }

    /// The contenders in both places, and [`Self::without_disk`].
    pub fn contenders<'a>(
        &'a self,
        make: impl Fn(&'a Place) -> Result<Vec<Contender<'a>>, Trouble>,
    ) -> Result<Vec<Contender<'a>>, Trouble> {
        let mut all = Vec::new();
        for place in self.each() {
            all.extend(make(place)?);
        }
        all.extend(self.without_disk());
        Ok(all)
    }

    /// Without a disk, a contender `ext4` that says why there is none.
    pub fn without_disk(&self) -> Option<Contender<'_>> {
        let why = self.why_no_disk()?;
        Some(Contender::new("ext4", |_| Err(why.into())))
    }

    /// Why there is no disk.
    pub fn why_no_disk(&self) -> Option<&str> {
        self.disk.as_ref().err().map(String::as_str)
    }
}

/// A prepared folder.
pub struct Place {
    root: PathBuf,
    suffix: &'static str,
    conductor: String,
    floor: String,
    bash_tool: PathBuf,
}

impl Place {
    fn new(root: PathBuf, suffix: &'static str) -> Result<Self, Trouble> {
        let this = std::env::current_exe()?;
        let beside = |name: &str| this.with_file_name(name).to_string_lossy().into_owned();
        let bash_tool = fs::canonicalize("fixtures/submissions/reference-bash/task3")?;
        let place = Self { root, suffix, conductor: beside("conductor"), floor: beside("floor"), bash_tool };
        make_base(&place.base())?;
        make_context(&place.context())?;
        Ok(place)
    }

    /// What the names of contenders here end with.
    pub fn suffix(&self) -> &'static str {
        self.suffix
    }

    /// A contender in this folder.
    pub fn contender<'a>(
        &self,
        name: &str,
        turn: impl FnMut(usize) -> Result<Duration, Trouble> + 'a,
    ) -> Contender<'a> {
        Contender::new(format!("{name}{}", self.suffix), turn)
    }

    /// Measures how long something takes here. What earlier work left unwritten is written first:
    /// otherwise a contender that waits for the disk would wait for the work of another.
    pub fn time(&self, work: impl FnOnce() -> Result<(), Trouble>) -> Result<Duration, Trouble> {
        nix::unistd::syncfs(File::open(&self.root)?)?;
        time(work)
    }

    /// A path in the folder.
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
#[derive(Clone)]
pub struct State {
    folder: PathBuf,
    conductor: String,
}

impl State {
    /// `conductor` with this state folder.
    pub fn conductor(&self, arguments: &[&str]) -> Command {
        self.with_folders(command(&self.conductor, arguments))
    }

    /// A path in the state folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn with_folders(&self, mut command: Command) -> Command {
        command.env("IMAGEDIR", self.folder.join(".images")).env("DEFAULT_IFC", INTERFACE);
        command
            .env("CONTAINERDIR", self.folder.join(".containers"))
            .env("CACHEDIR", self.folder.join(".cache"));
        command
    }

    /// Starts a container of the image `img` that sleeps.
    pub fn sleeper(&self, name: &str) -> Result<Child, Trouble> {
        let run = self.conductor(&["-q", "run", "img", name, "--", "sleep", "9999"]);
        start(run, || self.conductor(&["-q", "exec", name, "--", "/bin/true"]))
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

/// Containers that sleep, each with the command that ends it.
#[derive(Default)]
pub struct Sleepers(Vec<(Child, Command)>);

impl Sleepers {
    /// Starts a container with `run`. It is ready when `check` succeeds.
    pub fn start(&mut self, run: Command, check: impl Fn() -> Command, end: Command) -> Result<(), Trouble> {
        self.0.push((start(run, check)?, end));
        Ok(())
    }

    /// Ends all containers.
    pub fn end(self) -> Result<(), Trouble> {
        for (mut child, mut end) in self.0 {
            finish(&mut end)?;
            child.wait()?;
        }
        Ok(())
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
