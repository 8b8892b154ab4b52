//! Corrects names and checks links in the tree in memory, before any file is written.
//!
//! - A task folder or required file gets its right name if only upper and lower case differ.
//! - A link in the place of a task folder or required file becomes a copy of its target.
//! - Every other link is followed with the final names. Each step must stay in the submission.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::layout::ASKED;
use super::tree::{Folder, Node};
use super::{Limits, Refusal};

/// The most path components to visit while following all links of a submission.
const MOST_STEPS: u32 = 1 << 17;

/// The most links that one path may pass; the kernel has the same limit.
const MOST_HOPS: u32 = 40;

/// The required folders.
const FOLDERS: [&str; 4] = ["task1", "task2", "task3", "task4"];

/// The changes that [`settle`] made.
#[derive(Debug, Default)]
pub struct Settled {
    /// For each of the [`ASKED`] files that exist: the path that the submission has.
    pub found_as: BTreeMap<&'static str, String>,
    /// A sentence for each link that was replaced.
    pub replaced: Vec<String>,
}

/// Corrects the names in a submission's folder and checks its links.
///
/// # Errors
/// If a link leads out of the folder, is circular, or cannot be replaced by a copy. Names the link.
pub fn settle(root: &mut Folder, limits: &Limits) -> Result<Settled, (PathBuf, Refusal)> {
    let mut settled = Settled::default();
    let mut folders = BTreeMap::new();
    for folder in FOLDERS {
        folders.insert(folder, rename(root, folder, |node| matches!(node, Node::Folder(_))));
    }
    check(root)?;
    for folder in FOLDERS {
        settled.replaced.extend(make_real(root, Path::new(folder), limits)?);
    }
    for asked in ASKED {
        let Some((folder, name)) = asked.split_once('/') else { continue };
        let Some(within) = root.folder_mut(Path::new(folder)) else { continue };
        let was_name = rename(within, name, |node| matches!(node, Node::File(_)));
        settled.replaced.extend(make_real(root, Path::new(asked), limits)?);
        if let Some(was_name) = was_name {
            let was_folder = folders.get(folder).cloned().flatten();
            let found = format!("{}/{was_name}", was_folder.as_deref().unwrap_or(folder));
            settled.found_as.insert(asked, found);
        }
    }
    check(root)?;
    Ok(settled)
}

/// Renames an entry to `name` if only upper and lower case differ and `wanted` accepts its kind.
/// Returns the entry's old name; `None` if there is no such entry.
fn rename(folder: &mut Folder, name: &str, wanted: impl Fn(&Node) -> bool) -> Option<String> {
    if folder.entries.contains_key(OsStr::new(name)) {
        return Some(name.to_owned());
    }
    let is_it = |(found, node): (&OsString, &Node)| {
        let found = found.to_str()?;
        (found.eq_ignore_ascii_case(name) && wanted(node)).then(|| found.to_owned())
    };
    let found = folder.entries.iter().find_map(is_it)?;
    let node = folder.entries.remove(OsStr::new(&found))?;
    folder.entries.insert(name.into(), node);
    Some(found)
}

/// Replaces a link by a copy of its target and returns a sentence about it. Other entries are not
/// changed.
fn make_real(root: &mut Folder, path: &Path, limits: &Limits) -> Result<Option<String>, (PathBuf, Refusal)> {
    let Some(Node::Link(text)) = root.get(path) else { return Ok(None) };
    let text = text.display().to_string();
    let refused = |why| (path.to_owned(), why);
    let target = follow(root, path, &mut MOST_STEPS.clone()).map_err(refused)?;
    if path.starts_with(&target) {
        return Err(refused(Refusal::LinkAround));
    }
    let copy = root.get(&target).cloned();
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Some(copy) = copy else {
        if let Some(folder) = root.folder_mut(above) {
            folder.entries.remove(name);
        }
        return Ok(Some(format!("{} was a link to {text}, which does not exist", path.display())));
    };
    let copy = moved(root, &target, path, copy);
    if let Some(folder) = root.folder_mut(above) {
        folder.entries.insert(name.to_owned(), copy);
    }
    within(root, limits).map_err(refused)?;
    Ok(Some(format!("{} was a link to {text}; a copy was graded", path.display())))
}

