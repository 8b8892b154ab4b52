//! Finds the base trees that a submission needs, from the bases that its Conductorfiles name and
//! from how its conductor.sh calls debootstrap.

use std::collections::BTreeSet;

use super::text::{Folder, lines};
use crate::packages::base::{self, Order};
use crate::packages::proof::Wanted;
use crate::task::{task3, task4};

/// The bases that a Conductorfile may name (section "build" of the assignment): distribution and
/// suite.
const BASES: [(&str, &str); 3] = [("debian", "bookworm"), ("ubuntu", "jammy"), ("ubuntu", "focal")];
/// The paths of conductor.sh and its settings files.
const SCRIPTS: [&str; 6] = [
    "task3/conductor.sh",
    "task3/setup.sh",
    "task3/config.sh",
    "task4/conductor.sh",
    "task4/setup.sh",
    "task4/config.sh",
];

/// The base trees that the scenarios of tasks 3 and 4 need. The Conductorfiles that the scenarios
/// bring name the first of [`BASES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bases {
    every: Vec<Order>,
    task4: Vec<Order>,
    /// Whether task 4 needs the first of [`BASES`]: it names that one, or none at all.
    debian_in_task4: bool,
}

impl Bases {
    /// Reads the scripts of a submission.
    pub fn of(folder: &Folder) -> Self {
        let scripts: Vec<String> = SCRIPTS.iter().filter_map(|path| folder.read(path)).collect();
        let texts: Vec<String> = scripts.iter().flat_map(|text| lines(text)).collect();
        let named: Vec<String> =
            folder.files_in("task4").iter().filter_map(|path| folder.read(path)).collect();
        let is_named = |base: &(&str, &str)| named.iter().any(|text| names(text, base.0, base.1));
        let (every, others) = BASES.split_at(1);
        let orders = |bases: &[(&str, &str)]| {
            bases.iter().flat_map(|(distribution, suite)| calls(&texts, distribution, suite)).collect()
        };
        let others: Vec<_> = others.iter().copied().filter(is_named).collect();
        let debian_in_task4 = others.is_empty() || is_named(&BASES[0]);
        Self { every: orders(every), task4: orders(&others), debian_in_task4 }
    }

    /// The base trees that these scenarios need.
    pub fn needed(&self, scenarios: &[&str]) -> Vec<Order> {
        let task4 = if scenarios.contains(&task4::SCENARIO.id) { &self.task4[..] } else { &[] };
        self.every.iter().chain(task4).cloned().collect()
    }

    /// The packages that these scenarios install in containers. They do not depend on the mirror.
    pub fn packages(&self, scenarios: &[&str]) -> Vec<Wanted> {
        let wanted = |orders: &[Order], packages: &[&'static str]| {
            orders.first().map(|order| Wanted { order: order.clone(), packages: packages.to_vec() })
        };
        let mut all = Vec::new();
        if scenarios.contains(&task3::PACKAGES_SCENARIO.id) {
            all.extend(wanted(&self.every, &[task3::PACKAGE]));
        }
        if scenarios.contains(&task4::SCENARIO.id) {
            for orders in self.every.chunk_by(same_suite).filter(|_| self.debian_in_task4) {
                all.extend(wanted(orders, &TASK4));
            }
            for orders in self.task4.chunk_by(same_suite) {
                all.extend(wanted(orders, &TASK4));
            }
        }
        all
    }
}

fn same_suite(one: &Order, other: &Order) -> bool {
    one.suite == other.suite
}

/// The packages that task 4 of the assignment installs.
const TASK4: [&str; 4] = ["build-essential", "python3", "python3-flask", "python3-requests"];

/// Whether a Conductorfile, or a script that writes one, has a `FROM` line with this base.
fn names(text: &str, distribution: &str, suite: &str) -> bool {
    lines(text).any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word.trim_start_matches(['"', '\'']) == "FROM")
            && words.next().is_some_and(|base| {
                base.trim_end_matches(['"', '\'', ';']).split_once("\\n").map_or(base, |(base, _)| base)
                    == format!("{distribution}:{suite}")
            })
    })
}

/// The trees that conductor.sh makes with debootstrap for a suite: one for each scheme (http or
/// https) of a mirror address in the scripts.
fn calls(lines: &[String], distribution: &str, suite: &str) -> Vec<Order> {
    let order = Order {
        archive: distribution.to_owned(),
        suite: suite.to_owned(),
        https: false,
        variant: variant(lines),
        components: components(lines, distribution),
        keyring: None,
    };
    let schemes: BTreeSet<bool> = lines.iter().flat_map(|line| schemes(line, distribution)).collect();
    match schemes.len() {
        // Without an address, debootstrap uses its default mirror over http.
        0 => vec![order],
        _ => schemes.into_iter().map(|https| Order { https, ..order.clone() }).collect(),
    }
}

/// For each address in a line that may be the distribution's mirror: whether its scheme is https.
fn schemes(line: &str, distribution: &str) -> Vec<bool> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("://") {
        let ends = |char: char| char.is_whitespace() || "\"'();,|&<>".contains(char);
        let rest = line[at + 3..].split(ends).next().unwrap_or_default().trim_end_matches('/');
        let last = rest.rsplit('/').next().unwrap_or_default();
        if last.eq_ignore_ascii_case(distribution) || last.contains('$') {
            let scheme = &line[..at];
            found.extend(["https", "http"].iter().position(|end| scheme.ends_with(end)).map(|at| at == 0));
        }
    }
    found
}

