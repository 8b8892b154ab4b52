//! Sources of `COPY` that are unusual: holes, hard links, deep trees, sockets, ignored files,
//! Conductorfiles in pipes.

use std::os::unix::net::UnixListener;

use rustix::fs::{Mode, OFlags};

use super::*;

/// The paths below a folder, sorted, one a line.
fn names(root: &Path) -> String {
    let find = Command::new("find").arg(root).args(["-mindepth", "1", "-printf", "%P\n"]).output().unwrap();
    let text = String::from_utf8(find.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().map(|line| format!("{line}\n")).collect();
    lines.sort();
    lines.concat()
}

/// The blocks of 512 bytes that a file takes on the disk.
fn blocks(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks()
}

#[test]
fn holes_stay_holes() {
    let Some(place) = Playground::new() else { return };
    let source = fs::File::create(place.path().join("disk")).unwrap();
    source.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&source, b"data", 1 << 39).unwrap();
    place.build("COPY disk /disk\n").success();
    let copy = place.layers("img")[1].join("disk");
    assert_eq!(fs::metadata(&copy).unwrap().len(), 1 << 40);
    assert!(blocks(&copy) <= 1024, "{} blocks", blocks(&copy));
    let mut data = [0; 6];
    let copy = fs::File::open(copy).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&copy, &mut data, (1 << 39) - 1).unwrap();
    assert_eq!(&data, b"\0data\0");
}

#[test]
fn hard_links_within_a_copy_stay_hard_links() {
    let Some(place) = Playground::new() else { return };
    place.write("app/one", "x");
    fs::create_dir_all(place.path().join("app/sub")).unwrap();
    for name in ["app/sub/two", "three"] {
        fs::hard_link(place.path().join("app/one"), place.path().join(name)).unwrap();
    }
    place.build("COPY app three /to/\n").success();
    let layer = place.layers("img")[1].join("to");
    let inode = |name: &str| fs::metadata(layer.join(name)).unwrap().ino();
    assert_eq!(inode("app/one"), inode("app/sub/two"));
    assert_eq!(inode("app/one"), inode("three"));
    // The same contents as two files are another layer.
    let first = place.layers("img");
    fs::remove_file(place.path().join("app/sub/two")).unwrap();
    place.write("app/sub/two", "x");
    place.build("COPY app three /to/\n").success();
    assert_ne!(place.layers("img"), first);
    assert_ne!(inode("app/one"), fs::metadata(place.layers("img")[1].join("to/app/sub/two")).unwrap().ino());
}

#[test]
fn a_name_that_a_later_source_replaced_is_not_linked_to() {
    let Some(place) = Playground::new() else { return };
    place.write("a/x", "linked");
    place.write("b/x", "other");
    place.write("c/keep", "");
    fs::hard_link(place.path().join("a/x"), place.path().join("c/y")).unwrap();
    fs::hard_link(place.path().join("b/x"), place.path().join("c/x")).unwrap();
    place.build("COPY a/. b/. c/. /d/\n").success();
    let layer = place.layers("img")[1].join("d");
    assert_eq!(fs::read_to_string(layer.join("x")).unwrap(), "other");
    assert_eq!(fs::read_to_string(layer.join("y")).unwrap(), "linked");
}

#[test]
fn trees_deeper_than_paths_are_long_are_copied_and_cached() {
    let Some(place) = Playground::new() else { return };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    place.write("deep/file", "top");
    let mut open = rustix::fs::open(place.path().join("deep"), flags, Mode::empty()).unwrap();
    let name = "n".repeat(100);
    // More levels than a process may usually have files open.
    for _ in 0..1100 {
        rustix::fs::mkdirat(&open, &name, Mode::from_raw_mode(0o755)).unwrap();
        open = rustix::fs::openat(&open, &name, flags, Mode::empty()).unwrap();
    }
    let file = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    drop(rustix::fs::openat(&open, "bottom", file, Mode::from_raw_mode(0o644)).unwrap());
    let steps = "COPY deep /deep\nCOPY deep/. /deep\n";
    place.build(steps).success();
    for layer in &place.layers("img")[1..] {
        let mut open = rustix::fs::open(layer.join("deep"), flags, Mode::empty()).unwrap();
        for _ in 0..1100 {
            open = rustix::fs::openat(&open, &name, flags, Mode::empty()).unwrap();
        }
        rustix::fs::statat(&open, "bottom", rustix::fs::AtFlags::empty()).unwrap();
    }
    place.build(steps).success().stdout(contains("Using cache").count(3));
    // The playground itself cannot delete such trees.
    place.conductor(["rmcache", "--force"]).assert().success();
    Command::new("rm").arg("-rf").arg(place.path().join("deep")).status().unwrap();
}

#[test]
fn sockets_and_pipes_are_skipped_with_a_message() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    let _listener = UnixListener::bind(place.path().join("app/agent.sock")).unwrap();
    let pipe = rustix::fs::FileType::Fifo;
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, place.path().join("app/pipe"), pipe, mode, 0).unwrap();
    let built = place.build("COPY app /app\n").success();
    built.stderr(
        contains("conductor: COPY skips app/agent.sock: it is a socket, pipe or device\n")
            .and(contains("COPY skips app/pipe")),
    );
    assert_eq!(names(&place.layers("img")[1]), "app\napp/file\n");
    place.build("COPY app/pipe /\n").failure().stderr(contains("app/pipe is a device, socket or pipe"));
}

