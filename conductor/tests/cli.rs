//! The command line: help, names, settings, completions and man page.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use support::Playground;

const COMMANDS: [&str; 10] =
    ["build", "images", "rmi", "rmcache", "run", "ps", "stop", "exec", "addnetwork", "peer"];

fn conductor() -> assert_cmd::Command {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_conductor"))
}

#[test]
fn help_lists_every_function() {
    for flag in ["-h", "--help"] {
        let mut all = conductor().arg(flag).assert().success();
        for command in COMMANDS {
            all = all.stdout(contains(format!("\n  {command} ")));
        }
    }
    conductor().assert().code(2).stderr(contains("Usage: conductor"));
}

#[test]
fn the_long_help_names_what_is_missing_and_fits_eighty_columns() {
    let help = conductor().arg("--help").env("COLUMNS", "80").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, missing) = help.split_once("What conductor does not have").unwrap();
    for tool in ["podman pull", "systemd-run", "--userns=auto", "/proc/PID/root"] {
        assert!(missing.contains(tool), "{missing}");
    }
    for line in missing.lines() {
        assert!(line.chars().count() < 80, "{line}");
    }
}

#[test]
fn completions_and_man_page_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let mut script = conductor().args(["completions", shell]).assert().success();
        for command in COMMANDS {
            script = script.stdout(contains(command));
        }
    }
    let mut page = conductor().arg("man").assert().success();
    for command in COMMANDS {
        page = page.stdout(contains(format!(".SH \"{}\"", command.to_uppercase())));
    }
    page = page.stdout(contains("Usage: conductor addnetwork [OPTIONS] <CONTAINER>\n"));
    page.stdout(
        contains("\\-\\-init\\fR")
            .and(contains("stays a zombie").and(contains("If a firewall was started or restarted"))),
    );
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_done() {
    for (args, message) in [
        (["rmi", "../x"], "contains '/'"),
        (["stop", ".x"], "must begin with a letter or a digit"),
        (["stop", ""], "must not be empty"),
        (["run", "img"], "required arguments were not provided"),
        (["frob", "x"], "unrecognized subcommand"),
    ] {
        conductor().args(args).assert().code(2).stderr(contains(message)).stdout("");
    }
}

#[test]
fn what_users_of_docker_type_gets_the_command_to_type_instead() {
    for (args, tip) in [
        (&["rm", "x"][..], "tip: `conductor stop CONTAINER` ends a container and deletes it"),
        (&["pull", "debian"], "tip: there are no registries"),
        (&["run", "-it", "img", "c"], "tip: leave it out: the command gets the terminal"),
        (&["-q", "run", "img", "c", "-d"], "tip: put `&` after the command line"),
        (&["build", "-t", "img", "."], "tip: the name comes first: `conductor build IMAGE`"),
    ] {
        let wrong_tip = contains("rmcache").or(contains("as a value"));
        conductor().args(args).assert().code(2).stderr(contains(tip).and(wrong_tip.not())).stdout("");
    }
    conductor().args(["image", "x"]).assert().code(2).stderr(contains("conductor images"));
    conductor().args(["frobnicate", "--xyz"]).assert().code(2).stderr(contains("unrecognized subcommand"));
}

