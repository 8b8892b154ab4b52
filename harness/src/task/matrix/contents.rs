//! What of the two services an image or a container holds: told by the files, wherever a submission put them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::task::conductor::state;

/// Most files and folders of one tree that are looked at.
const ENTRIES_CAP: usize = 300_000;
/// What an executable file begins with (elf(5)).
const ELF: &[u8] = b"\x7fELF";

/// What was found in a root file system, or in the layers of one.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// `counter-service.c`.
    pub counter_source: bool,
    /// A program called `counter-service`.
    pub counter_program: bool,
    /// `app.py`.
    pub page: bool,
    /// Python 3.
    pub python: bool,
    /// Flask, where Python looks for packages.
    pub flask: bool,
    /// Requests, likewise.
    pub requests: bool,
}

impl Contents {
    /// What the tree at `root` holds, without what is mounted below it.
    pub fn of(root: &Path) -> Self {
        let mut found = Self::default();
        let device = fs::metadata(root).map_or(0, |meta| meta.dev());
        let mut next: Vec<PathBuf> = vec![root.to_path_buf()];
        let mut seen = 0;
        while let Some(dir) = next.pop() {
            let is_packages =
                dir.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"-packages"));
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                seen += 1;
                if seen > ENTRIES_CAP {
                    return found;
                }
                let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
                if kind.is_dir() {
                    found.flask |= is_packages && name == "flask";
                    found.requests |= is_packages && name == "requests";
                    if entry.metadata().is_ok_and(|meta| meta.dev() == device) {
                        next.push(entry.path());
                    }
                } else if kind.is_file() {
                    found.counter_source |= name == "counter-service.c";
                    found.counter_program |= name == "counter-service" && is_program(&entry.path());
                    found.page |= name == "app.py";
                    found.python |= name.as_encoded_bytes().starts_with(b"python3.") && dir.ends_with("bin");
                }
            }
        }
        found
    }

    /// What either holds.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            counter_source: self.counter_source || other.counter_source,
            counter_program: self.counter_program || other.counter_program,
            page: self.page || other.page,
            python: self.python || other.python,
            flask: self.flask || other.flask,
            requests: self.requests || other.requests,
        }
    }

    /// Whether anything of the counter-service was copied into it.
    pub fn has_counter(self) -> bool {
        self.counter_source || self.counter_program
    }

    /// What the image of the counter-service lacks, in words; empty where it is complete.
    pub fn lacks_of_counter(self) -> Vec<&'static str> {
        lacking(&[
            (self.counter_source || self.counter_program, "the folder counter-service"),
            (self.counter_program, "the program that `make` makes of it"),
        ])
    }

    /// What the image of the external-service lacks.
    pub fn lacks_of_page(self) -> Vec<&'static str> {
        lacking(&[
            (self.page, "the folder external-service"),
            (self.python, "python3"),
            (self.flask, "python3-flask"),
            (self.requests, "python3-requests"),
        ])
    }
}

fn lacking(parts: &[(bool, &'static str)]) -> Vec<&'static str> {
    parts.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect()
}

fn is_program(path: &Path) -> bool {
    let mut start = [0; ELF.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == ELF
}

/// An image, by its folder; part of the record `images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its folder.
    pub dir: String,
    /// What its layers hold together.
    pub contents: Contents,
}

/// The images that hold anything of the services: folders with a `layers` file, and root file systems that no such
/// file names.
pub fn images(submission: &Path) -> Vec<Image> {
    let mut trees: Vec<(crate::guest::processes::Directory, Contents)> = Vec::new();
    let mut images = Vec::new();
    for (dir, named) in state::layered(submission) {
        let mut contents = Contents::default();
        for layer in named {
            let known = trees.iter().find(|(tree, _)| tree.is(&layer)).map(|(_, contents)| *contents);
            let own = known.unwrap_or_else(|| Contents::of(Path::new(&layer.path)));
            if known.is_none() {
                trees.push((layer, own));
            }
            contents = contents.and(own);
        }
        images.push(Image { dir: dir.to_string_lossy().into_owned(), contents });
    }
    for root in state::root_trees(submission) {
        if !trees.iter().any(|(tree, _)| tree.is(&root)) {
            images.push(Image { contents: Contents::of(Path::new(&root.path)), dir: root.path });
        }
    }
    images.retain(|image| image.contents.has_counter() || image.contents.page);
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn services_are_found_wherever_they_lie() {
        let counter =
            tree(&[("opt/a/b/counter-service.c", b"int main"), ("bin/counter-service", b"\x7fELF2")]);
        assert_eq!(Contents::of(counter.path()).lacks_of_counter(), Vec::<&str>::new());
        let page = tree(&[
            ("srv/external/app.py", b"import flask"),
            ("usr/bin/python3.11", b"\x7fELF"),
            ("usr/lib/python3/dist-packages/flask/__init__.py", b""),
            ("usr/local/lib/python3.11/site-packages/requests/__init__.py", b""),
        ]);
        assert_eq!(Contents::of(page.path()).lacks_of_page(), Vec::<&str>::new());
    }

    #[test]
    fn a_script_of_that_name_is_not_what_make_makes() {
        let root = tree(&[("x/counter-service.c", b""), ("x/counter-service", b"#!/bin/sh\n")]);
        assert_eq!(Contents::of(root.path()).lacks_of_counter(), ["the program that `make` makes of it"]);
    }

    #[test]
    fn a_folder_called_flask_elsewhere_is_no_package() {
        let root = tree(&[("app.py", b""), ("usr/bin/python3.11", b""), ("srv/flask/x", b"")]);
        assert_eq!(Contents::of(root.path()).lacks_of_page(), ["python3-flask", "python3-requests"]);
    }

    #[test]
    fn an_image_holds_what_its_layers_hold_together() {
        let submission = tree(&[
            ("task3/.cache/layers/one/diff/opt/counter-service.c", b""),
            ("task3/.cache/layers/two/diff/opt/counter-service", b"\x7fELF"),
            ("task3/.images/some-name/layers", b"layers/two/diff:layers/one/diff\n"),
        ]);
        let mut images = images(submission.path());
        images.retain(|image| Path::new(&image.dir).starts_with(submission.path()));
        assert_eq!(images.len(), 1);
        assert!(images[0].dir.ends_with(".images/some-name") && images[0].contents.counter_program);
    }
}
