//! What is checked in 3f.

use super::built::Built;
use super::failure::{failure, failure_again};
use super::run_instruction::{
    cached, deletions, earlier, left_by_failure, left_mounted, own, packages_in_image, parent_in_key,
    rebuilt, runs_in_image, untouched,
};
use crate::task::check::{CheckSpec, Row, Verdicts, specs};
use crate::task::finding::Question;
use crate::verdict::Finding;

const INSIDE: &str = "Execute the RUN instruction properly inside the overlay filesystem.";
const LAYER: &str = "Create a new layer for the RUN instruction";
const LIKE_DOCKER: &str = "extend your tool to support RUN instruction just like Dockerfile";
const CLEAN: &str = "Clean up and record metadata";
/// How a check of this subtask is judged.
pub type Judge = fn(&Built, Question, &Verdicts) -> Finding;

/// One row for each check.
pub static ROWS: [Row<Judge>; 13] = [
    Row {
        check: CheckSpec {
            id: "3f/runs-in-image",
            title: "runs in the image",
            requirement: INSIDE,
            hint: "What is the root directory of the command that RUN executes?",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN echo seen >/var/tmp/seen\\n' >Conductorfile.probe; ./conductor.sh build probe Conductorfile.probe",
                "ls -l /var/tmp/seen; ./conductor.sh run probe probe ls -l /var/tmp/seen",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "A RUN writes a random token to a file. It must be in a container of the image, and not on the machine. Another RUN sleeps: its root directory must not be the machine's, and after cd /var/tmp its working directory must be /var/tmp.",
            causes: &["the command runs without chroot"],
            man: &["chroot(1)"],
        },
        judge: runs_in_image,
    },
    Row {
        check: CheckSpec {
            id: "3f/own-layer",
            title: "a layer of its own",
            requirement: LAYER,
            hint: "Which folder in `layers` has the files that RUN wrote? Which other files does this folder have?",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: false,
            needs: &["3f/runs-in-image", "3d/layers-file"],
            considers: &[],
            how: "Each folder that the image's `layers` names is searched for what each RUN wrote.",
            causes: &["all instructions share one layer"],
            man: &["mount(8)"],
        },
        judge: own,
    },
    Row {
        check: CheckSpec {
            id: "3f/base-untouched",
            title: "the base as it was",
            requirement: LAYER,
            hint: "Compare the base's folder before and after a build with RUN.",
            see: &[
                "touch /tmp/mark; ./conductor.sh build probe FILE; find BASE -cnewer /tmp/mark # BASE: the last folder in layers",
            ],
            informational: false,
            needs: &["3f/runs-in-image", "3d/layers-file"],
            considers: &[],
            how: "All paths of the base are compared before and after the builds.",
            causes: &["the command runs in the base"],
            man: &["mount(8)"],
        },
        judge: untouched,
    },
    Row {
        check: CheckSpec {
            id: "3f/sees-earlier-layers",
            title: "sees the layers below",
            requirement: "Temporarily mount the overlayfs",
            hint: "Which folders are below the new layer while RUN runs, and in which order?",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN echo one >/one\\nRUN cat /one\\n' >Conductorfile.probe; ./conductor.sh build probe Conductorfile.probe; echo $?",
            ],
            informational: false,
            needs: &["3f/runs-in-image"],
            considers: &[],
            how: "A RUN reads a file that an earlier RUN wrote, and one that an earlier COPY brought. The fourth RUN of an image \
               reads the files of the first and of the third.",
            causes: &[
                "only the base is below the new layer",
                "only some of the layers are below the new layer",
                "the stack is upside down",
            ],
            man: &["mount(8)"],
        },
        judge: earlier,
    },
    Row {
        check: CheckSpec {
            id: "3f/deletions",
            title: "deleted files are gone, rewritten files are new",
            requirement: LIKE_DOCKER,
            hint: "Is the layer above the one that has the file? An overlay records a deletion as a character device 0/0 in the \
               upper folder, and it marks a folder that RUN made again with an extended attribute. Does your layer still have both?",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN rm /etc/issue.net\\n' >Conductorfile.probe; ./conductor.sh build probe Conductorfile.probe",
                "./conductor.sh run probe probe ls -l /etc/issue.net",
            ],
            informational: false,
            needs: &["3f/runs-in-image"],
            considers: &[],
            how: "A RUN deletes a file and a folder of the base, and deletes a folder and makes it again. Another RUN rewrites a \
               copied file, and a COPY after it replaces a file that the RUN wrote. The grader looks at these paths in containers of the images.",
            causes: &[
                "the layer is below the one that has the file",
                "whiteouts or extended attributes are lost when the layer is copied",
                "all COPY instructions are executed before all RUN instructions",
            ],
            man: &["mount(8)", "xattr(7)"],
        },
        judge: deletions,
    },
    Row {
        check: CheckSpec {
            id: "3f/failure-fails-build",
            title: "a failing command fails the build",
            requirement: LIKE_DOCKER,
            hint: "What becomes of the command's exit status?",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN false\\n' >Conductorfile.probe; ./conductor.sh build probe Conductorfile.probe; echo $?",
            ],
            informational: false,
            needs: &[],
            considers: &[],
            how: "A build whose RUN ends with status 1 must end with a status other than 0. If builds whose RUNs succeed also end like this, there must be no image.",
            causes: &["the status is that of a later command of the script"],
            man: &["bash(1)"],
        },
        judge: failure,
    },
    Row {
        check: CheckSpec {
            id: "3f/unmounted",
            title: "unmounted after the build",
            requirement: CLEAN,
            hint: "`findmnt` before and after a build.",
            see: &["findmnt"],
            informational: false,
            needs: &["3f/runs-in-image", "3d/layers-file"],
            considers: &[],
            how: "Mounts are compared before and after each build that worked: overlays, and from the second build with RUN on \
               all others outside of /proc, /sys, /dev and /run.",
            causes: &["the mount is busy", "procfs or /dev stays mounted"],
            man: &["umount(8)"],
        },
        judge: left_mounted,
    },
    Row {
        check: CheckSpec {
            id: "3f/rebuild-from-cache",
            title: "a second image of the same file",
            requirement: CLEAN,
            hint: "Build the same Conductorfile under another name and run it: which folders does its `layers` name?",
            see: &[
                "./conductor.sh build one FILE; ./conductor.sh build two FILE",
                "find . -xdev -type f -name layers -exec tail -vn +1 {} +",
            ],
            informational: true,
            needs: &[],
            considers: &[],
            how: "The same Conductorfile is built under another name, and a container of the second image is compared with the first.",
            causes: &["a cached layer is recorded with another path"],
            man: &[],
        },
        judge: rebuilt,
    },
    Row {
        check: CheckSpec {
            id: "3f/failure-from-cache",
            title: "a failed layer is not taken from the cache",
            requirement: CLEAN,
            hint: "Build a file with a failing RUN twice. How does your tool know that a layer is complete?",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN false\\n' >Conductorfile.probe; for i in 1 2; do ./conductor.sh build probe Conductorfile.probe; echo $?; done",
            ],
            informational: true,
            needs: &["3f/failure-fails-build"],
            considers: &[],
            how: "The build whose RUN fails is repeated. It must fail again.",
            causes: &["a layer counts as complete as soon as its folder is there"],
            man: &[],
        },
        judge: failure_again,
    },
    Row {
        check: CheckSpec {
            id: "3f/parent-in-cache-key",
            title: "the same RUN after other instructions",
            requirement: CLEAN,
            hint: "How does your tool recognise a layer: by its instruction alone, or also by the layers below?",
            see: &["find . -xdev -type f -name layers -exec tail -vn +1 {} +"],
            informational: true,
            needs: &["3f/sees-earlier-layers"],
            considers: &[],
            how: "The same RUN is built after other instructions. It must be executed again.",
            causes: &["the key of a layer leaves out the layers below"],
            man: &[],
        },
        judge: parent_in_key,
    },
    Row {
        check: CheckSpec {
            id: "3f/unmounted-after-failure",
            title: "unmounted after a build that failed",
            requirement: CLEAN,
            hint: "`findmnt` before and after a build whose RUN fails.",
            see: &[
                "printf 'FROM debian:bookworm\\nRUN false\\n' >Conductorfile.probe; ./conductor.sh build probe Conductorfile.probe; findmnt",
            ],
            informational: true,
            needs: &["3f/failure-fails-build", "3f/unmounted"],
            considers: &[],
            how: "Mounts are compared before and after the build that failed.",
            causes: &["the script ends before its clean-up"],
            man: &["bash(1)", "umount(8)"],
        },
        judge: left_by_failure,
    },
    Row {
        check: CheckSpec {
            id: "3f/layer-cached",
            title: "not run again",
            requirement: CLEAN,
            hint: "Build the same Conductorfile twice.",
            see: &["for i in 1 2; do time ./conductor.sh build probe FILE; done"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "The same Conductorfile is built twice, and the layers of both images are compared.",
            causes: &["no cache is looked into"],
            man: &[],
        },
        judge: cached,
    },
    Row {
        check: CheckSpec {
            id: "3f/packages",
            title: "apt in a RUN",
            requirement: "extend your tool to support RUN instruction just like Dockerfile",
            hint: "`RUN apt update && apt install -y htop`, with a COPY before it and one after it: what is in a container of the \
           image?",
            see: &["chroot /proc/{pid}/root sh -c 'command -v htop; dpkg -l htop'"],
            informational: true,
            needs: &[],
            considers: &[],
            how: "A RUN with apt is built between two COPY instructions, and a container of the image is looked into.",
            causes: &["RUN has no name server", "the stack is upside down"],
            man: &["apt-get(8)", "resolv.conf(5)"],
        },
        judge: packages_in_image,
    },
];

/// The rows without their judges.
pub static CHECKS: [&CheckSpec; 13] = specs(&ROWS);
