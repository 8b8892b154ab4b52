//! Builds `container_prog` for this run, runs `simple_container.sh`, and records its containers.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Born, Ended, Exiting, Groups, Limit, Machine, Member, Mounted, Place, Probe, Reachable, Run, Sample,
    ScriptPlan, Shown, Stranger, Supplied, Use, look, reach,
};
use crate::evidence::cgroup::Group;
use crate::evidence::mount::Mount;
use crate::evidence::program::End;
use crate::guest::observe::cgroups::{self, Hierarchy};
use crate::guest::observe::handles;
use crate::guest::observe::markers::Laid;
use crate::guest::observe::mounts;
use crate::guest::observe::processes;
use crate::guest::observe::speed::{self, Pace};
use crate::guest::observe::trace::{Event, Tracer, What};
use crate::guest::observe::work::{self, Watch};
use crate::guest::recorder::Recorder;
use crate::guest::run::obstructed::Obstructed;
use crate::guest::run::session::{self, Limits, Observation, SessionHandle};
use crate::guest::run::terminal::Program;
use crate::task::Site;

/// What the uncapped benchmark is to take.
const BENCHMARK: Duration = Duration::from_secs(2);
/// What systemd gets to remove the group of a scope that has become empty.
const REMOVAL: Duration = Duration::from_secs(2);
/// Files larger than this are not `container_prog`.
const PROGRAM_CAP: u64 = 1 << 20;
/// How often the use of the CPU is recorded at each look, and every which look after that.
const USES: u32 = 200;
const USES_APART: u32 = 10;
/// Most records of what can be reached later.
const REACHED: u32 = 20;
/// What an output needs to get through a terminal.
const SETTLE: Duration = Duration::from_millis(15);

/// The machine's name, and the seed and mark of this run's `container_prog`.
pub fn plan(random: &mut StdRng) -> Value {
    json!(ScriptPlan {
        hostname: format!("host-{:08x}", random.random::<u32>()),
        seed: random.random_range(1..=u32::MAX),
        mark: format!("container_prog:{:032x}", random.random::<u128>()),
    })
}

/// The record kinds are the types of the parent module.
pub fn drive(site: &Site, plan: &Value, recorder: &Recorder) -> io::Result<()> {
    let dir = site.submission.join("task2");
    let plan = ScriptPlan::deserialize(plan)?;
    nix::unistd::sethostname(&plan.hostname)?;
    let hierarchy = Hierarchy::open()?;
    let _ = hierarchy.write("/", "cgroup.subtree_control", "+cpu +cpuset");
    let entries = look::names(Path::new("/"), &[]);
    let laid = Laid::now();
    let machine = Machine {
        hostname: nix::unistd::gethostname()?.to_string_lossy().into_owned(),
        namespaces: processes::own().namespaces,
        root: processes::directory(Path::new("/")).unwrap_or_default(),
        entries,
        subtree_control: hierarchy.read("/", "cgroup.subtree_control").unwrap_or_default(),
        mounts: mounts::of(nix::unistd::gettid().as_raw()),
        markers: laid.markers.clone(),
    };
    recorder.record("machine", &machine)?;

    let calls_per_second = speed::calls_per_second();
    let slowdown = Pace::first().slowdown(site.slowdown);
    let loops = ((calls_per_second * BENCHMARK.as_secs_f64()) as u64).clamp(1_000_000, 1_000_000_000);
    let course = fs::read_to_string(site.course.join("task2/container_prog.c"))?;
    let supplied = supply(&dir, &course, plan.seed, loops, &plan.mark)?;
    recorder.record("supplied", &supplied)?;

    let watch = cgroups::Watch::start(&hierarchy)?;
    let mut observer = Observer::new(&hierarchy, watch, machine, &supplied, &plan.mark);
    let limits =
        Limits { time: Duration::from_secs_f64(20.0 + 3.0 * slowdown), output: 512 << 10, processes: 300 };
    let script = Program::new(&dir, ["./simple_container.sh"]);
    // What systemd starts on the script's behalf is the script's doing
    // (sd_booted(3): is it there?).
    let also: &[i32] = if Path::new("/run/systemd/system").is_dir() { &[1] } else { &[] };
    let mark = plan.mark.into_bytes();
    let known =
        Watch::new().compiling([site.course.join("task2/container_prog.c")]).computing(&mark, &hierarchy);
    let mut observe = |session: &mut SessionHandle, view: Observation| observer.observe(session, &view);
    let outcome =
        session::run_patiently(&script, Tracer::new(false), also, limits, known, recorder, &mut observe)?;
    recorder.record("outcome", &outcome)?;
    observer.settle(recorder)?;
    probe(&dir, slowdown, recorder)
}

