//! Cache keys: the identity of a layer, computed from everything that determines its content.
//!
//! A key is the BLAKE3 digest of the parent's key and the instruction. For `COPY` it includes
//! names, kinds, modes, link targets, extended attributes and contents of the sources. So a change
//! gives new keys to that layer and all layers above it, and to no others. Times and owners of
//! sources do not count: they differ between two checkouts of the same files.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;

use crate::image::conductorfile::Step;
use crate::image::source_tree::{FileDigest, Node, NodeKind, Source};
use crate::state::store::Inode;

/// The key of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CacheKey(String);

impl CacheKey {
    /// The key as 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` has the form of a key.
    pub fn is_key(name: &str) -> bool {
        name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }

    /// The key of a base system, by its name in the cache.
    pub fn of_base(name: &str) -> Self {
        let mut fields = Fields::new("base");
        fields.add(name.as_bytes());
        fields.finish()
    }

    /// The key of a `RUN` on top of `parent`.
    pub fn of_run(parent: &Self, command: &str) -> Self {
        let mut fields = Fields::new("run");
        fields.add(parent.0.as_bytes());
        fields.add(command.as_bytes());
        fields.finish()
    }

    /// The key of a `RUN` without a shell on top of `parent`.
    pub fn of_execute(parent: &Self, argv: &[String]) -> Self {
        let mut fields = Fields::new("execute");
        fields.add(parent.0.as_bytes());
        for word in argv {
            fields.add(word.as_bytes());
        }
        fields.finish()
    }

    /// The key of a `COPY` of `sources` on top of `parent`. All files must have their digests.
    pub fn of_copy(parent: &Self, step: &Step, sources: &[Source]) -> Self {
        let mut fields = Fields::new("copy");
        fields.add(parent.0.as_bytes());
        fields.add(step.to_string().as_bytes());
        let mut links = HashMap::new();
        for source in sources {
            fields.node(&source.node, &mut links);
        }
        fields.finish()
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A hash over fields. Each field is preceded by its length, so different sequences of fields have
/// different hashes.
///
/// They are collected first: the hash is fastest for one long text.
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    pub(crate) fn new(kind: &str) -> Self {
        let mut fields = Self(Vec::new());
        fields.add(kind.as_bytes());
        fields
    }

    pub(crate) fn add(&mut self, field: &[u8]) {
        self.0.extend_from_slice(&(field.len() as u64).to_le_bytes());
        self.0.extend_from_slice(field);
    }

    pub(crate) fn digest(self) -> FileDigest {
        blake3::hash(&self.0).into()
    }

    pub(crate) fn finish(self) -> CacheKey {
        let mut text = String::with_capacity(64);
        for byte in self.digest() {
            let _ = write!(text, "{byte:02x}");
        }
        CacheKey(text)
    }

    /// Adds a tree. `links` numbers the files with several names, so that the key includes which
    /// names are one file.
    fn node(&mut self, node: &Node, links: &mut HashMap<Inode, u64>) {
        self.add(&node.mode.to_le_bytes());
        match &node.kind {
            NodeKind::Directory { attributes, children } => {
                self.add(b"directory");
                self.add(attributes);
                self.add(&(children.len() as u64).to_le_bytes());
                for (name, child) in children {
                    self.add(name.as_bytes());
                    self.node(child, links);
                }
            }
            NodeKind::File { digest, stamp, linked, .. } => {
                let known = links.get(&stamp.inode).filter(|_| *linked);
                if let Some(first) = known {
                    self.add(b"same file");
                    self.add(&first.to_le_bytes());
                    return;
                }
                if *linked {
                    links.insert(stamp.inode, links.len() as u64);
                }
                self.add(b"file");
                self.add(digest);
            }
            NodeKind::Link { target } => {
                self.add(b"link");
                self.add(target.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;
    use crate::image::source_tree::Stamp;

    fn node() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            any::<[u8; 2]>().prop_map(|bytes| {
                let mut digest = [0; 32];
                digest[..2].copy_from_slice(&bytes);
                NodeKind::File { stamp: Stamp::default(), digest, linked: false, sparse: false }
            }),
            "[ab]{0,2}".prop_map(|target| NodeKind::Link { target: target.into() }),
        ];
        let kind = leaf.prop_recursive(3, 12, 3, |child| {
            prop::collection::btree_map("[ab]{1,2}", child, 0..3).prop_map(|children| NodeKind::Directory {
                attributes: Vec::new(),
                children: children
                    .into_iter()
                    .map(|(name, kind)| (OsString::from(name), Node::new(0o644, kind)))
                    .collect(),
            })
        });
        (0..0o10000_u32, kind).prop_map(|(mode, kind)| Node::new(mode, kind))
    }

    fn key(parent: &str, node: &Node) -> CacheKey {
        let step = Step::Copy { sources: vec!["a".into()], destination: "/b".into() };
        let source = Source::for_test(PathBuf::from("a"), node.clone());
        CacheKey::of_copy(&CacheKey::of_base(parent), &step, &[source])
    }

    proptest! {
        #[test]
        fn equal_trees_have_equal_keys_and_different_trees_different_ones(a in node(), b in node()) {
            prop_assert_eq!(key("x", &a), key("x", &a.clone()));
            prop_assert_eq!(key("x", &a) == key("x", &b), a == b);
        }

        #[test]
        fn another_parent_gives_another_key(a in node()) {
            prop_assert_ne!(key("x", &a), key("y", &a));
        }

        #[test]
        fn fields_do_not_run_into_each_other(a in "[ab]{0,4}", b in "[ab]{0,4}", c in "[ab]{0,4}", d in "[ab]{0,4}") {
            let digest = |one: &str, two: &str| {
                let mut fields = Fields::new("t");
                fields.add(one.as_bytes());
                fields.add(two.as_bytes());
                fields.digest()
            };
            prop_assert_eq!(digest(&a, &b) == digest(&c, &d), (a, b) == (c, d));
        }
    }

    #[test]
    fn a_command_and_a_base_system_of_the_same_name_differ() {
        let base = CacheKey::of_base("x");
        assert_ne!(CacheKey::of_run(&base, "x"), base);
        assert_ne!(CacheKey::of_run(&base, "x"), CacheKey::of_run(&base, "y"));
        assert!(CacheKey::is_key(base.as_str()));
        assert!(!CacheKey::is_key("x") && !CacheKey::is_key(&base.as_str().to_uppercase()));
    }
}
