//! Puts the submission of a case together.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Case, Error, failed};
use crate::{course, siblings};

/// The programs that the Rust reference consists of, by their place in it.
const PROGRAMS: [&str; 3] = ["task2/simple_container", "task3/conductor", "task4/service_orchestrator"];

/// Puts a case's submission together below `into`, and returns its folder.
pub fn assemble(corpus: &Path, case: &Case, into: &Path) -> Result<PathBuf, Error> {
    let name = case.name.rsplit('/').next().unwrap_or(&case.name);
    let root = into.join(format!("{name}_assignment3"));
    fs::create_dir_all(&root).map_err(failed(&root))?;
    match case.expect.base.as_deref() {
        None => {}
        Some("course") => course::unpack(&root).map_err(failed(&root))?,
        Some(base) => {
            lay_over(&corpus.join(base), &root)?;
            if base == "reference-rust" {
                for place in PROGRAMS {
                    let to = root.join(place);
                    let program =
                        siblings::find(to.file_name().and_then(|name| name.to_str()).unwrap_or_default())?;
                    fs::create_dir_all(to.parent().unwrap_or(&root)).map_err(failed(&to))?;
                    fs::copy(program, &to).map_err(failed(&to))?;
                }
            }
        }
    }
    lay_over(&corpus.join(&case.name), &root)?;
    for edit in &case.expect.edit {
        let path = root.join(&edit.file);
        let text = fs::read_to_string(&path).map_err(failed(&path))?;
        match text.matches(&edit.find).count() {
            1 => fs::write(&path, text.replacen(&edit.find, &edit.replace, 1)).map_err(failed(&path))?,
            times => {
                let (file, find) = (edit.file.clone(), edit.find.clone());
                return Err(Error::Edit { case: case.name.clone(), file, find, times });
            }
        }
    }
    Ok(root)
}

/// Copies what is in one folder over what is in another, but for the expectation.
fn lay_over(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&from))?;
        if kind.is_dir() {
            lay_over(&from, &to)?;
        } else if entry.file_name() != "expect.toml" {
            let _ = fs::remove_file(&to);
            if kind.is_symlink() {
                let leads_to = fs::read_link(&from).map_err(failed(&from))?;
                std::os::unix::fs::symlink(leads_to, &to).map_err(failed(&to))?;
            } else {
                fs::copy(&from, &to).map_err(failed(&to))?;
            }
        }
    }
    Ok(())
}
