//! `build` with only the base system cached, and with everything cached.

use std::time::Duration;

use crate::images::Podman;
use crate::measure::{Contender, Trouble, compare, finish};
use crate::place::{Place, Places, text_of};
use crate::report::{Bound, Report};

const LIMIT: Duration = Duration::from_secs(40);

/// FROM, COPY of 1000 files (10 MB together), RUN; and the same build again, with no change.
pub fn run(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    let title = "cold build: FROM, COPY of 1000 files (10 MB), RUN";
    let task = compare(title, 15, LIMIT, places.contenders(|place| Ok(cold(place)))?);
    report.bounds.push(Bound::between(&task, "conductor", "floor", 2.0));
    report.tasks.push(task);

    let task = compare("rebuild with everything cached", 20, LIMIT, places.contenders(cached)?);
    report.bounds.push(Bound::between(&task, "conductor", "floor: hash all", 1.5));
    report.tasks.push(task);
    Ok(())
}

fn cold(place: &Place) -> Vec<Contender<'_>> {
    let podman = Podman::new(place);
    let context = place.context();
    let data = context.join("data");
    let file = context.join("Conductorfile");
    let same_file = file.clone();
    vec![
        place.contender("floor", move |round| {
            let (base, dir) = (place.base(), place.path(&format!("floor-build-{round}")));
            let words = ["build", text_of(&base), text_of(&data), text_of(&dir), "echo done > /done"];
            place.time(|| finish(&mut place.floor(&words)))
        }),
        place.contender("conductor", move |round| {
            let state = place.state(&format!("build-{round}"))?;
            place.time(|| finish(&mut state.conductor(&["-q", "build", "img", text_of(&file)])))
        }),
        place.contender("bash tool", move |round| {
            let state = place.state(&format!("build-bash-{round}"))?;
            place.time(|| finish(&mut state.bash(&["build", "img", text_of(&same_file)])))
        }),
        place.contender("buildah", move |round| {
            podman.ready()?;
            let tag = format!("cold{round}");
            place.time(|| finish(&mut podman.build(&["--no-cache"], &tag, &context)))
        }),
    ]
}

fn cached(place: &Place) -> Result<Vec<Contender<'_>>, Trouble> {
    let podman = Podman::new(place);
    let context = place.context();
    let file = context.join("Conductorfile");
    let same_file = file.clone();
    let state = place.state("rebuild")?;
    let bash_state = place.state("rebuild-bash")?;
    let floor = |word: &'static str| {
        let data = context.join("data");
        move |_| place.time(|| finish(&mut place.floor(&[word, text_of(&data)])))
    };
    Ok(vec![
        place.contender("floor: stat", floor("stat")),
        place.contender("floor: hash all", floor("hash")),
        place.contender("conductor", move |_| {
            place.time(|| finish(&mut state.conductor(&["-q", "build", "img", text_of(&file)])))
        }),
        place.contender("bash tool", move |_| {
            place.time(|| finish(&mut bash_state.bash(&["build", "img", text_of(&same_file)])))
        }),
        place.contender("buildah", move |_| {
            podman.ready()?;
            place.time(|| finish(&mut podman.build(&[], "cached", &context)))
        }),
    ])
}
