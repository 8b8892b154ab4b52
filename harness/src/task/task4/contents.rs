//! Which parts of the two services an image or a container holds, found by the files, wherever a
//! submission put them.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::evidence::process::Directory;
use crate::task::task3::shared::state;

/// Most files and folders of one tree that are looked at.
const ENTRIES_CAP: usize = 300_000;
/// C compilers, as programs and as packages; a version may follow: `gcc-12`.
const COMPILERS: [&str; 4] = ["cc", "gcc", "clang", "tcc"];
/// How much of dpkg's log is read.
const LOG_CAP: u64 = 4 << 20;
/// What an executable file begins with (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// The size of that file's header, and its mark of the other byte order.
const HEADER: usize = 64;
const BIG_ENDIAN: u8 = 2;

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
    /// A C compiler, or dpkg's word that there was one. Not looked for in older evidence.
    pub compiler: Option<bool>,
}

impl Contents {
    /// What the tree at `root` holds, without what is mounted below it.
    pub fn of(root: &Path) -> Self {
        let mut found = Self::default();
        let mut compiler = false;
        let device = fs::metadata(root).map_or(0, |meta| meta.dev());
        let mut next: Vec<PathBuf> = vec![root.to_path_buf()];
        let log = root.join("var/log");
        let mut seen = 0;
        while let Some(dir) = next.pop() {
            let holds_packages = is_packages(&dir);
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                seen += 1;
                if seen > ENTRIES_CAP {
                    break;
                }
                let (name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
                if kind.is_dir() {
                    let is_package = holds_packages && is_no_empty_file(&entry.path().join("__init__.py"));
                    found.flask |= is_package && name == "flask";
                    found.requests |= is_package && name == "requests";
                    if entry.metadata().is_ok_and(|meta| meta.dev() == device) {
                        next.push(entry.path());
                    }
                } else if kind.is_file() {
                    found.counter_source |= name == "counter-service.c";
                    found.counter_program |= name == "counter-service" && is_program(&entry.path());
                    // Flask has one of its own.
                    found.page |= name == "app.py" && !dir.ancestors().any(is_packages);
                    compiler |= name == "dpkg.log" && dir == log && names_compiler(&entry.path());
                    if dir.ends_with("bin") {
                        let name = name.to_string_lossy();
                        compiler |= is_compiler(after_triplet(&name)) && is_program(&entry.path());
                        found.python |= name.starts_with("python3.") && is_program(&entry.path());
                    }
                }
            }
        }
        Self { compiler: Some(compiler), ..found }
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
            compiler: self.compiler.zip(other.compiler).map(|(own, other)| own || other),
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
            (self.counter_program, "the program that `make` builds"),
            (self.compiler != Some(false), "build-essential, which `make` needs"),
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

/// Whether Python looks for packages there: `dist-packages`, `site-packages`.
fn is_packages(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"-packages"))
}

fn is_no_empty_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() > 0)
}

/// Whether it is an executable file: its header names program headers, and it holds them.
fn is_program(path: &Path) -> bool {
    let mut head = [0; HEADER];
    let Ok(mut file) = fs::File::open(path) else { return false };
    let size = file.metadata().map_or(0, |meta| meta.len());
    file.read_exact(&mut head).is_ok() && end_of_headers(&head).is_some_and(|end| end <= size)
}

/// Where the program headers end that an ELF header names; `None` if there are none.
fn end_of_headers(head: &[u8; HEADER]) -> Option<u64> {
    let number = |at: usize, bytes: usize| {
        let bytes = head[at..at + bytes].iter();
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if head[ELF.len() + 1] == BIG_ENDIAN { bytes.fold(0, add) } else { bytes.rev().fold(0, add) }
    };
    let (offset, size, count) = match head[ELF.len()] {
        1 => (number(28, 4), number(42, 2), number(44, 2)),
        2 => (number(32, 8), number(54, 2), number(56, 2)),
        _ => return None,
    };
    (head.starts_with(ELF) && offset != 0 && size != 0 && count != 0)
        .then(|| offset.saturating_add(size * count))
}

