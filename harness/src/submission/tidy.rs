//! Examines the required files in our copy. Scripts get execute permission, and Windows line ends
//! are reported. Contents are never changed.

use std::io::{self, Read};
use std::path::Path;

use super::Error;
use super::beneath::Beneath;
use super::layout::{ASKED, FileFact};
use super::settle::Settled;

/// Makes the required scripts executable and returns the facts about each required file.
pub fn tidy(copy: &Beneath, settled: &Settled) -> Result<Vec<FileFact>, Error> {
    let mut facts = vec![];
    for asked in ASKED {
        let path = Path::new(asked);
        if !copy.has_file(path) {
            continue;
        }
        let file = copy.facts(path).map_err(Error::ours(path))?;
        let is_script = path.extension().is_some_and(|extension| extension == "sh");
        let mode = file.st_mode;
        let lacks_run_bit = is_script && mode & 0o111 == 0;
        if lacks_run_bit {
            copy.set_mode(path, mode | 0o755).map_err(Error::ours(path))?;
        }
        let content = copy.file(path).map_err(Error::ours(path))?;
        facts.push(FileFact {
            path: asked.to_owned(),
            found_as: settled.found_as.get(asked).filter(|found| *found != asked).cloned(),
            bytes: u64::try_from(file.st_size).unwrap_or(0),
            crlf: has_crlf(content).map_err(Error::ours(path))?,
            lacks_run_bit,
        });
    }
    Ok(facts)
}

/// Whether a line ends with CR LF.
fn has_crlf(mut content: impl Read) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    let mut after_cr = false;
    loop {
        let length = content.read(&mut buffer)?;
        let read = &buffer[..length];
        if after_cr && read.first() == Some(&b'\n') || read.windows(2).any(|pair| pair == b"\r\n") {
            return Ok(true);
        }
        match read.last() {
            None => return Ok(false),
            Some(last) => after_cr = *last == b'\r',
        }
    }
}
