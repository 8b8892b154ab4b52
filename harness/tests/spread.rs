//! A class graded by several machines: a Slurm job array, and GNU parallel over ssh. Both are
//! real, on this machine.
#![allow(clippy::unwrap_used)]

mod synthetic;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use synthetic::{Form, participant};
use tempfile::TempDir;

const NUMBER: usize = 12;

/// A class whose members all hand in something that can be graded.
fn class() -> (TempDir, PathBuf) {
    let home = TempDir::new().unwrap();
    let work = home.path().join("work/task1");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("namespace_prog.c"), "int own;\n").unwrap();
    let work = home.path().join("work");
    let forms = [Form::TarGz, Form::Zip, Form::Loose];
    let class: Vec<_> = (0..NUMBER).map(|place| participant(place, forms[place % 3], &work)).collect();
    let (zip, _) = synthetic::write(home.path(), &class);
    (home, zip)
}

/// How many reports there are, and how often a grade was started for all of them.
fn reports(results: &Path) -> usize {
    let all = fs::read_dir(results.join("reports")).unwrap();
    all.filter(|entry| entry.as_ref().unwrap().path().join("report.json").is_file()).count()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn has(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|folder| Path::new(folder).join(program).is_file())
}

#[test]
#[ignore = "needs root, and Debian's packages slurm-wlm and munge"]
fn a_slurm_job_array_grades_a_class() {
    if !has("slurmctld") || !has("munged") {
        eprintln!("skipped: no Slurm here; apt-get install slurm-wlm munge");
        return;
    }
    let (home, zip) = class();
    let results = home.path().join("results");
    let run = || {
        let output = Command::new(root().join("ci/slurm/cluster"))
            .args(["sbatch", "--wait", "--array=1-4", "--cpus-per-task=1", "--mem=512M", "--output"])
            .arg(home.path().join("part-%a.txt"))
            .arg(root().join("ci/slurm/class.sbatch"))
            .arg(&zip)
            .arg(&results)
            .args(["--only", "layout"])
            .env("HARNESS", assert_cmd::cargo::cargo_bin!("harness"))
            .env("HARNESS_CACHE", home.path().join("cache"))
            .output()
            .unwrap();
        let part =
            |part| fs::read_to_string(home.path().join(format!("part-{part}.txt"))).unwrap_or_default();
        let said: String = (1..=4).map(part).collect();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let said = run();
    assert_eq!(reports(&results), NUMBER, "{said}");
    assert_eq!(said.matches("3 graded, 0 had their report").count(), 4, "{said}");
    let said = run();
    assert_eq!(said.matches("0 graded, 3 had their report").count(), 4, "{said}");
}

/// An sshd of this test's own on the loopback interface, which takes its own key alone.
struct Sshd(Child);

impl Sshd {
    /// Starts it; returns the client's command, too.
    fn start(home: &Path) -> (Self, String) {
        for name in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(home.join(name))
                .status()
                .unwrap();
            assert!(made.success());
        }
        fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = [
            format!("ListenAddress=127.0.0.1:{port}"),
            format!("HostKey={}", home.join("host").display()),
            format!("AuthorizedKeysFile={}", home.join("client.pub").display()),
            "StrictModes=no".to_owned(),
            "UsePAM=no".to_owned(),
            "PermitRootLogin=prohibit-password".to_owned(),
            "PidFile=none".to_owned(),
        ];
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-f", "/dev/null"]).stderr(Stdio::null());
        for option in options {
            sshd.args(["-o", &option]);
        }
        let ssh = format!(
            "ssh -p {port} -i {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            home.join("client").display()
        );
        let started = Self(sshd.spawn().unwrap());
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed().as_secs() < 30, "sshd does not answer");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        (started, ssh)
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root, and Debian's packages parallel and openssh-server"]
fn gnu_parallel_over_ssh_grades_a_class_and_goes_on_where_it_was() {
    if !has("parallel") || !has("sshd") {
        eprintln!("skipped: no GNU parallel or sshd here; apt-get install parallel openssh-server");
        return;
    }
    let (home, zip) = class();
    let (_sshd, ssh) = Sshd::start(home.path());
    let results = home.path().join("results");
    let program = with_cache(home.path());
    let run = || {
        let output = Command::new(root().join("ci/parallel/class"))
            .args(["127.0.0.1", "3"])
            .args([&zip, &results])
            .args(["--only", "layout", "--quiet"])
            .env("HARNESS", &program)
            .env("JOBS", "2")
            .env("PARALLEL_SSH", &ssh)
            .output()
            .unwrap();
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{said}");
        said
    };
    let said = run();
    assert_eq!(reports(&results), NUMBER, "{said}");
    assert_eq!(run().matches("had their report").count(), 0, "a part that ended is not started again");
    // One part whose node was lost, and one that was still running when parallel was killed.
    let log = results.join("parallel-3.log");
    let lines = fs::read_to_string(&log).unwrap();
    let mut kept: Vec<_> = lines.lines().take(3).map(str::to_owned).collect();
    let mut lost: Vec<_> = kept[2].split('\t').map(str::to_owned).collect();
    lost[EXIT_STATUS] = "255".to_owned();
    kept[2] = lost.join("\t");
    fs::write(&log, kept.join("\n") + "\n").unwrap();
    let said = run();
    assert_eq!(said.matches("0 graded, 4 had their report").count(), 2, "{said}");
}

/// The column of a job's exit status in the log of GNU parallel.
const EXIT_STATUS: usize = 6;

/// A program that starts the harness with a cache of this test's own: ssh passes no variables on.
fn with_cache(home: &Path) -> PathBuf {
    let path = home.join("harness");
    let harness = assert_cmd::cargo::cargo_bin!("harness");
    let script = format!(
        "#!/bin/sh\nHARNESS_CACHE='{}' exec '{}' \"$@\"\n",
        home.join("cache").display(),
        harness.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
