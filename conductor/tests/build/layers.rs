//! What a build looks at in the layers below a step.

use std::collections::HashMap;

use super::*;

/// How often a build looks at each path of complete layers, by system call and path.
fn looks(place: &Playground, args: &[&str]) -> HashMap<(String, String), usize> {
    let mut looks = HashMap::new();
    for line in place.trace("newfstatat,fgetxattr", args) {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        // `newfstatat(AT_FDCWD<folder>, "path", ...` or `fgetxattr(5<path>, ...`.
        let path = match name {
            "newfstatat" => rest.split('"').nth(1),
            _ => rest.split(['<', '>']).nth(1),
        };
        let in_layer = path.filter(|path| path.contains("/.cache/layers/") && !path.contains("/.half-made-"));
        if let Some(path) = in_layer {
            *looks.entry((name.to_owned(), path.to_owned())).or_default() += 1;
        }
    }
    looks
}

#[test]
fn a_build_looks_at_each_path_of_the_layers_below_once() {
    let Some(place) = Playground::new() else { return };
    let step = |number| format!("RUN touch /etc/{number}\nCOPY file-{number} /srv/data/");
    let steps: Vec<_> = (0..6).map(step).collect();
    for number in 0..6 {
        place.write(&format!("file-{number}"), "");
    }
    place.write("Conductorfile", &format!("FROM debian:bookworm\n{}\n", steps.join("\n")));
    let looks = looks(&place, &["build", "img"]);
    let of = |name: &str| looks.iter().filter(|((_, path), _)| path.ends_with(name)).collect::<Vec<_>>();
    // The path of the name servers in the layers of RUN, that of the destination in those of COPY.
    for name in ["/diff/etc", "/diff/etc/resolv.conf", "/diff/srv", "/diff/srv/data"] {
        assert!(of(name).len() >= 5, "{name}: {looks:?}");
    }
    let again: Vec<_> = looks.iter().filter(|(_, count)| **count > 1).collect();
    assert!(again.is_empty(), "{again:?}");
}

#[test]
fn a_tree_deeper_than_the_limit_of_open_files_is_built_and_measured() {
    let Some(place) = Playground::new() else { return };
    let step = "i=0; while [ $i -lt 150 ]; do mkdir d; cd d || exit; i=$((i+1)); done; echo data > file";
    place.write("Conductorfile", &format!("FROM debian:bookworm\nRUN {step}\nCOPY Conductorfile /\n"));
    let few = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    let mut build = place.command(env!("CARGO_BIN_EXE_conductor"));
    // SAFETY: one system call between fork and exec.
    unsafe {
        build.args(["build", "img"]).pre_exec(move || {
            rustix::process::setrlimit(rustix::process::Resource::Nofile, few)?;
            Ok(())
        });
    }
    assert_cmd::Command::from_std(build).assert().success();
    let metadata = fs::read_to_string(place.layers("img")[1].with_file_name("metadata")).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata["size"], "data\n".len());
}
