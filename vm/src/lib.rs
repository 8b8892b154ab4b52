//! Throw-away virtual machines in QEMU: images, accelerators, templates that restore in under a
//! second, and a channel into the guest. This crate does not know what the guests are for: the
//! caller's [`Setup`] says what is in them.
//!
//! ```no_run
//! # fn main() -> Result<(), vm::Error> {
//! let cache = vm::Cache::at("/var/cache/machines");
//! let template = vm::prepare(&cache, &vm::Request::default(), &mut |_| {})?;
//! let mut guest = template.restore(&vm::Disks::default())?;
//! let outcome = guest.run(&vm::Command::new(["uname", "-r"]), &mut |line| {
//!     println!("{}", String::from_utf8_lossy(line));
//! });
//! # let _ = outcome;
//! # Ok(())
//! # }
//! ```
//!
//! Data flows one way. A [`Request`] names a suite and an accelerator. [`prepare`] makes an image
//! and a booted, frozen [`Template`], or finds them in the [`Cache`]. [`Template::restore`] makes a
//! [`Guest`]. [`Guest::run`] runs one program in the guest and returns an [`Outcome`].

pub mod agent;

mod accelerator;
mod arguments;
mod cache;
mod calibration;
mod channel;
mod command;
mod confine;
mod console;
mod digest;
mod disk;
mod doctor;
mod error;
mod event;
mod guest;
mod hardware;
mod image;
mod kvm;
mod machine;
mod memory;
mod outcome;
mod prepare;
mod qemu;
mod qmp;
mod setup;
mod shell;
mod silence;
mod space;
mod spawn;
mod suite;
mod template;
mod tls;
mod tool;

pub use accelerator::{Accelerator, Kind, Requested};
pub use cache::{Cache, Entry, EntryKind};
pub use calibration::Calibration;
pub use command::Command;
pub use disk::{Disks, disk_from_dir};
pub use doctor::{Facts, Kvm, UserNamespaces, doctor};
pub use error::{Error, FileError, chain};
pub use event::{Event, Unit};
pub use guest::Guest;
pub use hardware::STREAM;
pub use outcome::{Console, Outcome};
pub use prepare::{Request, prepare};
pub use setup::Setup;
pub use shell::script as console_shell;
pub use suite::{Source, Suite};
pub use template::{RestoreBy, Template};
pub use tls::use_ring;
pub use tool::{PROGRAMS, Program};
