//! The agent in a guest: a static program that waits on a virtio-serial port, runs programs for
//! the host and reports how they ended. It starts once, in the template; every restored guest
//! wakes up in its read.

mod armour;
mod guard;
mod run;
mod wake;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::channel::{FromGuest, Key, Lines, PORT, Sealer, ToGuest, decode};

/// The control group of programs that are not protected, from the root of the groups.
pub const PROGRAMS: &str = "vm.run";

/// The time between two signs of life.
const BEAT: Duration = Duration::from_millis(500);

/// A digest of the agent's source. When it changes, a new template is made; an agent built from
/// another source is refused.
pub fn source() -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for text in [
        include_str!("mod.rs"),
        include_str!("armour.rs"),
        include_str!("guard.rs"),
        include_str!("../../guard/guard.bpf.c"),
        include_str!("../../guard/kernel.h"),
        include_str!("run.rs"),
        include_str!("wake.rs"),
        include_str!("../channel.rs"),
    ] {
        hash.update(text);
    }
    crate::digest::short(&hash.finalize())
}

/// Runs in a guest until the machine ends.
pub fn main() -> ExitCode {
    armour::put_on();
    let port = OpenOptions::new().read(true).write(true).open(format!("/dev/virtio-ports/{PORT}"));
    let unguarded = guard::raise().err().map(|error| crate::chain(&error));
    match port.and_then(|port| serve(&port, unguarded)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The connection to the host, shared by all threads.
#[derive(Clone)]
struct Voice(Arc<(Mutex<Speech>, Condvar)>);

struct Speech {
    port: File,
    sealer: Sealer,
    awake: bool,
}

impl Voice {
    fn lock(&self) -> MutexGuard<'_, Speech> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, message: &FromGuest) -> io::Result<()> {
        self.lock().say(message)
    }

    fn set_awake(&self, awake: bool) {
        self.lock().awake = awake;
        self.0.1.notify_all();
    }

    fn beat(&self) -> io::Result<()> {
        loop {
            let mut speech = self.lock();
            while !speech.awake {
                speech = self.0.1.wait(speech).unwrap_or_else(PoisonError::into_inner);
            }
            speech.say(&FromGuest::Beat)?;
            drop(speech);
            std::thread::sleep(BEAT);
        }
    }
}

impl Speech {
    fn say(&mut self, message: &FromGuest) -> io::Result<()> {
        let line = self.sealer.seal(message)?;
        self.port.write_all(&line)
    }
}

fn serve(port: &File, unguarded: Option<String>) -> io::Result<()> {
    let speech = Speech { port: port.try_clone()?, sealer: Sealer::new(Key::default()), awake: false };
    let voice = Voice(Arc::new((Mutex::new(speech), Condvar::new())));
    let beating = voice.clone();
    armour::thread("beat", move || beating.beat())?;

    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    voice.say(&FromGuest::Ready { agent: source(), kernel, unguarded })?;

    let mut stdin = Vec::new();
    let mut lines = Lines::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = (&*port).read(&mut buffer)?;
        if count == 0 {
            // The host's end is closed only for a moment, during a restore.
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut done = Ok(());
        let whole = lines.push(&buffer[..count], &mut |line| {
            if done.is_ok() {
                done = obey(line, &voice, &mut stdin);
            }
        });
        whole.map_err(|_| io::Error::other("a line of the host is too long"))?;
        done?;
    }
}

fn obey(line: &[u8], voice: &Voice, stdin: &mut Vec<u8>) -> io::Result<()> {
    match serde_json::from_slice(line)? {
        ToGuest::Hello { key, nonce, unix_time, entropy, payload, store } => {
            voice.lock().sealer = Sealer::new(key);
            let woken = wake::up(unix_time, &decode(&entropy).unwrap_or_default(), payload, store);
            voice.say(&match woken {
                Ok(()) => FromGuest::Hello { nonce },
                Err(why) => FromGuest::Failed { why },
            })?;
            voice.set_awake(true);
        }
        ToGuest::Stdin { data } => stdin.extend(decode(&data).unwrap_or_default()),
        ToGuest::Run { argv, kept } => {
            let input = std::mem::take(stdin);
            let voice = voice.clone();
            armour::thread("run", move || run::program(&argv, kept, &input, &voice))?;
        }
        ToGuest::Rest => {
            voice.set_awake(false);
            voice.say(&FromGuest::Resting)?;
        }
    }
    Ok(())
}
