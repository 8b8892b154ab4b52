//! `conductor run`.

use crate::cli::Run;
use crate::commands::Outcome;
use crate::container::Container;
use crate::images;
use crate::launch::{self, Command, Streams};
use crate::namespaces;
use crate::overlay::{self, Flags};
use crate::process;
use crate::reaper::Reaper;
use crate::rootfs::Dev;
use crate::sandbox::Sandbox;
use crate::settings::Settings;
use crate::store::{Lock, Share, Store, sweep};
use crate::supervise::Signals;

/// Runs the command.
pub fn run(settings: &Settings, args: &Run) -> Outcome {
    let store = Store::new(settings);
    // Keeps `rmi` and `rmcache` away until the container is there for them to see.
    let images = match Lock::wait(&store.images, Share::Shared) {
        Err(error) if error.is_not_found() => None,
        lock => Some(lock?),
    };
    let lowers = images::lowerdirs(&store, &args.image)?;
    sweep(&store.containers);
    let container = Container::create(&store, &args.container, &args.image)?;
    drop(images);

    let [upper, work, root] = container.overlay();
    // An exited container is never run again and `stop` deletes it: nothing in it has to outlast a crash of the
    // machine, so nothing has to be synced when it ends.
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
        container.record(held.child().pid())?;
        Ok(held.start()?)
    });
    match started {
        Ok(running) => {
            drop(container);
            Ok(process::shell_status(signals.watch(running.child, running.terminal)?))
        }
        Err(error) => {
            // What cannot be deleted is there for `stop`; why it did not start matters more.
            let _ = container.delete();
            super::not_started(error)
        }
    }
}
