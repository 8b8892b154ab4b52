//! The names and tokens of one run, and the Conductorfile of each step.
//!
//! Each COPY and RUN occurs in one build only, and each file is copied once, so that a tool's cache
//! cannot affect a check. Builds that repeat something come last, and only informational checks
//! look at them.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guest::world::WorldPlan;
use crate::task::task3::shared::tokens;

/// Builds with COPY: a file to a new name, into a folder, into `/bin`; a folder to a new
/// name, to `/`; four files.
pub const COPIES: [&str; 6] =
    ["copy-name", "copy-into", "copy-bin", "copy-folder", "copy-to-root", "copy-two"];
/// Builds with RUN.
pub const RUNS: [&str; 5] = ["run-echo", "run-after-run", "run-after-copy", "run-deletes", "run-rewrites"];
/// The builds that repeat something, and one whose RUN fails.
const LATER: [&str; 8] = [
    "build",
    "fails",
    "fails-again",
    "copied-again",
    "mode-changed",
    "text-changed",
    "rebuilt",
    "same-run-elsewhere",
];
/// The COPYs of `copy-two`, which older harnesses had two of.
pub const COPIES_OF_TWO: [&str; 4] = ["copy-two", "copy-two-second", "copy-two-third", "copy-two-fourth"];
/// The RUNs of `run-after-run`. The second reads what the first wrote. The third writes its working
/// directory beside its word, and sleeps. The fourth reads what the first and the third wrote.
pub const RUNS_AFTER_RUN: [&str; 4] =
    ["run-after-run", "run-after-run-second", "run-after-run-third", "run-after-run-fourth"];
/// What is copied, by step and place in it.
const FILES: [&str; 9] = [
    "copy-name",
    "copy-into",
    "copy-bin",
    "copy-two",
    "copy-two-second",
    "copy-two-third",
    "copy-two-fourth",
    "run-after-copy",
    "run-rewrites",
];
/// What is copied over a file that RUN wrote. Its text is longer, because rsync takes files of
/// equal size and time for the same.
const FILE_OVER_FILE: &str = "run-rewrites-second";
/// The build with the RUN that sleeps.
pub const SLEEPS: &str = RUNS_AFTER_RUN[0];
/// The folder that a RUN changes into.
pub const WORKED_IN: &str = "/var/tmp";
/// What RUN writes, by step and place in it.
const WRITTEN: [&str; 8] = [
    "run-echo",
    "run-after-run",
    "run-after-run-second",
    "run-after-run-third",
    "run-after-run-fourth",
    "run-after-copy",
    "run-deletes",
    "run-rewrites",
];
/// The mode that a copied file gets later.
pub const CHANGED_MODE: u32 = 0o600;
/// A file and a folder of the base that RUN deletes.
pub const DELETED: [&str; 2] = ["/etc/issue.net", "/usr/share/common-licenses"];
/// A folder of the base that RUN deletes and makes again, and a file that the base has in it.
pub const REMADE: (&str, &str) = ("/etc/skel", "/etc/skel/.bashrc");
/// A link in the copied folder, and where it leads.
pub const LINK: (&str, &str) = ("link", "deep/er");

/// What a step calls its image and its container, and what the container sleeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Names {
    pub image: String,
    pub container: String,
    #[serde(alias = "nap")]
    pub sleep: String,
}

/// A file: its name, and a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub name: String,
    /// Its name in the image, where COPY gives it another.
    pub other: String,
    pub text: String,
}

/// The names and words of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BuildPlan {
    pub world: WorldPlan,
    /// By step.
    pub names: BTreeMap<String, Names>,
    /// Files that COPY takes, by step.
    pub files: BTreeMap<String, Sample>,
    /// Files that RUN writes, by step; what `run-rewrites` writes is another text
    /// for its copied file.
    pub written: BTreeMap<String, Sample>,
    /// The folders that COPY takes: to a new name, to `/`.
    pub folders: [String; 2],
    /// What the files in them hold.
    pub texts: [String; 2],
    /// What comes in the place of the first of these, and of what a RUN writes.
    pub changed_text: String,
    /// For how many seconds a RUN sleeps: by this it is found. Empty in an older plan.
    #[serde(default)]
    pub pause: String,
}

