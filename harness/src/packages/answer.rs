//! An answer of the cache, whose body may still be on its way from the mirror.
//! Clones share one body.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::watch;

use super::store::Entry;

/// How much of a file is read for one frame of a body, in bytes.
const FRAME: u64 = 64 << 10;

/// What a guest gets.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub size: Option<u64>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Text(String),
    File(Growing),
}

impl Answer {
    /// A sentence instead of a file.
    pub fn text(status: u16, text: &str) -> Self {
        Self { status, size: None, headers: vec![], body: Content::Text(format!("{text}\n")) }
    }

    /// A file that the store has.
    pub fn stored(entry: &Entry, file: File) -> Self {
        let body = Growing { file: Arc::new(file), written: watch::channel(Written::Whole(entry.size)).1 };
        Self::of(entry, Some(entry.size), body)
    }

    /// A file with the headers of its entry.
    pub fn of(entry: &Entry, size: Option<u64>, body: Growing) -> Self {
        let value = |name, value: &Option<String>| Some((name, value.clone()?));
        let headers =
            [value("content-type", &entry.content_type), value("last-modified", &entry.last_modified)];
        Self {
            status: entry.status,
            size,
            headers: headers.into_iter().flatten().collect(),
            body: Content::File(body),
        }
    }
}

/// A file that is whole or still being written.
#[derive(Clone, Debug)]
pub(super) struct Growing {
    file: Arc<File>,
    written: watch::Receiver<Written>,
}

/// How far a file has been written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written {
    SoFar(u64),
    Whole(u64),
    Broken,
}

impl Growing {
    /// An empty file, and the means to tell how it grows.
    pub fn begun(file: File) -> (Self, watch::Sender<Written>) {
        let (progress, written) = watch::channel(Written::SoFar(0));
        (Self { file: Arc::new(file), written }, progress)
    }

    /// The next bytes from an offset on, none at the end.
    pub async fn read_at(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        loop {
            let written = *self.written.borrow_and_update();
            let (Written::SoFar(end) | Written::Whole(end)) = written else {
                return Err(io::Error::other("the mirror broke off"));
            };
            if offset < end {
                let mut bytes = vec![0; (end - offset).min(FRAME) as usize];
                self.file.read_exact_at(&mut bytes, offset)?;
                return Ok(bytes);
            }
            if matches!(written, Written::Whole(_)) {
                return Ok(Vec::new());
            }
            self.written.changed().await.map_err(io::Error::other)?;
        }
    }
}
