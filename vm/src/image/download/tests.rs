//! Against a server on loopback that misbehaves on demand.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Act {
    /// Answers as it should, ranges included.
    Serve,
    /// Promises everything and closes the connection after so many bytes.
    BreakOff(usize),
    /// Says 404.
    NotFound,
    /// Answers every range with the whole, and with another version's mark.
    AnotherVersion,
}

/// A server that does one act after the other, and what it was asked for.
struct Server {
    url: String,
    ranges: Arc<Mutex<Ranges>>,
}

fn serve(content: &'static [u8], acts: &[Act]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/image.qcow2", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let (acts, seen) = (acts.to_vec(), ranges.clone());
    std::thread::spawn(move || {
        for act in acts {
            let (stream, _) = listener.accept().unwrap();
            let headers: Vec<String> = BufReader::new(&stream)
                .lines()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .map(|line| line.to_ascii_lowercase())
                .collect();
            let header = |name: &str| {
                headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned))
            };
            let range = header("range");
            seen.lock().unwrap().push(range.clone());
            let _ = answer(&stream, content, act, range.as_deref(), header("if-range").as_deref());
        }
    });
    Server { url, ranges }
}

fn answer(
    mut stream: &std::net::TcpStream,
    content: &[u8],
    act: Act,
    range: Option<&str>,
    if_range: Option<&str>,
) -> io::Result<()> {
    let start: usize = range
        .filter(|_| if_range == Some("\"one\"") && !matches!(act, Act::AnotherVersion))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    let (status, extra) = match act {
        Act::NotFound => return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        _ if start > 0 => {
            let (last, total) = (content.len() - 1, content.len());
            ("206 Partial Content", format!("Content-Range: bytes {start}-{last}/{total}\r\n"))
        }
        _ => ("200 OK", String::new()),
    };
    let etag = if matches!(act, Act::AnotherVersion) { "two" } else { "one" };
    let length = content.len() - start;
    write!(stream, "HTTP/1.1 {status}\r\n{extra}ETag: \"{etag}\"\r\nContent-Length: {length}\r\n\r\n")?;
    let end = if let Act::BreakOff(count) = act { start + count } else { content.len() };
    stream.write_all(&content[start..end])
}

const CONTENT: &[u8] = &[0x5a; 100_000];

fn right_digest() -> String {
    format!("sha256:{}", hex(&Sha256::digest(CONTENT)))
}

type Ranges = Vec<Option<String>>;

/// What came of it, what the file is, and which ranges were asked for.
fn fetched(acts: &[Act], digest: &str) -> (Result<(), Error>, Option<Vec<u8>>, Ranges) {
    let server = serve(CONTENT, acts);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.qcow2");
    let result = fetch(&server.url, digest, &file, &mut |_| {});
    let ranges = server.ranges.lock().unwrap().clone();
    (result, fs::read(&file).ok(), ranges)
}

#[test]
fn a_download_is_what_it_should_be_and_says_how_far_it_is() {
    let server = serve(CONTENT, &[Act::Serve]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.qcow2");
    let mut last = None;
    fetch(&server.url, &right_digest(), &file, &mut |event| last = Some(event)).unwrap();
    assert_eq!(fs::read(&file).unwrap(), CONTENT);
    let all = CONTENT.len() as u64;
    assert_eq!(last, Some(Event::Progress { done: all, total: Some(all), unit: Unit::Bytes }));

    // There is no second request: the server would not answer it.
    fetch(&server.url, &right_digest(), &file, &mut |_| {}).unwrap();
}

#[test]
fn both_kinds_of_digest_are_understood() {
    let sha512 = format!("sha512:{}", hex(&Sha512::digest(CONTENT)));
    fetched(&[Act::Serve], &sha512).0.unwrap();
}

#[test]
fn one_that_breaks_off_goes_on_where_it_stopped() {
    let (result, content, ranges) = fetched(&[Act::BreakOff(40_000), Act::Serve], &right_digest());
    result.unwrap();
    assert_eq!(content.as_deref(), Some(CONTENT));
    assert_eq!(ranges, [None, Some("bytes=40000-".to_owned())]);
}

#[test]
fn a_later_call_goes_on_where_an_earlier_one_failed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.qcow2");
    let first = serve(CONTENT, &[Act::BreakOff(40_000), Act::NotFound]);
    fetch(&first.url, &right_digest(), &file, &mut |_| {}).unwrap_err();
    assert!(!file.exists());
    let second = serve(CONTENT, &[Act::Serve]);
    fetch(&second.url, &right_digest(), &file, &mut |_| {}).unwrap();
    assert_eq!(second.ranges.lock().unwrap()[..], [Some("bytes=40000-".to_owned())]);
}

#[test]
fn a_new_version_on_the_server_is_begun_anew() {
    let (result, content, _) = fetched(&[Act::BreakOff(40_000), Act::AnotherVersion], &right_digest());
    result.unwrap();
    assert_eq!(content.as_deref(), Some(CONTENT));
}

#[test]
fn one_that_never_gets_further_is_given_up() {
    let acts = [Act::BreakOff(40_000), Act::BreakOff(0), Act::BreakOff(0), Act::BreakOff(0)];
    let (result, content, ranges) = fetched(&acts, &right_digest());
    assert!(matches!(result, Err(Error::Download { .. })), "{result:?}");
    assert_eq!((content, ranges.len()), (None, 4));
}

#[test]
fn one_with_another_digest_is_refused_and_not_kept() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let server = serve(CONTENT, &[Act::Serve]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.qcow2");
    let error = fetch(&server.url, &wrong, &file, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("its digest is sha256:"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_the_server_does_not_have_is_not_asked_for_again() {
    let (result, _, ranges) = fetched(&[Act::NotFound, Act::Serve], &right_digest());
    assert!(result.unwrap_err().to_string().contains("404"));
    assert_eq!(ranges.len(), 1);
}

#[test]
fn a_server_that_is_not_there_is_said_to_be() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image.qcow2");
    let error = fetch(&format!("http://{closed}/x"), "sha256:", &file, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
}
