//! Drives each scenario in a virtual machine that is restored from a template.

use std::path::Path;

use serde_json::Value;

use super::driver::{Driver, Running, Supplied};
use crate::packages::base::Maker;
use crate::stage::Medium;
use crate::verdict::Environment;

impl Driver for vm::Template {
    fn slowdown(&self) -> f64 {
        self.calibration().factor()
    }

    fn describe(&self, environment: &mut Environment) -> String {
        let accelerator = self.accelerator();
        self.image().clone_into(&mut environment.image);
        self.kernel().clone_into(&mut environment.kernel);
        environment.accelerator = format!("{}: {}", accelerator.kind, accelerator.reason);
        environment.unguarded = self.unguarded().map(str::to_owned);
        format!("{} in QEMU ({})", environment.image, accelerator.kind)
    }

    fn medium(&self) -> Medium {
        Medium::Disk
    }

    fn maker(&self) -> Option<Maker<'_>> {
        Maker::find(Some(self))
    }

    fn adapt(&self, _: &mut Value) {}

    fn start(&self, supplied: Supplied) -> Result<Box<dyn Running + '_>, String> {
        let disks = vm::Disks {
            payload: Some(supplied.payload.to_owned()),
            store: supplied.store.map(Path::to_owned),
        };
        let mut guest = self.restore(&disks).map_err(|error| vm::chain(&error))?;
        if let Some(packages) = supplied.packages {
            packages.serve(&mut guest, supplied.tunnels);
        }
        Ok(Box::new(guest))
    }
}

impl Running for vm::Guest {
    fn run(&mut self, command: &vm::Command, take: &mut dyn FnMut(&[u8])) -> vm::Outcome {
        Self::run(self, command, take)
    }
}