/// Adapts `copy`, a copy of the entry at `from`, for its new path `to`. A link into `from` then
/// leads to the same place in the copy; other links keep their targets.
fn moved(root: &Folder, from: &Path, to: &Path, mut copy: Node) -> Node {
    if let Node::Folder(folder) = &mut copy {
        let mut links = vec![];
        folder.walk(Path::new(""), &mut |path, node| {
            if matches!(node, Node::Link(_)) {
                links.push(path);
            }
        });
        for link in links {
            let Ok(end) = follow(root, &from.join(&link), &mut MOST_STEPS.clone()) else { continue };
            let end = end.strip_prefix(from).map_or(end.clone(), |inside| to.join(inside));
            let depth = to.join(&link).components().count() - 1;
            let text: PathBuf =
                std::iter::repeat_n(Component::ParentDir, depth).chain(end.components()).collect();
            let (Some(above), Some(name)) = (link.parent(), link.file_name()) else { continue };
            if let Some(folder) = folder.folder_mut(above) {
                folder.entries.insert(name.to_owned(), Node::Link(text));
            }
        }
    }
    copy
}

/// Checks the limits again: each copy adds entries and bytes.
fn within(root: &Folder, limits: &Limits) -> Result<(), Refusal> {
    let (mut entries, mut bytes, mut deepest, mut longest) = (0, 0, 0, 0);
    root.walk(Path::new(""), &mut |path, node| {
        entries += 1;
        deepest = deepest.max(path.components().count());
        longest = longest.max(path.as_os_str().len());
        if let Node::File(blob) = node {
            bytes += blob.length;
        }
    });
    if entries > limits.entries.saturating_mul(2) {
        Err(Refusal::TooMany(entries))
    } else if bytes > limits.total {
        Err(Refusal::TotalTooLarge(limits.total))
    } else if deepest > limits.depth {
        Err(Refusal::TooDeep(limits.depth))
    } else if longest > limits.path {
        Err(Refusal::TooLong(limits.path))
    } else {
        Ok(())
    }
}

/// Follows every link and fails if one leads out of the submission.
fn check(root: &Folder) -> Result<(), (PathBuf, Refusal)> {
    let mut links = vec![];
    root.walk(Path::new(""), &mut |path, node| {
        if matches!(node, Node::Link(_)) {
            links.push(path);
        }
    });
    let mut steps = MOST_STEPS;
    for link in links {
        follow(root, &link, &mut steps).map_err(|why| (link, why))?;
    }
    Ok(())
}

/// Resolves a path and its links as the kernel does. The result may not exist. A step out of `root`
/// is refused, even if the next step returns to `root`.
pub fn follow(root: &Folder, path: &Path, steps: &mut u32) -> Result<PathBuf, Refusal> {
    let escapes = || match root.get(path) {
        Some(Node::Link(text)) => Refusal::LinkEscapes(text.display().to_string()),
        _ => Refusal::LinkEscapes(path.display().to_string()),
    };
    let mut hops = 0;
    let mut at = PathBuf::new();
    let mut rest: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(next) = rest.pop() {
        *steps = steps.checked_sub(1).ok_or(Refusal::LinkLoop)?;
        let mut parts = next.components();
        let Some(part) = parts.next() else { continue };
        rest.push(parts.as_path().to_owned());
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !at.pop() {
                    return Err(escapes());
                }
            }
            Component::Normal(name) => at.push(name),
            Component::RootDir | Component::Prefix(_) => return Err(escapes()),
        }
        if let Some(Node::Link(text)) = root.get(&at) {
            hops += 1;
            if hops > MOST_HOPS {
                return Err(Refusal::LinkLoop);
            }
            at.pop();
            rest.push(text.clone());
        }
    }
    Ok(at)
}