/// Draws them.
pub fn plan(random: &mut StdRng) -> Value {
    let mut names = BTreeMap::new();
    for step in COPIES.iter().chain(&RUNS).chain(&LATER) {
        let own = Names {
            image: tokens::name(random, '-'),
            container: tokens::name(random, '-'),
            sleep: tokens::sleep_seconds(random),
        };
        names.insert((*step).to_owned(), own);
    }
    let mut text = |step: &&str| {
        let name = format!("{}.{}", tokens::token(random), random.random_range(10..99));
        ((*step).to_owned(), Sample { name, other: tokens::token(random), text: tokens::token(random) })
    };
    let mut files: BTreeMap<String, Sample> = FILES.iter().chain([&FILE_OVER_FILE]).map(&mut text).collect();
    let written = WRITTEN.iter().map(&mut text).collect();
    files.entry(FILE_OVER_FILE.to_owned()).and_modify(|file| file.text.push_str("-copied-over"));
    json!(BuildPlan {
        world: WorldPlan::draw(random),
        names,
        files,
        written,
        folders: std::array::from_fn(|_| tokens::token(random)),
        texts: std::array::from_fn(|_| tokens::token(random)),
        changed_text: tokens::token(random),
        pause: format!("1.{}", tokens::sleep_seconds(random)),
    })
}

impl BuildPlan {
    fn file(&self, step: &str) -> Option<&Sample> {
        self.files.get(step)
    }

    /// The text that a step's COPY brings.
    pub fn text_of(&self, step: &str) -> &str {
        self.file(step).map_or("", |file| &file.text)
    }

    /// Where the file that a step's COPY takes is in the image.
    pub fn copied(&self, step: &str) -> String {
        let Some(Sample { name, other, .. }) = self.file(step) else { return String::new() };
        match step {
            "copy-into" => format!("/srv/{name}"),
            // A link to `/usr/bin` in the base: what is written into a bare layer hides all of it.
            "copy-bin" => format!("/usr/bin/{other}"),
            "run-rewrites" => format!("/{name}"),
            _ => format!("/opt/{other}"),
        }
    }

    /// What a step's RUN writes where it reads or makes a file.
    pub fn word_of(&self, step: &str) -> &str {
        self.written.get(step).map_or("", |file| &file.text)
    }

    /// Where a step's RUN writes; `…-second` is what its second one does. Empty where the plan of
    /// an older harness has no such RUN.
    pub fn wrote(&self, step: &str) -> String {
        let Some(Sample { name, .. }) = self.written.get(step) else { return String::new() };
        match step {
            "run-rewrites" => self.copied(step),
            "run-deletes" => format!("{}/{name}", REMADE.0),
            _ => format!("{WORKED_IN}/{name}"),
        }
    }

    /// What a copied folder holds, below it: path, mode and text.
    pub fn folder_content(&self) -> [(String, u32, Option<&str>); 5] {
        let [one, two] = &self.texts;
        [
            (".hidden".to_owned(), 0o644, Some(two.as_str())),
            ("run.sh".to_owned(), 0o755, Some(one.as_str())),
            ("secret".to_owned(), 0o640, Some(two.as_str())),
            ("deep".to_owned(), 0o750, None),
            ("deep/er".to_owned(), 0o644, Some(one.as_str())),
        ]
    }

    /// Where the folder that gets a new name is.
    pub fn copied_folder(&self) -> String {
        format!("/opt/{}", self.folders[0])
    }

    /// Where the folder that is copied to `/` may be: its contents, or itself.
    pub fn copied_to_root(&self) -> [String; 2] {
        [String::new(), format!("/{}", self.folders[1])]
    }

    /// Files in the copied folder: one whose mode changes, and then one whose text does.
    pub fn changed_files(&self) -> [String; 2] {
        ["secret", "run.sh"].map(|name| format!("{}/{name}", self.copied_folder()))
    }

