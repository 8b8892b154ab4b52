//! What runs a guest's instructions: the processor by way of KVM, or QEMU's emulation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The accelerator that the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requested {
    /// KVM if a guest's kernel ran under it, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

impl FromStr for Requested {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Requested::Auto),
            "kvm" => Ok(Requested::Kvm),
            "tcg" => Ok(Requested::Tcg),
            _ => Err(format!("no accelerator {name:?}: choose auto, kvm or tcg")),
        }
    }
}

impl fmt::Display for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Requested::Auto => "auto",
            Requested::Kvm => "kvm",
            Requested::Tcg => "tcg",
        })
    }
}

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The processor, through the kernel's virtualisation.
    Kvm,
    /// QEMU's translator: works everywhere, 3 to 15 times slower.
    Tcg,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Kvm => "KVM",
            Kind::Tcg => "TCG",
        })
    }
}

/// The accelerator in use and the sentence that says why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accelerator {
    /// The accelerator.
    pub kind: Kind,
    /// The reason, without a full stop: "no usable KVM here (the guest did not reach
    /// userspace in 10 s)".
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accelerators_are_parsed_by_name() {
        assert_eq!("auto".parse(), Ok(Requested::Auto));
        assert_eq!("kvm".parse(), Ok(Requested::Kvm));
        assert_eq!("tcg".parse(), Ok(Requested::Tcg));
        assert!("xen".parse::<Requested>().unwrap_err().contains("auto, kvm or tcg"));
    }
}
