//! Downloads a file and checks its digest. An interrupted download continues.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use sha2::{Digest, Sha256, Sha512};

use crate::digest::hex;
use crate::{Error, Event, Unit};

/// How often a transfer may break off without a new byte before it fails.
const FRUITLESS: u32 = 3;

/// How long the server may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Downloads `url` to `file`, unless the file is there with the right digest. An
/// incomplete download lies beside the file, with the server's mark for its version, and a
/// later call continues it.
pub(crate) fn fetch(url: &str, digest: &str, file: &Path, on: &mut dyn FnMut(Event)) -> Result<(), Error> {
    let part = beside(file, "part");
    let fail = |why: String| Error::Download { url: url.to_owned(), why };
    if file.exists() && digest_of(file, digest).is_ok_and(|found| found == digest) {
        return Ok(());
    }
    crate::tls::use_ring();
    let client = Client::builder()
        .connect_timeout(PATIENCE / 2)
        .timeout(PATIENCE)
        .build()
        .map_err(|error| fail(reasons(&error)))?;

    let mut fruitless = 0;
    loop {
        let before = length(&part);
        match transfer(&client, url, &part, on) {
            Ok(()) => break,
            Err(Stopped::Refused(why)) => return Err(fail(why)),
            Err(Stopped::Disk(error)) => return Err(Error::io("write", &part)(error)),
            Err(Stopped::BrokenOff(why)) => {
                fruitless = if length(&part) > before { 0 } else { fruitless + 1 };
                if fruitless == FRUITLESS {
                    return Err(fail(why));
                }
            }
        }
    }
    let found = digest_of(&part, digest).map_err(Error::io("read", &part))?;
    let _ = fs::remove_file(beside(&part, "etag"));
    if found != digest {
        // The contents are wrong, so a later call must not continue this download.
        let _ = fs::remove_file(&part);
        return Err(fail(format!("its digest is {found}, not {digest}")));
    }
    fs::rename(&part, file).map_err(Error::io("create", file))
}

enum Stopped {
    /// The server or the network refuses: another try will not help.
    Refused(String),
    /// The transfer began and broke off.
    BrokenOff(String),
    /// The host failed.
    Disk(io::Error),
}

fn transfer(client: &Client, url: &str, part: &Path, on: &mut dyn FnMut(Event)) -> Result<(), Stopped> {
    let etag_file = beside(part, "etag");
    let have = length(part);
    let mut request = client.get(url);
    // Only a version mark proves that the rest belongs to the first part.
    match fs::read_to_string(&etag_file) {
        Ok(etag) if have > 0 => {
            request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, etag);
        }
        _ => {}
    }
    let mut response = request.send().map_err(|error| {
        let why = reasons(&error);
        if error.is_connect() || error.is_builder() {
            Stopped::Refused(format!("its host cannot be reached from here ({why})"))
        } else {
            Stopped::BrokenOff(why)
        }
    })?;
    let (file, mut done) = match response.status() {
        StatusCode::PARTIAL_CONTENT if starts_at(&response, have) => {
            (File::options().append(true).open(part).map_err(Stopped::Disk)?, have)
        }
        StatusCode::OK => {
            let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
            // A weak mark may stand for different bytes (RFC 9110, 13.1.5).
            match etag.filter(|etag| !etag.starts_with("W/")) {
                Some(etag) => fs::write(&etag_file, etag).map_err(Stopped::Disk)?,
                None => drop(fs::remove_file(&etag_file)),
            }
            (File::create(part).map_err(Stopped::Disk)?, 0)
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            fs::remove_file(part).map_err(Stopped::Disk)?;
            return Err(Stopped::BrokenOff("the server gave another part than the one asked for".to_owned()));
        }
        status => return Err(Stopped::Refused(format!("the server says {status}"))),
    };
    let total = response.content_length().map(|left| done + left);
    let mut file = io::BufWriter::new(file);
    let mut buffer = vec![0; 256 << 10];
    let broken_off = loop {
        match response.read(&mut buffer) {
            Ok(0) if total.is_some_and(|total| done < total) => {
                break Some(format!("it ended after {done} bytes"));
            }
            Ok(0) => break None,
            Ok(count) => {
                file.write_all(&buffer[..count]).map_err(Stopped::Disk)?;
                done += count as u64;
                on(Event::Progress { done, total, unit: Unit::Bytes });
            }
            Err(error) => break Some(reasons(&error)),
        }
    };
    file.flush().map_err(Stopped::Disk)?;
    broken_off.map_or(Ok(()), |why| Err(Stopped::BrokenOff(why)))
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}

fn digest_of(file: &Path, like: &str) -> io::Result<String> {
    let file = File::open(file)?;
    Ok(if like.starts_with("sha512:") {
        format!("sha512:{}", hex(&hashed::<Sha512>(file)?))
    } else {
        format!("sha256:{}", hex(&hashed::<Sha256>(file)?))
    })
}

fn hashed<H: Digest>(mut file: File) -> io::Result<Vec<u8>> {
    let mut hash = H::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&buffer[..count]),
        }
    }
}

fn length(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |found| found.len())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The innermost cause of an error, on which a person can act.
fn reasons(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    let text = innermost.to_string();
    // The resolver's message ends with the whole query.
    text.split(" for Query").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