#[test]
fn a_settings_file_beside_the_program_says_where_state_lies() {
    let Some(place) = Playground::new() else { return };
    // Like a submission: a script that executes the program beside it, called from another folder.
    std::fs::copy(env!("CARGO_BIN_EXE_conductor"), place.path().join("conductor")).unwrap();
    place.write("setup.sh", "IMAGEDIR=\"$(dirname \"$0\")/my-images\"\nDEFAULT_IFC=eth0\n");
    let script =
        place.write_program("conductor.sh", "#!/bin/sh\nexec \"$(dirname \"$0\")/conductor\" \"$@\"\n");
    place.write("elsewhere/Conductorfile", "FROM debian:bookworm\n");
    let mut command = place.command(&script);
    command.args(["build", "img", "elsewhere/Conductorfile"]);
    assert_cmd::Command::from_std(command).assert().success();
    assert!(place.path().join("my-images/img/layers").exists());
    assert!(place.path().join(".cache/base").exists());

    // Through a link in another folder: state is stored beside the link, as with the course's own
    // script.
    place.write("task4/setup.sh", "CACHEDIR=\"$(dirname $0)/../.cache\"\n");
    std::os::unix::fs::symlink("../conductor", place.path().join("task4/conductor")).unwrap();
    let mut command = place.command("task4/conductor");
    command.args(["build", "img", "elsewhere/Conductorfile"]);
    assert_cmd::Command::from_std(command).assert().success();
    assert!(place.path().join("task4/.images/img/layers").exists());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_settings_file() {
    let Some(place) = Playground::new() else { return };
    place.write("setup.sh", "IMAGEDIR=from-file\n");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    place.conductor(["build", "a"]).assert().success();
    place.conductor(["build", "b"]).env("IMAGEDIR", place.path().join("from-env")).assert().success();
    place
        .conductor(["build", "--imagedir", "from-flag", "c"])
        .env("IMAGEDIR", place.path().join("from-env"))
        .assert()
        .success();
    for image in ["from-file/a", "from-env/b", "from-flag/c"] {
        assert!(place.path().join(image).join("layers").exists(), "{image}");
    }
}

#[test]
fn a_setting_that_needs_a_shell_is_an_error_that_says_where() {
    let Some(place) = Playground::new() else { return };
    place.write("setup.sh", "\nIMAGEDIR=$(mktemp -d)\n");
    place
        .conductor(["images"])
        .assert()
        .code(1)
        .stderr(contains("setup.sh, IMAGEDIR: line 2: '$(mktemp -d)' needs a shell; write IMAGEDIR=VALUE"))
        .stdout(contains("CS695").not());
    place.conductor(["images", "--imagedir", "i"]).assert().success();
    place.conductor(["images"]).env("IMAGEDIR", "i").assert().success();
}

#[test]
fn a_setting_that_cannot_be_known_stops_only_the_commands_that_need_it() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\n");
    let commands = [
        ("ps", "CONTAINERDIR"),
        ("stop c", "CONTAINERDIR"),
        ("exec c true", "CONTAINERDIR"),
        ("peer a b", "CONTAINERDIR"),
        ("images", "IMAGEDIR"),
        ("rmi img", "IMAGEDIR CONTAINERDIR"),
        ("run img c true", "IMAGEDIR CONTAINERDIR"),
        ("rmcache", "IMAGEDIR CONTAINERDIR CACHEDIR"),
        ("build img", "IMAGEDIR CONTAINERDIR CACHEDIR BASE_MIRRORS BASE_SUITES"),
        ("build img --mirror http://m", "IMAGEDIR CONTAINERDIR CACHEDIR BASE_SUITES"),
        ("addnetwork c", "CONTAINERDIR IP4_SUBNET"),
        ("addnetwork c -i", "CONTAINERDIR IP4_SUBNET DEFAULT_IFC"),
    ];
    let settings =
        ["IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "IP4_SUBNET", "DEFAULT_IFC", "BASE_MIRRORS", "BASE_SUITES"];
    for setting in settings {
        place.write("setup.sh", &format!("if true; then {setting}=x; fi\n"));
        for (command, needs) in commands {
            let output = place.conductor(command.split(' ')).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let complaint =
                format!("setup.sh, {setting}: line 1: only a shell can tell whether '{setting}=x' is");
            let needed = needs.split(' ').any(|name| name == setting);
            assert_eq!(said.contains(&complaint), needed, "{command} with {setting}: {said}");
            assert!(needed || !said.contains("setup.sh") && !said.contains("/dev/null"), "{command}: {said}");
        }
    }
}

#[test]
fn a_usage_text_in_the_settings_file_holds_nothing_up() {
    let Some(place) = Playground::new() else { return };
    for text in [
        "usage() {\n    cat <<EOT\nLIST=(one|two)\nEOT\n}\n",
        "awk '{ y = 1 }\nx=($1>2 && $2)\n' /dev/null\n",
        "X=(a;b)\n",
    ] {
        place.write("setup.sh", text);
        place.conductor(["ps"]).timeout(Duration::from_secs(10)).assert().success();
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let Some(place) = Playground::new() else { return };
    place.write("setup.sh", "IMAGEDIR=i\nCONTAINERDIR=c\nCACHEDIR=.cache\nIP4_SUBNET=10.7\n");
    place.write("Conductorfile", "FROM debian:bookworm\n");
    let conductor = |args: &str| {
        let mut command = place.conductor(args.split(' '));
        for name in ["CONDUCTOR_SETUP", "IMAGEDIR", "CONTAINERDIR", "CACHEDIR", "DEFAULT_IFC", "IP4_SUBNET"] {
            command.env(name, "");
        }
        command
    };
    conductor("ps").assert().success();
    conductor("build img").assert().success();
    assert!(place.path().join("i/img/layers").exists());
    conductor("rmi img").assert().success();
    // A flag is never ignored.
    for flag in ["ps --imagedir=", "addnetwork c -i --default-ifc=", "build img --mirror="] {
        conductor(flag).assert().code(2).stderr(contains("a value is required"));
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_one_that_nobody_reads_is_none_to_tell() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for args in [["completions", "bash"].as_slice(), &["man"], &["ps"]] {
        let command = |stdout: Stdio| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_conductor"));
            command.arg("-q").args(args).stdout(stdout).output().unwrap()
        };
        let output = command(full().into());
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            said,
            "conductor: cannot write to standard output: No space left on device (os error 28)\n"
        );
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(writer.into());
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), [].as_slice()), "{args:?}");
    }
    let mut nowhere = std::process::Command::new(env!("CARGO_BIN_EXE_conductor"));
    let status =
        nowhere.args(["ps", "--setup", "/nosuch"]).stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn closed_standard_streams_are_no_files_of_a_command() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\nRUN echo said; echo complained >&2\n");
    let conductor = env!("CARGO_BIN_EXE_conductor");
    for words in ["build img", "run img eg echo said", "ps", "stop eg", "run"] {
        let script = format!("{conductor} {words} <&- >&- 2>&-");
        let status = place.command("/bin/sh").args(["-c", &script]).status().unwrap();
        assert_eq!(status.code(), Some(if words == "run" { 2 } else { 0 }), "{words}");
    }
    let states = [
        "-r",
        "said\\|CS695",
        ".images",
        ".containers",
        ".cache/layers",
        "--include=layers",
        "--include=image",
    ];
    assert_eq!(place.command("grep").args(states).output().unwrap().stdout, b"");
}

