//! Packs `fixtures/course`, what students are handed, into the program, so that it works from anywhere.

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const COURSE: &str = "../fixtures/course";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={COURSE}");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("course.tar");
    let mut archive = tar::Builder::new(File::create(out)?);
    archive.mode(tar::HeaderMode::Deterministic);
    archive.follow_symlinks(false);
    add(&mut archive, Path::new(COURSE), Path::new(""))?;
    archive.finish()?;
    Ok(())
}

/// In the order of names, so that the same files make the same archive.
fn add(archive: &mut tar::Builder<File>, from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    let mut entries = fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_name() == "__pycache__" {
            continue;
        }
        archive.append_path_with_name(&from, &to)?;
        if entry.file_type()?.is_dir() {
            add(archive, &from, &to)?;
        }
    }
    Ok(())
}
