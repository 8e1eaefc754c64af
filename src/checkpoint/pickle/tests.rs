//! Pickles made byte by byte, and files as PyTorch writes them.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::numpy::Array;
use super::*;
use crate::checkpoint::Bytes;

fn parse(bytes: &[u8]) -> String {
    match Pickle::parse(bytes) {
        Ok(pickle) => pickle.root().to_json().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn values_of_all_protocols() {
    for (bytes, shown) in [
        (&b"N."[..], "null"),
        (b"I01\n.", "true"),
        (b"I-5\n.", "-5"),
        (b"L123456789012L\n.", "123456789012"),
        (b"F1.5\n.", "1.5"),
        (b"S'it''s'\n.", "\"text\""),
        (b"Va\\u00fc\n.", "\"aü\""),
        (b"(lp0\nI1\naI2\na.", "[1,2]"),
        (b"(dp0\nVk\nI1\ns.", r#"{"k":1}"#),
        (b"\x80\x02K\x01M\x00\x01J\xff\xff\xff\xff\x87.", "[1,256,-1]"),
        (b"\x80\x02\x8a\x02\x00\x80.", "-32768"),
        (b"\x80\x02\x8a\x00.", "0"),
        (b"\x80\x02G\x3f\xf0\x00\x00\x00\x00\x00\x00.", "1.0"),
        (b"\x80\x02]q\x00(K\x01h\x00e.", "[1,[1,[1,"),
        (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94\x8c\x01b\x86.", r#"["a","b"]"#),
        (b"\x80\x04\x8f(K\x01K\x02\x90.", "[1,2]"),
        (b"\x80\x02cmy.mod\nThing\n)\x81}X\x01\x00\x00\x00aK\x01sb.", "\"<my.mod.Thing>\""),
        (b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\x00\x00\x00aK\x01u.", r#"{"a":1}"#),
        (b"((lp0\nI7\natp1\n0N.", "null"),
    ] {
        let found = parse(bytes);
        assert!(found.starts_with(shown), "{shown} expected, {found} found");
    }
}

#[test]
fn programs_are_refused_by_name_and_never_run() {
    for (bytes, name) in [
        (&b"cos\nsystem\n(S'touch /tmp/never'\ntR."[..], "os.system"),
        (b"cposix\nsystem\n(S'true'\ntR.", "posix.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"c__builtin__\ngetattr\n.", "__builtin__.getattr"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"\x80\x02csubprocess\nPopen\n.", "subprocess.Popen"),
        (b"\x80\x02cos.path\njoin\n.", "os.path.join"),
        (b"\x80\x02ctorch.hub\nload\n.", "torch.hub.load"),
    ] {
        let error = parse(bytes);
        assert!(error.starts_with(&format!("it wants to use `{name}`")), "{name}: {error}");
    }
}

#[test]
fn broken_pickles_are_errors() {
    for (bytes, message) in [
        (&b""[..], "ends early"),
        (b".", "takes more from the stack"),
        (b"\x80\x09N.", "protocol 9"),
        (b"X\xff\xff\xff\xffab", "ends early"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffab", "ends early"),
        (b"h\x05.", "never remembered"),
        (b"(K\x01u.", "a key has no value"),
        (b"K\x01K\x02a.", "appends to what is no list"),
        (b"K\x01)R.", "neither a class nor a function"),
        (b"\x82\x01.", "extension registry"),
        (b"e.", "a mark is missing"),
        (b"\xfe.", "0xfe is no opcode"),
        (b"K\x01(00.", "takes more from the stack"),
    ] {
        let error = parse(bytes);
        assert!(error.contains(message), "{message} expected, {error} found");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = parse(&bytes);
        let _ = TorchFile::of(Bytes::from(bytes), Path::new("x.pt"));
    }

    #[test]
    fn no_change_of_a_file_panics(at in 0usize..1700, to in proptest::num::u8::ANY) {
        let mut bytes = std::fs::read(sample().0.path()).unwrap();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(file) = TorchFile::of(Bytes::from(bytes), Path::new("x.pt")) {
            let _ = file.state_dict(None);
        }
    }
}

/// A file of [`write_pt`] and what it holds.
fn sample() -> (tempfile::NamedTempFile, IndexMap<String, Tensor>) {
    let cpu = |kind| (kind, Device::Cpu);
    let tensors: IndexMap<String, Tensor> = [
        ("conv.weight", Tensor::arange(24, cpu(Kind::Float)).view([2, 3, 4])),
        ("count", Tensor::from(7i64)),
        ("flag", Tensor::from_slice(&[true, false])),
        ("half", Tensor::arange(3, cpu(Kind::Half))),
        ("bf16", Tensor::arange(3, cpu(Kind::BFloat16))),
        ("empty", Tensor::zeros([0, 3], cpu(Kind::Double))),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into();
    let file = tempfile::NamedTempFile::new().unwrap();
    write_pt(file.path(), &tensors, None).unwrap();
    (file, tensors)
}

fn same(found: &IndexMap<String, Tensor>, wanted: &IndexMap<String, Tensor>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, tensor) in wanted {
        assert_eq!((found[name].kind(), found[name].size()), (tensor.kind(), tensor.size()), "{name}");
        assert!(found[name].equal(tensor), "{name}");
    }
}

#[test]
fn what_is_written_is_read() {
    let (file, tensors) = sample();
    same(&TorchFile::open(file.path()).unwrap().state_dict(None).unwrap(), &tensors);
    let around = json!({ "epoch": 3, "hyper_parameters": { "lr": 0.1, "layers": [1, null, true] } });
    write_pt(file.path(), &tensors, Some(&around)).unwrap();
    let read = TorchFile::open(file.path()).unwrap();
    same(&read.state_dict(None).unwrap(), &tensors);
    same(&read.state_dict(Some("state_dict")).unwrap(), &tensors);
    assert_eq!(read.root().get("hyper_parameters").unwrap().to_json(), around["hyper_parameters"]);
    let error = read.state_dict(Some("ema")).unwrap_err().to_string();
    assert!(error.contains("there is nothing at `ema`; it holds state_dict, epoch, hyper_parameters"), "{error}");
}

#[test]
fn damage_is_named() {
    let (file, _) = sample();
    let whole = std::fs::read(file.path()).unwrap();
    let error = |bytes: Vec<u8>| TorchFile::of(Bytes::from(bytes), Path::new("w.pt")).err().unwrap().to_string();
    assert!(error(whole[..whole.len() / 2].to_vec()).starts_with("cannot read w.pt: it is truncated"));
    // The values 0.0, 1.0, 2.0 of the first tensor.
    let at = whole.windows(8).position(|w| w == [0, 0, 128, 63, 0, 0, 0, 64]).unwrap();
    let mut altered = whole.clone();
    altered[at] = 1;
    assert_eq!(error(altered), "cannot read w.pt: its part `data/0` was altered: the checksum does not fit");
    assert_eq!(error(b"hello".to_vec()), "cannot read w.pt: it is not a file that torch.save writes");
}

/// A pickle of one tensor over a storage of six floats, as the legacy form has it.
fn legacy(size: &[u8], stride: &[u8], offset: u8) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    bytes.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    bytes.extend(b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x02\x00\x00\x0042X\x03\x00\x00\x00cpuK\x06NtQK");
    bytes.push(offset);
    for numbers in [size, stride] {
        bytes.push(b'(');
        numbers.iter().for_each(|n| bytes.extend([b'K', *n]));
        bytes.push(b't');
    }
    bytes.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
    bytes.extend(b"\x80\x02]X\x02\x00\x00\x0042a.");
    bytes.extend(6i64.to_le_bytes());
    (0..6u8).for_each(|i| bytes.extend(f32::from(i).to_le_bytes()));
    bytes
}

#[test]
fn the_older_form_with_strides_and_offsets() {
    let read = |size: &[u8], stride: &[u8], offset| -> Result<Vec<f32>, String> {
        let file = TorchFile::of(Bytes::from(legacy(size, stride, offset)), Path::new("old.pth"));
        let dict = file.and_then(|file| file.state_dict(None)).map_err(|error| error.to_string())?;
        let tensor = &dict["w"];
        assert_eq!(tensor.size(), size.iter().map(|n| i64::from(*n)).collect::<Vec<_>>());
        Ok(Vec::try_from(tensor.contiguous().view(-1)).unwrap())
    };
    assert_eq!(read(&[2, 3], &[3, 1], 0).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(read(&[3, 2], &[1, 3], 0).unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    assert_eq!(read(&[2], &[1], 4).unwrap(), [4.0, 5.0]);
    assert_eq!(read(&[], &[], 3).unwrap(), [3.0]);
    assert_eq!(read(&[2, 2], &[0, 1], 1).unwrap(), [1.0, 2.0, 1.0, 2.0]);
    assert_eq!(read(&[0], &[1], 6).unwrap(), [0.0; 0]);
    for (size, stride, offset) in [(&[7u8][..], &[1u8][..], 0), (&[2], &[1], 5), (&[2, 2], &[4, 2], 0), (&[1], &[1], 6)]
    {
        let error = read(size, stride, offset).unwrap_err();
        assert!(error.contains("reaches beyond its storage `42`"), "{error}");
    }
    let mut short = legacy(&[6], &[1], 0);
    short.truncate(short.len() - 1);
    let error = TorchFile::of(Bytes::from(short), Path::new("old.pth")).err().unwrap().to_string();
    assert_eq!(error, "cannot read old.pth: it is truncated: storage `42` is not there");
}

/// A CIFAR-10 batch as Python 2 wrote it: byte strings, and an array by `_reconstruct` and BUILD.
#[test]
fn a_batch_of_cifar() {
    let mut bytes = b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x06batch1q\x03U\x06labelsq\x04]q\x05(K\x06K\x09e".to_vec();
    bytes
        .extend(b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87R");
    bytes.extend(b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    bytes.extend(b"\x89U\x06\x01\x02\x03\x04\x05\xfftbu.");
    let pickle = Pickle::parse(&bytes).unwrap();
    let root = pickle.root();
    let labels: Vec<_> =
        root.get("labels").unwrap().list().unwrap().iter().map(|item| item.as_int().unwrap()).collect();
    assert_eq!(labels, [6, 9]);
    assert_eq!(root.get("batch_label").unwrap().as_str(), Some("batch1"));
    let array = Array::of(root.get("data").unwrap()).unwrap().unwrap();
    assert_eq!((array.shape.as_slice(), array.data.as_ref()), (&[2, 3][..], &[1, 2, 3, 4, 5, 255][..]));
    assert_eq!(array.tensor().unwrap().int64_value(&[1, 2]), 255);
    let mut wrong = bytes.clone();
    let at = wrong.windows(5).position(|w| w == b"K\x02K\x03\x86").unwrap();
    wrong[at + 1] = 200;
    let pickle = Pickle::parse(&wrong).unwrap();
    let error = Array::of(pickle.root().get("data").unwrap()).unwrap().unwrap_err().to_string();
    assert!(error.contains("its shape [200, 3] does not fit its 6 bytes"), "{error}");
}