/// Whether dpkg has installed a compiler, as its log says: it may be gone again.
fn names_compiler(log: &Path) -> bool {
    let mut text = Vec::new();
    let read = fs::File::open(log).and_then(|file| file.take(LOG_CAP).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let mut packages = text.lines().filter_map(|line| line.split(" install ").nth(1)?.split(':').next());
    read.is_ok() && packages.any(is_compiler)
}

/// The name of a program without the machine that it compiles for: `gcc-12` of
/// `x86_64-linux-gnu-gcc-12`.
fn after_triplet(name: &str) -> &str {
    name.split_once("-linux-gnu-").map_or(name, |(_, name)| name)
}

fn is_compiler(name: &str) -> bool {
    COMPILERS.iter().filter_map(|compiler| name.strip_prefix(compiler)).any(|version| {
        version.is_empty()
            || version
                .strip_prefix('-')
                .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    })
}

/// What trees hold, each of which is looked through once.
#[derive(Debug, Default)]
pub struct Trees(Vec<(Directory, Contents)>);

impl Trees {
    fn knows(&self, dir: &Directory) -> bool {
        self.0.iter().any(|(known, _)| known.is(dir))
    }

    /// What the tree at `dir` holds.
    pub fn of(&mut self, dir: &Directory) -> Contents {
        if let Some((_, contents)) = self.0.iter().find(|(known, _)| known.is(dir)) {
            return *contents;
        }
        let contents = Contents::of(Path::new(&dir.path));
        self.0.push((dir.clone(), contents));
        contents
    }

    /// What several hold together.
    pub fn together(&mut self, dirs: &[Directory]) -> Contents {
        let parts = dirs.iter().map(|dir| self.of(dir));
        parts.reduce(Contents::and).unwrap_or_default()
    }
}

/// An image, by its folder; part of the record `images`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its folder.
    pub dir: String,
    /// What its layers hold together.
    pub contents: Contents,
}

