//! Subtask 3d: do containers share their image's layers by an overlay?

use super::Written;
use crate::evidence::Bundle;
use crate::guest::processes::Directory;
use crate::task::CheckSpec;
use crate::task::conductor::overlay::{Overlay, Overlays};
use crate::task::conductor::sight::Sight;
use crate::task::conductor::state::Image;
use crate::task::conductor::story::{Seen, Story};
use crate::task::finding::Question;
use crate::verdict::Finding;

/// A folder that takes up this share of the base holds a copy of it.
const COPY_SHARE: u64 = 4;

pub const CHECKS: [CheckSpec; 6] = [
    CheckSpec {
        id: "3d/layers-file",
        title: "the image's layers file",
        requirement: "consider the base root directory as a layer of overlay fs and write its address in a file in \
                      the image directory. Name the file 'layers'",
        hint: "Does the image's folder hold a file `layers`, and do the folders that it names exist? Compare them \
               with lowerdir in /proc/mounts.",
        informational: false,
    },
    CheckSpec {
        id: "3d/no-copy",
        title: "no copy of the root tree",
        requirement: "Remove copying of the base root directory to the image directory. Remove copying of the image \
                      root directory to the container directory",
        hint: "`du -sh` of the image's and the container's folder, before and after.",
        informational: false,
    },
    CheckSpec {
        id: "3d/one-overlay-while-running",
        title: "one overlay for a running container",
        requirement: "When a container is running, only one overlayfs should be mounted.",
        hint: "`findmnt -t overlay` while a container runs, on the machine and in the container.",
        informational: false,
    },
    CheckSpec {
        id: "3d/writes-stay-in-container",
        title: "writes stay in the container",
        requirement: "read the layer from the 'layers' file of the image directory and use it for mounting overlayfs \
                      of the container",
        hint: "Which of the overlay's folders takes what a container writes, and who else uses that folder?",
        informational: false,
    },
    CheckSpec {
        id: "3d/base-shared",
        title: "one base for all",
        requirement: "consider the base root directory as a layer of overlay fs",
        hint: "Compare the lowest folder of two containers and of two images on the same base.",
        informational: false,
    },
    CheckSpec {
        id: "3d/unmounted-on-stop",
        title: "unmounted by stop",
        requirement: "When the container stops, the overlay file system should also be unmounted.",
        hint: "`findmnt -t overlay` after stop.",
        informational: false,
    },
];

pub fn judge(bundle: &Bundle) -> Vec<Finding> {
    let story = match Story::open(bundle, "3-run", &CHECKS) {
        Ok(story) => story,
        Err(errors) => return errors,
    };
    let room = Room {
        image: story.at("image", "build"),
        second: story.at("image", "build-second"),
        one: story.at("overlays", "worker"),
        both: story.at("overlays", "both"),
        worker: story.at("container", "worker"),
        shell: story.at("container", "shell"),
        story,
    };
    vec![layers_file(&room), no_copy(&room), one(&room), writes(&room), shared(&room), unmounted(&room)]
}

struct Room<'a> {
    story: Story<'a>,
    image: Option<Seen<Image>>,
    second: Option<Seen<Image>>,
    /// While one container runs, and while two do.
    one: Option<Seen<Overlays>>,
    both: Option<Seen<Overlays>>,
    worker: Option<Seen<Sight>>,
    shell: Option<Seen<Sight>>,
}

impl Room<'_> {
    /// The overlay that is a container's root.
    fn overlay<'b>(
        &self,
        container: &Option<Seen<Sight>>,
        overlays: &'b Option<Seen<Overlays>>,
    ) -> Option<&'b Overlay> {
        let mounts = &container.as_ref()?.value.mounts;
        let root = mounts.iter().rfind(|mount| mount.mount_point == "/")?;
        overlays.as_ref()?.value.mounted.iter().find(|overlay| overlay.device == root.device)
    }

    fn no_container(&self, question: Question) -> Finding {
        let why = self.story.why_unbuilt("build").unwrap_or_else(|| self.story.why_absent("worker"));
        self.story.missing(question, format!("no container: {why}"))
    }
}

