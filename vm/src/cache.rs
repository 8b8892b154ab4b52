//! The cache of images and templates: where they lie, who may change them, and
//! which can be removed.
//!
//! A new entry is made in `build/` under an exclusive lock on its name, and renamed into place
//! when it is complete. So every entry in its place is complete. A process that dies loses its
//! lock, and the next command removes its files from `build/`. A process that uses an entry holds
//! a shared lock on its name.

use std::cmp::Reverse;
use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::space::size_on_disk;

/// A directory with images, templates and verdicts. Any number of processes may use one at once.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// An entry of the cache, for listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Image, template or download.
    pub kind: EntryKind,
    /// Its name, for removal.
    pub id: String,
    /// Its title: "Debian 12, from packages", "Debian 12, from packages, booted under TCG".
    pub title: String,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// Whether a process uses it or makes it now.
    pub in_use: bool,
}

/// The kinds of [`Entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A provisioned disk with its kernel.
    Image,
    /// A booted, frozen machine.
    Template,
    /// A download, complete or not.
    Download,
}

impl EntryKind {
    const ALL: [EntryKind; 3] = [EntryKind::Image, EntryKind::Template, EntryKind::Download];

    fn dir(self) -> &'static str {
        match self {
            EntryKind::Image => "images",
            EntryKind::Template => "templates",
            EntryKind::Download => "downloads",
        }
    }
}

/// The file that describes an image or a template, in its directory.
const MANIFEST: &str = "manifest.json";

/// A lock on a name; released when dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// The lock as a descriptor. A process that inherits the descriptor keeps the lock
    /// until the process ends.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd, Error> {
        self.0.try_clone().map(OwnedFd::from).map_err(Error::io("keep", "a lock"))
    }
}

/// A directory in which an entry is made. It is removed when dropped, unless the entry
/// was moved to its place.
#[derive(Debug)]
pub(crate) struct Build(PathBuf);

impl Deref for Build {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // If this fails, the next command tries again and reports the error.
        let _ = remove_all(&self.0);
    }
}

impl Cache {
    /// A cache at a given place. Nothing is created yet.
    pub fn at(root: impl Into<PathBuf>) -> Cache {
        let root: PathBuf = root.into();
        // An absolute path stays right when a child process changes its directory.
        Cache { root: std::path::absolute(&root).unwrap_or(root) }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All entries: images, templates, downloads.
    pub fn list(&self) -> Result<Vec<Entry>, Error> {
        self.clear_abandoned()?;
        let mut entries = Vec::new();
        for kind in EntryKind::ALL {
            let dir = self.root.join(kind.dir());
            for id in names(&dir)? {
                let path = dir.join(&id);
                let manifest: Option<serde_json::Value> = read_json(&path.join(MANIFEST));
                let title = manifest.and_then(|value| value["title"].as_str().map(str::to_owned));
                let in_use = matches!(self.try_lock(&id), Ok(None));
                entries.push(Entry {
                    kind,
                    title: title.unwrap_or_else(|| id.clone()),
                    bytes: size_on_disk(&path),
                    in_use,
                    id,
                });
            }
        }
        Ok(entries)
    }

    /// Removes an entry; with an image also its templates. Fails if a process uses the entry.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let entries = self.list()?;
        let Some(entry) = entries.iter().find(|entry| entry.id == id) else {
            return Err(Error::io("remove", id)(io::Error::other("there is no such entry in the cache")));
        };
        if entry.kind == EntryKind::Image {
            for template in entries
                .iter()
                .filter(|other| other.kind == EntryKind::Template && other.id.starts_with(&format!("{id}.")))
            {
                self.remove_entry(template)?;
            }
        }
        self.remove_entry(entry)
    }

    fn remove_entry(&self, entry: &Entry) -> Result<(), Error> {
        let path = self.root.join(entry.kind.dir()).join(&entry.id);
        let Some(_lock) = self.try_lock(&entry.id)? else {
            return Err(Error::io("remove", path)(io::Error::other("it is in use")));
        };
        remove_all(&path).map_err(Error::io("remove", path))
    }

    /// Removes the templates of an image, except the `kept` newest and those in use.
    pub(crate) fn prune_templates(&self, image: &str, kept: usize) -> Result<(), Error> {
        let made = |id: &String| fs::metadata(self.template(id)).and_then(|found| found.modified()).ok();
        let mut templates = names(&self.template(""))?;
        templates.retain(|id| id.strip_prefix(image).is_some_and(|rest| rest.starts_with('.')));
        templates.sort_by_key(|id| Reverse(made(id)));
        for id in templates.iter().skip(kept) {
            if let Some(_lock) = self.try_lock(id)? {
                let path = self.template(id);
                remove_all(&path).map_err(Error::io("remove", path))?;
            }
        }
        Ok(())
    }

    pub(crate) fn image(&self, id: &str) -> PathBuf {
        self.root.join("images").join(id)
    }

    pub(crate) fn template(&self, id: &str) -> PathBuf {
        self.root.join("templates").join(id)
    }

