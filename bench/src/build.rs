//! `build` with only the base system cached, and with everything cached.

use std::time::Duration;

use crate::images::Podman;
use crate::measure::{Contender, Trouble, compare, finish, time};
use crate::place::{Place, text_of};
use crate::report::{Bound, Report};

const LIMIT: Duration = Duration::from_secs(20);

/// FROM, COPY of 1000 files (10 MB together), RUN.
pub fn cold(place: &Place, report: &mut Report) {
    let podman = Podman::new(place);
    let (context, base) = (place.context(), place.base());
    let data = context.join("data");
    let file = context.join("Conductorfile");
    let task = compare(
        "cold build: FROM, COPY of 1000 files (10 MB), RUN",
        15,
        LIMIT,
        vec![
            Contender::new("floor", |round| {
                let dir = place.path(&format!("floor-build-{round}"));
                let words = ["build", text_of(&base), text_of(&data), text_of(&dir), "echo done > /done"];
                time(|| finish(&mut place.floor(&words)))
            }),
            Contender::new("conductor", |round| {
                let state = place.state(&format!("build-{round}"))?;
                time(|| finish(&mut state.conductor(&["-q", "build", "img", text_of(&file)])))
            }),
            Contender::new("bash tool", |round| {
                let state = place.state(&format!("build-bash-{round}"))?;
                time(|| finish(&mut state.bash(&["build", "img", text_of(&file)])))
            }),
            Contender::new("buildah", |round| {
                podman.ready()?;
                let tag = format!("cold{round}");
                let words = ["--no-cache", "--layers", "-t", &tag, text_of(&context)];
                time(|| finish(buildah_build(&podman).args(words)))
            }),
        ],
    );
    report.bounds.push(Bound::between(&task, "conductor", "floor", 2.0));
    report.tasks.push(task);
}

/// The same build again, with no change.
pub fn cached(place: &Place, report: &mut Report) -> Result<(), Trouble> {
    let podman = Podman::new(place);
    let context = place.context();
    let data = context.join("data");
    let file = context.join("Conductorfile");
    let state = place.state("rebuild")?;
    let bash_state = place.state("rebuild-bash")?;
    let task = compare(
        "rebuild with everything cached",
        20,
        LIMIT,
        vec![
            Contender::new("floor: stat", |_| time(|| finish(&mut place.floor(&["stat", text_of(&data)])))),
            Contender::new("floor: hash all", |_| {
                time(|| finish(&mut place.floor(&["hash", text_of(&data)])))
            }),
            Contender::new("conductor", |_| {
                time(|| finish(&mut state.conductor(&["-q", "build", "img", text_of(&file)])))
            }),
            Contender::new("bash tool", |_| {
                time(|| finish(&mut bash_state.bash(&["build", "img", text_of(&file)])))
            }),
            Contender::new("buildah", |_| {
                podman.ready()?;
                time(|| finish(buildah_build(&podman).args(["--layers", "-t", "cached", text_of(&context)])))
            }),
        ],
    );
    report.bounds.push(Bound::between(&task, "conductor", "floor: hash all", 1.5));
    report.tasks.push(task);
    Ok(())
}

/// The cheapest isolation, with the host's network, like `conductor build`.
fn buildah_build(podman: &Podman) -> std::process::Command {
    podman.buildah(&["build", "--pull-never", "--isolation=chroot", "--network=host"])
}
