//! An image of 200 layers, the most that `conductor` allows: its build, and containers of it. The
//! floor mounts an overlay of as many layers. Podman 4.3 mounts at most 128; what it says is in the
//! report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use conductor::sandbox::overlay::LAYERS_MAX;

use crate::deep;
use crate::images::Podman;
use crate::measure::{Contender, Trouble, compare, finish};
use crate::network;
use crate::place::{Place, Places, State, text_of};
use crate::report::Report;

/// The layers above the base system.
const STEPS: usize = LAYERS_MAX - 1;
const LIMIT: Duration = Duration::from_secs(40);

/// Makes the contenders of one place.
type Contenders<'b> = for<'a> fn(&'a Deep<'b>) -> Vec<Contender<'a>>;

/// Builds, then run with stop, then exec.
pub fn run(places: &Places, report: &mut Report) -> Result<(), Trouble> {
    eprintln!("images of 200 layers ...");
    let all = places.each().map(Deep::new).collect::<Result<Vec<_>, _>>()?;
    let tasks: [(&str, usize, Contenders<'_>); 4] = [
        ("200 layers: cold build of FROM and 199 RUN", 5, Deep::cold),
        ("200 layers: rebuild with everything cached", 20, Deep::cached),
        ("200 layers: run of /bin/true, and tear-down", 20, Deep::run),
        ("200 layers: exec of /bin/true", 20, Deep::exec),
    ];
    for (title, rounds, make) in tasks {
        let contenders = all.iter().flat_map(make).chain(places.without_disk()).collect();
        report.tasks.push(compare(title, rounds, LIMIT, contenders));
    }
    all.into_iter().try_for_each(Deep::end)
}

/// What the contenders of one place share.
struct Deep<'a> {
    place: &'a Place,
    /// A folder with a Conductorfile, an equal Dockerfile, and the folder `files` with as many
    /// files as there are steps.
    context: PathBuf,
    /// Has the image `img`, and the running container `c`.
    state: State,
    sleeping: Child,
    first: String,
    /// The layers of the floor.
    stack: PathBuf,
    podman: Podman,
    loaded: Result<(), String>,
}

impl<'a> Deep<'a> {
    fn new(place: &'a Place) -> Result<Self, Trouble> {
        let context = place.path("layers-context");
        fs::create_dir_all(context.join("files"))?;
        for number in 1..=STEPS {
            fs::write(context.join(format!("files/{number}")), "")?;
        }
        let step = |number| format!("RUN [\"/bin/touch\", \"/file{number}\"]\n");
        let steps: String = (1..=STEPS).map(step).collect();
        fs::write(context.join("Conductorfile"), format!("FROM debian:bookworm\n{steps}"))?;
        fs::write(context.join("Dockerfile"), format!("FROM localhost/base\n{steps}"))?;
        let state = place.state("layers")?;
        state.build("img", &steps)?;
        let sleeping = state.sleeper("c")?;
        let first = state.first_pid("c")?;
        let stack = place.path("layers-floor");
        finish(&mut floor(place, &stack))?;
        let podman = Podman::new(place);
        let loaded = deep::load(place, &podman, LAYERS_MAX).map_err(|trouble| trouble.to_string());
        Ok(Self { place, context, state, sleeping, first, stack, podman, loaded })
    }

    fn cold(&self) -> Vec<Contender<'_>> {
        let place = self.place;
        let file = self.context.join("Conductorfile");
        vec![
            place.contender("floor", move |round| {
                let stack = place.path(&format!("layers-floor-{round}"));
                place.time(|| finish(&mut floor(place, &stack)))
            }),
            place.contender("conductor", move |round| {
                let state = place.state(&format!("layers-{round}"))?;
                place.time(|| finish(&mut state.conductor(&["-q", "build", "img", text_of(&file)])))
            }),
            place.contender("buildah", move |_| {
                self.loaded.clone()?;
                // A build of minutes would fail with this error at its end.
                finish(&mut self.podman.run("localhost/deep"))?;
                let mut build = self.podman.build(&["--no-cache"], "layers", &self.context);
                place.time(|| finish(&mut build))
            }),
        ]
    }

    fn cached(&self) -> Vec<Contender<'_>> {
        let place = self.place;
        let file = self.context.join("Conductorfile");
        vec![
            place.contender("floor: stat of 199 files", move |_| {
                let files = self.context.join("files");
                place.time(|| finish(&mut place.floor(&["stat", text_of(&files)])))
            }),
            place.contender("conductor", move |_| {
                place.time(|| finish(&mut self.state.conductor(&["-q", "build", "img", text_of(&file)])))
            }),
        ]
    }

    fn run(&self) -> Vec<Contender<'_>> {
        let place = self.place;
        vec![
            place.contender("floor", move |round| {
                let dir = place.path(&format!("layers-run-{round}"));
                let lowers = fs::read_to_string(self.stack.join("layers"))?;
                let mut floor = place.floor(&["run", &lowers, text_of(&dir), "/bin/true"]);
                place.time(|| finish(floor.current_dir(&self.stack)))
            }),
            place.contender("conductor", move |round| {
                let name = format!("r{round}");
                place.time(|| {
                    finish(&mut self.state.conductor(&["-q", "run", "img", &name, "--", "/bin/true"]))?;
                    network::stop(&self.state, &name)
                })
            }),
            place.contender("podman", move |_| {
                self.loaded.clone()?;
                place.time(|| finish(&mut self.podman.run("localhost/deep")))
            }),
        ]
    }

    fn exec(&self) -> Vec<Contender<'_>> {
        let place = self.place;
        vec![
            place.contender("floor", move |_| {
                place.time(|| finish(&mut place.floor(&["exec", &self.first, "/bin/true"])))
            }),
            place.contender("conductor", move |_| {
                place.time(|| finish(&mut self.state.conductor(&["-q", "exec", "c", "--", "/bin/true"])))
            }),
        ]
    }

    fn end(mut self) -> Result<(), Trouble> {
        network::stop(&self.state, "c")?;
        self.sleeping.wait()?;
        Ok(())
    }
}

/// The floor's build, into the new folder `stack`.
fn floor(place: &Place, stack: &Path) -> Command {
    place.floor(&["stack", text_of(&place.base()), text_of(stack), &STEPS.to_string()])
}
