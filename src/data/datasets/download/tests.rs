use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::*;

/// A server that gives these answers, one a connection, and the addresses that were asked for.
fn serve(answers: Vec<Vec<u8>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/set/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            asked.push(lines.next().unwrap().unwrap());
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            stream.write_all(&answer).unwrap();
        }
        asked
    });
    (address, thread)
}

fn ok(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// MD5 of "hello".
const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

fn remote() -> Remote {
    Remote { name: "a.gz".into(), md5: HELLO.into() }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_broken_answer_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw/a.gz");
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhel".to_vec();
    let unwell = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let (mirror, server) = serve(vec![cut, unwell, ok(b"hello")]);
    fetch(&remote(), &[mirror], &path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    assert_eq!(server.join().unwrap(), ["GET /set/a.gz HTTP/1.1"; 3]);
    assert_eq!(names(path.parent().unwrap()), ["a.gz"]);
}

#[test]
fn the_next_mirror_is_asked_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    let absent = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let (first, _server) = serve(vec![absent]);
    let (second, _other) = serve(vec![ok(b"hullo"), ok(b"hullo"), ok(b"hullo")]);
    let error = fetch(&remote(), &[first.clone(), second.clone()], &path).unwrap_err().to_string();
    assert!(error.contains(&format!("{first}a.gz: http status: 404")), "{error}");
    assert!(error.contains(&format!("{second}a.gz: its MD5 is")), "{error}");
    assert!(error.contains(HELLO) && error.contains("put a.gz into") && error.contains("data.mirror"), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn no_network_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was just free: nobody listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mirror = format!("http://127.0.0.1:{port}");
    let error = fetch(&remote(), std::slice::from_ref(&mirror), &folder.path().join("a.gz")).unwrap_err().to_string();
    assert!(error.contains(&mirror) && error.to_lowercase().contains("refused"), "{error}");
}
