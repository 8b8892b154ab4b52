//! What the QEMU of a guest may do on the host, as the kernel says it, and what becomes of a
//! template that was written to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod machine;

use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use vm::{Cache, Command, Disks, Event, Guest, Outcome, Request, Template, prepare};

fn template(cache: &Cache, on: &mut dyn FnMut(Event)) -> Template {
    let request = Request {
        agent: Some(env!("CARGO_BIN_EXE_vm-agent").into()),
        setup: machine::setup(),
        ..Request::default()
    };
    prepare(cache, &request, on).unwrap()
}

fn usual(on: &mut dyn FnMut(Event)) -> Template {
    template(&machine::cache(), on)
}

fn guest(template: &Template) -> Guest {
    template.restore(&Disks::default()).unwrap()
}

/// The words behind a name in a file of `/proc/PID`.
fn words(pid: u32, file: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace().map(str::to_owned).collect()
}

/// The soft and the hard limit.
fn limit(pid: u32, name: &str) -> [String; 2] {
    words(pid, "limits", name)[..2].to_vec().try_into().unwrap()
}

#[test]
fn qemu_is_confined_while_a_guest_runs() {
    let template = usual(&mut |event| eprintln!("{event:?}"));
    let mut guest = guest(&template);
    let outcome = guest.run(&Command::new(["/bin/true"]), &mut |_| {});
    assert!(matches!(outcome, Outcome::Exited { code: 0, .. }), "{outcome:?}");
    let qemu = guest.qemu_pid();

    // 2 is a filter of system calls (proc_pid_status(5)).
    assert_eq!(words(qemu, "status", "Seccomp:"), ["2"]);
    assert_eq!(words(qemu, "status", "NoNewPrivs:"), ["1"]);
    for (name, most) in [
        ("Max address space", (6_u64 << 30).to_string()),
        ("Max file size", (24_u64 << 30).to_string()),
        ("Max open files", "1024".to_owned()),
        ("Max core file size", "0".to_owned()),
    ] {
        assert_eq!(limit(qemu, name), [most.clone(), most], "{name}");
    }
    let children = fs::read_to_string(format!("/proc/{qemu}/task/{qemu}/children")).unwrap();
    assert_eq!(children, "", "QEMU started a process");
    let environment = fs::read(format!("/proc/{qemu}/environ")).unwrap();
    assert_eq!(String::from_utf8_lossy(&environment), "MALLOC_ARENA_MAX=4\0");

    let ids = words(qemu, "status", "Uid:");
    if nix::unistd::geteuid().is_root() {
        let own = (2_000_000_000 + qemu).to_string();
        assert_eq!(ids, vec![own.clone(); 4]);
        assert_eq!(words(qemu, "status", "Gid:"), vec![own; 4]);
        assert_eq!(words(qemu, "status", "Groups:"), [""; 0]);
        assert_eq!(words(qemu, "status", "CapEff:"), ["0000000000000000"]);
        assert_eq!(limit(qemu, "Max processes")[1], "128");
    } else {
        assert_eq!(ids[0], nix::unistd::geteuid().to_string());
    }
}

#[test]
fn no_two_machines_of_root_have_the_same_user() {
    let template = usual(&mut |_| {});
    let guests = [guest(&template), guest(&template)];
    let [one, two] = guests.each_ref().map(|guest| words(guest.qemu_pid(), "status", "Uid:"));
    assert_eq!(one != two, nix::unistd::geteuid().is_root());
}

/// A cache with a copy of a template, on whose memory no other process relies.
fn copied(template: &Template, at: &Path) -> Cache {
    let usual = machine::cache();
    for folder in ["images", "verdicts"] {
        symlink(usual.root().join(folder), at.join(folder)).unwrap();
    }
    fs::create_dir(at.join("templates")).unwrap();
    let place = usual.root().join("templates").join(template.key());
    let copy =
        std::process::Command::new("cp").arg("-a").args([&place, &at.join("templates")]).status().unwrap();
    assert!(copy.success());
    Cache::at(at)
}

#[test]
fn a_copied_template_works_and_one_that_was_written_to_is_made_again() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let cache = copied(&usual(&mut |_| {}), dir.path());
    let mut said = Vec::new();
    let copy = template(&cache, &mut |event| said.push(format!("{event:?}")));
    let mut guest = guest(&copy);
    let runs = |guest: &mut Guest| guest.run(&Command::new(["/bin/true"]), &mut |_| {});
    assert!(matches!(runs(&mut guest), Outcome::Exited { code: 0, .. }));
    assert!(!said.iter().any(|said| said.starts_with("Step")), "a copy is taken as it is: {said:?}");

    let memory = dir.path().join("templates").join(copy.key()).join("ram");
    let file = fs::File::options().read(true).write(true).open(&memory).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 4096).unwrap();
    file.write_all_at(&[!byte[0]], 4096).unwrap();
    let outcome = runs(&mut guest);
    assert!(matches!(outcome, Outcome::TemplateWritten(_)) && outcome.is_infrastructure(), "{outcome:?}");
    drop(guest);
    let error = copy.restore(&Disks::default()).unwrap_err().to_string();
    assert!(error.contains("was written to"), "{error}");
    drop(copy);

    let again = template(&cache, &mut |event| said.push(format!("{event:?}")));
    assert!(said.iter().any(|said| said.contains("was written to since it was made")), "{said:?}");
    assert!(matches!(runs(&mut self::guest(&again)), Outcome::Exited { code: 0, .. }));
}
