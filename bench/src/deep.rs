//! An image of many layers for podman. Building one would take minutes, so it is loaded from an
//! archive, in the format of `docker save`.

use std::fs;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::images::Podman;
use crate::measure::{Trouble, command, finish};
use crate::place::{Place, text_of};

/// Loads the image `localhost/deep`: the base system, and a file in each further layer.
pub fn load(place: &Place, podman: &Podman, layers: usize) -> Result<(), Trouble> {
    podman.ready()?;
    let folder = place.path("deep");
    fs::create_dir(&folder)?;
    let mut names = vec!["0.tar".to_owned()];
    finish(&mut command("cp", &[text_of(&place.path("base.tar")), text_of(&folder.join("0.tar"))]))?;
    for number in 1..layers {
        let (file, name) = (format!("file{number}"), format!("{number}.tar"));
        fs::write(folder.join(&file), "")?;
        finish(&mut command("tar", &["-C", text_of(&folder), "-cf", text_of(&folder.join(&name)), &file]))?;
        names.push(name);
    }
    let digests = names
        .iter()
        .map(|name| digest(&fs::read(folder.join(name))?))
        .collect::<Result<Vec<_>, Trouble>>()?;
    let rootfs = json!({ "type": "layers", "diff_ids": digests });
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
    fs::write(folder.join("config.json"), config.to_string())?;
    let manifest =
        json!([{ "Config": "config.json", "RepoTags": ["localhost/deep:latest"], "Layers": names }]);
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    let archive = place.path("deep.tar");
    finish(&mut command("tar", &["-C", text_of(&folder), "-cf", text_of(&archive), "."]))?;
    finish(&mut podman.podman(&["load", "--input", text_of(&archive)]))
}

fn digest(bytes: &[u8]) -> Result<String, Trouble> {
    use std::fmt::Write;
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
