//! Small pictures whose classes can be told apart, and labels as the three systems keep them.
#![allow(dead_code, reason = "every system uses another part")]

use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};

/// A number that looks random and is the same every time.
fn noise(salt: u64) -> u64 {
    let mut x = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    x ^= x >> 31;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 29)
}

/// A colour picture of a class: its own colour, with noise.
pub fn colour(path: &Path, side: u32, class: u64, salt: u64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let of = |x: u32, y: u32, channel: u64| {
        let own = noise(class * 31 + channel) % 200;
        let random = noise(salt * 7919 + u64::from(y * side + x) * 3 + channel) % 56;
        (own + random) as u8
    };
    RgbImage::from_fn(side, side, |x, y| Rgb([of(x, y, 0), of(x, y, 1), of(x, y, 2)])).save(path).unwrap();
}

/// Folders of pictures, one a class: `root/<class>/<number>.png`.
pub fn folders(root: &Path, side: u32, classes: &[(&str, usize)]) {
    for (number, (class, count)) in classes.iter().enumerate() {
        for i in 0..*count {
            colour(&root.join(class).join(format!("{i}.png")), side, number as u64, (number * 1000 + i) as u64);
        }
    }
}

/// The species of [`moths`], and how many pictures each has: the last one is not in its table.
pub const SPECIES: [(&str, usize); 5] = [
    ("Amata phegea", 10),
    ("Cydia microgrammana", 10),
    ("Pammene rhediella", 10),
    ("Strophedra nitidana", 10),
    ("Unknown moth", 8),
];

/// Pictures of species and the table of their families, as moths has them; gives the folder and the table.
pub fn moths(root: &Path, side: u32) -> (PathBuf, PathBuf) {
    let (images, table) = (root.join("images"), root.join("family.csv"));
    folders(&images, side, &SPECIES);
    let rows = [
        "\"speciesName\";\"nederNaam\";\"group\";\"family\";\"genus\"",
        "\"Amata phegea\";\"Phegeavlinder\";\"macro\";\"Erebidae\";\"Amata\"",
        "\"Cydia microgrammana\";\"\";\"micro\";\"Tortricidae\";\"Cydia\"",
        "\"Pammene rhediella\";\"\";\"micro\";\"Tortricidae\";\"Pammene\"",
        "\"Strophedra nitidana\";\"\";\"micro\";\"Tortricidae\";\"Strophedra\"",
    ];
    std::fs::write(&table, rows.join("\n") + "\n").unwrap();
    (images, table)
}

/// A varKode: a gray picture with its labels in its text, as varKoder writes it.
pub fn varkode(folder: &Path, sample: &str, kilobases: u32, labels: &str, low_quality: bool, class: u64) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{sample}@{kilobases:08}K+varKode+k5.png"));
    let salt = sample.bytes().fold(u64::from(kilobases), |sum, byte| sum.wrapping_mul(131) + u64::from(byte));
    let of = |x: u32, y: u32| {
        let own = noise(class * 9973 + u64::from(y * 16 + x)) % 200;
        (own + noise(salt * 7919 + u64::from(y * 16 + x)) % 56) as u8
    };
    GrayImage::from_fn(16, 16, |x, y| Luma([of(x, y)])).save(&path).unwrap();
    let flag = if low_quality { "True" } else { "False" };
    let texts = [("varkoderKeywords", labels), ("varkoderBaseFreqSd", "0.005"), ("varkoderLowQualityFlag", flag)];
    let bytes = with_texts(&std::fs::read(&path).unwrap(), &texts);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Twelve samples of two families, two pictures each.
pub fn varkodes(folder: &Path) {
    for sample in 0..12 {
        let class = sample % 2;
        let labels = format!("family:{};kingdom:Plantae", ["Acanthaceae", "Betulaceae"][class]);
        for kilobases in [500, 10_000] {
            varkode(folder, &format!("S{sample:02}"), kilobases, &labels, sample == 3, class as u64);
        }
    }
}

/// A PNG file with `tEXt` chunks behind its header.
fn with_texts(png: &[u8], texts: &[(&str, &str)]) -> Vec<u8> {
    // Signature, then the header chunk: length, name, 13 bytes, checksum.
    let after_header = 8 + 4 + 4 + 13 + 4;
    let mut out = png[..after_header].to_vec();
    for (key, text) in texts {
        let mut chunk = b"tEXt".to_vec();
        chunk.extend(key.bytes().chain([0]).chain(text.bytes()));
        out.extend(((chunk.len() - 4) as u32).to_be_bytes());
        out.extend(&chunk);
        out.extend(crc(&chunk).to_be_bytes());
    }
    out.extend(&png[after_header..]);
    out
}

/// The checksum of a PNG chunk (CRC-32).
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0u32, step)
}

/// CIFAR-10 in its original layout, as Python 2 would have pickled it: `count` pictures a batch.
pub fn cifar(folder: &Path, count: usize) {
    let folder = folder.join("cifar-10-batches-py");
    std::fs::create_dir_all(&folder).unwrap();
    for (number, name) in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        .iter()
        .enumerate()
    {
        std::fs::write(folder.join(name), batch(number as u64, count)).unwrap();
    }
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    let list: String = names.iter().map(|name| format!("S'{name}'\n")).collect::<Vec<_>>().join("a");
    std::fs::write(folder.join("batches.meta"), format!("(dS'label_names'\n(l{list}as.").as_bytes()).unwrap();
}

/// One batch: protocol 0 but for the bytes of the array, which are a short protocol 2 string.
fn batch(number: u64, count: usize) -> Vec<u8> {
    let label = |i: usize| (i as u64 + number) % 10;
    let mut pixels = Vec::with_capacity(count * 3072);
    for i in 0..count {
        for channel in 0..3 {
            let own = noise(label(i) * 31 + channel) % 200;
            pixels.extend((0..1024).map(|p| (own + noise(number * 77 + i as u64 * 13 + p * 3 + channel) % 56) as u8));
        }
    }
    let mut out = vec![0x80, 2];
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(b'U');
        out.push(text.len() as u8);
        out.extend(text.bytes());
    };
    let int = |out: &mut Vec<u8>, value: u32| {
        out.push(b'J');
        out.extend((value as i32).to_le_bytes());
    };
    out.extend(b"}(");
    text(&mut out, "data");
    // numpy.core.multiarray._reconstruct(numpy.ndarray, (0,), 'b') and its state.
    out.extend(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n");
    int(&mut out, 0);
    out.push(0x85);
    text(&mut out, "b");
    out.extend([0x87, b'R', b'(']);
    int(&mut out, 1);
    int(&mut out, count as u32);
    int(&mut out, 3072);
    out.push(0x86);
    out.extend(b"cnumpy\ndtype\n");
    text(&mut out, "u1");
    int(&mut out, 0);
    int(&mut out, 1);
    out.extend([0x87, b'R', b'(']);
    int(&mut out, 3);
    text(&mut out, "|");
    out.extend(b"NNN");
    int(&mut out, u32::MAX);
    int(&mut out, u32::MAX);
    int(&mut out, 0);
    out.extend(b"tb");
    out.push(0x89);
    out.push(b'T');
    out.extend((pixels.len() as u32).to_le_bytes());
    out.extend(&pixels);
    out.extend(b"tb");
    text(&mut out, "labels");
    out.extend(b"](");
    (0..count).for_each(|i| int(&mut out, label(i) as u32));
    out.push(b'e');
    text(&mut out, "filenames");
    out.extend(b"](");
    (0..count).for_each(|i| text(&mut out, &format!("{i}.png")));
    out.extend(b"eu.");
    out
}
