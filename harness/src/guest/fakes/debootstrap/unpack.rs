//! Unpacks a tree so that it is as debootstrap would have left it on this machine.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::{Mode, SFlag, makedev, mknod, umask, utimensat};
use nix::sys::time::TimeSpec;
use tar::{Archive, Entry, EntryType};

use crate::packages::base::Base;

/// Unpacks a tar file into an empty or missing directory and makes the tree this machine's: its
/// name server and host name, and the mirror that was asked for.
pub(super) fn unpack(tree: &Path, base: &Base, target: &Path, mirror: &str) -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o022));
    fs::create_dir_all(target)?;
    umask(Mode::empty());
    let mut archive = Archive::new(io::BufReader::with_capacity(1 << 20, File::open(tree)?));
    // Directories get their times when nothing more is put into them.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = target.join(&*entry.path()?);
        // debootstrap leaves the target directory itself as it finds or makes it.
        if path == target {
            continue;
        }
        put(&mut entry, &path, target, &mut directories).map_err(|error| naming(&path, &error))?;
    }
    for (path, modified) in directories.into_iter().rev() {
        set_time(&path, modified)?;
    }
    make_this_machines(base, target, mirror)
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn put(
    entry: &mut Entry<impl Read>,
    path: &Path,
    target: &Path,
    directories: &mut Vec<(PathBuf, u64)>,
) -> io::Result<()> {
    let header = entry.header().clone();
    let (mode, modified) = (header.mode()?, header.mtime()?);
    let (user, group) = (Some(header.uid()? as u32), Some(header.gid()? as u32));
    let link =
        || entry.link_name().and_then(|name| name.ok_or_else(|| io::Error::other("a link to nothing")));
    match header.entry_type() {
        EntryType::Directory => {
            match fs::DirBuilder::new().mode(mode).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            chown(path, user, group)?;
            // After the owner: changing that takes the special bits away.
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            directories.push((path.to_owned(), modified));
            return Ok(());
        }
        EntryType::Symlink => {
            symlink(&*link()?, path)?;
            lchown(path, user, group)?;
        }
        EntryType::Link => return fs::hard_link(target.join(&*link()?), path),
        kind @ (EntryType::Char | EntryType::Block | EntryType::Fifo) => {
            let file = match kind {
                EntryType::Char => SFlag::S_IFCHR,
                EntryType::Block => SFlag::S_IFBLK,
                _ => SFlag::S_IFIFO,
            };
            let number = |part: Option<u32>| u64::from(part.unwrap_or(0));
            let device = makedev(number(header.device_major()?), number(header.device_minor()?));
            mknod(path, file, Mode::from_bits_truncate(mode), device)?;
            chown(path, user, group)?;
        }
        EntryType::Regular | EntryType::Continuous => {
            let mut file = File::options().write(true).create_new(true).mode(mode).open(path)?;
            io::copy(entry, &mut file)?;
            std::os::unix::fs::fchown(&file, user, group)?;
            if mode & 0o7000 != 0 {
                file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            }
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(modified))?;
            return set_attributes(entry, path);
        }
        other => return Err(io::Error::other(format!("an entry of a kind that no tree has: {other:?}"))),
    }
    set_time(path, modified)
}

/// Sets the extended attributes, such as file capabilities, that GNU tar keeps as
/// `SCHILY.xattr.NAME`.
fn set_attributes(entry: &mut Entry<impl Read>, path: &Path) -> io::Result<()> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") {
            xattr::set(path, OsStr::from_bytes(name), extension.value_bytes())?;
        }
    }
    Ok(())
}

fn set_time(path: &Path, modified: u64) -> io::Result<()> {
    let time = TimeSpec::new(modified as i64, 0);
    Ok(utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, nix::sys::stat::UtimensatFlags::NoFollowSymlink)?)
}

/// What debootstrap takes from the machine and the command line: the name server, the host name,
/// the mirror's name in sources.list and in the names of apt's lists.
fn make_this_machines(base: &Base, target: &Path, mirror: &str) -> io::Result<()> {
    umask(Mode::from_bits_truncate(0o022));
    for file in ["etc/resolv.conf", "etc/hostname"] {
        let own = Path::new("/").join(file);
        if own.exists() && !target.join(file).exists() {
            fs::copy(own, target.join(file))?;
        }
    }
    let sources = target.join("etc/apt/sources.list");
    fs::write(&sources, fs::read_to_string(&sources)?.replace(&base.mirror, mirror))?;
    let as_file = |mirror: &str| mirror.split_once("://").map_or(mirror, |(_, rest)| rest).replace('/', "_");
    let (from, to) = (as_file(&base.mirror), as_file(mirror));
    for entry in fs::read_dir(target.join("var/lib/apt/lists"))? {
        let path = entry?.path();
        if let Some(rest) = path.file_name().and_then(OsStr::to_str).and_then(|name| name.strip_prefix(&from))
        {
            fs::rename(&path, path.with_file_name(format!("{to}{rest}")))?;
        }
    }
    Ok(())
}
