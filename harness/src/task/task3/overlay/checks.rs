//! What is checked in 3d.

use super::given::given_commands;
use super::judge::{OverlayContext, layers_file, no_copy, one, shared, unmounted, writes};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// How a check of this subtask is judged.
pub type Judge = fn(&OverlayContext, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 7] = [
    Row {
        check: CheckSpec {
            id: "3d/layers-file",
            title: "the image's layers file",
            requirement: "consider the base root directory as a layer of overlay fs and write its address in a file in \
                      the image directory. Name the file 'layers'",
            hint: "Does the image's folder hold a file `layers`, and do the folders that it names exist? Compare them \
               with lowerdir in /proc/mounts.",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader compares the file `layers` in the image's folder with the lower folders of a running container's overlay.",
            causes: &["the file is missing", "it names a folder that the overlay does not use"],
            man: &["mount(8)", "findmnt(8)"],
        },
        judge: layers_file,
    },
    Row {
        check: CheckSpec {
            id: "3d/no-copy",
            title: "no copy of the root tree",
            requirement: "Remove copying of the base root directory to the image directory. Remove copying of the image \
                      root directory to the container directory",
            hint: "`du -sh` of the image's and the container's folder, before and after.",
            see: &["du -xh -d 2 . | sort -h | tail -20"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "The grader measures the disk use of the submission and of the machine, before and after the first build and the first run.",
            causes: &["the base is copied into the image or the container"],
            man: &["du(1)", "cp(1)"],
        },
        judge: no_copy,
    },
    Row {
        check: CheckSpec {
            id: "3d/one-overlay-while-running",
            title: "one overlay for a running container",
            requirement: "When a container is running, only one overlayfs should be mounted.",
            hint: "`findmnt -t overlay` while a container runs, on the machine and in the container.",
            see: &["findmnt -t overlay -o TARGET,OPTIONS; findmnt -N {pid} -t overlay -o TARGET,OPTIONS"],
            informational: false,
            needs: &[],
            considers: &[],
            how: "While one container runs, the grader counts all overlays on the machine and in the container.",
            causes: &[
                "the overlay of the build is still mounted",
                "an overlay is mounted on another overlay",
            ],
            man: &["findmnt(8)"],
        },
        judge: one,
    },
    Row {
        check: CheckSpec {
            id: "3d/writes-stay-in-container",
            title: "writes stay in the container",
            requirement: "read the layer from the 'layers' file of the image directory and use it for mounting overlayfs \
                      of the container",
            hint: "Which of the overlay's folders gets the files that a container writes? Which other container or image uses this folder?",
            see: &["findmnt -N {pid} -t overlay -n -o OPTIONS | tr , '\\n'"],
            informational: false,
            needs: &["3d/one-overlay-while-running"],
            considers: &[],
            how: "The grader writes a file into one container, and looks for this file in the image's layers and in another container.",
            causes: &["two containers share an upper folder", "the upper folder is a layer of the image"],
            man: &["mount(8)"],
        },
        judge: writes,
    },
    Row {
        check: CheckSpec {
            id: "3d/base-shared",
            title: "one base for all",
            requirement: "consider the base root directory as a layer of overlay fs",
            hint: "Compare the lowest folder of two containers and of two images on the same base.",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: false,
            needs: &["3d/one-overlay-while-running"],
            considers: &[],
            how: "The grader compares the root trees of three containers and two images by inode, and the disk use before and after \
               the second build.",
            causes: &["each image has a base of its own"],
            man: &["stat(1)"],
        },
        judge: shared,
    },
    Row {
        check: CheckSpec {
            id: "3d/unmounted-on-stop",
            title: "unmounted by stop",
            requirement: "When the container stops, the overlay file system should also be unmounted.",
            hint: "`findmnt -t overlay` after stop.",
            see: &["findmnt -t overlay"],
            informational: false,
            needs: &["3d/one-overlay-while-running"],
            considers: &[],
            how: "After the last stop, no overlay may be mounted anywhere.",
            causes: &[
                "a process still uses the mount",
                "the path that is unmounted is not the one that was mounted",
            ],
            man: &["umount(8)", "findmnt(8)"],
        },
        judge: unmounted,
    },
    Row {
        check: CheckSpec {
            id: "3d/given-commands",
            title: "the given commands still work",
            requirement: "You are free to modify any part of the bash script to make it better, considering it does not \
                      break any functionality.",
            hint: "Try build without a file name, images, rmi, rmcache and -h by hand.",
            see: &["./conductor.sh -h; ./conductor.sh images"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "The grader calls -h, images, build without a file name, rmi and rmcache, and checks their effects.",
            causes: &["a command still uses the old folder names"],
            man: &[],
        },
        judge: given_commands,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 7] = specs(&ROWS);