    pub(crate) fn download(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.made("downloads")?.join(name))
    }

    pub(crate) fn verdict(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.made("verdicts")?.join(name))
    }

    /// The file for the output of a failed build of `id`.
    pub(crate) fn log(&self, id: &str) -> Result<PathBuf, Error> {
        Ok(self.made("logs")?.join(id))
    }

    /// The directory for files without a name, or with a name for a moment.
    pub(crate) fn scratch(&self) -> Result<PathBuf, Error> {
        self.made("scratch")
    }

    /// An empty directory in which to make `id`. The caller must hold the lock on `id`.
    pub(crate) fn build(&self, id: &str) -> Result<Build, Error> {
        self.clear_abandoned()?;
        let left = self.root.join("build").join(id);
        remove_all(&left).map_err(Error::io("remove", left))?;
        self.made(&format!("build/{id}")).map(Build)
    }

    /// Removes what dead processes left half made. Every command that uses the
    /// cache does this first.
    pub(crate) fn clear_abandoned(&self) -> Result<(), Error> {
        let dir = self.root.join("build");
        for id in names(&dir)? {
            if let Some(_lock) = self.try_lock(&id)? {
                let left = dir.join(&id);
                remove_all(&left).map_err(Error::io("remove", left))?;
            }
        }
        Ok(())
    }

    /// Moves a new entry to its place, with its description.
    pub(crate) fn publish(built: &Path, place: &Path, manifest: &impl Serialize) -> Result<(), Error> {
        Self::describe(built, manifest)?;
        let move_there = || -> io::Result<()> {
            if let Some(parent) = place.parent() {
                fs::create_dir_all(parent)?;
            }
            let _ = remove_all(place);
            fs::rename(built, place)
        };
        move_there().map_err(Error::io("create", place))
    }

    /// Writes the description of an entry.
    pub(crate) fn describe(place: &Path, manifest: &impl Serialize) -> Result<(), Error> {
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(place)?;
            serde_json::to_writer_pretty(&mut file, manifest)?;
            file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
            file.persist(place.join(MANIFEST))?;
            Ok(())
        };
        write().map_err(Error::io("describe", place))
    }

    /// The description of an entry, if there is one.
    pub(crate) fn manifest<T: DeserializeOwned>(place: &Path) -> Option<T> {
        read_json(&place.join(MANIFEST))
    }

    /// Locks a name to make its entry. If others hold the lock, calls `on_wait`
    /// once and waits for them.
    pub(crate) fn lock(&self, id: &str, on_wait: impl FnOnce()) -> Result<Lock, Error> {
        if let Some(lock) = self.try_lock(id)? {
            return Ok(lock);
        }
        on_wait();
        let (file, path) = self.lock_file(id)?;
        file.lock().map_err(Error::io("lock", path))?;
        Ok(Lock(file))
    }

    /// Locks a name to use its entry.
    pub(crate) fn lock_shared(&self, id: &str) -> Result<Lock, Error> {
        let (file, path) = self.lock_file(id)?;
        file.lock_shared().map_err(Error::io("lock", path))?;
        Ok(Lock(file))
    }

    fn try_lock(&self, id: &str) -> Result<Option<Lock>, Error> {
        let (file, path) = self.lock_file(id)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
        }
    }

    fn lock_file(&self, id: &str) -> Result<(File, PathBuf), Error> {
        let path = self.made("locks")?.join(id);
        let file = File::options().create(true).append(true).open(&path);
        Ok((file.map_err(Error::io("create", &path))?, path))
    }

    fn made(&self, name: &str) -> Result<PathBuf, Error> {
        let dir = self.root.join(name);
        fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
        Ok(dir)
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// The names in a directory, sorted; none where there is no directory.
fn names(dir: &Path) -> Result<Vec<String>, Error> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", dir)(error)),
    };
    let mut names: Vec<String> =
        listed.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn remove_all(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn files_of_a_dead_build_are_removed_and_those_of_a_running_one_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let alive = cache.lock("alive", || {}).unwrap();
        let kept = cache.build("alive").unwrap();
        fs::write(kept.join("half"), "x").unwrap();
        drop(cache.lock("dead", || {}).unwrap());
        let left = cache.made("build/dead").unwrap();
        fs::write(left.join("half"), "x").unwrap();

        cache.list().unwrap();
        assert!(kept.join("half").exists() && !left.exists());
        drop(alive);
    }

    #[test]
    fn files_of_a_failed_build_are_removed_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let _lock = cache.lock("mine", || {}).unwrap();
        let mine = cache.build("mine").unwrap();
        fs::write(mine.join("half"), "x").unwrap();
        let place = mine.to_owned();
        drop(mine);
        assert!(!place.exists());
    }

    #[test]
    fn old_templates_are_removed_unless_they_are_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        for (age, id) in ["one.d", "one.c", "one.b", "one.a", "one-more.a"].iter().enumerate() {
            fs::create_dir_all(cache.template(id)).unwrap();
            let made = SystemTime::now() - Duration::from_secs(60 * age as u64);
            File::open(cache.template(id)).unwrap().set_modified(made).unwrap();
        }
        let using = cache.lock_shared("one.a").unwrap();
        cache.prune_templates("one", 2).unwrap();
        assert_eq!(names(&cache.template("")).unwrap(), ["one-more.a", "one.a", "one.c", "one.d"]);
        drop(using);
    }

    #[test]
    fn an_unfinished_entry_is_not_listed_and_one_in_use_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path());
        let lock = cache.lock("one", || {}).unwrap();
        let built = cache.build("one").unwrap();
        fs::write(built.join("disk"), "x").unwrap();
        assert!(cache.list().unwrap().is_empty());

        let title = serde_json::json!({ "title": "One" });
        Cache::publish(&built, &cache.image("one"), &title).unwrap();
        drop(lock);
        let using = cache.lock_shared("one").unwrap();
        let listed = cache.list().unwrap();
        assert_eq!((listed[0].title.as_str(), listed[0].in_use), ("One", true));
        assert!(crate::chain(&cache.remove("one").unwrap_err()).contains("in use"));
        drop(using);
        cache.remove("one").unwrap();
        assert!(cache.list().unwrap().is_empty());
    }
}
