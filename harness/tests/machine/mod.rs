//! A throw-away machine for tests: namespaces with a cable, as a VM has it, and nothing of the real
//! host's network or files within reach of what a test changes.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs a test inside a machine: the thread it runs on has a network of its own with `lan0` and
/// `world0`, and /etc and /run of its own. Skips, saying so, where the tests do not run as root.
pub fn in_a_machine(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root for namespaces");
        return;
    }
    let machine = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        for dir in ["/run/etc", "/run/work"] {
            std::fs::create_dir(dir).unwrap();
        }
        let layers = "lowerdir=/etc,upperdir=/run/etc,workdir=/run/work";
        mount(Some("overlay"), "/etc", Some("overlay"), MsFlags::empty(), Some(layers)).unwrap();
        // Where /etc/resolv.conf is itself a mount, as in containers, it hides the overlay's.
        let _ = nix::mount::umount("/etc/resolv.conf");
        // What the machine is made to trust is the test's alone; where the folder is missing,
        // there is one for all.
        must("mkdir -p /usr/local/share && mount -t tmpfs tmpfs /usr/local/share");
        must("ip link set lo up && ip link add lan0 type veth peer name world0");
        test();
    });
    if let Err(panic) = machine.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a shell command on the machine.
pub fn shell(script: &str) -> Output {
    Command::new("sh").args(["-ec", script]).output().unwrap()
}

/// Runs one that has to succeed; its output.
pub fn must(script: &str) -> String {
    let output = shell(script);
    assert!(
        output.status.success(),
        "{script}: {:?} {:?}\n{}{}",
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
