//! `conductor run`.

use std::path::PathBuf;

use crate::commands::Outcome;
use crate::commands::cli::Run;
use crate::image::catalog;
use crate::sandbox::Sandbox;
use crate::sandbox::launch::{self, Command, Streams};
use crate::sandbox::namespaces;
use crate::sandbox::overlay::{self, Flags};
use crate::sandbox::process;
use crate::sandbox::reaper::Reaper;
use crate::sandbox::rootfs::Dev;
use crate::sandbox::supervise::Signals;
use crate::settings::Settings;
use crate::state::container::Container;
use crate::state::half_made;
use crate::state::lock::{Lock, Share};
use crate::state::store::Store;

/// Runs the command.
pub fn run(settings: &Settings, args: &Run) -> Outcome {
    let store = Store::new(settings);
    // This lock keeps `rmi` and `rmcache` waiting until the container exists and they can see it.
    let images = match Lock::wait(&store.images, Share::Shared) {
        Err(error) if error.is_not_found() => None,
        lock => Some(lock?),
    };
    let lowers = catalog::lowerdirs(&store, &args.image)?;
    half_made::sweep_with_mounts(&store.containers);
    let top = lowers.first().map(PathBuf::as_path);
    let container = Container::create(&store, &args.container, &args.image, top)?;
    drop(images);

    let [upper, work, root] = container.overlay();
    // An exited container never runs again: `stop` deletes it. Its files need not survive a crash
    // of the machine, so nothing is synced when it ends.
    let mount_root = || {
        overlay::mount(&lowers, &upper, &work, &root, Flags { volatile: true })
            .map(overlay::Mount::leave)
            .map_err(overlay::Error::into_failure)
    };
    let streams = Streams::of_ours();
    let command = Command {
        argv: args.command.clone(),
        env: launch::environment(streams),
        cwd: "/".into(),
        streams,
        reaper: Reaper::choose(args.init, &args.command),
    };
    let sandbox = Sandbox {
        namespaces: namespaces::CONTAINER,
        root: &root,
        mount_root: Some(&mount_root),
        dev: Dev::Host,
        files: &[],
        hostname: Some(args.container.as_str()),
        command: &command,
        dies_with_us: false,
    };

    let signals = Signals::hold()?;
    let started = sandbox.hold().map_err(Into::into).and_then(|held| {
        container.record(held.child())?;
        Ok(held.start()?)
    });
    match started {
        Ok(running) => {
            drop(container);
            Ok(process::shell_status(signals.watch(running.child, running.terminal)?))
        }
        Err(error) => {
            // If the folder cannot be deleted now, `stop` deletes it. The first error is the one to
            // report.
            let _ = container.delete();
            super::not_started(error)
        }
    }
}