#[test]
fn the_ignore_files_of_podman_and_buildkit_keep_files_out_too() {
    let Some(place) = Playground::new() else { return };
    let copied = |conductorfile: &str, context: &str| {
        place.conductor(["build", "img", conductorfile, "--context", context]).assert().success();
        let names = fs::read_dir(place.layers("img")[1].join("c")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.contains("ignore")).collect();
        names.sort();
        names
    };
    for name in ["a", "b", "c", "d"] {
        place.write(&format!("app/{name}"), "x");
    }
    place.write("files/CF", "FROM debian:bookworm\nCOPY . /c\n");
    place.write("app/.dockerignore", "d\n");
    assert_eq!(copied("files/CF", "app"), ["a", "b", "c"]);
    place.write("app/.containerignore", "c\n");
    assert_eq!(copied("files/CF", "app"), ["a", "b", "d"]);
    place.write("app/.conductorignore", "b\n");
    assert_eq!(copied("files/CF", "app"), ["a", "c", "d"]);
    place.write("files/CF.dockerignore", "a\n");
    assert_eq!(copied("files/CF", "app"), ["b", "c", "d"]);
}

#[test]
fn an_ignore_file_keeps_files_out_of_a_copy() {
    let Some(place) = Playground::new() else { return };
    for file in [".git/config", "app/main.c", "app/main.o", "app/keep.o", "secret/key", "secret/public"] {
        place.write(file, file);
    }
    place.write(
        ".dockerignore",
        ".git\n**/*.o\n!app/keep.o\nsecret\n!secret/public\n.dockerignore\nConductorfile\n",
    );
    place.build("COPY . /c\n").success();
    assert_eq!(
        names(&place.layers("img")[1].join("c")),
        "app\napp/keep.o\napp/main.c\nsecret\nsecret/public\n"
    );
    place
        .build("COPY app/main.o /\n")
        .failure()
        .stderr(contains("'app/main.o' is not in the context").and(contains(": .dockerignore excludes it")));
    place.write(".conductorignore", "app\n");
    place.build("COPY . /c\n").success();
    assert!(!place.layers("img")[1].join("c/app").exists());
    assert!(place.layers("img")[1].join("c/secret/key").exists());
    place.write(".conductorignore", "[b\n");
    place.build("COPY . /c\n").failure().stderr(contains(".conductorignore:1: '[b' is not a pattern"));
}

#[test]
fn a_link_to_a_conductorfile_keeps_the_context_of_the_link() {
    let Some(place) = Playground::new() else { return };
    place.write("common/Conductorfile", "FROM debian:bookworm\nCOPY file /file\n");
    place.write("file", "here");
    symlink("common/Conductorfile", place.path().join("Conductorfile")).unwrap();
    place.conductor(["build", "img"]).assert().success();
    assert_eq!(fs::read_to_string(place.layers("img")[1].join("file")).unwrap(), "here");
}

#[test]
fn a_conductorfile_comes_from_standard_input_or_a_pipe() {
    let Some(place) = Playground::new() else { return };
    place.write("ctx/file", "x");
    let text = "FROM debian:bookworm\nCOPY file /file\n";
    let mut build = place.conductor(["build", "img", "-", "--context", "ctx"]);
    build.write_stdin(text).assert().success();
    assert!(place.layers("img")[1].join("file").exists());
    let refused = place.conductor(["build", "img", "-"]).write_stdin(text).assert().code(1);
    refused.stderr(
        contains("<stdin>:2: COPY file /file: COPY needs a folder to copy from")
            .and(contains("--context DIR")),
    );
    place.conductor(["build", "img", "-"]).write_stdin("FROM debian:bookworm\nRUN true\n").assert().success();

    let script = format!("{} build piped <(printf '{text}') --context ctx", env!("CARGO_BIN_EXE_conductor"));
    let bash = place.command("/bin/bash").args(["-c", &script]).stdin(Stdio::null()).status().unwrap();
    assert!(bash.success());
}

#[test]
fn messages_name_the_line_of_a_wrong_byte_and_the_target_of_a_dangling_link() {
    let Some(place) = Playground::new() else { return };
    fs::write(place.path().join("Conductorfile"), b"FROM debian:bookworm\n# caf\xe9 au lait\nRUN true\n")
        .unwrap();
    place.conductor(["build", "img"]).assert().code(1).stderr(contains(
        "Conductorfile:2:6: the byte 0xE9 is not UTF-8: save the file in UTF-8\n 2 | # caf\u{fffd} au lait\n",
    ));
    symlink("nowhere", place.path().join("link")).unwrap();
    place
        .build("COPY link /\n")
        .failure()
        .stderr(contains("'link' is a link to 'nowhere', which is not in the context"));
    place.write("tree/data/file", "x");
    place.build("RUN ln -s /volume/data /data\nCOPY tree/. /\n").failure().stderr(contains(
        "/data is a link to /volume/data, which does not exist: create that directory first",
    ));
}
