use std::io::Write;

use super::super::split::{Parts, SplitRule};
use super::*;

fn idx(path: &Path, shape: &[u32], data: &[u8], packed: bool) {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|side| bytes.extend(side.to_be_bytes()));
    bytes.extend(data);
    if packed {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        bytes = encoder.finish().unwrap();
    }
    std::fs::write(path, bytes).unwrap();
}

/// `n` images of 2x3 whose bytes are their number, with labels 0 to 9 in turn.
fn pair(folder: &Path, stem: &str, n: u32, packed: bool) {
    let gz = if packed { ".gz" } else { "" };
    let data: Vec<u8> = (0..n).flat_map(|i| [(i % 256) as u8; 6]).collect();
    let labels: Vec<u8> = (0..n).map(|i| (i % 10) as u8).collect();
    idx(&folder.join(format!("{stem}-images-idx3-ubyte{gz}")), &[n, 2, 3], &data, packed);
    idx(&folder.join(format!("{stem}-labels-idx1-ubyte{gz}")), &[n], &labels, packed);
}

fn source(root: &Path) -> IdxFiles {
    IdxFiles { family: &MNIST, root: root.to_path_buf(), mirrors: None }
}

fn parts(root: &Path, sizes: Option<Vec<IntOrFloat>>) -> Result<Parts> {
    SplitRule::sizes(sizes, 42).apply(&source(root).load()?.unsplit())
}

fn sizes(root: &Path, sizes: Option<Vec<IntOrFloat>>) -> [usize; 3] {
    let parts = parts(root, sizes).unwrap();
    [parts.train.len(), parts.val.len(), parts.test.len()]
}

#[test]
fn one_pair_is_split_in_three() {
    let folder = tempfile::tempdir().unwrap();
    pair(folder.path(), "t10k", 100, true);
    let loaded = source(folder.path()).load().unwrap();
    assert!(matches!(&loaded.images, Images::Memory { width: 3, height: 2, channels: 1, data } if data.len() == 600));
    assert_eq!(sizes(folder.path(), None), [80, 10, 10]);
    assert_eq!(sizes(folder.path(), Some([60, 30, 5].map(IntOrFloat::Int).to_vec())), [60, 30, 5]);
    let error = parts(folder.path(), Some([55_000, 5_000, 10_000].map(IntOrFloat::Int).to_vec()));
    assert!(error.err().unwrap().to_string().contains("asks for 70000 samples"));
}

#[test]
fn both_pairs_keep_the_official_test_part() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("MNIST/raw");
    std::fs::create_dir_all(&raw).unwrap();
    pair(&raw, "train", 120, false);
    pair(&raw, "t10k", 20, true);
    assert_eq!(sizes(folder.path(), None), [110, 10, 20]);
    assert!(parts(folder.path(), None).unwrap().test.iter().all(|&index| index >= 120));
    for split in [vec![0.8, 0.1, 0.1], vec![0.4, 0.05, 0.5]] {
        let split = split.into_iter().map(IntOrFloat::Float).collect();
        assert_eq!(sizes(folder.path(), Some(split)), [107, 13, 20]);
    }
    let split = Some([100, 10, 15].map(IntOrFloat::Int).to_vec());
    assert_eq!(sizes(folder.path(), split), [100, 10, 15]);
}

#[test]
fn broken_folders_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let message = |root: &Path| source(root).load().err().unwrap().to_string();
    assert!(message(&folder.path().join("no")).starts_with("there is no folder"));
    assert!(message(folder.path()).starts_with("no pair of idx files"));
    pair(folder.path(), "a", 10, false);
    pair(folder.path(), "b", 10, false);
    assert!(message(folder.path()).contains("has the idx files of a, b; train and t10k are the full set"));

    let folder = tempfile::tempdir().unwrap();
    pair(folder.path(), "t10k", 10, false);
    idx(&folder.path().join("t10k-labels-idx1-ubyte"), &[9], &[0; 9], false);
    assert!(message(folder.path()).ends_with("t10k-labels-idx1-ubyte 9 labels"));
    idx(&folder.path().join("t10k-labels-idx1-ubyte"), &[10], &[11; 10], false);
    assert!(message(folder.path()).ends_with("t10k-labels-idx1-ubyte: a label is 11, above 9"));
}

#[test]
fn only_what_is_missing_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("MNIST/raw");
    std::fs::create_dir_all(&raw).unwrap();
    pair(&raw, "train", 120, true);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mirror = format!("http://{}/mnist", listener.local_addr().unwrap());
    let there = tempfile::tempdir().unwrap();
    pair(there.path(), "t10k", 20, true);
    let files = FILES[2..].iter().map(|name| std::fs::read(there.path().join(format!("{name}.gz"))).unwrap());
    let files: Vec<Vec<u8>> = files.collect();
    let md5: Vec<String> = files
        .iter()
        .map(|bytes| {
            use md5::Digest;
            md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
        })
        .collect();
    let server = std::thread::spawn(move || {
        for body in files {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream.try_clone().unwrap()));
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let source = source(folder.path());
    source.fetch(&[mirror], &["", "", &md5[0], &md5[1]]).unwrap();
    server.join().unwrap();
    assert_eq!(sizes(folder.path(), None), [110, 10, 20]);
    // Everything is there: nobody is asked.
    source.fetch(&[], &["", "", "", ""]).unwrap();
}
