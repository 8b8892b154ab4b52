//! State folders that are apart: what a command does in one of them must not touch another one.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::image::cache;
use crate::state::half_made::HALF_MADE;

/// Why state folders cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two settings name one folder.
    #[error("{one}={one_path} and {other}={other_path} are the same folder: give each a folder of its own")]
    Same {
        /// The one setting.
        one: &'static str,
        /// Its value.
        one_path: PathBuf,
        /// The other setting.
        other: &'static str,
        /// Its value.
        other_path: PathBuf,
    },
    /// A folder is in a part of another one that conductor deletes.
    #[error(
        "{inner}={inner_path} is in {outer}={outer_path}, where it can be deleted with what is there: choose a \
         folder beside {outer_path}"
    )]
    Inside {
        /// The setting of the one folder.
        outer: &'static str,
        /// Its value.
        outer_path: PathBuf,
        /// The setting of the folder in it.
        inner: &'static str,
        /// Its value.
        inner_path: PathBuf,
    },
}

/// Refuses two settings that name one folder, and a folder in a part of another one that conductor
/// deletes. Links are followed.
pub(super) fn check(folders: [(&'static str, &Path); 3]) -> Result<(), Error> {
    let real = folders.map(|(name, path)| (name, real(path)));
    for (outer, (outer_name, outer_path)) in real.iter().enumerate() {
        for (inner, (inner_name, inner_path)) in real.iter().enumerate() {
            let Ok(below) = inner_path.strip_prefix(outer_path) else { continue };
            if outer == inner || !is_taken(outer_name, below) {
                continue;
            }
            let (outer_path, inner_path) = (folders[outer].1.to_owned(), folders[inner].1.to_owned());
            return Err(if below == Path::new("") {
                Error::Same {
                    one: outer_name,
                    one_path: outer_path,
                    other: inner_name,
                    other_path: inner_path,
                }
            } else {
                Error::Inside { outer: outer_name, outer_path, inner: inner_name, inner_path }
            });
        }
    }
    Ok(())
}

/// Whether the path `below` a state folder can belong to an image, a container or the cache.
fn is_taken(setting: &str, below: &Path) -> bool {
    let mut parts = below.components();
    // Both settings name the same folder.
    let Some(Component::Normal(first)) = parts.next() else { return true };
    let name = first.as_encoded_bytes();
    name.starts_with(HALF_MADE.as_bytes())
        || match setting {
            "CACHEDIR" => cache::FOLDERS.iter().any(|folder| first == *folder),
            // A folder without the record of a container is left alone.
            "CONTAINERDIR" => !name.starts_with(b".") && parts.next().is_some(),
            _ => !name.starts_with(b"."),
        }
}

/// The path without links. Its end may not exist yet.
fn real(path: &Path) -> PathBuf {
    let real = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(fs::canonicalize(there).ok()?.join(rest))
    });
    // Joining with an empty rest leaves a slash at the end.
    real.as_deref().unwrap_or(path).components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(images: &str, containers: &str, cache: &str) -> Option<String> {
        let folders = [("IMAGEDIR", images), ("CONTAINERDIR", containers), ("CACHEDIR", cache)];
        check(folders.map(|(name, path)| (name, Path::new(path)))).err().map(|error| error.to_string())
    }

    #[test]
    fn folders_that_are_apart_are_accepted() {
        for [images, containers, cache] in [
            ["/s/.images", "/s/.containers", "/s/.cache"],
            ["/s/images", "/s/containers", "/s"],
            ["/s/images", "/s", "/s/cache"],
            ["/s", "/s/.containers", "/s/.cache"],
            ["/s/c", "/s/co", "/s/con"],
        ] {
            assert_eq!(said(images, containers, cache), None);
        }
    }

    #[test]
    fn folders_that_touch_are_refused() {
        for [images, containers, cache] in [
            ["/s", "/s", "/c"],
            ["/i", "/s", "/s/"],
            ["/s", "/n", "/s/./"],
            ["/s", "/n", "/s/cache"],
            ["/s/layers", "/n", "/s"],
            ["/i", "/s/base/x", "/s"],
            ["/s/eg/images", "/s", "/c"],
            ["/s/.half-made-x", "/s", "/c"],
        ] {
            assert!(said(images, containers, cache).is_some(), "{images} {containers} {cache}");
        }
        assert_eq!(
            said("/i", "/s", "/s").unwrap(),
            "CONTAINERDIR=/s and CACHEDIR=/s are the same folder: give each a folder of its own"
        );
        assert_eq!(
            said("/i", "/i/eg", "/c").unwrap(),
            "CONTAINERDIR=/i/eg is in IMAGEDIR=/i, where it can be deleted with what is there: choose a folder beside /i"
        );
    }

    #[test]
    fn links_are_followed_also_to_folders_that_do_not_exist_yet() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name).display().to_string();
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        assert!(said(&at("link"), "/n", &at("real")).unwrap().contains("are the same folder"));
        assert!(said(&at("link/new"), "/n", &at("real/new")).unwrap().contains("are the same folder"));
        assert_eq!(said(&at("link/one"), "/n", &at("real/two")), None);
    }
}