#[test]
fn who_is_not_root_is_told_that_it_takes_root() {
    let Some(place) = Playground::new() else { return };
    place.build("").success();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Where root builds in its own home, nobody else can read what lies beside the program.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("conductor");
    std::fs::copy(env!("CARGO_BIN_EXE_conductor"), &program).unwrap();
    let mut command = place.command("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]).arg(program).args(["run", "img", "eg"]);
    assert_cmd::Command::from_std(command)
        .assert()
        .code(125)
        .stderr(contains(".images: Permission denied (os error 13): conductor needs root\n"));
}

#[test]
fn quiet_leaves_out_who_speaks() {
    let Some(place) = Playground::new() else { return };
    place.conductor(["-q", "images"]).assert().success().stdout("No images found\n");
    place.conductor(["images", "--quiet"]).assert().success().stdout("No images found\n");
}

#[test]
fn a_command_whose_output_cannot_be_written_does_its_work_and_fails() {
    let Some(place) = Playground::new() else { return };
    place.write("Conductorfile", "FROM debian:bookworm\nCOPY Conductorfile /\n");
    let path = |path: &str| place.path().join(path);
    let unheard = |args: &str, status: i32| {
        let mut command = place.command(env!("CARGO_BIN_EXE_conductor"));
        command.args(args.split(' ')).stdin(Stdio::null());
        command.stdout(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{args}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            said,
            "conductor: cannot write to standard output: No space left on device (os error 28)\n"
        );
    };
    for quiet in ["", "-q "] {
        unheard(&format!("{quiet}build img"), 1);
        assert!(path(".images/img/layers").exists());
        place.keep_running("eg", &["sleep", "infinity"]);
        unheard(&format!("{quiet}addnetwork eg"), 1);
        assert!(path(".containers/eg/network.json").exists());
        unheard(&format!("{quiet}stop eg"), 1);
        assert!(!path(".containers/eg").exists());
        unheard(&format!("{quiet}rmi img"), 1);
        assert!(!path(".images/img").exists());
        unheard(&format!("{quiet}rmcache"), 1);
        assert!(!path(".cache/layers").exists());
        support::make_base(&path(".cache/base/debian-bookworm"));
    }
    place.conductor(["build", "img"]).assert().success();
    unheard("run img made touch /made", 125);
    assert!(path(".containers/made/upper/made").exists());
    place.keep_running("eg", &["sleep", "infinity"]);
    unheard("exec eg touch /made", 125);
    assert!(path(".containers/eg/upper/made").exists());
}
