//! Rules for this repository's source files (CONTRIBUTING.md) that rustfmt and clippy do not check.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use walkdir::{DirEntry, WalkDir};

/// Columns of a comment line, with its indentation.
const WIDTH: usize = 100;

/// Folders that hold no source of ours: build output, and files as students write them.
const OTHERS: [&str; 3] = [".git", "fixtures", "target"];

/// The start of a comment in a file of this kind; `None` for other files. Scripts that are part of
/// a machine's recipe are left out: a changed comment there would make every image again.
fn marker(file: &Path) -> Option<&'static str> {
    let name = file.file_name().and_then(OsStr::to_str)?;
    match file.extension().and_then(OsStr::to_str) {
        Some("rs" | "mjs") => Some("//"),
        Some("toml" | "yml") => Some("#"),
        None if matches!(name, "Makefile" | "grade") => Some("#"),
        _ if file.components().any(|part| part.as_os_str() == "ci") => Some("#"),
        _ => None,
    }
}

/// The places of the lines that break a rule. `breaks` gets the file's marker and a line.
fn places(breaks: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let ours = |entry: &DirEntry| OTHERS.iter().all(|name| entry.file_name() != *name);
    let (mut files, mut places) = (0, Vec::new());
    for entry in WalkDir::new(root).into_iter().filter_entry(ours).flatten() {
        let place = entry.path().strip_prefix(root).unwrap();
        let Some(marker) = marker(place).filter(|_| entry.file_type().is_file()) else { continue };
        files += 1;
        for (index, line) in fs::read_to_string(entry.path()).unwrap().lines().enumerate() {
            if breaks(marker, line) {
                places.push(format!("{}:{}", place.display(), index + 1));
            }
        }
    }
    assert!(files > 500, "only {files} source files were found below {}", root.display());
    places
}

#[test]
fn a_comment_line_has_at_most_100_columns() {
    let wide = places(|marker, line| line.trim_start().starts_with(marker) && line.chars().count() > WIDTH);
    // rustfmt's `wrap_comments` would keep the width, but no stable release has it.
    assert!(wide.is_empty(), "wrap these comments at {WIDTH} columns:\n{}", wide.join("\n"));
}

#[test]
fn the_text_of_an_error_does_not_repeat_its_cause() {
    // `main` prints the chain of causes, so a cause would be printed twice.
    let cause = concat!("{", "source}");
    let is_macro = |line: &str| line.contains("!(");
    let is_repeated = |line: &str| line.contains(cause) && line.contains('"') && !is_macro(line);
    let repeated = places(|marker, line| marker == "//" && is_repeated(line));
    assert!(repeated.is_empty(), "leave the cause out of the text:\n{}", repeated.join("\n"));
}
