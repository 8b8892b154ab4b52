//! A mirror for tests: serves a map of files on the loopback and remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// What the mirror does with a path.
#[derive(Clone)]
pub enum File {
    /// Serves these bytes; a request with the right `ETag` gets 304.
    Body(Vec<u8>),
    /// Promises more than it sends.
    BreaksOff,
    /// Answers 503.
    #[allow(dead_code, reason = "not every test program has a mirror that fails")]
    Fails,
    /// Serves these bytes after a while.
    #[allow(dead_code, reason = "not every test program has a slow mirror")]
    Slow(std::time::Duration, Vec<u8>),
}

#[derive(Clone, Default)]
pub struct Upstream {
    files: Arc<Mutex<BTreeMap<String, File>>>,
    asked: Arc<Mutex<Vec<String>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    /// Starts one; its address, such as `http://127.0.0.1:4000`.
    pub fn start() -> (Self, String) {
        let upstream = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let serving = upstream.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
                let answer = serving.answer(&head);
                let _ = reader.into_inner().write_all(&answer);
            }
        });
        (upstream, address)
    }

    pub fn put(&self, path: &str, file: File) {
        self.files.lock().unwrap().insert(path.to_owned(), file);
    }

    #[allow(dead_code, reason = "not every test program has a mirror that loses files")]
    pub fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }

    /// The heads of all requests.
    #[allow(dead_code, reason = "not every test program looks at them")]
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// The paths asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    fn answer(&self, head: &str) -> Vec<u8> {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        // As wget asks for it, or as apt does.
        let plain = path.replace("%7e", "~").replace("%2b", "+").replace("%25", "%");
        let files = self.files.lock().unwrap();
        let file = files.get(&path).or_else(|| files.get(&plain)).cloned();
        drop(files);
        self.asked.lock().unwrap().push(path);
        self.heads.lock().unwrap().push(head.to_owned());
        match file {
            None => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            Some(File::Fails) => {
                b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
            }
            Some(File::BreaksOff) => {
                b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nbeginning".to_vec()
            }
            Some(File::Slow(pause, body)) => {
                std::thread::sleep(pause);
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                [head.as_bytes(), &body].concat()
            }
            Some(File::Body(body)) => {
                let etag = format!("\"{}-{}\"", body.len(), body.first().copied().unwrap_or(0));
                if head.contains(&etag) {
                    return b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec();
                }
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nETag: {etag}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                [head.as_bytes(), &body].concat()
            }
        }
    }
}