/// The variants that a tree is made of. For any other word, debootstrap in the guest says what is
/// wrong with it: `fakechroot` needs a program of that name, and `-` is no variant.
const VARIANTS: [&str; 2] = ["minbase", "buildd"];

/// The `--variant` argument of a debootstrap call, if it is one of [`VARIANTS`].
fn variant(lines: &[String]) -> Option<String> {
    let after = |line: &String| {
        let (_, rest) = line.split_once("debootstrap")?;
        let (_, value) = rest.split_once("--variant")?;
        let word = value.trim_start_matches(['=', ' ', '"', '\'']);
        let word = word.split(|char: char| !char.is_ascii_alphanumeric() && char != '-').next()?;
        VARIANTS.contains(&word).then(|| word.to_owned())
    };
    lines.iter().find_map(after)
}

/// The archive's components, from a list such as `main,universe` in the scripts; otherwise `main`.
fn components(lines: &[String], distribution: &str) -> String {
    let own: &[&str] = match distribution {
        "ubuntu" => &["main", "universe", "multiverse", "restricted"],
        _ => &["main", "contrib", "non-free", "non-free-firmware"],
    };
    let list = |word: String| {
        let parts: Vec<_> = word.split(',').collect();
        let is_list =
            parts.len() > 1 && parts.contains(&"main") && parts.iter().all(|part| own.contains(part));
        base::components(&word).filter(|_| is_list)
    };
    let words = |line: &String| {
        let split = line.split(|char: char| !char.is_ascii_alphanumeric() && !",-".contains(char));
        split.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    lines.iter().flat_map(words).find_map(list).unwrap_or_else(|| "main".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(script: &str, distribution: &str) -> Vec<(bool, Option<String>, String)> {
        let lines: Vec<String> = lines(script).collect();
        let orders = calls(&lines, distribution, "suite");
        orders.into_iter().map(|order| (order.https, order.variant, order.components)).collect()
    }

    #[test]
    fn the_scheme_of_the_mirror_address_decides_which_tree_is_needed() {
        let plain = |https| vec![(https, None, "main".to_owned())];
        let starter =
            "MIRRORS=([debian]=https://mirror.example/debian/ [ubuntu]='http://m.example/ubuntu')\n";
        assert_eq!(called(starter, "debian"), plain(true));
        assert_eq!(called(starter, "ubuntu"), plain(false));
        assert_eq!(
            called("debootstrap $1 $2 \"https://mirror.example/pub/debian\"\n", "debian"),
            plain(true)
        );
        assert_eq!(
            called("# https://mirror.example/debian\ndebootstrap bookworm d\n", "debian"),
            plain(false)
        );
        assert_eq!(called("echo see https://docs.example/help\n", "debian"), plain(false));
        let both = "A=http://a.example/debian\nB=https://b.example/debian\n";
        assert_eq!(called(both, "debian"), [plain(false), plain(true)].concat());
        assert_eq!(called("debootstrap $s $t https://mirror.example/$distro\n", "ubuntu"), plain(true));
    }

    #[test]
    fn options_of_debootstrap_are_recognised() {
        let minbase =
            called("debootstrap --arch amd64 \\\n  --variant=minbase \"$suite\" \"$dir\"\n", "debian");
        assert_eq!(minbase, [(false, Some("minbase".to_owned()), "main".to_owned())]);
        let parts = "COMPONENTS=([debian]=\"main\" [ubuntu]=\"main,universe\")\n";
        assert_eq!(called(parts, "ubuntu"), [(false, None, "main,universe".to_owned())]);
        assert_eq!(called(parts, "debian"), [(false, None, "main".to_owned())]);
    }

    #[test]
    fn a_script_orders_no_tree_that_debootstrap_would_not_make_and_none_twice() {
        let plain = [(false, None, "main".to_owned())];
        for line in [
            "debootstrap --variant=nonesuch bookworm d\n",
            "debootstrap --variant=minbase-x bookworm d\n",
            "debootstrap --variant=- bookworm d\n",
            "debootstrap --variant=\"$VARIANT\" bookworm d\n",
            "debootstrap --variant=fakechroot bookworm d\n",
            "debootstrap --components=main,nonesuch bookworm d\n",
            "debootstrap --components=main,universe bookworm d\n",
        ] {
            assert_eq!(called(line, "debian"), plain, "{line}");
        }
        let usage = "echo debootstrap --variant=NAME\ndebootstrap --variant=buildd bookworm d\n";
        assert_eq!(called(usage, "debian"), [(false, Some("buildd".to_owned()), "main".to_owned())]);
        for list in ["main,contrib", "main,contrib,contrib,contrib", "contrib,main,main"] {
            let orders = called(&format!("debootstrap --components={list} bookworm d\n"), "debian");
            assert_eq!(orders, [(false, None, "main,contrib".to_owned())], "{list}");
        }
    }

    #[test]
    fn a_from_line_is_found_in_conductorfiles_and_in_scripts_that_write_them() {
        for text in
            ["FROM ubuntu:focal\nRUN x\n", "  FROM  ubuntu:focal  ", "printf 'FROM ubuntu:focal\\nRUN x'"]
        {
            assert!(names(text, "ubuntu", "focal"), "{text}");
        }
        for text in ["# FROM ubuntu:focal\n", "FROM ubuntu:jammy\n", "FROM\n", "ubuntu:focal"] {
            assert!(!names(text, "ubuntu", "focal"), "{text}");
        }
    }
}