/// An empty `container_root`, a script that can be executed, and this run's `container_prog.c`.
fn supply(dir: &Path, course: &str, seed: u32, loops: u64, mark: &str) -> io::Result<Supplied> {
    for name in ["container_root", "container_prog", "container_prog.c"] {
        let path = dir.join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
    }
    let root = dir.join("container_root");
    fs::create_dir(&root).map_err(Obstructed::at("make", &root))?;
    let source = format!(
        "#define SEED {seed}U\n#define LOOPS {loops}L\n\
         __attribute__((used)) static const char mark_of_this_run[] = \"{mark}\";\n{course}"
    );
    let program = dir.join("container_prog.c");
    fs::write(&program, source).map_err(Obstructed::at("write", &program))?;
    let script = dir.join("simple_container.sh");
    if script.is_file() {
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .map_err(Obstructed::at("make executable", &script))?;
    }
    Ok(Supplied { seed, loops, container_root: processes::directory(&root).unwrap_or_default() })
}

/// Runs `container_prog` in `container_root` as it is now, to learn whether all
/// that it needs is there.
fn probe(dir: &Path, slowdown: f64, recorder: &Recorder) -> io::Result<()> {
    let root = dir.join("container_root");
    if !root.join("container_prog").is_file() {
        return Ok(());
    }
    let mut program = Program::new(Path::new("/"), ["/container_prog", "subtask1"]);
    program.root = Some(root);
    let limits = Limits { time: Duration::from_secs_f64(5.0 + slowdown), output: 64 << 10, processes: 20 };
    let outcome = session::run(&program, Tracer::new(false), &[], limits, recorder, &mut |_, _| Ok(()))?;
    recorder.record("probe", &Probe { started: outcome.end == Some(End::Status(0)) })
}

/// Picks the containers' processes out of everything that happens.
struct Observer<'a> {
    hierarchy: &'a Hierarchy,
    watch: cgroups::Watch,
    machine: Machine,
    container_root: PathBuf,
    mark: Vec<u8>,
    /// Whether a file, by device, inode and time of change, holds the mark.
    marked: HashMap<(u64, u64, i64), bool>,
    /// The living processes of containers.
    members: BTreeSet<i32>,
    /// PID namespaces of containers, other than the machine's.
    namespaces: BTreeSet<u64>,
    last: Option<Sample>,
    /// The `container_prog` that was started last, and how often its use was recorded.
    current: Option<(i32, u32)>,
    /// What it had mounted at the last look.
    mounted: Vec<Mount>,
    /// How many later looks showed something of the machine's own.
    reached: u32,
    rooted: look::Rooted,
}

impl<'a> Observer<'a> {
    fn new(
        hierarchy: &'a Hierarchy,
        watch: cgroups::Watch,
        machine: Machine,
        supplied: &Supplied,
        mark: &str,
    ) -> Self {
        Self {
            hierarchy,
            watch,
            machine,
            container_root: PathBuf::from(&supplied.container_root.path),
            mark: mark.as_bytes().to_vec(),
            marked: HashMap::new(),
            members: BTreeSet::new(),
            namespaces: BTreeSet::new(),
            last: None,
            current: None,
            mounted: Vec::new(),
            reached: 0,
            rooted: look::Rooted::default(),
        }
    }

    fn observe(&mut self, session: &mut SessionHandle, view: &Observation) -> io::Result<()> {
        match view {
            Observation::Event(event) => self.event(session, event),
            Observation::Tick => {
                self.rooted.look_again(&self.container_root);
                self.sample(session.recorder)?;
                self.reach(session.recorder)?;
                self.usage(session.recorder)
            }
        }
    }

