//! What unpacking on another system does to a submission, undone in our copy: names in the wrong case, scripts
//! without their run bit. Contents stay as they are.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Error;
use super::layout::{ASKED, FileFact};

/// Puts the files that are asked for where they are asked for, and says what was found.
pub fn tidy(root: &Path) -> Result<Vec<FileFact>, Error> {
    let mut facts = vec![];
    for asked in ASKED {
        let Some((folder, name)) = asked.split_once('/') else { continue };
        let was_folder = rename(root, folder)?;
        let directory = root.join(folder);
        let Some(was_name) = rename(&directory, name)? else { continue };
        let path = directory.join(name);
        // A link leads to a file of the submission: fs::metadata looks through it.
        let Some(file) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else { continue };
        let found = format!("{}/{was_name}", was_folder.as_deref().unwrap_or(folder));
        let is_script = Path::new(name).extension().is_some_and(|extension| extension == "sh");
        let mode = file.permissions().mode();
        let lacks_run_bit = is_script && mode & 0o111 == 0;
        if lacks_run_bit {
            fs::set_permissions(&path, Permissions::from_mode(mode | 0o755))
                .map_err(Error::io("change", &path))?;
        }
        let content = fs::read(&path).map_err(Error::io("read", &path))?;
        facts.push(FileFact {
            path: asked.to_owned(),
            found_as: (found != asked).then_some(found),
            bytes: file.len(),
            crlf: content.windows(2).any(|pair| pair == b"\r\n"),
            lacks_run_bit,
        });
    }
    Ok(facts)
}

/// Gives an entry of `directory` its right name where only the case differs. Returns the name it had, or `None`
/// where there is no such entry.
fn rename(directory: &Path, name: &str) -> Result<Option<String>, Error> {
    if fs::symlink_metadata(directory.join(name)).is_ok() {
        return Ok(Some(name.to_owned()));
    }
    let Ok(entries) = fs::read_dir(directory) else { return Ok(None) };
    for entry in entries {
        let found = entry.map_err(Error::io("read", directory))?.file_name();
        if let Some(found) = found.to_str().filter(|found| found.eq_ignore_ascii_case(name)) {
            let from = directory.join(found);
            fs::rename(&from, directory.join(name)).map_err(Error::io("rename", &from))?;
            return Ok(Some(found.to_owned()));
        }
    }
    Ok(None)
}
