//! Known work: what may go on for long on a slow machine without anyone being at fault.
//! Packages that our server sends, that dpkg and debootstrap unpack; a compiler at the course's
//! files; `container_prog`.
//!
//! A worker is known by its program: the file must be the one that the package database of
//! its own root directory says, by path and digest, so that a loop that is called `dpkg`
//! is none. Who forges that database too gets an `error` where he would have had a `fail`,
//! and no mark either way. Only so many starts of the same work count ([`Starts`]), and so many
//! requests for the same file ([`Served`](super::served::Served)).

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::cgroups::{self, Hierarchy};
use super::handles;
use super::processes::{self, Stat};
use super::served::{SERVED, Service};
use super::starts::{Job, Starts};
use crate::evidence::cgroup;
use crate::guest::fakes::debootstrap;
use crate::hex::hex;

/// Programs that install packages, and the package that each is from.
const INSTALLERS: [(&str, &str); 6] = [
    ("/usr/bin/dpkg", "dpkg"),
    ("/usr/bin/dpkg-deb", "dpkg"),
    ("/usr/bin/apt", "apt"),
    ("/usr/bin/apt-get", "apt"),
    ("/usr/sbin/debootstrap", "debootstrap"),
    ("/sbin/debootstrap", "debootstrap"),
];
/// What the compiler's driver is called; a version may follow.
const COMPILER: &str = "/usr/bin/x86_64-linux-gnu-gcc-";
/// Larger files are no program that is known, nor one of the course's.
const FILE_CAP: u64 = 8 << 20;
/// Clock ticks, or pages read and written, between two samples that services take which wait.
const IDLE: u64 = 3;
/// A process is capped by its submission where its groups leave it less than this many cores.
const CAPPED: f64 = 0.495;

/// What is at work, in the order in which a report names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// Nothing that is known.
    None,
    /// Known work that the submission itself slows down, by a tight cap.
    Capped,
    /// A known program works.
    Works,
    /// Our package server sends, or has not answered yet.
    Served,
}

/// What known workers had done at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    served: Service,
    /// Those whose start counts, by PID and start time: clock ticks and pages of it and all below
    /// it.
    workers: BTreeMap<(i32, u64), Done>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Done {
    work: u64,
    is_capped: bool,
}

impl Sample {
    /// What has worked since an earlier sample.
    pub fn progress_since(&self, before: &Self) -> Progress {
        if self.served.went_on_since(&before.served) {
            return Progress::Served;
        }
        // One that came in between has done all its work since.
        let then = |worker| before.workers.get(worker).map_or(0, |then| then.work);
        let advanced =
            self.workers.iter().filter(|(worker, now)| now.work.saturating_sub(then(worker)) > IDLE);
        advanced
            .map(|(_, done)| if done.is_capped { Progress::Capped } else { Progress::Works })
            .max()
            .unwrap_or(Progress::None)
    }
}

/// Looks for known workers among the processes that came since some moment.
pub struct Watch<'a> {
    /// In clock ticks since boot.
    since: u64,
    /// The course's files that are compiled.
    course: Vec<Vec<u8>>,
    /// What a program of task 2 holds, and the hierarchy that caps it.
    marked: Option<(Vec<u8>, &'a Hierarchy)>,
    /// Verdicts on files, by device, inode and time of change.
    known: HashMap<(u64, u64, i64), bool>,
    starts: Starts,
}

impl<'a> Watch<'a> {
    /// Knows what installs packages, among the processes that come from now on.
    pub fn new() -> Self {
        Self::since(processes::uptime_ticks())
    }

    /// The same since a moment in clock ticks since boot.
    pub fn since(since: u64) -> Self {
        Self { since, course: Vec::new(), marked: None, known: HashMap::new(), starts: Starts::default() }
    }

    /// Also knows a compiler at one of these files.
    #[must_use]
    pub fn compiling(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        self.course.extend(files.into_iter().filter_map(|file| read(&file)));
        self
    }

    /// Also knows programs that hold this mark.
    #[must_use]
    pub fn computing(mut self, mark: &[u8], hierarchy: &'a Hierarchy) -> Self {
        self.marked = Some((mark.to_vec(), hierarchy));
        self
    }

    /// Looks now.
    pub fn sample(&mut self) -> Sample {
        let all: BTreeMap<i32, Stat> = processes::stats();
        let new: Vec<i32> =
            all.iter().filter(|(_, stat)| stat.start >= self.since).map(|(pid, _)| *pid).collect();
        let known: BTreeMap<i32, Job> =
            new.into_iter().filter_map(|pid| Some((pid, self.job(pid)?))).collect();
        let has_known_parent = |pid: i32| {
            let parents = std::iter::successors(all.get(&pid), |stat| all.get(&stat.parent));
            parents.take(64).any(|stat| known.contains_key(&stat.parent))
        };
        let tops = known.iter().filter(|(pid, _)| !has_known_parent(**pid));
        let workers = tops.filter_map(|(pid, job)| {
            let worker = (*pid, all.get(pid)?.start);
            let counts = self.starts.counts(job, worker);
            counts.then(|| (worker, Done { work: work_of(*pid, &all), is_capped: self.is_capped(*pid) }))
        });
        Sample { workers: workers.collect(), served: SERVED.service() }
    }

