//! Makes a root tree trust an authority, as update-ca-certificates(8) does,
//! without starting a program.
//!
//! The certificate is put among the administrator's own (`/usr/local/share/ca-certificates`). Where
//! the package ca-certificates is installed, what follows from it is put beside the package's: a
//! link by name, a link by the hash of its subject, and its text at the end of the bundle. Where
//! the package is installed later, it finds the certificate and does the same.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Where the certificate lies in a tree.
pub const CERTIFICATE: &str = "usr/local/share/ca-certificates/world.crt";
/// Where the package ca-certificates keeps what is trusted.
const TRUSTED: &str = "etc/ssl/certs";
/// All that is trusted in one file.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// The hash of the subject [`NAME`](crate::guest::world::AUTHORITY), as
/// `openssl x509 -subject_hash` prints it.
const SUBJECT_HASH: &str = "f90bbe91";

/// Makes the tree at `root` trust `certificate`, which is in PEM. One that was put there
/// earlier is replaced.
///
/// # Errors
/// When a file cannot be written.
pub fn trust(root: &Path, certificate: &str) -> io::Result<()> {
    let own = root.join(CERTIFICATE);
    if let Some(folder) = own.parent().filter(|folder| !folder.is_dir()) {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    }
    let before = fs::read_to_string(&own).unwrap_or_default();
    fs::write(&own, certificate)?;
    fs::set_permissions(&own, Permissions::from_mode(0o644))?;
    let bundle = root.join(BUNDLE);
    if !bundle.is_file() {
        return Ok(());
    }
    link(&Path::new("/").join(CERTIFICATE), &root.join(TRUSTED).join("world.pem"))?;
    link(Path::new("world.pem"), &root.join(TRUSTED).join(format!("{SUBJECT_HASH}.0")))?;
    match fs::read_to_string(&bundle)? {
        text if !before.is_empty() && text.contains(&before) => {
            fs::write(&bundle, text.replace(&before, certificate))
        }
        _ => File::options().append(true).open(&bundle)?.write_all(certificate.as_bytes()),
    }
}

fn link(to: &Path, at: &Path) -> io::Result<()> {
    let _ = fs::remove_file(at);
    symlink(to, at)
}