    fn event(&mut self, session: &mut SessionHandle, event: &Event) -> io::Result<()> {
        if !matches!(event.what, What::Ended(_)) {
            self.rooted.look(event.pid, &self.container_root);
        }
        match &event.what {
            What::Executed if self.is_container_prog(event.pid) => {
                // What was printed before belongs to what ran before.
                session.hear(SETTLE)?;
                self.run(session.recorder, event.pid)
            }
            What::Born { creator } if self.members.contains(creator) => {
                let Some(member) = self.member(event.pid) else { return Ok(()) };
                self.members.insert(event.pid);
                session.recorder.record("born", &Born { creator: *creator, member })
            }
            What::Exiting if self.members.contains(&event.pid) => {
                if self.current.is_some_and(|(pid, _)| pid == event.pid) {
                    self.reach(session.recorder)?;
                }
                let Some(member) = self.member(event.pid) else { return Ok(()) };
                session.recorder.record("exiting", &Exiting { member })
            }
            What::Exiting if self.has_own_root(event.pid) => {
                let Some(member) = self.member(event.pid) else { return Ok(()) };
                self.members.insert(event.pid);
                session.recorder.record("entered", &Exiting { member })
            }
            What::Ended(end) if self.members.remove(&event.pid) => {
                session.recorder.record("ended", &Ended { pid: event.pid, end: *end })
            }
            _ => Ok(()),
        }
    }

    fn run(&mut self, recorder: &Recorder, pid: i32) -> io::Result<()> {
        let Some(member) = self.member(pid) else { return Ok(()) };
        let namespace = member.process.namespaces.pid;
        let mut fellows = Vec::new();
        if namespace != self.machine.namespaces.pid {
            self.namespaces.insert(namespace);
            fellows = inhabitants(&[namespace].into())
                .into_iter()
                .filter(|fellow| *fellow != pid)
                .filter_map(|fellow| self.member(fellow))
                .take(20)
                .collect();
        }
        self.members.insert(pid);
        self.current = Some((pid, 0));
        let root = handles::proc(format!("{pid}/root"));
        let entries = look::names(Path::new(&root), &self.machine.entries);
        let (mounts, machine_files) = self.reachable(pid);
        let was_at_container_root = Some(self.rooted.has_root_of(pid));
        let run = Run { member, entries, mounts, machine_files, was_at_container_root, fellows };
        recorder.record("run", &run)?;
        self.usage(recorder)?;
        self.sample(recorder)
    }

    /// Records what of the machine's own `container_prog` can reach since something was mounted
    /// after the last look.
    fn reach(&mut self, recorder: &Recorder) -> io::Result<()> {
        let Some((pid, _)) = self.current else { return Ok(()) };
        let now = mounts::of(pid);
        if now.is_empty() || now == self.mounted || self.reached >= REACHED {
            return Ok(());
        }
        let (mut mounts, machine_files) = self.reachable(pid);
        mounts.retain(|mounted| reach::shown(mounted, &self.machine, Some(&self.container_root)).is_some());
        if mounts.is_empty() && machine_files.is_empty() {
            return Ok(());
        }
        self.reached += 1;
        recorder.record("reachable", &Reachable { pid, mounts, machine_files })
    }

    fn reachable(&mut self, pid: i32) -> (Vec<Mounted>, Vec<Shown>) {
        self.mounted = mounts::of(pid);
        let mounts = look::reachable(pid, &self.machine, &self.container_root);
        (mounts, look::machine_files(pid, &self.machine))
    }

    /// Records what `container_prog` has used of the CPU by now: often at first,
    /// seldom when it takes long.
    fn usage(&mut self, recorder: &Recorder) -> io::Result<()> {
        let Some((pid, looks)) = &mut self.current else { return Ok(()) };
        let Some(used) = processes::cpu_time(*pid) else {
            self.current = None;
            return Ok(());
        };
        *looks += 1;
        if *looks > USES && !looks.is_multiple_of(USES_APART) {
            return Ok(());
        }
        let chain = self.hierarchy.chain(&cgroups::of(*pid));
        let usage = Use {
            pid: *pid,
            used_usec: used.as_micros() as u64,
            nr_throttled: chain.iter().map(|group| group.nr_throttled).max().unwrap_or(0),
            throttled_usec: chain.iter().map(|group| group.throttled_usec).max().unwrap_or(0),
        };
        recorder.record("use", &usage)
    }