    /// The known work that a process is at.
    fn job(&mut self, pid: i32) -> Option<Job> {
        let exe = PathBuf::from(handles::proc(format!("{pid}/exe")));
        let path = fs::read_link(&exe).ok()?.to_string_lossy().into_owned();
        let root = PathBuf::from(handles::proc(format!("{pid}/root")));
        let arguments = processes::arguments(pid);
        let installs =
            || Job::Installs([std::slice::from_ref(&path), arguments.get(1..).unwrap_or_default()].concat());
        if let Some((_, package)) = INSTALLERS.iter().find(|(known, _)| *known == path) {
            return self.is_of_package(&exe, &root, &path, package).then(installs);
        }
        if let Some(version) = path.strip_prefix(COMPILER) {
            let package = format!("gcc-{version}");
            let source = arguments.iter().find_map(|argument| self.course_file(pid, argument))?;
            return self.is_of_package(&exe, &root, &path, &package).then_some(Job::Compiles(source));
        }
        // A script: the interpreter's first argument.
        if let Some(script) = arguments.get(1)
            && let Some((_, package)) = INSTALLERS.iter().find(|(known, _)| *known == script.as_str())
        {
            let file = root.join(script.trim_start_matches('/'));
            return self.is_of_package(&file, &root, script, package).then(installs);
        }
        let is_called =
            |name: &str| arguments.first().is_some_and(|own| own.rsplit('/').next() == Some(name));
        if is_called(debootstrap::NAME) && is_own_program(&exe) {
            return Some(installs());
        }
        let is_marked = processes::programs(pid).iter().any(|program| self.is_marked(program));
        is_marked.then(|| Job::Computes(arguments.last().cloned().unwrap_or_default()))
    }

    /// Whether a file is what a package of that root directory brought there.
    fn is_of_package(&mut self, file: &Path, root: &Path, path: &str, package: &str) -> bool {
        let check = || {
            let sums = read(&root.join(format!("var/lib/dpkg/info/{package}.md5sums")));
            let (Some(sums), Some(bytes)) = (sums, read(file)) else { return false };
            let digest = hex(&Md5::digest(&bytes));
            // Databases older than the merge of /usr name the other path.
            let names = [path.trim_start_matches('/'), path.trim_start_matches("/usr/")];
            let says = |line: &str| {
                line.split_once("  ").is_some_and(|(sum, name)| sum == digest && names.contains(&name))
            };
            String::from_utf8_lossy(&sums).lines().any(says)
        };
        self.remembered(file, check)
    }

    /// Which of the course's files a compiler's argument is, with lines of
    /// ours before it perhaps.
    fn course_file(&self, pid: i32, argument: &str) -> Option<usize> {
        if ![".c", ".cc", ".cpp"].iter().any(|kind| argument.ends_with(kind)) {
            return None;
        }
        let text = read(&processes::file(pid, argument))?;
        self.course.iter().position(|own| text.ends_with(own))
    }

    fn is_marked(&mut self, program: &Path) -> bool {
        let Some((mark, _)) = self.marked.clone() else { return false };
        self.remembered(program, || {
            read(program).is_some_and(|bytes| bytes.windows(mark.len()).any(|window| window == mark))
        })
    }

    fn remembered(&mut self, file: &Path, check: impl FnOnce() -> bool) -> bool {
        let Ok(meta) = fs::metadata(file) else { return false };
        let key = (meta.dev(), meta.ino(), meta.ctime_nsec() ^ meta.ctime());
        *self.known.entry(key).or_insert_with(check)
    }

    fn is_capped(&self, pid: i32) -> bool {
        let Some((_, hierarchy)) = &self.marked else { return false };
        let groups = hierarchy.chain(&cgroups::of(pid)).into_iter();
        let caps = groups.filter_map(|group| cgroup::cores(group.cpu_max.as_deref()?));
        caps.min_by(f64::total_cmp).is_some_and(|cores| cores < CAPPED)
    }
}

impl Default for Watch<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A file's bytes; nothing of one that is too large, or that would keep its reader
/// waiting, as a pipe does.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok()?;
    let is_small = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= FILE_CAP);
    let mut bytes = Vec::new();
    (is_small && file.take(FILE_CAP).read_to_end(&mut bytes).is_ok()).then_some(bytes)
}

fn is_own_program(exe: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(exe).is_some() && id(exe) == id(Path::new(&handles::proc("self/exe")))
}

