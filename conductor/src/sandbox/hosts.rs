//! The container's own name in its /etc/hosts.
//!
//! Many programs look up the name of their machine: sudo, mail servers, Java. Without this entry
//! they ask a name server, which a container without a network cannot reach.

use std::fs::File;
use std::io::{self, Read, Write};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::rootfs::Failure;

const PATH: &str = "/etc/hosts";

/// The content for an image without the file.
const LOCALHOST: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";

/// Adds `name` to /etc/hosts unless it is there. Called inside the container's root, so links lead
/// to the container's own files. The line is a help, and no image must have the file: a folder, a
/// pipe or a strange link in its place stays as it is, and so does a file that cannot be written.
/// Only a broken disk is an error.
pub(super) fn add(name: &str) -> Result<(), Failure> {
    match add_line(name) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
            Err((format!("add the host name to {PATH}"), error))
        }
        _ => Ok(()),
    }
}

fn add_line(name: &str) -> io::Result<()> {
    // Without O_NONBLOCK, opening a pipe would wait for its other end.
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::APPEND | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(PATH, flags, Mode::from_raw_mode(0o644))?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let mut file = File::from(file);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // A file that is not UTF-8 is not one that we should extend.
    let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
    if names(&text).any(|known| known == name) {
        return Ok(());
    }
    let before = if text.is_empty() {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
        LOCALHOST
    } else if text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    // The address that Debian gives a machine's own name.
    file.write_all(format!("{before}127.0.1.1\t{name}\n").as_bytes())
}

/// All names in the text of an /etc/hosts.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let entries = text.lines().filter_map(|line| line.split('#').next());
    entries.flat_map(|entry| entry.split_ascii_whitespace().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_column_but_not_in_comments() {
        let text = "127.0.0.1\tlocalhost\n10.0.0.1 one two # three\n# 10.0.0.2 four\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["localhost", "one", "two"]);
    }
}
