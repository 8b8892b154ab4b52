//! What is checked in 3e.

use super::built::Built;
use super::copy_instruction::{cached, directory, file, left_mounted, modes, own, untouched};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

const COPY: &str = "you should extend the tool to support COPY instruction";
const LAYER: &str = "Since the instruction modifies the rootfs, you should consider it as a layer for the overlayfs \
                     and store it in the layer stack.";
/// How a check of this subtask is judged.
pub type Judge = fn(&Built, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 7] = [
    Row {
        check: CheckSpec {
            id: "3e/file",
            title: "a file",
            requirement: COPY,
            hint: "Copy a file to a new name, into an existing folder, and to /bin (a link to usr/bin). Where is each copy in \
               a container of the image?",
            see: &["ls -l SOURCE /proc/{pid}/root/DESTINATION"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "Three builds copy a file: to a new name, into a folder, and into /bin. A container of each image is looked into.",
            causes: &[
                "the destination is always taken for a folder",
                "/bin, a link in the base, is replaced by a folder",
            ],
            man: &["cp(1)"],
        },
        judge: file,
    },
    Row {
        check: CheckSpec {
            id: "3e/directory",
            title: "a folder with its contents",
            requirement: COPY,
            hint: "Copy a folder to a new name and another folder to /. In a container of the image, compare each copy with \
               its source, including hidden files, subfolders and links.",
            see: &["diff -r --no-dereference SOURCE /proc/{pid}/root/DESTINATION"],
            informational: false,
            needs: &["3e/file"],
            considers: &[],
            how: "Two builds copy a folder: to a new name, and to /. Files, hidden files, folders and links are compared.",
            causes: &["hidden files are left out", "folders are not copied recursively"],
            man: &["cp(1)"],
        },
        judge: directory,
    },
    Row {
        check: CheckSpec {
            id: "3e/own-layer",
            title: "a layer of its own",
            requirement: LAYER,
            hint: "Which folder in `layers` has the files that COPY copied? Which other files does this folder have? Does run \
               mount all layers of the image?",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: false,
            needs: &["3e/file", "3d/layers-file"],
            considers: &[],
            how: "Each folder that the image's `layers` names is searched for what each COPY brought. A container of an image \
               with four COPY instructions must show all four files.",
            causes: &[
                "all instructions share one layer",
                "the files are written into the base",
                "run mounts only some of the layers",
            ],
            man: &["mount(8)"],
        },
        judge: own,
    },
    Row {
        check: CheckSpec {
            id: "3e/base-untouched",
            title: "the base as it was",
            requirement: LAYER,
            hint: "Compare the base's folder before and after a build with COPY.",
            see: &[
                "touch /tmp/mark; ./conductor.sh build probe FILE; find BASE -cnewer /tmp/mark # BASE: the last folder in layers",
            ],
            informational: false,
            needs: &["3e/file", "3d/layers-file"],
            considers: &[],
            how: "All paths of the base are compared before and after the builds.",
            causes: &["the copy goes through the lower folder instead of the mount"],
            man: &["mount(8)"],
        },
        judge: untouched,
    },
    Row {
        check: CheckSpec {
            id: "3e/unmounted",
            title: "unmounted after the build",
            requirement: "Unmount the overlay file system",
            hint: "`findmnt -t overlay` before and after the build.",
            see: &["findmnt -t overlay"],
            informational: false,
            needs: &["3e/file", "3d/layers-file"],
            considers: &[],
            how: "Overlays are looked for after each build.",
            causes: &["the overlay is unmounted only when the build fails", "the mount is busy"],
            man: &["umount(8)"],
        },
        judge: left_mounted,
    },
    Row {
        check: CheckSpec {
            id: "3e/modes",
            title: "the modes of copied files and folders",
            requirement: COPY,
            hint: "Compare the modes of a folder and of its copy: which modes does cp keep, and what does the umask do?",
            see: &["stat -c '%a %n' SOURCE/* /proc/{pid}/root/DESTINATION/*"],
            informational: true,
            needs: &["3e/directory"],
            considers: &[],
            how: "The modes of the copied folder's files and folders are compared.",
            causes: &["cp without an option that keeps modes", "the script's umask"],
            man: &["cp(1)", "umask(2)"],
        },
        judge: modes,
    },
    Row {
        check: CheckSpec {
            id: "3e/layer-cached",
            title: "not copied again, unless it changed",
            requirement: LAYER,
            hint: "Build the same Conductorfile twice. Then change the text or the mode of a copied file, and build again. How \
               does your tool recognise a cached layer?",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: true,
            needs: &["3e/base-untouched", "3e/own-layer"],
            considers: &["3e/modes"],
            how: "The same file is built again; then again with a changed mode, and with a changed text.",
            causes: &["the key of a layer leaves out the contents"],
            man: &["sha256sum(1)"],
        },
        judge: cached,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 7] = specs(&ROWS);