fn paths(dirs: &[Directory]) -> String {
    dirs.iter().map(|dir| dir.path.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether `named` is the folder itself or one in which it lies.
fn covers(named: &Directory, dir: &Directory) -> bool {
    named.is(dir) || dir.path.starts_with(&format!("{}/", named.path))
}

fn layers_file(room: &Room) -> Finding {
    let question =
        Question::new("3d/layers-file", "a file `layers` that names the folders below a container");
    if let Some(why) = room.story.why_unbuilt("build") {
        return question.fail(format!("no image: {why}"));
    }
    let Some(image) = &room.image else { return room.story.missing(question, "no image was built") };
    let question = question.proof(&image.place);
    let Image { layers, named, dir, .. } = &image.value;
    let Some(text) = layers else {
        return question.fail(match dir {
            Some(dir) => format!("{dir} has no file `layers`"),
            None => "the image has no folder of its name".to_owned(),
        });
    };
    if named.is_empty() {
        return question.fail(format!("`layers` names no folder that exists: {:?}", text.trim()));
    }
    if room.worker.is_none() {
        return question.skip(format!("it names {}; no container runs on them", paths(named)));
    }
    let Some(overlay) = room.overlay(&room.worker, &room.one) else {
        return question.fail(format!(
            "it names {}, but the container does not run on an overlay of them",
            paths(named)
        ));
    };
    let unnamed: Vec<&Directory> =
        overlay.lower.iter().filter(|dir| !named.iter().any(|named| covers(named, dir))).collect();
    if unnamed.is_empty() {
        question.pass(format!("it names {}", paths(named)))
    } else {
        let others: Vec<&str> = unnamed.iter().map(|dir| dir.path.as_str()).collect();
        question.fail(format!("the container runs on {}, which `layers` does not name", others.join(", ")))
    }
}

fn no_copy(room: &Room) -> Finding {
    let question = Question::new("3d/no-copy", "image and container take up little beside the base");
    let Some(image) = &room.image else { return room.story.missing(question, "no image was built") };
    if let Some(why) = room.story.why_unbuilt("build") {
        return question.skip(format!("no image: {why}"));
    }
    let question = question.proof(&image.place);
    let (base, size) = (image.value.base, image.value.size);
    let Some(container) = room.story.at::<Image>("container-size", "worker") else {
        return room.no_container(question);
    };
    let whole = base.bytes.max(8 << 20);
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let seen = format!(
        "base {}, image {}, container {}",
        megabytes(base.bytes),
        megabytes(size.bytes),
        megabytes(container.value.size.bytes)
    );
    let copied = |bytes: u64| bytes > whole / COPY_SHARE;
    question.proof(container.place).answer(!copied(size.bytes) && !copied(container.value.size.bytes), seen)
}

fn one(room: &Room) -> Finding {
    let question =
        Question::new("3d/one-overlay-while-running", "exactly one overlay, and it is the container's root");
    let (Some(overlays), Some(_)) = (&room.one, &room.worker) else { return room.no_container(question) };
    let question = question.proof(&overlays.place);
    let mounted = &overlays.value.mounted;
    let places = |overlay: &Overlay| overlay.at.join(" and ");
    match mounted.as_slice() {
        [] => question.fail("no overlay is mounted"),
        [only] if room.overlay(&room.worker, &room.one).is_some() => {
            question.pass(format!("one, at {}", places(only)))
        }
        [only] => question.fail(format!("one, at {}, and the container's root is not on it", places(only))),
        more => {
            let places: Vec<String> = more.iter().map(places).collect();
            question.fail(format!("{} are mounted: {}", more.len(), places.join("; ")))
        }
    }
}

fn writes(room: &Room) -> Finding {
    let question =
        Question::new("3d/writes-stay-in-container", "what a container writes is in that container only");
    let Some(written) = room.story.at::<Written>("written", "write") else {
        return if room.worker.is_none() {
            room.no_container(question)
        } else {
            let why = room.story.why_absent("shell");
            room.story.missing(question, format!("no second container to compare with: {why}"))
        };
    };
    let question = question.proof(&written.place);
    let Written { error, kept, found, .. } = &written.value;
    if let Some(error) = error {
        question.fail(format!("the container's root cannot be written: {error}"))
    } else if !found.is_empty() {
        question.fail(format!("it also shows in {}", found.join(", ")))
    } else {
        question.answer(*kept, if *kept { "it is in the container only" } else { "the container lost it" })
    }
}

fn shared(room: &Room) -> Finding {
    let question = Question::new("3d/base-shared", "two containers and two images on the same base folder");
    let (Some(image), Some(second)) = (&room.image, &room.second) else {
        return room.story.missing(question, "no two images were built");
    };
    let question = question.proof(&image.place).proof(&second.place);
    let Some(base) =
        image.value.named.iter().find(|dir| second.value.named.iter().any(|other| other.is(dir)))
    else {
        if image.value.named.is_empty() || second.value.named.is_empty() {
            return question.skip("the images' layers are not known: see 3d/layers-file");
        }
        return question.fail(format!(
            "one image is on {}, the other on {}",
            paths(&image.value.named),
            paths(&second.value.named)
        ));
    };
    if room.worker.is_none() {
        return room.no_container(question);
    }
    let containers = [(&room.worker, &room.one), (&room.shell, &room.both)];
    for (container, overlays) in containers.iter().filter(|(container, _)| container.is_some()) {
        let Some(overlay) = room.overlay(container, overlays) else {
            return question.skip("the containers are on no overlay: see 3d/one-overlay-while-running");
        };
        if !overlay.lower.iter().any(|dir| covers(base, dir)) {
            return question.fail(format!(
                "a container is on {}, not on {}",
                paths(&overlay.lower),
                base.path
            ));
        }
    }
    question.pass(format!("all are on {}", base.path))
}

fn unmounted(room: &Room) -> Finding {
    let question =
        Question::new("3d/unmounted-on-stop", "no overlay is mounted once the containers are stopped");
    if room.worker.is_none() && room.shell.is_none() {
        return room.no_container(question);
    }
    let while_running = [&room.one, &room.both];
    if while_running.iter().all(|seen| seen.as_ref().is_none_or(|seen| seen.value.mounted.is_empty())) {
        return room.story.missing(question, "no overlay was mounted: see 3d/one-overlay-while-running");
    }
    let Some(stopped) = room.story.at::<Overlays>("overlays", "stopped") else {
        return room.story.missing(question, "stop was not reached");
    };
    let places: Vec<String> = stopped.value.mounted.iter().map(|overlay| overlay.at.join(" and ")).collect();
    let question = question.proof(stopped.place);
    if places.is_empty() {
        question.pass("none is mounted")
    } else {
        question.fail(format!("still mounted: {}", places.join("; ")))
    }
}
