//! The names that a submission has once it is taken in, settled in memory before anything is written.
//!
//! The four task folders and the seven files get their right names where only the case differs; a link in the
//! place of one of them becomes a copy of what it leads to; and every link, followed on these final names, stays
//! inside the submission on each step of its way.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::layout::ASKED;
use super::tree::{Folder, Node};
use super::{Limits, Refusal};

/// How many steps all links of a submission may take together.
const MOST_STEPS: u32 = 1 << 17;

/// How many links one path may pass, as the kernel has it.
const MOST_HOPS: u32 = 40;

/// The folders that are asked for.
const FOLDERS: [&str; 4] = ["task1", "task2", "task3", "task4"];

/// What was changed.
#[derive(Debug, Default)]
pub struct Settled {
    /// What stood, under which name, for each of the [`ASKED`] that is there.
    pub found_as: BTreeMap<&'static str, String>,
    /// A sentence for each link that became a copy.
    pub replaced: Vec<String>,
}

/// Settles the names of a submission's folder.
///
/// # Errors
/// With the link that leads out of it, in a circle, or cannot become a copy.
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

/// Gives an entry of a folder its right name where only the case differs and it is of the kind wanted. Returns the
/// name it had, or `None` where there is no such entry.
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

/// Puts a copy of what a link leads to in its place, and says so; anything else stays as it is.
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
        return Ok(Some(format!("{} was a link to {text}, which is not there", path.display())));
    };
    let copy = moved(root, &target, path, copy);
    if let Some(folder) = root.folder_mut(above) {
        folder.entries.insert(name.to_owned(), copy);
    }
    within(root, limits).map_err(refused)?;
    Ok(Some(format!("{} was a link to {text}; a copy was graded", path.display())))
}

/// A copy of what is at `from`, for `to`: its links lead where they led, or to the same place in the copy.
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

/// Whether all copies together stay within the limits.
fn within(root: &Folder, limits: &Limits) -> Result<(), Refusal> {
    let (mut entries, mut bytes, mut deepest) = (0, 0, 0);
    root.walk(Path::new(""), &mut |path, node| {
        entries += 1;
        deepest = deepest.max(path.components().count());
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
    } else {
        Ok(())
    }
}

/// Follows every link.
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

/// Walks where a path leads, through links, as the kernel will, and returns its end, which may be nothing. A step
/// out of `root` is refused, even where the next one leads back.
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
