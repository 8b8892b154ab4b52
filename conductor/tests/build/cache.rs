//! Which layers a build takes from the cache, and which it creates again.

use super::*;

#[test]
fn an_unchanged_build_uses_the_cache_for_every_instruction() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    let steps = "COPY app /app\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
    place.build(steps).success();
    let before = place.layers("img");
    // Another modification time is no change.
    fs::File::open(place.path().join("app/file")).unwrap().set_modified(SystemTime::now()).unwrap();
    let out = place.build(steps).success();
    assert_eq!(String::from_utf8_lossy(&out.get_output().stdout).matches("Using cache").count(), 3);
    assert_eq!(place.layers("img"), before);
}

/// Builds, changes something, builds again: the layers below `first_changed` must stay, all others
/// must be new.
fn changes(steps: &str, first_changed: usize, change: impl FnOnce(&Playground) -> Option<String>) {
    let Some(place) = Playground::new() else { return };
    place.write("a/file", "one");
    place.write("a/sub/other", "two");
    symlink("file", place.path().join("a/link")).unwrap();
    place.write("b", "three");
    place.build(steps).success();
    let before = place.layers("img");
    let new_steps = change(&place);
    place.build(new_steps.as_deref().unwrap_or(steps)).success();
    let after = place.layers("img");
    assert_eq!(before[..first_changed], after[..first_changed]);
    for (old, new) in before[first_changed..].iter().zip(&after[first_changed..]) {
        assert_ne!(old, new);
    }
}

const STEPS: &str = "RUN echo 1 > /1\nCOPY a /a\nRUN echo 2 > /2\nCOPY b /b\n";

#[test]
fn changed_contents_invalidate_their_copy_and_what_follows() {
    // The size stays, and the change follows the build at once: only reading the file shows it.
    changes(STEPS, 2, |place| {
        place.write("a/file", "ONE");
        None
    });
}

#[test]
fn a_changed_mode_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        let path = place.path().join("a/sub/other");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        None
    });
}

#[test]
fn a_changed_link_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        fs::remove_file(place.path().join("a/link")).unwrap();
        symlink("other", place.path().join("a/link")).unwrap();
        None
    });
}

#[test]
fn a_new_empty_directory_invalidates_its_copy_and_what_follows() {
    changes(STEPS, 2, |place| {
        fs::create_dir(place.path().join("a/new")).unwrap();
        None
    });
}

#[test]
fn a_change_in_a_later_source_keeps_the_layers_before() {
    changes(STEPS, 4, |place| {
        place.write("b", "THREE");
        None
    });
}

#[test]
fn a_changed_instruction_invalidates_itself_and_what_follows() {
    changes(STEPS, 1, |_| Some(STEPS.replace("echo 1", "echo one")));
    changes(STEPS, 3, |_| Some(STEPS.replace("echo 2", "echo two")));
    changes(STEPS, 2, |_| Some(STEPS.replace("COPY a /a", "COPY a /other")));
}

#[test]
fn a_rebuilt_image_takes_the_place_of_the_old_one() {
    let Some(place) = Playground::new() else { return };
    place.build("RUN echo 1 > /1\n").success();
    let first = place.layers("img");
    place.build("RUN echo 2 > /2\n").success();
    assert_ne!(place.layers("img"), first);
    assert!(first[1].exists(), "layers stay in the cache");
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
    place.build("RUN false\n").failure();
    assert!(place.layers("img")[1].join("2").exists(), "a failed build keeps the image that was");
}

#[test]
fn two_builds_of_the_same_at_once_make_the_same_layers() {
    let Some(place) = Playground::new() else { return };
    place.write("app/file", "x");
    place.write(
        "Conductorfile",
        "FROM debian:bookworm\nCOPY app /\nRUN cat /proc/sys/kernel/random/uuid > /id\n",
    );
    let builds: Vec<_> = ["one", "two", "three"]
        .map(|image| {
            let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
            build.args(["-q", "build", image]).stdout(Stdio::null()).spawn().unwrap()
        })
        .into_iter()
        .collect();
    for mut build in builds {
        assert!(build.wait().unwrap().success());
    }
    assert_eq!(place.layers("one"), place.layers("two"));
    assert_eq!(place.layers("one"), place.layers("three"));
    assert_eq!(place.half_made(), Vec::<PathBuf>::new());
}
