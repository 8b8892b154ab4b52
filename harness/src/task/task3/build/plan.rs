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
/// name, to `/`; two files.
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
/// What is copied, by step; `copy-two` has a second one.
const FILES: [&str; 7] =
    ["copy-name", "copy-into", "copy-bin", "copy-two", "copy-two-second", "run-after-copy", "run-rewrites"];
/// What RUN writes, by step.
const WRITTEN: [&str; 5] =
    ["run-echo", "run-after-run", "run-after-run-second", "run-after-copy", "run-rewrites"];
/// The mode that a copied file gets later.
pub const CHANGED_MODE: u32 = 0o600;
/// A file and a folder of the base that RUN deletes.
pub const DELETED: [&str; 2] = ["/etc/issue.net", "/usr/share/common-licenses"];
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
    let (files, written) = (FILES.iter().map(&mut text).collect(), WRITTEN.iter().map(&mut text).collect());
    json!(BuildPlan {
        world: WorldPlan::draw(random),
        names,
        files,
        written,
        folders: std::array::from_fn(|_| tokens::token(random)),
        texts: std::array::from_fn(|_| tokens::token(random)),
        changed_text: tokens::token(random),
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

    /// Where a step's RUN writes; `…-second` is what its second one does.
    pub fn wrote(&self, step: &str) -> String {
        match step {
            "run-rewrites" => self.copied(step),
            _ => self.written.get(step).map_or_else(String::new, |file| format!("/var/tmp/{}", file.name)),
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
            "copy-two" => format!("{}\n{}", copy(step), copy("copy-two-second")),
            "run-echo" => format!("RUN echo {} > {}", word(step), self.wrote(step)),
            "run-after-run" => format!(
                "RUN echo {} > {}\n{}",
                word(step),
                self.wrote(step),
                reads(&self.wrote(step), "run-after-run-second")
            ),
            "run-after-copy" | "rebuilt" => format!(
                "{}\n{}",
                copy("run-after-copy"),
                reads(&self.copied("run-after-copy"), "run-after-copy")
            ),
            "run-deletes" => format!("RUN rm -f {} && rm -rf {}", DELETED[0], DELETED[1]),
            "run-rewrites" => {
                format!("COPY {} /\nRUN echo {} > {}", file(step), word(step), self.wrote(step))
            }
            "fails" => format!("{}\nRUN true", self.instructions("fails-again")),
            "fails-again" => format!("RUN test {} = {}", self.texts[0], self.texts[1]),
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

    /// The paths of an image that a step's checks ask about.
    pub fn paths(&self, step: &str) -> Vec<String> {
        let inside = |top: &String| {
            let content = self.folder_content().map(|(path, ..)| format!("{top}/{path}"));
            content.into_iter().chain([format!("{top}/{}", LINK.0)]).collect::<Vec<_>>()
        };
        match step {
            "copy-folder" | "mode-changed" | "text-changed" => inside(&self.copied_folder()),
            "copy-to-root" => self.copied_to_root().iter().flat_map(inside).collect(),
            "copy-two" => vec![self.copied(step), self.copied("copy-two-second")],
            "run-after-run" | "same-run-elsewhere" => {
                vec![self.wrote("run-after-run"), self.wrote("run-after-run-second")]
            }
            "run-after-copy" | "rebuilt" => {
                vec![self.copied("run-after-copy"), self.wrote("run-after-copy")]
            }
            "run-echo" => vec![self.wrote(step)],
            "run-deletes" => DELETED.map(str::to_owned).to_vec(),
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
        assert!(sources.len() >= COPIES.len() + 3);
    }
}
