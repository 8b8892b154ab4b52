//! A default setup.sh for submissions without one. The course hands out setup.sh, so a submission
//! that lacks it must not lose the marks of tasks 3 and 4.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::guest::world::LAN;

/// The text of a setup.sh with the course's defaults. The names of its arrays are those that
/// `conductor`, the text of conductor.sh, uses.
pub fn setup(conductor: &str) -> String {
    let mut text = format!(
        "# The submission has no setup.sh; the grader added this one with the course's defaults.\n\
         DEFAULT_IFC={LAN}\n\
         IP4_SUBNET=192.168\nIP4_PREFIX_SIZE=24\nIP4_FULL_PREFIX_SIZE=16\nNEEDED_TOOLS=(debootstrap iptables)\n\
         IMAGEDIR=\"$(dirname \"$0\")/.images\"\nCONTAINERDIR=\"$(dirname \"$0\")/.containers\"\n\
         CACHEDIR=\"$(dirname \"$0\")/.cache\"\nEXTRADIR=\"$(dirname \"$0\")/extras\"\n"
    );
    for name in arrays(conductor, "MIRROR") {
        let (debian, ubuntu) = ("http://mirror.example/debian", "http://mirror.example/ubuntu");
        let _ = writeln!(
            text,
            "declare -A {name}=([debian]={debian} [ubuntu]={ubuntu} [debian:bookworm]={debian} \
             [ubuntu:jammy]={ubuntu} [ubuntu:focal]={ubuntu})"
        );
    }
    for name in arrays(conductor, "SUITE") {
        let _ = writeln!(
            text,
            "declare -A {name}=([debian]=bookworm [ubuntu]='jammy focal' [debian:bookworm]=bookworm \
             [ubuntu:jammy]=jammy [ubuntu:focal]=focal)"
        );
    }
    text
}

/// The array variables that a script uses and whose names contain `word`.
fn arrays<'a>(script: &'a str, word: &str) -> BTreeSet<&'a str> {
    let names = script.split("${").skip(1).filter_map(|rest| {
        let rest = rest.trim_start_matches(['!', '#']);
        let end = rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '_')?;
        rest[end..].starts_with('[').then_some(&rest[..end])
    });
    names.filter(|name| name.contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_default_setup_defines_the_arrays_that_conductor_uses() {
        let conductor = "[[ \" ${SUITES[$distro]-} \" = *\" $suite \"* ]]\ndebootstrap $suite $dir ${BASE_MIRRORS[$distro]}\n";
        let script = format!(
            "set -eu\n{}\ndistro=ubuntu; echo ${{SUITES[$distro]}} ${{BASE_MIRRORS[$distro]}} $IMAGEDIR $IP4_SUBNET",
            setup(conductor)
        );
        let output = Command::new("bash").args(["-c", &script, "./conductor.sh"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "jammy focal http://mirror.example/ubuntu ./.images 192.168\n", "{output:?}");
    }
}