    /// Records the groups and the containers' places in them, if anything has changed.
    fn sample(&mut self, recorder: &Recorder) -> io::Result<()> {
        let mut pids = self.members.clone();
        let inhabitants = inhabitants(&self.namespaces);
        pids.extend(&inhabitants);
        let current = self.current.map(|(pid, _)| pid);
        let places = look::sampled(current, &self.members, &inhabitants).into_iter().filter_map(|pid| {
            let cgroup = Some(cgroups::of(pid)).filter(|cgroup| !cgroup.is_empty())?;
            let limits = self.hierarchy.chain(&cgroup).into_iter().map(limit).collect();
            Some(Place { pid, cgroup, limits })
        });
        let members = places.collect();
        let created = self.watch.created();
        let there = created.iter().filter(|group| self.hierarchy.exists(group));
        let groups: Vec<Limit> = there.take(50).map(|group| limit(self.hierarchy.group(group))).collect();
        let strangers = groups.iter().flat_map(|limit| self.strangers(&limit.group, &pids));
        let others = strangers.take(20).collect();
        let sample = Sample { members, groups, others };
        if self.last.as_ref() == Some(&sample) {
            return Ok(());
        }
        recorder.record("sample", &sample)?;
        self.last = Some(sample);
        Ok(())
    }

    /// Records which of the script's groups are still there after a moment in which
    /// they could be removed.
    fn settle(&mut self, recorder: &Recorder) -> io::Result<()> {
        let deadline = Instant::now() + REMOVAL;
        loop {
            let created: Vec<String> = self.watch.created().iter().cloned().collect();
            let left: Vec<String> =
                created.iter().filter(|group| self.hierarchy.exists(group)).cloned().collect();
            if left.is_empty() || Instant::now() > deadline {
                return recorder.record("groups", &Groups { created, left });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn member(&self, pid: i32) -> Option<Member> {
        let process = processes::read(pid)?;
        let chain = self.hierarchy.chain(&process.cgroup);
        Some(Member { process, chain })
    }

    fn has_own_root(&self, pid: i32) -> bool {
        let root = processes::directory(Path::new(&handles::proc(format!("{pid}/root/."))));
        root.is_some_and(|root| !root.is(&self.machine.root))
    }

    /// The processes of a group that are none of `pids`.
    fn strangers(&self, group: &str, pids: &BTreeSet<i32>) -> Vec<Stranger> {
        let inside = self.hierarchy.read(group, "cgroup.procs").unwrap_or_default();
        let inside = inside.lines().filter_map(|line| line.parse().ok());
        let others = inside.filter(|pid| !pids.contains(pid));
        let named = others.take(20).filter_map(|pid| {
            let command: String = processes::arguments(pid).join(" ").chars().take(80).collect();
            (!command.is_empty()).then(|| Stranger { group: group.to_owned(), pid, command })
        });
        named.collect()
    }

    fn is_container_prog(&mut self, pid: i32) -> bool {
        processes::programs(pid).iter().any(|program| self.is_marked(program))
    }

    fn is_marked(&mut self, program: &Path) -> bool {
        let Ok(meta) = fs::metadata(program) else { return false };
        if meta.len() > PROGRAM_CAP {
            return false;
        }
        let key = (meta.dev(), meta.ino(), meta.ctime_nsec() ^ meta.ctime());
        *self.marked.entry(key).or_insert_with(|| {
            let bytes = work::read(program).unwrap_or_default();
            bytes.windows(self.mark.len()).any(|window| window == self.mark)
        })
    }
}

fn limit(group: Group) -> Limit {
    Limit { group: group.path, cpu_max: group.cpu_max }
}

/// The processes of some PID namespaces.
fn inhabitants(namespaces: &BTreeSet<u64>) -> Vec<i32> {
    if namespaces.is_empty() {
        return Vec::new();
    }
    let all = processes::parents();
    all.into_keys().filter(|pid| namespaces.contains(&processes::pid_namespace(*pid))).collect()
}
