//! The official cloud images, by dated address and digest. Dated releases vanish after some months:
//! then edit this file.

use crate::Suite;

/// A download and its digest.
pub(crate) struct Pin {
    pub(crate) url: &'static str,
    /// `sha512:` or `sha256:` and hexadecimal digits, as the publisher gives them.
    pub(crate) digest: &'static str,
}

impl Pin {
    /// The last part of the address.
    pub(crate) fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }
}

/// The image for a suite.
pub(crate) fn of(suite: Suite) -> Pin {
    match suite {
        Suite::Debian12 => Pin {
            url: "https://cloud.debian.org/images/cloud/bookworm/20260712-2537/\
                  debian-12-genericcloud-amd64-20260712-2537.qcow2",
            digest: "sha512:6c2607f1846ee86040830c87d0b723f0967da3e884ea4673d9db4aa8eee13a4b\
                     7c663524bfa42082c16fc6919f3aa1bf425c004d07ff06c53a319ad0c42647bb",
        },
        Suite::Ubuntu2204 => Pin {
            url: "https://cloud-images.ubuntu.com/releases/jammy/release-20260705/\
                  ubuntu-22.04-server-cloudimg-amd64.img",
            digest: "sha256:ec3cdc1bf496078f645ccc8ac823e17609658753477ebc4e5fb730729ac5b434",
        },
    }
}