/// Clock ticks, and pages read and written, of a process and all below it.
fn work_of(top: i32, all: &BTreeMap<i32, Stat>) -> u64 {
    let mut found = vec![top];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.iter().map(|pid| all.get(pid).map_or(0, |stat| stat.ticks) + processes::pages_moved(*pid)).sum()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn sample(workers: &[(i32, u64, bool)]) -> Sample {
        let worker = |(pid, work, is_capped): &(i32, u64, bool)| {
            ((*pid, 1), Done { work: *work, is_capped: *is_capped })
        };
        Sample { workers: workers.iter().map(worker).collect(), ..Sample::default() }
    }

    #[test]
    fn only_a_worker_that_did_something_in_between_is_progress() {
        let before = sample(&[(1, 100, false), (2, 100, true)]);
        let now = |workers| sample(workers).progress_since(&before);
        assert_eq!(now(&[]), Progress::None);
        assert_eq!(now(&[(1, 103, false), (2, 100, true)]), Progress::None);
        assert_eq!(now(&[(3, 2, false)]), Progress::None);
        assert_eq!(now(&[(3, 500, false)]), Progress::Works);
        assert_eq!(now(&[(1, 104, false), (2, 100, true)]), Progress::Works);
        assert_eq!(now(&[(1, 100, false), (2, 150, true)]), Progress::Capped);
        assert_eq!(now(&[(1, 150, false), (2, 150, true)]), Progress::Works);
    }

    /// The progress of a command in half a second, or the first progress that it makes within
    /// these seconds: a busy machine gives it little time at first.
    fn progress_within(seconds: u64, mut watch: Watch, mut command: std::process::Command) -> Progress {
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(400));
        let (before, began) = (watch.sample(), Instant::now());
        let progress = loop {
            std::thread::sleep(Duration::from_millis(600));
            let progress = watch.sample().progress_since(&before);
            if progress != Progress::None || began.elapsed().as_secs() >= seconds {
                break progress;
            }
        };
        end(&mut child);
        progress
    }

    fn end(child: &mut std::process::Child) {
        let below = processes::descendants(&[child.id() as i32]);
        for pid in below.into_iter().chain([child.id() as i32]) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        child.wait().unwrap();
    }

    fn shell(script: &str) -> std::process::Command {
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_loop_that_is_called_dpkg_is_no_known_work() {
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("dpkg");
        fs::copy("/bin/bash", &fake).unwrap();
        let mut command = std::process::Command::new(&fake);
        command.args(["-c", "while :; do :; done"]);
        assert_eq!(progress_within(0, Watch::new(), command), Progress::None);
        assert_eq!(progress_within(0, Watch::new(), shell("while :; do :; done")), Progress::None);
        assert_eq!(progress_within(0, Watch::new(), shell("sleep 60; :")), Progress::None);
    }

    #[test]
    fn dpkg_that_unpacks_is_known_work_and_one_that_waits_is_none() {
        if !Path::new("/var/lib/dpkg/info/dpkg.md5sums").exists() {
            eprintln!("skipped: no package database here");
            return;
        }
        // It compresses what it is given for as long as that lasts.
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("package");
        fs::create_dir_all(package.join("DEBIAN")).unwrap();
        let control =
            "Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n";
        fs::write(package.join("DEBIAN/control"), control).unwrap();
        let mut noise = vec![0; 48 << 20];
        rand::RngExt::fill(&mut rand::rng(), noise.as_mut_slice());
        fs::write(package.join("noise"), &noise).unwrap();
        let build = format!(
            "dpkg-deb --build -Zxz -z9 {} {}; :",
            package.display(),
            dir.path().join("x.deb").display()
        );
        assert_eq!(progress_within(20, Watch::new(), shell(&build)), Progress::Works);
        assert_eq!(
            progress_within(0, Watch::new(), shell("sleep 60 | dpkg-deb --contents /dev/stdin; :")),
            Progress::None
        );
    }

    #[test]
    fn of_many_who_are_at_the_same_work_some_count() {
        if !Path::new("/var/lib/dpkg/info/dpkg.md5sums").exists() {
            eprintln!("skipped: no package database here");
            return;
        }
        let mut watch = Watch::new();
        let waiting = "for i in {1..9}; do sleep 60 | dpkg-deb --contents /dev/stdin & done; \
                       sleep 60 | dpkg-deb --info /dev/stdin; :";
        let mut child = shell(waiting).spawn().unwrap();
        let is_there = |pid: &i32| processes::arguments(*pid)[0] == "dpkg-deb";
        let began = Instant::now();
        while processes::descendants(&[child.id() as i32]).iter().filter(|pid| is_there(pid)).count() < 10 {
            assert!(began.elapsed().as_secs() < 60, "they did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        let workers = [watch.sample(), watch.sample()].map(|sample| sample.workers.len());
        end(&mut child);
        assert_eq!(workers, [7, 7]);
    }
}