/// The images that hold anything of the services: folders with a `layers` file, and root file
/// systems that no such file names. `of_containers` are the root directories and upper folders of
/// containers, which are no images.
pub fn images(submission: &Path, of_containers: &[Directory], trees: &mut Trees) -> Vec<Image> {
    let mut images = Vec::new();
    for (dir, named) in state::layered(submission) {
        images.push(Image { dir: dir.to_string_lossy().into_owned(), contents: trees.together(&named) });
    }
    for root in state::root_trees(submission) {
        if !trees.knows(&root) && !of_containers.iter().any(|own| own.is(&root)) {
            images.push(Image { contents: trees.of(&root), dir: root.path });
        }
    }
    images.retain(|image| image.contents.has_counter() || image.contents.page);
    images
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header of 64 bytes, and one program header of 56 bytes behind it.
    const PROGRAM: &[u8] = &{
        let mut file = [0; 120];
        (file[0], file[1], file[2], file[3]) = (0x7f, b'E', b'L', b'F');
        (file[4], file[5], file[32], file[54], file[56]) = (2, 1, 64, 56, 1);
        file
    };

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
        let counter = tree(&[
            ("opt/a/b/counter-service.c", b"int main"),
            ("bin/counter-service", PROGRAM),
            ("usr/bin/x86_64-linux-gnu-gcc-12", PROGRAM),
        ]);
        assert_eq!(Contents::of(counter.path()).lacks_of_counter(), Vec::<&str>::new());
        let page = tree(&[
            ("srv/external/app.py", b"import flask"),
            ("usr/bin/python3.11", PROGRAM),
            ("usr/lib/python3/dist-packages/flask/__init__.py", b"x"),
            ("usr/local/lib/python3.11/site-packages/requests/__init__.py", b"x"),
        ]);
        assert_eq!(Contents::of(page.path()).lacks_of_page(), Vec::<&str>::new());
    }

    #[test]
    fn a_script_of_that_name_is_not_what_make_makes() {
        let root =
            tree(&[("x/counter-service.c", b""), ("x/counter-service", b"#!/bin/sh\n"), ("bin/cc", PROGRAM)]);
        assert_eq!(Contents::of(root.path()).lacks_of_counter(), ["the program that `make` builds"]);
    }

    #[test]
    fn a_program_that_was_only_copied_was_not_made_there() {
        let copied = [("x/counter-service.c", &b""[..]), ("x/counter-service", PROGRAM)];
        assert_eq!(Contents::of(tree(&copied).path()).lacks_of_counter().len(), 1);
        // An empty file is no compiler.
        let faked = tree(&[copied[0], copied[1], ("x/bin/cc", b"")]);
        assert_eq!(Contents::of(faked.path()).lacks_of_counter().len(), 1);
        // Every Debian has gcc-12-base.
        let always = b"2026-01-01 10:00:00 install gcc-12-base:amd64 <none> 12.2.0-14\n".as_slice();
        let bare = tree(&[copied[0], copied[1], ("var/log/dpkg.log", always)]);
        assert_eq!(Contents::of(bare.path()).lacks_of_counter().len(), 1);
        let log = b"2026-01-01 10:00:00 install gcc-12:amd64 <none> 12.2.0-14\n".as_slice();
        let purged = tree(&[copied[0], copied[1], ("var/log/dpkg.log", log)]);
        assert_eq!(Contents::of(purged.path()).lacks_of_counter(), Vec::<&str>::new());
        // Older evidence does not say.
        let older = Contents { counter_source: true, counter_program: true, ..Contents::default() };
        assert_eq!(older.lacks_of_counter(), Vec::<&str>::new());
    }

    #[test]
    fn four_bytes_and_empty_packages_are_neither_compiler_nor_python() {
        let start = &PROGRAM[..4];
        let counter = tree(&[
            ("x/counter-service", start),
            ("x/bin/cc", start),
            ("x/dpkg.log", b"2026-01-01 10:00:00 install gcc:amd64 <none> 12.2.0-14\n"),
        ]);
        assert_eq!(Contents::of(counter.path()), Contents { compiler: Some(false), ..Contents::default() });
        let page = tree(&[
            ("x/app.py", b""),
            ("x/bin/python3.11", start),
            ("x/x-packages/flask/__init__.py", b""),
            ("x/x-packages/requests/__init__.py", b""),
        ]);
        assert_eq!(Contents::of(page.path()).lacks_of_page().len(), 3);
        assert!(is_program(Path::new("/proc/self/exe")) && is_program(Path::new("/bin/sh")));
    }

    #[test]
    fn a_folder_called_flask_elsewhere_is_no_package() {
        let root = tree(&[
            ("app.py", b""),
            ("usr/bin/python3.11", PROGRAM),
            ("srv/flask/__init__.py", b"x"),
            ("usr/lib/python3/dist-packages/flask/x", b""),
        ]);
        let without = tree(&[("app.py", b""), ("usr/bin/python3.11", b"")]);
        assert_eq!(Contents::of(without.path()).lacks_of_page().len(), 3);
        let own = tree(&[("usr/lib/python3/dist-packages/flask/app.py", b"")]);
        assert!(Contents::of(own.path()).lacks_of_page().contains(&"the folder external-service"));
        assert_eq!(Contents::of(root.path()).lacks_of_page(), ["python3-flask", "python3-requests"]);
    }

    #[test]
    fn what_a_container_wrote_is_no_image() {
        let submission = tree(&[("run/own/etc/a", b""), ("run/own/usr/app.py", b""), ("run/own/var/a", b"")]);
        let own = crate::guest::observe::processes::directory(&submission.path().join("run/own")).unwrap();
        let found = |of_containers: &[Directory]| {
            let images = images(submission.path(), of_containers, &mut Trees::default());
            images.iter().any(|image| Path::new(&image.dir).starts_with(submission.path()))
        };
        assert!(found(&[]) && !found(&[own]));
    }

    #[test]
    fn an_image_holds_what_its_layers_hold_together() {
        let submission = tree(&[
            ("task3/.cache/layers/one/diff/opt/counter-service.c", b""),
            ("task3/.cache/layers/two/diff/opt/counter-service", PROGRAM),
            ("task3/.images/some-name/layers", b"layers/two/diff:layers/one/diff\n"),
        ]);
        let mut images = images(submission.path(), &[], &mut Trees::default());
        images.retain(|image| Path::new(&image.dir).starts_with(submission.path()));
        assert_eq!(images.len(), 1);
        assert!(images[0].dir.ends_with(".images/some-name") && images[0].contents.counter_program);
    }
}