    /// The instructions of a step, without FROM.
    pub fn instructions(&self, step: &str) -> String {
        let file = |step: &str| self.file(step).map_or("", |file| file.name.as_str());
        let copy = |step: &str| format!("COPY {} {}", file(step), self.copied(step));
        let [folder, to_root] = &self.folders;
        let word = |step: &str| self.word_of(step);
        let writes = |step: &str| format!("RUN echo {} > {}", word(step), self.wrote(step));
        // One that does not find what it reads must not end the build: that is another check's.
        let reads = |from: &str, step: &str| {
            format!("RUN cat {from} > {to} 2> /dev/null; echo {} >> {to}", word(step), to = self.wrote(step))
        };
        match step {
            "copy-into" => format!("COPY {} /srv/", file(step)),
            "copy-bin" => {
                format!("COPY {} /bin/{}", file(step), self.file(step).map_or("", |file| &file.other))
            }
            "copy-folder" | "copied-again" | "mode-changed" | "text-changed" => {
                format!("COPY {folder} /opt/{folder}")
            }
            "copy-to-root" => format!("COPY {to_root} /"),
            "copy-two" => COPIES_OF_TWO.map(copy).join("\n"),
            "run-echo" => writes(step),
            "run-after-run" => {
                let [one, two, three, four] = RUNS_AFTER_RUN;
                let read = self.wrote(one);
                let both = format!("{read} {}", self.wrote(three));
                [writes(one), reads(&read, two), self.stays(three), reads(&both, four)].join("\n")
            }
            "run-after-copy" | "rebuilt" => format!(
                "{}\n{}",
                copy("run-after-copy"),
                reads(&self.copied("run-after-copy"), "run-after-copy")
            ),
            "run-deletes" => format!(
                "RUN rm -f {} && rm -rf {} {folder} && mkdir {folder} && echo {} > {}",
                DELETED[0],
                DELETED[1],
                word(step),
                self.wrote(step),
                folder = REMADE.0
            ),
            "run-rewrites" => format!(
                "COPY {} /\n{} && echo {} > {}\n{}",
                file(step),
                writes(step),
                word(step),
                self.copied("run-rewrites-second"),
                copy("run-rewrites-second")
            ),
            "fails" => {
                format!("{}\nRUN touch {WORKED_IN}/{}", self.instructions("fails-again"), self.texts[1])
            }
            // It leaves a file, so only its status tells that it failed. It needs no shell.
            "fails-again" => {
                format!("RUN touch {WORKED_IN}/{0} /{0}/{1}", self.texts[0], self.texts[1])
            }
            "same-run-elsewhere" => format!(
                "RUN echo {} > {}\n{}",
                self.changed_text,
                self.wrote("run-after-run"),
                reads(&self.wrote("run-after-run"), "run-after-run-second")
            ),
            "build" => String::new(),
            _ => copy(step),
        }
    }

    /// A RUN that writes by a name without a folder, and stays for a moment, so that its process is
    /// seen.
    fn stays(&self, step: &str) -> String {
        let name = self.written.get(step).map_or("", |file| file.name.as_str());
        let word = self.word_of(step);
        format!("RUN cd {WORKED_IN} && echo {word} > {name} && pwd >> {name} && sleep {}", self.pause)
    }

    /// The paths of an image that a step's checks ask about: one for each COPY and RUN that brings
    /// a file, so a path is here twice where two of them do.
    pub fn paths(&self, step: &str) -> Vec<String> {
        let mut paths = self.all_paths(step);
        // The plan of an older harness has fewer.
        paths.retain(|path| !path.is_empty());
        paths
    }

    fn all_paths(&self, step: &str) -> Vec<String> {
        let inside = |top: &String| {
            let content = self.folder_content().map(|(path, ..)| format!("{top}/{path}"));
            content.into_iter().chain([format!("{top}/{}", LINK.0)]).collect::<Vec<_>>()
        };
        match step {
            "copy-folder" | "mode-changed" | "text-changed" => inside(&self.copied_folder()),
            "copy-to-root" => self.copied_to_root().iter().flat_map(inside).collect(),
            "copy-two" => COPIES_OF_TWO.map(|copy| self.copied(copy)).to_vec(),
            "run-after-run" => RUNS_AFTER_RUN.map(|run| self.wrote(run)).to_vec(),
            "same-run-elsewhere" => {
                ["run-after-run", "run-after-run-second"].map(|run| self.wrote(run)).to_vec()
            }
            "run-after-copy" | "rebuilt" => {
                vec![self.copied("run-after-copy"), self.wrote("run-after-copy")]
            }
            "run-echo" => vec![self.wrote(step)],
            "run-deletes" => {
                let removed = DELETED.iter().chain([&REMADE.1]).map(|path| (*path).to_owned());
                removed.chain([self.wrote(step)]).collect()
            }
            "run-rewrites" => vec![self.copied(step), self.copied("run-rewrites-second")],
            _ => vec![self.copied(step)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn what_is_copied_over_a_file_differs_in_size() {
        let plan = BuildPlan::deserialize(plan(&mut StdRng::seed_from_u64(1))).unwrap();
        assert_ne!(plan.text_of("run-rewrites-second").len(), plan.word_of("run-rewrites").len());
    }

    #[test]
    fn no_instruction_of_a_scored_build_occurs_in_another_one() {
        let plan = BuildPlan::deserialize(plan(&mut StdRng::seed_from_u64(1))).unwrap();
        let lines: Vec<String> = COPIES
            .iter()
            .chain(&RUNS)
            .chain(&["fails"])
            .flat_map(|step| plan.instructions(step).lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let sources: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("COPY ").and_then(|rest| rest.split(' ').next()))
            .collect();
        assert_eq!(lines.iter().collect::<BTreeSet<_>>().len(), lines.len(), "{lines:#?}");
        assert_eq!(sources.iter().collect::<BTreeSet<_>>().len(), sources.len(), "{sources:#?}");
        assert!(sources.len() >= COPIES.len() + 6);
    }
}
